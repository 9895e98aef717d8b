"""Floor 2: the programs peel drives, a module each. ``process`` is the only door."""
