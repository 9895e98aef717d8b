"""conda's match specs, as far as peel compares them itself: name, version and build. Solving is the solver's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from peel.errors import DocumentError
from peel.model.conda_version import CondaVersion

_SPEC = re.compile(r"(?:(?P<channel>[^\s\[]+)::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)(?P<rest>.*)", re.DOTALL)
_BRACKETS = re.compile(r"\[(?P<inside>.*)\]\s*$", re.DOTALL)
_FIELD = re.compile(r"\s*(\w+)\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|([^,'\"\]]*))\s*(?:,|$)")
_OPERATOR = re.compile(r"==|!=|>=|<=|~=|=|>|<")
_VERSION = re.compile(r"(?:\d+!)?[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_BUILD = re.compile(r"[A-Za-z0-9_.+*]+")
_GLOB = re.compile(r"[A-Za-z0-9_.!+*-]+")

_KNOWN: Final = {"version", "build", "build_number", "md5", "sha256"}

_FILE_NAME = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)(?:\.conda|\.tar\.bz2)")
_LAST_NUMBER = re.compile(r"(?:.*[_.]|[A-Za-z]*)?(\d+)")

_COMPARED: Final[Mapping[str, Callable[[int], bool]]] = {
    ">=": lambda order: order >= 0, "<=": lambda order: order <= 0,
    ">": lambda order: order > 0, "<": lambda order: order < 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CondaSpec:
    """What a match spec asks of a package: ``version`` and ``build`` are "" where it asks nothing."""

    text: str
    name: str
    version: str = ""
    build: str = ""
    channel: str = ""
    other: bool = False
    """Whether it asks more than is read here: a channel, a build number, a hash."""

    def allows(self, version: str, build: str) -> bool:
        """Whether this version and build satisfy it, as far as it is read here."""
        return _version_matches(self.version, version) and _build_matches(self.build, build)


def parse_conda_spec(text: str, origin: str = "") -> CondaSpec:
    """Read ``NAME``, ``NAME >=1,<2``, ``NAME 1.2.* BUILD``, ``NAME=1.2=BUILD`` or ``NAME[version='>=1']``.

    Raises DocumentError naming ``origin`` for what is no match spec.
    """
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        raise _no_spec(text, origin)
    rest, fields = found["rest"], dict[str, str]()
    if brackets := _BRACKETS.search(rest):
        rest, fields = rest[: brackets.start()], _fields(brackets["inside"])
    version, build = _version_and_build(rest)
    version, build = fields.get("version", version), fields.get("build", build)
    if (
        fields.keys() - _KNOWN
        or not _is_version_spec(version)
        or (build and not (_BUILD.fullmatch(build) or build.startswith("^")))
    ):
        raise _no_spec(text, origin)
    channel = found["channel"] or ""
    other = bool(channel or fields.keys() - {"version", "build"})
    return CondaSpec(text.strip(), found["name"].lower(), version, build, channel, other)


def depends_allow(depends: str, version: str, build: str) -> bool:
    """Whether a package's dependency allows this version and build; one that cannot be read here allows all."""
    try:
        return parse_conda_spec(depends).allows(version, build)
    except DocumentError:
        return True


def spec_name(spec: str) -> str:
    """The package that a match spec is of, "" when it cannot be read."""
    found = _SPEC.fullmatch(spec.strip())
    return found["name"].lower() if found else ""


def build_of(file_name: str) -> str:
    """The build in an archive's file name, "" when it is none of conda's."""
    found = _FILE_NAME.fullmatch(file_name)
    return found["build"] if found else ""


def build_number_in(build: str) -> int:
    """The build's number as its name ends in it by custom: 2 of ``py311_2`` or ``h1_2``; 0 when it does not."""
    found = _LAST_NUMBER.fullmatch(build)
    return int(found[1]) if found else 0


def _no_spec(text: str, origin: str) -> DocumentError:
    return DocumentError(
        f"{origin + ': ' if origin else ''}{text[:80]!r} is no package spec",
        hint="write NAME, NAME VERSION or NAME >=VERSION,<VERSION, as conda has them",
    )


def _fields(inside: str) -> dict[str, str]:
    return {found[1]: found[2] or found[3] or found[4] or "" for found in _FIELD.finditer(inside)}


def _version_and_build(rest: str) -> tuple[str, str]:
    """The two after a name. ``=1.2`` means the series, ``1.2`` and ``==1.2`` that version."""
    text = re.sub(r"\s*([,|])\s*", r"\1", rest.strip())
    text = re.sub(r"(==|!=|>=|<=|~=|=|>|<)\s+", r"\1", text)
    words = text.split()
    if len(words) == 2:  # NAME VERSION BUILD
        return words[0], words[1]
    if len(words) > 2:
        return "?", ""  # no version spec, and told as such
    glued = re.fullmatch(r"(=?=?[^=<>!~,|]+)=([^=]*)", words[0]) if words else None
    if glued and glued[1].strip("="):
        version = glued[1].strip("=")  # with a build, the version is that one, not its series
        return version if version != "*" else "", glued[2]
    return (words[0] if words else ""), ""


def _is_version_spec(text: str) -> bool:
    if text in {"", "*"}:
        return True
    return all(_is_term(term) for either in text.split("|") for term in either.split(","))


def _is_term(term: str) -> bool:
    operator = _OPERATOR.match(term)
    bare = term[operator.end() :] if operator else term
    return bool(_VERSION.fullmatch(bare) or (_GLOB.fullmatch(bare) and "*" in bare))


def _version_matches(spec: str, version: str) -> bool:
    if spec in {"", "*"}:
        return True
    return any(all(_term_matches(term, version) for term in either.split(",")) for either in spec.split("|"))


def _term_matches(term: str, version: str) -> bool:
    operator = found[0] if (found := _OPERATOR.match(term)) else ""
    wanted = term[len(operator) :]
    series = operator == "=" or wanted.endswith("*")
    bare = wanted.rstrip("*").rstrip(".") if wanted.endswith("*") else wanted
    if "*" in bare or not bare:
        same = re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), version) is not None
        return same != (operator == "!=")
    given, asked = CondaVersion(version), CondaVersion(bare)
    if operator in _COMPARED:
        return _COMPARED[operator](given.compare(asked))
    if operator == "~=":
        return given.compare(asked) >= 0 and given.begins_with(CondaVersion(bare.rpartition(".")[0] or bare))
    same = given.begins_with(asked) if series else given.compare(asked) == 0
    return same != (operator == "!=")


def _build_matches(spec: str, build: str) -> bool:
    if spec in {"", "*"}:
        return True
    if spec.startswith("^"):
        return True  # a regular expression of a stranger's: not worth running, and only the solver decides
    return re.fullmatch(".*".join(map(re.escape, spec.split("*"))), build) is not None
