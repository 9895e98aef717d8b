"""``peel-micromamba``: the program. Results on stdout, errors on stderr, exit statuses as micromamba has them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from peel.errors import PeelError
from peel.model.secrets import redact
from peel.solver.options import UsageExit, parse_options
from peel.solver.output import SPOKEN, problems_json, to_json
from peel.solver.request import UnsolvableError
from peel.solver.settings import read_settings

FAILED = 1
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Ending:
    """What the program leaves: its output and its exit status."""

    status: int
    stdout: str = ""
    stderr: str = ""


def main() -> NoReturn:
    """Run, print, and leave without the interpreter's own clean-up, in which py-rattler now and then crashes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ending = run(sys.argv[1:], os.environ, machine=os.uname().machine)
    with suppress(BrokenPipeError):
        sys.stderr.write(ending.stderr)
        sys.stderr.flush()
        sys.stdout.write(ending.stdout)
        sys.stdout.flush()
    os._exit(ending.status)


def run(argv: Sequence[str], environment: Mapping[str, str], *, machine: str) -> Ending:
    """The whole program as a function: arguments, environment variables and machine name to an ending."""
    if list(argv) == ["--version"]:
        return Ending(0, f"{SPOKEN}\n")
    try:
        options = parse_options(argv)
    except UsageExit as ending:
        shown = f"{ending.text.rstrip()}\n"
        return Ending(0, stdout=shown) if ending.status == 0 else Ending(ending.status, stderr=shown)
    try:
        return _run_command(options, environment, machine)
    except KeyboardInterrupt:
        return Ending(INTERRUPTED, stderr="critical libmamba Interrupted\n")
    except BaseException as error:  # noqa: BLE001  (a panic in py-rattler is no Exception)
        said = redact(f"{type(error).__name__}: {error}")
        return Ending(FAILED, stderr=f"critical libmamba The solver failed unexpectedly: {said}\n")


def _run_command(options: argparse.Namespace, environment: Mapping[str, str], machine: str) -> Ending:
    from peel.solver.commands import run_command  # noqa: PLC0415  (brings py-rattler: --help should not wait for it)

    try:
        printed = run_command(options, read_settings(environment, machine=machine))
    except UnsolvableError as error:
        return _unsolvable(error, command=options.command, json=options.json)
    except PeelError as error:
        return Ending(FAILED, stderr=critical(error))
    return Ending(0, printed.stdout, printed.stderr)


def critical(error: PeelError) -> str:
    """An error as micromamba logs one: conda-lock keeps indented lines together with the first."""
    first, *more = error.message.splitlines()
    hint = [f"hint: {error.hint}"] if error.hint else []
    return "\n".join([f"critical libmamba {first}", *(f"    {line}" for line in [*more, *hint])]) + "\n"


def _unsolvable(error: UnsolvableError, *, command: str, json: bool) -> Ending:
    if not json:
        return Ending(FAILED, stderr=critical(error))
    problems = problems_json(error.explanation)
    if command != "create":
        problems["message"] = error.explanation  # of an update's failure, conda-lock shows this and nothing else
    return Ending(FAILED, to_json(problems), critical(error))
