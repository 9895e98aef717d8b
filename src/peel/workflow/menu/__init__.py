"""``peel menu``: from what is declared and what registries hold to what people are offered."""
