"""Every path of an image, as a container would see it: layers are seen from the lowest to the highest."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from peel.layers.layer_stream import ImageLayer, LayerMember
from peel.model.paths import above, is_covered

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_RESERVED: Final = ".wh..wh."


class Node(NamedTuple):
    """What is at a path: ``kind`` is a directory, a link or, whatever else it is, a file; ``owner`` is uid and gid."""

    kind: str
    mode: int
    owner: tuple[int, int]


PLAIN_DIRECTORY: Final = Node("directory", 0o755, (0, 0))
"""A directory as a canonical layer has it."""


@dataclass(slots=True)
class ImageTree:
    """All paths of an image without a leading slash; it grows by what ``see`` is shown, in the order of the layers."""

    _nodes: dict[str, Node] = field(default_factory=dict)
    _layer: ImageLayer | None = None
    _seen: dict[str, Node] = field(default_factory=dict)
    _hidden: set[str] = field(default_factory=set)
    _opaque: set[str] = field(default_factory=set)
    _known: dict[Node, Node] = field(default_factory=dict)

    def see(self, layer: ImageLayer, member: LayerMember) -> None:
        """Take a member in. A layer's whiteouts hide what lower layers hold (OCI layer.md, "Whiteouts")."""
        if layer is not self._layer:
            self._settle()
            self._layer = layer
        folder, _, name = member.path.rpartition("/")
        if name == _OPAQUE:
            self._opaque.add(folder)
        elif name.startswith(_WHITEOUT):
            if not name.startswith(_RESERVED):
                self._hidden.add("/".join(filter(None, (folder, name.removeprefix(_WHITEOUT)))))
        elif member.path:
            node = _node(member)
            self._seen[member.path] = self._known.setdefault(node, node)

    def node(self, path: str) -> Node | None:
        """What is at a path; a directory that no layer names is a plain one."""
        self._settle()
        return self._nodes.get(path)

    def within(self, root: str) -> Iterator[str]:
        """The paths beneath a directory, relative to it, of all that is no directory itself."""
        self._settle()
        start = f"{root.strip('/')}/" if root.strip("/") else ""
        for path, node in self._nodes.items():
            if path.startswith(start) and node.kind != PLAIN_DIRECTORY.kind:
                yield path.removeprefix(start)

    def _settle(self) -> None:
        """Lay the layer that was seen over those before it."""
        folder = PLAIN_DIRECTORY.kind
        replaced = {path for path, node in self._seen.items() if node.kind != folder and self._is_folder(path)}
        gone = self._hidden | replaced
        if gone or self._opaque:
            self._nodes = {path: node for path, node in self._nodes.items() if not self._hides(path, gone)}
        self._nodes.update(self._seen)
        for path in list(self._seen):
            for parent in above(path):
                if parent in self._nodes:
                    break
                self._nodes[parent] = PLAIN_DIRECTORY
        self._seen, self._hidden, self._opaque = {}, set(), set()

    def _is_folder(self, path: str) -> bool:
        return path in self._nodes and self._nodes[path].kind == PLAIN_DIRECTORY.kind

    def _hides(self, path: str, gone: set[str]) -> bool:
        return is_covered(path, gone) or any(parent in self._opaque for parent in above(path)) or "" in self._opaque


def _node(member: LayerMember) -> Node:
    info = member.info
    kind = PLAIN_DIRECTORY.kind if info.isdir() else "link" if info.issym() else "file"
    return Node(kind, stat.S_IMODE(info.mode), (info.uid, info.gid))
