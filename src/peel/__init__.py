"""peel: bit-identical notebook images from conda locks."""

__version__ = "0.1.0"
