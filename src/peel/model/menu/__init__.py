"""The spawner's menu: what is declared, what a registry holds, and what people are offered of it. Pure."""
