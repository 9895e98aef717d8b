"""Measures peel against what people would do otherwise: ``python tests/bench/run.py [--json]``, or ``nox -s bench``.

Contenders take turns in one run; medians count, and ratios wherever there is something to compare with. Takes about
20 minutes and 10 GB of disk. Needs root, buildah, skopeo, zstd, and the mirrors of Debian and PyPI for the demo.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for channels.py

from cases import CASES as BUILD_CASES
from cases import Bench
from history_cases import HISTORY_CASES
from material import Place, make_demo
from measuring import Row
from payload_cases import PAYLOAD_CASES
from registry_cases import REGISTRY_CASES
from start_cases import START_CASES

CASES = {**BUILD_CASES, **HISTORY_CASES, **PAYLOAD_CASES, **START_CASES, **REGISTRY_CASES}
TOOLS = ("buildah", "skopeo", "tar", "zstd")


def main() -> int:
    """Exit with 1 when a target is missed."""
    options = _options()
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise SystemExit(f"missing: {', '.join(missing)}; on Debian: apt-get install {' '.join(missing)}")
    work = Path(tempfile.mkdtemp(prefix="peel-bench-", dir=options.work))
    try:
        demo = Place(options.demo, options.demo / "store") if options.demo else make_demo(work)
        bench = Bench(demo, work, options.rounds)
        rows = [row for name in options.only or CASES for row in _measured(name, bench)]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.stdout.write(_document(rows) if options.json else _table(rows))
    return 1 if any(row.verdict == "MISSED" for row in rows) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure peel against the plain way.")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--rounds", type=int, default=3, help="runs of each long contender; short ones run 5 times at least"
    )
    parser.add_argument("--only", action="append", choices=list(CASES), help="this case alone; repeatable")
    parser.add_argument("--demo", type=Path, help="a directory that `peel demo` has filled; made anew by default")
    parser.add_argument("--work", type=Path, help="where to work; the system's temporary directory by default")
    return parser.parse_args()


def _measured(name: str, bench: Bench) -> list[Row]:
    sys.stderr.write(f"measuring {name}\n")
    rows = list(CASES[name](bench))
    sys.stderr.write(_table(rows))
    return rows


def _table(rows: list[Row]) -> str:
    lines = [("what", "against", "measured", "target", "", "")]
    for row in rows:
        target = "" if row.target is None else f"{row.target:g} {row.unit}"
        lines.append((row.what, row.against, f"{row.value:.2f} {row.unit}", target, row.verdict, row.detail))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def _document(rows: list[Row]) -> str:
    found = [{**asdict(row), "verdict": row.verdict} for row in rows]
    return json.dumps({"schema": 1, "cores": os.cpu_count(), "rows": found}, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
