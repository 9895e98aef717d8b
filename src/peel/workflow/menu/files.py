"""The files that a menu is made from and written to."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from peel.errors import UsageError
from peel.model.menu.offer import Offer
from peel.store.files import write_whole


def read_json(path: Path) -> Any:
    """The data of a JSON file, or of standard input for ``-``. Raises UsageError when it cannot be read."""
    try:
        return json.loads(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", hint="name a file, or - for stdin") from None
    except (ValueError, RecursionError):
        raise UsageError(
            f"{path}: not JSON", hint="a menu is written by --full, nodes by kubectl get nodes -o json"
        ) from None


def previous_menu(path: Path) -> Offer | None:
    """The menu that a file holds, if it holds one."""
    with suppress(OSError, ValueError, RecursionError):
        return Offer.model_validate(json.loads(path.read_bytes()))
    return None


def write_text(text: str, path: Path | None) -> None:
    """Write to a file as a whole, or to standard output. Raises ToolError when the disk refuses."""
    if path is None:
        sys.stdout.write(text)
    else:
        write_whole(path.absolute(), text.encode())
