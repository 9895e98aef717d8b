"""What conda decided by the order of linking, decided for the lock of an image that nobody declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peel.errors import ArtifactError
from peel.model.declared import Declared, DeclaredEnvironment
from peel.model.progress import Progress
from peel.workflow.inspect import Inspected, refuse_link_scripts
from peel.workflow.pin import Inspections

_UNLINKING = "-pre-unlink.sh"


def decide(declared: Declared, inspected: Inspections, *, skip_link_scripts: bool, progress: Progress) -> Declared:
    """The image with decisions on paths that several packages bring, and on scripts that are left out.

    ``inspected`` are packages in the order in which they were linked then; of a path, the last package had it. Raises
    ArtifactError for scripts unless they are to be left out.
    """
    environments = tuple(_decided(each, inspected, skip_link_scripts, progress) for each in declared.environments)
    return declared.model_copy(update={"environments": environments})


def _decided(
    environment: DeclaredEnvironment,
    inspected: Inspections,
    skip_link_scripts: bool,  # noqa: FBT001 - passed on
    progress: Progress,
) -> DeclaredEnvironment:
    clobber: dict[str, str] = {}
    scripts: dict[str, dict[str, str]] = {}
    for (platform, name), found in sorted(inspected.items()):
        if name == environment.name:
            clobber |= _last_ones(found)
            scripts |= _scripts(found)
            if not skip_link_scripts:
                _refuse_scripts(environment, found, f"{name} on {platform}")
    if clobber:
        paths = "1 path is" if len(clobber) == 1 else f"{len(clobber)} paths are"
        progress.warn(f"{paths} brought by several packages, with other contents: the last package's counts")
    if scripts:
        progress.warn(f"what was run when these were linked is left out: {', '.join(sorted(scripts))}")
    return environment.model_copy(
        update={"clobber": dict(sorted(clobber.items())), "skip_link_scripts": dict(sorted(scripts.items()))}
    )


def _last_ones(found: Sequence[Inspected]) -> Mapping[str, str]:
    """By path, the last package that brings it; of those paths that not all bring with the same contents."""
    first: dict[str, str | None] = {}
    last: dict[str, str] = {}
    clashing: set[str] = set()
    for item in found:
        for path, identity in item.contents.paths.items():
            if path in first and (identity is None or first[path] != identity):
                clashing.add(path)
            first.setdefault(path, identity)
            last[path] = item.package.name
    return {path: last[path] for path in clashing}


def _scripts(found: Sequence[Inspected]) -> Mapping[str, dict[str, str]]:
    scripts = {
        item.package.name: {
            name: sha256 for name, sha256 in sorted(item.contents.link_scripts.items()) if not name.endswith(_UNLINKING)
        }
        for item in found
    }
    return {name: ran for name, ran in scripts.items() if ran}


def _refuse_scripts(environment: DeclaredEnvironment, found: Sequence[Inspected], origin: str) -> None:
    try:
        refuse_link_scripts(environment, found, origin)
    except ArtifactError as error:
        raise ArtifactError(
            error.message, hint="read each; where all works without them, leave them out with --skip-link-scripts"
        ) from None


def in_link_order(found: Sequence[Inspected]) -> Sequence[Inspected]:
    """Packages as conda links them: what they need comes first, by name where the order is free."""
    by_name = {item.package.name: item for item in found}
    order: dict[str, Inspected] = {}
    opened: set[str] = set()
    waiting = sorted(by_name, reverse=True)
    while waiting:
        name = waiting[-1]
        if name in opened:  # whatever it needs was put in order since
            order.setdefault(waiting.pop(), by_name[name])
        else:
            opened.add(name)
            needed = {spec.split(" ")[0].partition("=")[0] for spec in by_name[name].contents.depends}
            waiting += sorted(needed & by_name.keys() - opened, reverse=True)
    return list(order.values())
