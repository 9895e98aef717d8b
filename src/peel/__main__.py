"""``python -m peel``."""

from peel.cli import main

main()
