"""Floor 4: results as people and programs read them, a module per verb.

Modules import what they show for its type only: telling must not be slow.
"""

from __future__ import annotations

from typing import Final

SCHEMA: Final = 1
"""The number that every ``--json`` result begins with."""

NOTHING: Final = "-"
"""What stands in a table where there is nothing to say."""
