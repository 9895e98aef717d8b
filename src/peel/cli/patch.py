"""``peel patch``."""

from __future__ import annotations
