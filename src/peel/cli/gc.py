"""``peel gc``."""

from __future__ import annotations
