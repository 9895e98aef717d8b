"""Floor 3: a module per verb; each reads as a list of steps."""
