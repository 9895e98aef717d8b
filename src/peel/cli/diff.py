"""``peel diff``."""

from __future__ import annotations
