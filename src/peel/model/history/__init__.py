"""Lists of packages that history left behind, a module per format: text or data in, what it remembers out."""
