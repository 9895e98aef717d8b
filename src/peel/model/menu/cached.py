"""Which images every node has: from what Kubernetes says of its nodes, or from a plain list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from peel.errors import DocumentError

_DIGEST: Final = re.compile(r"(?:[^\s@]*@)?(sha256:[0-9a-f]{64})")


def parse_cached(data: Any, origin: str) -> frozenset[str]:
    """The digests that all nodes have that take new labs.

    ``data`` is a NodeList, as ``kubectl get nodes -o json`` prints it, or a list of digests or ``REPOSITORY@DIGEST``.
    Raises DocumentError for anything else.
    """
    if isinstance(data, list):
        return _digests(data, origin)
    if isinstance(data, Mapping) and isinstance(data.get("items"), list):
        nodes = [item for item in data["items"] if isinstance(item, Mapping) and not _is_closed(item)]
        held = [frozenset(_held(node, origin)) for node in nodes]
        return frozenset.intersection(*held) if held else frozenset()
    raise DocumentError(
        f"{origin}: neither a list of nodes nor of digests", hint="write it with kubectl get nodes -o json"
    )


def _is_closed(node: Mapping[str, Any]) -> bool:
    spec = node.get("spec")
    return isinstance(spec, Mapping) and spec.get("unschedulable") is True


def _held(node: Mapping[str, Any], origin: str) -> Iterable[str]:
    status = node.get("status")
    images = status.get("images") if isinstance(status, Mapping) else None
    for image in images if isinstance(images, list) else ():
        names = image.get("names") if isinstance(image, Mapping) else None
        if isinstance(names, list):  # a name by tag stands beside the one by digest
            yield from _digests([name for name in names if isinstance(name, str) and "@sha256:" in name], origin)


def _digests(names: Sequence[Any], origin: str) -> frozenset[str]:
    found = [_DIGEST.fullmatch(name) if isinstance(name, str) else None for name in names]
    for name, match in zip(names, found, strict=True):
        if match is None:
            raise DocumentError(
                f"{origin}: not a digest: {str(name)[:80]!r}", hint="write sha256:… or REPOSITORY@sha256:…"
            )
    return frozenset(match[1] for match in found if match)
