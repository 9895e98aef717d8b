"""Reading and writing documents: YAML for people, JSON where only programs look.

A document read here knows the line every key stands on, so that an error can name it.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel

from peel.errors import DocumentError
from peel.model.documents import Path as Place
from peel.model.documents import quoted, validate

_MISSING: Final = "peel list shows what this catalogue holds"
_MOST_BYTES: Final = 64 * 2**20
_MOST_DEPTH: Final = 50
_ABYSS: Final = 1000
_MOST_BITS: Final = 64
_INDENTED: Final = re.compile(rf"^[\s?:-]{{{_ABYSS}}}", re.MULTILINE)

_BROKEN: Final = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError)
"""What pyyaml's constructors raise for scalars that are not what their tag says."""

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_T = TypeVar("_T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Parsed:
    """Data with the line number, from 1, of every place in it."""

    data: Any
    lines: Mapping[Place, int] = field(default_factory=dict)


def load(path: Path, model: type[_T], *, origin: str) -> _T:
    """A YAML document as this model. Raises DocumentError naming ``origin``, the line and the key."""
    parsed = parse_yaml(read_text(path, origin=origin), origin)
    return validate(model, parsed.data, origin=origin, lines=parsed.lines)


def parse_plain(data: str | bytes, origin: str) -> Any:
    """A large YAML document of another program's, without line numbers. Raises DocumentError."""
    _refuse_abyss(data, origin)
    try:
        return yaml.load(data, Loader=_LOADER)  # noqa: S506  (a safe loader)
    except (*_BROKEN, RecursionError) as error:
        raise _syntax_error(error, origin) from None


def read_text(path: Path, *, origin: str, hint: str = _MISSING) -> str:
    """A document's text. Raises DocumentError when it is missing, no file, too large or not UTF-8."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DocumentError(f"{origin}: cannot be read: not a file")
        if found.st_size > _MOST_BYTES:
            raise DocumentError(f"{origin}: larger than {_MOST_BYTES >> 20} MiB: not a document")
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise DocumentError(f"{origin}: no such file", hint=hint) from None
    except UnicodeDecodeError as error:
        raise DocumentError(f"{origin}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise DocumentError(f"{origin}: cannot be read: {error.strerror}") from None


def parse_yaml(text: str, origin: str) -> Parsed:
    """Data and line numbers of a YAML text.

    Raises DocumentError for bad syntax, keys that stand twice, aliases, and values that are not plain data.
    """
    _refuse_abyss(text, origin)
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, RecursionError) as error:
        raise _syntax_error(error, origin) from None
    if node is None:
        raise DocumentError(f"{origin}: empty", hint="docs/declarations.md has an example of every document")
    lines: dict[Place, int] = {}
    return Parsed(_build(node, (), lines, origin, set()), lines)


def _refuse_abyss(data: str | bytes, origin: str) -> None:
    """The C loader recurses, and takes the process with it where nesting is too deep: such a text must not reach it."""
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    opened = text.count("[") + text.count("{") - text.count("[]") - text.count("{}")
    if opened < _ABYSS and not _INDENTED.search(text):
        return  # as nearly always, a look from afar is enough
    depth = 0
    try:
        for event in yaml.parse(data, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _ABYSS:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise DocumentError(f"{origin}:{line}: nested too deeply")
    except yaml.YAMLError as error:
        raise _syntax_error(error, origin) from None


def _syntax_error(error: Exception, origin: str) -> DocumentError:
    mark = getattr(error, "problem_mark", None)
    where = f"{origin}:{mark.line + 1}:{mark.column + 1}" if mark else origin
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0] or "nested too deeply"
    return DocumentError(f"{where}: not valid: {problem}")


def _build(node: yaml.Node, place: Place, lines: dict[Place, int], origin: str, seen: set[int]) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if id(node) in seen or len(place) > _MOST_DEPTH:  # a few lines of aliases can stand for gigabytes
        raise DocumentError(f"{origin}:{line}: an alias or nesting that a document has no use for")
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, lines, origin, seen)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*place, index), lines, origin, seen) for index, item in enumerate(node.value)]
    return _scalar(node, origin)


def _mapping(
    node: yaml.MappingNode, place: Place, lines: dict[Place, int], origin: str, seen: set[int]
) -> dict[Hashable, Any]:
    mapping: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _scalar(key_node, origin) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str | int):
            raise DocumentError(f"{origin}:{line}: a key has to be plain text")
        if key in mapping:
            first = lines[(*place, key)]
            raise DocumentError(f"{origin}:{line}: {quoted(key)} stands twice", hint=f"the first is on line {first}")
        lines[(*place, key)] = line
        mapping[key] = _build(value_node, (*place, key), lines, origin, seen)
    return mapping


def _scalar(node: yaml.Node, origin: str) -> Any:
    tag, text = node.tag.rpartition(":")[2], str(node.value)
    if tag not in {"str", "int", "bool", "null", "float", "timestamp"}:
        raise DocumentError(
            f"{origin}:{node.start_mark.line + 1}: {quoted(text)} is tagged {quoted(node.tag)}, which is not plain data"
        )
    if tag in {"str", "timestamp"}:
        return text
    try:
        value = _constructor.construct_object(node, deep=True)
    except _BROKEN:
        raise DocumentError(f"{origin}:{node.start_mark.line + 1}: not a {tag}: {quoted(text)}") from None
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:  # Python would refuse to print some
        raise DocumentError(f"{origin}:{node.start_mark.line + 1}: no number here is that large: {quoted(text)}")
    return value


_constructor: Final = yaml.constructor.SafeConstructor()


def to_yaml(data: Any, *, block: bool = False) -> bytes:
    """YAML for people: keys in the order given, never folded; innermost collections on one line, unless ``block``."""
    text: str = yaml.dump(
        data, Dumper=_DUMPER, sort_keys=False, default_flow_style=False if block else None, width=2**20,
        allow_unicode=True,
    )  # fmt: skip
    return text.encode()


def to_json(data: Any) -> bytes:
    """JSON that diffs well: indented, keys sorted."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
