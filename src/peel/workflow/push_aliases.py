"""Aliases of a published image: moved forward, or left where they are, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from peel.errors import PeelError
from peel.model.oci import VERSION
from peel.model.tags.moving import check_alias, decide_move, follows
from peel.model.tags.tag import NAMELESS
from peel.model.values import Digest
from peel.registry.client import RegistryClient
from peel.workflow.pushable import Pushable

_MOST_ASKED: Final = 200
"""How many tags are asked for the digest of an alias whose image does not say its version."""


@dataclass(frozen=True, slots=True)
class AliasRules:
    """Which aliases follow a push: ``asked`` in any case, ``declared`` where they are meant for such a build.

    ``back`` lets them go to an older image, too.
    """

    asked: Sequence[str] = ()
    declared: Sequence[str] = ()
    back: bool = False

    def names_for(self, image: Pushable) -> Sequence[str]:
        """Those that this image is for. Raises UsageError for what can be no alias."""
        for alias in (*self.asked, *self.declared):
            check_alias(image.policy, alias)
        meant = [alias for alias in self.declared if follows(image.policy, alias, image.tag)]
        return list(dict.fromkeys((*self.asked, *meant)))


@dataclass(frozen=True, slots=True)
class AliasOutcome:
    """What became of an alias; ``before`` is what it stood for, a tag if one is known."""

    name: str
    moved: bool
    before: str | None = None
    reason: str = ""
    failed: bool = False


def move_alias(client: RegistryClient, alias: str, image: Pushable, rules: AliasRules) -> AliasOutcome:
    """Let an alias stand for an image that was pushed, if that is forward; a failure is told, not raised.

    The image itself is published by then, and stays so.
    """
    try:
        found = client.manifest(alias)
        if found is not None and found[0].digest == image.top.digest:
            return AliasOutcome(alias, moved=False, before=image.tag, reason="it stands there already")
        before = None
        if found is not None:
            known = _tag_of(client, found[0].digest, found[1], image)
            before = known or str(found[0].digest)
            move = decide_move(image.policy, known, image.tag)
            if not (move.moves or rules.back):
                return AliasOutcome(alias, moved=False, before=before, reason=move.reason)
        client.put_manifest(alias, image.top.media_type, image.document)
    except PeelError as error:
        return AliasOutcome(alias, moved=False, reason=error.message, failed=True)
    return AliasOutcome(alias, moved=True, before=before)


def _tag_of(client: RegistryClient, digest: Digest, document: bytes, image: Pushable) -> str | None:
    """The tag of the image that an alias stands for: as the image says itself, else the newest of the same digest."""
    try:
        said = json.loads(document).get("annotations", {}).get(VERSION)
    except (ValueError, AttributeError, RecursionError):
        said = None
    if isinstance(said, str) and image.policy.parse(said).category not in NAMELESS:
        return said
    tags = image.policy.newest_first(image.policy.parse(tag) for tag in client.tags().tags)
    builds = (tag.tag for tag in tags if tag.category not in NAMELESS)
    return next((tag for tag in islice(builds, _MOST_ASKED) if _is(client, tag, digest)), None)


def _is(client: RegistryClient, tag: str, digest: Digest) -> bool:
    found = client.describe(tag)
    return found is not None and found.digest == digest
