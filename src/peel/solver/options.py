"""The part of micromamba's command line that conda-lock and peel use, and micromamba's ways of refusing the rest."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

UNEXPECTED = 109
"""Exit status for an argument that nobody expects (micromamba's, which is CLI11's)."""
INCOMPLETE = 106
"""Exit status for an argument that is missing."""

COMMANDS = {
    "create": "make an environment, from specs or from a file",
    "install": "what adding packages to an environment would change (with --dry-run only)",
    "update": "what updating packages of an environment would change (with --dry-run only)",
    "search": "the packages of channels that specs match, and where they lie",
    "list": "the packages of an environment",
    "config": "what is configured: config list [KEY]",
    "info": "versions, platform, package cache and virtual packages",
}

_TOP = """\
peel-micromamba: the solver inside peel, speaking micromamba's command line on py-rattler

usage: peel-micromamba COMMAND [OPTION...] [SPEC...]
       peel-micromamba --version

commands:
{commands}

examples:
  peel-micromamba create -p ./env -f conda-lock.yml
  peel-micromamba create -p ./env -c conda-forge 'python=3.13' numpy
  peel-micromamba create -p ./env -c conda-forge numpy --dry-run --json
  conda-lock lock --conda $(command -v peel-micromamba) -f environment.yml -p linux-64

Every archive is checked against its sha256 before it is linked. Nothing is asked, no configuration file is read, and
nothing is written but the prefix and the package cache. COMMAND --help explains the options of a command.

environment: CONDA_SUBDIR (platform), CONDA_PKGS_DIRS (package cache), CONDA_CHANNELS, CONDA_CHANNEL_PRIORITY,
CONDA_OVERRIDE_GLIBC, _LINUX, _CUDA, _ARCHSPEC, _OSX (virtual packages; empty: none), MAMBA_ROOT_PREFIX
"""


class UsageExit(Exception):  # noqa: N818  (what argparse does is an exit, not always an error)
    """The command line ends here: what to print on which stream, and the exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class _Parser(argparse.ArgumentParser):
    """argparse, except that it never prints or exits by itself."""

    def error(self, message: str) -> NoReturn:
        raise UsageExit(f"{message}\nRun with --help for more information.", INCOMPLETE)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise UsageExit(message or "", status)

    def print_help(self, file: object = None) -> NoReturn:  # noqa: ARG002  (argparse's own signature)
        raise UsageExit(self.format_help(), 0)


def overview() -> str:
    """The help of the program itself."""
    return _TOP.format(commands="\n".join(f"  {name:8} {text}" for name, text in COMMANDS.items()))


def parse_options(argv: Sequence[str]) -> argparse.Namespace:
    """The options of one command, in ``command`` its name. Raises UsageExit for help and for anything unexpected."""
    if not argv or argv[0] in {"-h", "--help", "help"}:
        raise UsageExit(overview(), 0)
    command, rest = argv[0], list(argv[1:])
    if command not in COMMANDS:
        raise _unexpected([command])
    options, unknown = _parser(command).parse_known_intermixed_args(rest)
    if unknown:
        raise _unexpected(unknown)
    options.command = command
    return options


def _unexpected(arguments: Sequence[str]) -> UsageExit:
    were = "argument was" if len(arguments) == 1 else "arguments were"
    text = f"The following {were} not expected: {' '.join(arguments)}\nRun with --help for more information."
    return UsageExit(text, UNEXPECTED)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"peel-micromamba {command}", description=COMMANDS[command], allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, as micromamba 2.8 does")
    _ignored(parser)
    if command in {"create", "install", "update"}:
        _solving(parser, command)
    if command == "search":
        _searching(parser)
    if command in {"create", "install", "update", "list"}:
        parser.add_argument("-p", "--prefix", help="the environment's directory")
        parser.add_argument("-n", "--name", help="the environment's name beneath MAMBA_ROOT_PREFIX/envs")
    if command == "list":
        parser.add_argument("--no-pip", action="store_true", help="conda packages only (as always here)")
        parser.add_argument("pattern", nargs="?", help="a regular expression that names have to match")
    if command == "config":
        parser.add_argument("action", choices=["list"], help="what to do: list")
        parser.add_argument("keys", nargs="*", metavar="KEY", help="only these, for example pkgs_dirs")
    return parser


def _ignored(parser: argparse.ArgumentParser) -> None:
    """What changes nothing here, since nothing is asked, drawn or configured."""
    for flags in (("-y", "--yes"), ("--no-rc",), ("--no-env",), ("--retry-clean-cache",)):
        parser.add_argument(*flags, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-q", "--quiet", action="store_true", help="print results and errors only")
    parser.add_argument("-v", "--verbose", action="count", help=argparse.SUPPRESS)


def _solving(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument("specs", nargs="*", metavar="SPEC", help="match specs, for example 'numpy >=2,<3'")
    _asking(parser)
    parser.add_argument("-f", "--file", action="append", default=[],
                        help="a conda-lock.yml, @EXPLICIT list, environment.yml or list of specs")  # fmt: skip
    parser.add_argument("--category", action="append", default=[], help="of a lock: take this category (default main)")
    parser.add_argument("-d", "--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--no-deps", action="store_true", help="the packages asked for, without their dependencies")
    parser.add_argument("--only-deps", action="store_true", help="the dependencies, without the packages asked for")
    priority = parser.add_mutually_exclusive_group()
    priority.add_argument("--channel-priority", help="strict, flexible (default) or disabled")
    priority.add_argument("--strict-channel-priority", action="store_const", const="strict", dest="channel_priority",
                          help="take a package only from the first channel that has it")  # fmt: skip
    priority.add_argument("--no-channel-priority", action="store_const", const="disabled", dest="channel_priority",
                          help="take the newest version, whichever channel has it")  # fmt: skip
    if command != "create":
        parser.add_argument("--no-pin", action="store_true", help="disregard conda-meta/pinned")
        parser.add_argument("--no-py-pin", action="store_true", help="let the minor version of Python change")
        parser.add_argument("--freeze-installed", action="store_true", help="change no installed package at all")
        parser.add_argument("--allow-downgrade", action="store_true", help=argparse.SUPPRESS)  # as always here
    if command == "update":
        parser.add_argument("-a", "--all", action="store_true", help="update every package")


def _searching(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", nargs="+", metavar="SPEC", help="match specs, for example 'numpy ==2.1.0 py313h1_0'")
    _asking(parser)


def _asking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--channel", action="append", default=[], help="a channel's URL, path or name; repeatable"
    )
    parser.add_argument("--override-channels", action="store_true", help="only these channels, none from a file")
    parser.add_argument("--platform", help="this platform instead of CONDA_SUBDIR or this machine's")
