"""``peel patch``: what moved and why, and which layers are the old ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from peel.console import Console, human_size
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.model.moves import Move
    from peel.model.values import Digest
    from peel.workflow.patch import Patched
    from peel.workflow.patch_packages import Moved
    from peel.workflow.patch_proof import Proof

_MOST_LISTED: Final = 40


def show_preview(done: Patched, console: Console, *, json: bool) -> None:
    """``peel patch --dry-run``: what would move, on stdout."""
    if json:
        return console.json(_head(done, None, None))
    if not done.moves:
        return console.line("no package would move")
    rows = [
        (
            *_place(moved, done.moves),
            moved.move.name,
            moved.move.before or "-",
            moved.move.after or "-",
            moved.move.reason,
        )
        for moved in done.moves
    ]
    return console.table(("ENVIRONMENT", "MOVE", "PACKAGE", "FROM", "TO", "REASON"), rows)


def show_locked(done: Patched, place: str, console: Console, *, json: bool) -> None:
    """``peel patch --no-build``: where the lock set lies, alone, on stdout."""
    _tell_moves(done, console)
    if json:
        console.json({**_head(done, None, None), "lock_set": place})
    else:
        console.line(place)


def show_patched(done: Patched, manifest: Digest, proof: Proof, console: Console, *, json: bool) -> None:
    """``peel patch``: the manifest's digest, alone, on stdout; the story before it, on stderr."""
    _tell_moves(done, console)
    made_from = done.made_from
    by = "" if proof.recorded else ", by what they are made from: the origin has no record"
    console.step(
        f"kept {_layers(len(proof.kept))} of {made_from.image}:{made_from.tag}, {human_size(proof.kept_size)}{by}"
    )
    for layer in proof.new:
        console.step(f"new: {layer.step.contents}, {human_size(layer.record.blob.size)}, {layer.record.blob.digest}")
    if json:
        console.json(_head(done, manifest, proof))
    else:
        console.line(str(manifest))


def _head(done: Patched, manifest: Digest | None, proof: Proof | None) -> dict[str, Any]:
    made_from = done.made_from
    return {
        "schema": SCHEMA,
        "image": done.ref.image,
        "tag": done.ref.tag,
        "made_from": {
            "image": made_from.image,
            "tag": made_from.tag,
            "manifests": made_from.manifests,
            "lab": made_from.lab,
        },
        "manifest": str(manifest) if manifest else None,
        "moves": [_move_json(moved) for moved in done.moves],
        "kept": [str(digest) for digest in proof.kept] if proof else [],
        "new": [
            {
                "contents": layer.step.contents,
                "digest": str(layer.record.blob.digest),
                "size": layer.record.blob.size,
            }
            for layer in (proof.new if proof else ())
        ],
    }


def _move_json(moved: Moved) -> dict[str, Any]:
    move = moved.move
    return {
        "environment": moved.environment, "platform": moved.platform, "package": move.name,
        "from": move.before, "to": move.after, "kind": move.kind, "reason": move.reason,
    }  # fmt: skip


def _tell_moves(done: Patched, console: Console) -> None:
    for moved in done.moves[:_MOST_LISTED]:
        where, kind = _place(moved, done.moves)
        move = moved.move
        console.step(f"{where}: {kind} {move.name} {_versions(move)} ({move.reason})")
    if len(done.moves) > _MOST_LISTED:
        console.step(f"and {len(done.moves) - _MOST_LISTED} more packages; --json lists them all")


def _place(moved: Moved, every: Sequence[Moved]) -> tuple[str, str]:
    """Where a package moved, and how; the platform is named where there are several."""
    several = len({each.platform for each in every}) > 1
    return f"{moved.environment} on {moved.platform}" if several else moved.environment, moved.move.kind


def _versions(move: Move) -> str:
    return " -> ".join(filter(None, (move.before, move.after)))


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"
