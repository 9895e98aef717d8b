"""What an image holds: checked in its documents and layers, without running it."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable, Mapping
from typing import Final

from peel.layers.image_tree import ImageTree
from peel.layers.layer_stream import layer_members
from peel.model.checks import Check, judged
from peel.model.glue import START
from peel.model.glue.compat import compat_links
from peel.model.glue.places import ENTRY
from peel.model.widgets import apart
from peel.workflow.build import PLAN_ANNOTATION
from peel.workflow.checking.subject import Subject

_LABELS: Final = (
    "org.opencontainers.image.title", "org.opencontainers.image.version", "org.opencontainers.image.created",
    "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest",
)  # fmt: skip
_MOST_SHOWN: Final = 5
_PRIVILEGED: Final = stat.S_ISUID | stat.S_ISGID


def entrypoint(subject: Subject) -> Check:
    """The image executes what it is given, and by default starts the lab."""
    found = subject.config.settings
    wanted = ((ENTRY,), (START,)) if subject.plan.formats.glue > 1 else ((), (START,))
    faults = [] if ((found.entrypoint or ()), (found.cmd or ())) == wanted else [
        f"entry point {list(found.entrypoint or ())}, command {list(found.cmd or ())}"
    ]  # fmt: skip
    return judged(
        "entrypoint", faults, f"{' '.join(wanted[0])} {START}".strip(), "was the image changed after it was built?"
    )


def labels(subject: Subject) -> Check:
    """The image says what it is, and from which plan."""
    there = dict(subject.config.settings.labels)
    faults = [f"{name} is missing" for name in _LABELS if not there.get(name)]
    if there.get(PLAN_ANNOTATION) != str(subject.plan.digest):
        faults.append(
            f"{PLAN_ANNOTATION} is {there.get(PLAN_ANNOTATION)}, the lock set's plan is {subject.plan.digest}"
        )
    return judged("labels", faults, f"plan {subject.plan.digest}", "build the image from its lock set again")


def size(subject: Subject, most: int) -> Check:
    """What a node has to pull is at most ``most`` bytes."""
    total = sum(blob.size for blob in subject.manifest.layers)
    faults = [f"{total / 1e9:.2f} GB in {len(subject.manifest.layers)} layers, at most {most / 1e9:g} GB is allowed"]
    return judged(
        "size", faults if total > most else [], f"{total / 1e6:.0f} MB in {len(subject.manifest.layers)} layers",
        "peel show lists the largest packages; --max-size allows more",
    )  # fmt: skip


def widgets(subject: Subject) -> Check:
    """Both halves of widgets agree between lab and payloads."""
    versions = _versions(subject)
    lab = versions.get(subject.locks.lock.declared.lab.name, {})
    faults = [
        f"{payload.name}: {fault}"
        for payload in subject.locks.lock.declared.payloads
        for fault in apart(lab, versions.get(payload.name, {}))
    ]
    return judged(
        "widgets", faults, "what has two halves agrees", "lock the lab with the front end of the version that is named"
    )


def _versions(subject: Subject) -> Mapping[str, Mapping[str, str]]:
    """Of every environment: versions by normalised name."""
    platform = subject.plan.platform.subdir
    return {
        name: {package.name.replace("_", "-").lower(): package.version for package in packages}
        for (place, name), packages in subject.locks.installed.items()
        if place == platform
    }


def of_layers(subject: Subject, advance: Callable[[int], object]) -> tuple[Check, Check]:
    """The start paths, and the modes of all files: both need every layer read, once."""
    tree = ImageTree()
    targets: dict[str, str] = {}
    odd: dict[str, str] = {}
    for layer in subject.layers:
        for member in layer_members(layer, str(subject.plan.ref)):
            tree.see(layer, member)
            targets.pop(member.path, None)
            odd.pop(member.path, None)
            mode = member.info.mode
            if member.info.issym():
                targets[member.path] = member.info.linkname
            elif member.info.isfile() and mode & _PRIVILEGED:
                odd[member.path] = f"setuid or setgid ({mode & 0o7777:04o})"
            elif mode & stat.S_IWOTH and not (member.info.isdir() and mode & stat.S_ISVTX):
                odd[member.path] = f"writable by all ({mode & 0o7777:04o})"
        advance(layer.blob.size)
    return _start_paths(subject, tree, targets), _modes(subject, tree, odd)


def _start_paths(subject: Subject, tree: ImageTree, targets: Mapping[str, str]) -> Check:
    declared = subject.locks.lock.declared
    paths = [START, *compat_links(declared), *declared.links]
    lost = [path for path in paths if tree.node(_followed(path, targets)) is None]
    return judged(
        "start-paths", [f"{path} leads nowhere" for path in lost], f"{len(paths)} paths lead to what is there",
        "declare what it leads to, or take the link out",
    )  # fmt: skip


def _followed(path: str, targets: Mapping[str, str]) -> str:
    """Where a path leads in the end, without a leading slash."""
    path = path.strip("/")
    for _ in range(40):  # as many links as Linux follows
        parts = path.split("/")
        links = ("/".join(parts[:length]) for length in range(1, len(parts) + 1))
        first = next((prefix for prefix in links if prefix in targets), None)
        if first is None:
            return path
        rest = path.removeprefix(first).strip("/")
        path = posixpath.normpath(posixpath.join("/", posixpath.dirname(first), targets[first], rest)).strip("/")
    return path


def _modes(subject: Subject, tree: ImageTree, odd: Mapping[str, str]) -> Check:
    """Environments hold nothing setuid; the base may, since who may gain no privileges does not heed it."""
    prefixes = [environment.prefix.strip("/") for environment in subject.locks.lock.declared.environments]
    found = {
        path: what
        for path, what in odd.items()
        if tree.node(path) is not None
        and (what.startswith("writable") or any(path.startswith(f"{prefix}/") for prefix in prefixes))
    }
    faults = [f"/{path}: {what}" for path, what in sorted(found.items())[:_MOST_SHOWN]]
    if len(found) > _MOST_SHOWN:
        faults.append(f"and {len(found) - _MOST_SHOWN} more")
    return judged(
        "modes", faults, "nothing is writable by all; environments hold nothing setuid",
        "patch the file away, or choose a base without it",
    )  # fmt: skip
