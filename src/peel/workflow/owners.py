"""Which package brings a path that several have. Every path of an image's environment has one owner, in every build."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from peel.errors import ArtifactError, DocumentError
from peel.layers.archive import DIRECTORY
from peel.model.declared import DeclaredEnvironment
from peel.model.paths import above, ancestors
from peel.workflow.inspect import Inspected

_MOST_SHOWN = 50

Owners = Mapping[str, Mapping[str, str | None]]
"""By path, the packages that bring it, each with what identifies the contents it brings."""


def decide_owners(environment: DeclaredEnvironment, found: Sequence[Inspected], origin: str) -> Mapping[str, str]:
    """The owner of each path that several packages bring: the declared one, or the first where all bring the same.

    Raises ArtifactError for paths with other contents that nobody decided on, and for a file of one package where
    another needs a directory; DocumentError for a decision in favour of a package that does not bring the path.
    """
    shared = shared_paths(environment.clobber, found, origin)
    refuse_undecided(environment.clobber, shared, origin)
    return {path: environment.clobber.get(path, min(names)) for path, names in shared.items()}


def shared_paths(clobber: Mapping[str, str], found: Iterable[Inspected], origin: str) -> Owners:
    """Paths that several packages bring.

    Raises as ``decide_owners`` does, but for paths that nobody decided on: see ``refuse_undecided``.
    """
    owners: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
    for item in found:
        for path, identity in item.contents.paths.items():
            owners[path][item.package.name] = identity
    _refuse_unfounded(clobber, owners, origin)
    _refuse_file_above_file(owners, origin)
    return {path: names for path, names in owners.items() if len(names) > 1}


def refuse_undecided(clobber: Mapping[str, str], shared: Owners, origin: str) -> None:
    """Raise ArtifactError for paths that packages bring with other contents, and for which none was declared to win."""
    undecided = sorted(path for path, names in shared.items() if path not in clobber and not _same(names.values()))
    if undecided:
        lines = [f"  {path}: {', '.join(sorted(shared[path]))}" for path in undecided]
        block = [f"    {path}: {min(shared[path])}" for path in undecided]
        raise ArtifactError(
            f"{origin}: several packages bring these paths, with other contents:\n" + _shown(lines),
            hint="say which package wins, for example with\n  clobber:\n" + _shown(block),
        )


def _same(identities: Collection[str | None]) -> bool:
    return len(set(identities)) == 1 and None not in identities


def _refuse_unfounded(clobber: Mapping[str, str], owners: Owners, origin: str) -> None:
    for path, winner in clobber.items():
        if path in owners and winner not in owners[path]:
            raise DocumentError(
                f"{origin}: clobber says that {winner!r} brings {path}, which it does not",
                hint=f"packages that do: {', '.join(sorted(owners[path]))}",
            )


def _refuse_file_above_file(owners: Owners, origin: str) -> None:
    tops = {path for path in ancestors(owners) if path in owners and set(owners[path].values()) != {DIRECTORY}}
    if not tops:
        return
    lines = sorted(
        f"  {top} of {', '.join(sorted(owners[top]))}: {path} of {', '.join(sorted(owners[path]))} lies beneath it"
        for path in owners
        for top in above(path)
        if top in tops
    )
    raise ArtifactError(
        f"{origin}: a file or link stands where another package needs a directory:\n" + _shown(lines),
        hint="these packages cannot be in one environment: leave one out, or choose another build of it",
    )


def _shown(lines: Sequence[str]) -> str:
    more = [f"  and {len(lines) - _MOST_SHOWN} more"] if len(lines) > _MOST_SHOWN else []
    return "\n".join([*lines[:_MOST_SHOWN], *more])
