"""Builds one lock set with the buildahs of Debian's releases: ``python tests/matrix/run.py``, or ``nox -s matrix``.

Prints a Markdown table of manifest digests, and exits with 1 when they are not all the recorded one. Takes about 20
minutes and 6 GB of disk. Needs root, mmdebstrap, buildah, skopeo, and the mirrors of Debian and PyPI.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builds import DRIVERS, ISOLATIONS, Demo, Outcome, Setting, build, make_demo
from roots import PROGRAMS, SUITES, Root, make_root

from peel.errors import PeelError
from peel.tools import buildah
from peel.tools.system import distribution, show_version

_HEADERS = ("distribution", "buildah", "Python", "isolation", "storage driver", "manifest digest", "differs")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    distribution: str
    buildah: str
    python: str
    setting: Setting
    outcome: Outcome

    @property
    def cells(self) -> tuple[str, ...]:
        built = self.outcome
        digest = f"`{built.manifest}`" if built.manifest else ""
        told = "; ".join(built.differences) or "nothing"
        return (self.distribution, self.buildah, self.python, self.setting.isolation, self.setting.driver, digest, told)


def main() -> int:
    """Exit with 1 when any digest is not the recorded one."""
    options = _options()
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        raise SystemExit(f"missing: {', '.join(missing)}; on Debian: apt-get install mmdebstrap buildah skopeo")
    work = options.work or Path(tempfile.mkdtemp(prefix="peel-matrix-"))
    try:
        rows = tuple(_rows(work.resolve(), options.suite or SUITES))
    except PeelError as error:
        raise SystemExit(f"error: {error.message}\nhint: {error.hint}") from None
    finally:
        if options.work is None:
            shutil.rmtree(work)
    sys.stdout.write(_table(rows))
    return 1 if any(row.outcome.differences for row in rows) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build one lock set with the buildahs of several Debian releases.")
    parser.add_argument("--suite", action="append", choices=SUITES, help="this release alone; repeatable")
    parser.add_argument(
        "--work", type=Path, help="where to work, and to keep roots and demo for another run; by default nothing stays"
    )
    return parser.parse_args()


def _rows(work: Path, suites: Sequence[str]) -> Iterator[Row]:
    work.mkdir(parents=True, exist_ok=True)
    sys.stderr.write("making the demo\n")
    demo = make_demo(Path(sys.executable).with_name("peel"), work)
    here = ".".join(map(str, sys.version_info[:3]))
    recorded = Outcome(demo.record["manifest"])
    yield Row(f"the record: {distribution()}", show_version(buildah.version()), here, demo.setting, recorded)
    for suite in suites:
        root = make_root(suite, work)
        for isolation in ISOLATIONS:
            for driver in DRIVERS:
                yield _row(root, Setting(isolation, driver), demo)


def _row(root: Root, setting: Setting, demo: Demo) -> Row:
    sys.stderr.write(f"building in {root.path.name} with {setting.isolation} on {setting.driver}\n")
    outcome = build(root, setting, demo)
    sys.stderr.write(f"  {outcome.manifest} {'; '.join(outcome.differences)}\n")
    return Row(root.distribution, root.version("buildah"), root.version("python3"), setting, outcome)


def _table(rows: Sequence[Row]) -> str:
    lines = (_HEADERS, ("---",) * len(_HEADERS), *(row.cells for row in rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
