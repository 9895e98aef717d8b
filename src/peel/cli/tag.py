"""``peel tag``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from peel.cli.app import app, say
from peel.cli.options import Json, as_usage
from peel.console import Console
from peel.errors import UsageError

if TYPE_CHECKING:
    from peel.model.tags.policy import TagPolicy

_tag = typer.Typer(
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Read, order and count image tags by a policy: rsp, semver or calver.",
    epilog="For example: peel tag parse w_2026_14 r29_2_0_rsp2742",
)
app.add_typer(_tag, name="tag")

_Policy = Annotated[str, typer.Option(metavar="POLICY", help="rsp, semver, calver, or as declared: 'calver PATTERN'.")]
_Pattern = Annotated[
    str | None, typer.Option(metavar="PATTERN", help="What calver tags look like, e.g. YYYY.0M.MICRO.")
]
_Given = Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="Tags; a line each of stdin by default.")]
_MOST = 64 << 20  # characters of tags on stdin


@_tag.command()
def parse(
    tags: _Given = None, policy: _Policy = "rsp", pattern: _Pattern = None, json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warn of what a tag's reader would be misled by.")] = False,
) -> None:  # fmt: skip
    """Say what tags mean: category, version, cycle, build, architecture, date, and how a menu shows them."""
    from peel.model.tags.tag import tag_fault
    from peel.report.tag import show_parsed

    chosen, texts = _policy(policy, pattern), _texts(tags)
    warnings = None
    if strict:
        warnings = {text or "latest": [*filter(None, [tag_fault(text)]), *chosen.warnings(text)] for text in texts}
    show_parsed([chosen.parse(text) for text in texts], warnings, Console(), json=json)


@_tag.command()
def sort(tags: _Given = None, policy: _Policy = "rsp", pattern: _Pattern = None, json: Json = False) -> None:
    """List tags as a menu does: categories in its order, the newest first in each."""
    from peel.report.tag import show_sorted

    chosen = _policy(policy, pattern)
    show_sorted(chosen.newest_first([chosen.parse(text) for text in _texts(tags)]), Console(), json=json)


@_tag.command(name="next")
def next_(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="The tag that is to be built once more.")],
    taken: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag that exists. Repeatable.")] = None,
    policy: _Policy = "rsp", pattern: _Pattern = None, json: Json = False,
) -> None:  # fmt: skip
    """Say the tag that the next build should get, after TAG and those that are taken."""
    from peel.report import SCHEMA

    following = _policy(policy, pattern).next_tag(taken or (), tag)
    if following is None:
        raise UsageError(
            f"by {policy}, {tag!r} takes no next number", hint="name the version, e.g. r29_2_0 or w_2026_14"
        )
    say(Console(), json, {"schema": SCHEMA, "tag": tag, "next": following}, following)


def _policy(name: str, pattern: str | None) -> TagPolicy:
    from peel.model.tags.policy import policy_named, policy_of

    with as_usage():
        return policy_named(name, pattern) if pattern else policy_of(name)


def _texts(given: Sequence[str] | None) -> Sequence[str]:
    if given:
        return given
    if sys.stdin.isatty():
        raise UsageError("no tag is named", hint="peel tag parse TAG…, or one a line on stdin")
    text = sys.stdin.buffer.read(_MOST).decode("utf-8", "backslashreplace")
    return [line for line in text.split("\n") if line]
