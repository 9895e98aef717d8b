"""Floor 1: values and decisions. Pure: no file, process, clock or environment."""
