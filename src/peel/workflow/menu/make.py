"""Making the menu: each payload's source is asked, and what cannot be had is said, not fatal."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Collection

from peel.errors import ArtifactError, DocumentError, PeelError, ToolError, UsageError
from peel.model.menu.choose import choose_tags, make_group
from peel.model.menu.declaration import MenuDeclaration, MenuPayload
from peel.model.menu.offer import Offer, OfferedPayload, OfferedSize
from peel.model.progress import Progress
from peel.registry.client import RegistryTimes
from peel.store.catalogue import Catalogue
from peel.workflow.menu.sources import open_source


def make_menu(
    declaration: MenuDeclaration,
    catalogue: Catalogue,
    *,
    now: dt.datetime,
    cached: Collection[str] | None = None,
    previous: Offer | None = None,
    only: str | None = None,
    progress: Progress,
    times: RegistryTimes | None = None,
) -> Offer:
    """The menu as it can be offered now.

    ``cached`` are the digests that every node has, None when nobody knows. A payload whose source cannot be had keeps
    what the ``previous`` menu offered of it, or offers nothing, and says so. ``only`` makes one payload's part. Raises
    ArtifactError or ToolError when nothing can be known of any payload, UsageError for a payload that is not declared.
    """
    wanted = [payload for payload in declaration.payloads if only in {None, payload.name}]
    if not wanted:
        names = ", ".join(payload.name for payload in declaration.payloads)
        raise UsageError(f"the menu has no payload {only!r}", hint=f"it has: {names}")
    before = {group.name: group for group in previous.payloads} if previous else {}
    groups, failed = [], list[PeelError]()
    for payload in wanted:
        try:
            groups.append(_group(payload, catalogue, now, cached, progress, times))
        except (ArtifactError, ToolError, DocumentError) as error:
            failed.append(error)
            groups.append(_without_source(payload, before.get(payload.name), error))
    if len(failed) == len(wanted):
        raise failed[0]
    sizes = tuple(OfferedSize(name=s.name, title=s.title, cpu=s.cpu, memory=s.memory) for s in declaration.sizes)
    return Offer(schema=1, title=declaration.title, payloads=tuple(groups), sizes=sizes)


def _group(
    payload: MenuPayload,
    catalogue: Catalogue,
    now: dt.datetime,
    cached: Collection[str] | None,
    progress: Progress,
    times: RegistryTimes | None,
) -> OfferedPayload:
    with open_source(payload, catalogue, progress, times) as source:
        chosen = choose_tags(payload, source.tags, now)
        known = source.describe(chosen.tags)
        group = make_group(payload, chosen, known, source.repository, cached)
    return group.model_copy(update={"warnings": (*source.warnings, *group.warnings)})


def _without_source(payload: MenuPayload, before: OfferedPayload | None, error: PeelError) -> OfferedPayload:
    if before is not None:
        return before.model_copy(update={"warnings": (f"as it was before, since now: {error.message}",)})
    return OfferedPayload(
        name=payload.name, title=payload.title, description=payload.description, policy=payload.tags,
        warnings=(f"nothing can be offered: {error.message}",),
    )  # fmt: skip


def now() -> dt.datetime:
    """The instant that tags' ages are counted to: SOURCE_DATE_EPOCH where it is set, else now."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return dt.datetime.now(dt.UTC)
    try:
        return dt.datetime.fromtimestamp(int(epoch), dt.UTC)
    except (ValueError, OverflowError, OSError):
        shown = repr(epoch[:40])
        raise UsageError(f"SOURCE_DATE_EPOCH is no instant in seconds since 1970: {shown}", hint="unset it") from None
