"""``peel push`` and ``peel pull``: what is where now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peel.console import Console, human_size
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.workflow.pull import Pulled
    from peel.workflow.push import Pushed, PushedTo


def show_pushed(pushed: Pushed, console: Console, *, json: bool) -> None:
    """A reference per repository, alone, on stdout; what was sent and which aliases moved beside it."""
    image = pushed.image
    for place in pushed.places:
        _tell(pushed, place, console)
    if json:
        head = {"schema": SCHEMA, "image": image.ref.image, "tag": image.tag, "digest": str(image.top.digest)}
        return console.json({**head, "registries": [_place_json(pushed, place) for place in pushed.places]})
    for place in pushed.places:
        console.line(_reference(pushed, place))
    return None


def _tell(pushed: Pushed, place: PushedTo, console: Console) -> None:
    size = human_size(sum(blob.size for blob in place.sent))
    sent = f"{len(place.sent)} blobs sent, {size}" if place.sent else "everything was there already"
    console.step(f"{place.repository}: {sent}; {pushed.seconds:.1f} s in all")
    if place.replaced:
        console.warn(
            f"{place.repository}:{pushed.image.tag} was {place.replaced} before: who names that digest needs it"
        )
    for alias in place.aliases:
        if alias.moved:
            console.step(
                f"{alias.name} stands for {pushed.image.tag} now"
                + (f", for {alias.before} before" * bool(alias.before))
            )
        elif alias.before != pushed.image.tag:
            console.warn(f"{place.repository}:{alias.name} was left: {alias.reason}")


def _reference(pushed: Pushed, place: PushedTo) -> str:
    return f"{place.repository}:{pushed.image.tag}@{pushed.image.top.digest}"


def _place_json(pushed: Pushed, place: PushedTo) -> dict[str, Any]:
    aliases = {
        alias.name: {"moved": alias.moved, "before": alias.before, "reason": alias.reason} for alias in place.aliases
    }
    return {
        "repository": str(place.repository),
        "reference": _reference(pushed, place),
        "sent": {"blobs": len(place.sent), "bytes": sum(blob.size for blob in place.sent)},
        "replaced": str(place.replaced) if place.replaced else None,
        "aliases": aliases,
    }


def show_pulled(pulled: Pulled, console: Console, *, json: bool) -> None:
    """The manifest's digest, alone, on stdout."""
    size = sum(blob.size for blob in pulled.fetched)
    console.step(f"{len(pulled.fetched)} blobs fetched, {human_size(size)}, in {pulled.seconds:.1f} s")
    console.step(f"{pulled.ref} stands for it in the store" + (", as its record says" if pulled.known else ""))
    if json:
        return console.json(
            {
                "schema": SCHEMA,
                "image": pulled.ref.image,
                "tag": pulled.ref.tag,
                "manifest": str(pulled.manifest.digest),
                "recorded": pulled.known,
                "fetched": {"blobs": len(pulled.fetched), "bytes": size},
            }
        )
    console.line(str(pulled.manifest.digest))
    return None
