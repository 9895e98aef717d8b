"""A simple index of wheels in a directory (PEP 503), served on loopback: what a pip section of the demo asks."""

from __future__ import annotations

import html
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

from peel.demo.pins import Pin, fetch_wheels, load_pins
from peel.demo.whole import replacing
from peel.model.values import PythonVersion

_PYTHON: Final = PythonVersion(3, 11)
_PAGE: Final = "<!DOCTYPE html>\n<html><head><title>{title}</title></head><body>\n{links}</body></html>\n"


@dataclass(frozen=True, slots=True)
class WheelIndex:
    """A simple index on disk, and the wheels it has."""

    directory: Path
    pins: tuple[Pin, ...]


def make_wheel_index(
    directory: Path, *, cache: Path, progress: Callable[[str], object], pins: Sequence[Pin] | None = None
) -> WheelIndex:
    """Lay wheels out as a simple index under ``directory/simple``, replacing what is there.

    They are the demo's extra ones unless ``pins`` says otherwise; each link carries the wheel's sha256. Raises as
    ``fetch_wheels`` does.
    """
    progress("make an index of wheels")
    wheels = fetch_wheels(load_pins("extra") if pins is None else pins, _PYTHON, cache=cache)
    with replacing(directory) as unfinished:
        root = unfinished / "simple"
        for pin, wheel in wheels.items():
            (root / pin.name).mkdir(parents=True)
            shutil.copyfile(wheel, root / pin.name / wheel.name)
            link = (wheel.name, f"{wheel.name}#sha256={pin.digest.hex}")
            (root / pin.name / "index.html").write_text(_page(f"Links for {pin.name}", [link]))
        (root / "index.html").write_text(_page("Simple index", [(pin.name, f"{pin.name}/") for pin in sorted(wheels)]))
    return WheelIndex(directory, tuple(sorted(wheels)))


def _page(title: str, links: list[tuple[str, str]]) -> str:
    lines = (f'<a href="{html.escape(target)}">{html.escape(text)}</a><br>\n' for text, target in links)
    return _PAGE.format(title=html.escape(title), links="".join(lines))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""


@contextmanager
def serve_wheel_index(index: WheelIndex) -> Iterator[str]:
    """Serve the index on a free loopback port until left; the value is its URL, for ``pip --index-url``."""
    handler = partial(_Quiet, directory=str(index.directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple/"
        finally:
            server.shutdown()
            thread.join()
