"""What a patch does to an environment: every path has one owner, nothing stale stays, nothing is written in vain."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locksets import locked, make_declared
from peel.errors import ArtifactError, DocumentError
from peel.layers.archive import DIRECTORY
from peel.model.lockset import PatchedEnvironment
from peel.model.paths import above, ancestors, is_covered
from peel.model.values import Digest, PythonVersion
from peel.workflow.inspect import Contents, Inspected
from peel.workflow.owners import decide_owners
from peel.workflow.patched_environment import Above, Change, Item, decide_change

PYTHON = PythonVersion(3, 13)
SITE = PYTHON.site_packages
LAB = make_declared().lab


def package(name: str, version: str = "1", *paths: str, **contents: str | None) -> Inspected:
    """A package whose files are told apart by name and version, unless ``contents`` says what they hold."""
    found = {**dict.fromkeys(paths, f"{name}-{version}"), **contents, f"conda-meta/{name}-{version}.json": None}
    return Inspected(locked(name, version), Digest.of(name.encode()), 1, Contents(found))


def same(name: str, version: str, paths: Mapping[str, str | None]) -> Inspected:
    return package(name, version, **paths)


def decide(
    *before: Inspected,
    remove: Collection[str] = (),
    add: Collection[Inspected] = (),
    omit: Mapping[str, Collection[str]] | None = None,
    own: Above | None = None,
    above: Above | None = None,
    base: Collection[str] = (),
    modes: Mapping[str, Mapping[str, int]] | None = None,
    clobber: Mapping[str, str] | None = None,
    pythons: tuple[PythonVersion | None, PythonVersion | None] = (PYTHON, PYTHON),
    imported: bool = False,
) -> PatchedEnvironment:
    """The change that replaces by name what is added, and removes the others named."""
    added = {item.package.name: item for item in add}
    items = {
        item.package.name: Item(item, frozenset((omit or {}).get(item.package.name, ())), archived=not imported)
        for item in before
    }
    mine = own or Above()
    change = Change(
        LAB.model_copy(update={"clobber": dict(clobber or {})}), items,
        frozenset(remove) | (items.keys() & added.keys()), added, pythons,
        own=mine, above=above or mine, beneath=lambda: base,
        modes=lambda item: (modes or {}).get(f"{item.package.name}-{item.package.version}", {}),
        origin="lab on linux-64", imported=imported,
    )  # fmt: skip
    return decide_change(change)


def pyc(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-313.pyc"


def test_what_is_gone_is_whited_out_with_its_record_and_what_is_new_is_added() -> None:
    made = decide(package("a", "1", "bin/a", "bin/old"), package("b", "1", "bin/b"), add=[package("a", "2", "bin/a")])
    assert made.removed == ("a",)
    assert [p.file for p in made.added] == ["a-2-0.conda"]
    assert made.gone == ("bin/old", "conda-meta/a-1.json")
    assert made.python == "3.13"


def test_bytecode_of_sources_that_are_gone_goes_with_them() -> None:
    old = package("a", "1", f"{SITE}/a.py", f"{SITE}/b.py")
    made = decide(old, package("other", "1", f"{SITE}/c.py"), add=[package("a", "2", f"{SITE}/a.py")])
    assert made.gone == ("conda-meta/a-1.json", pyc(f"{SITE}/b.py"), f"{SITE}/b.py")


def test_directories_of_which_nothing_is_left_go_whole_so_that_python_finds_no_namespace_there() -> None:
    old = package("a", "1", f"{SITE}/a/__init__.py", f"{SITE}/a/deep/b.py", "share/a/x")
    made = decide(old, package("b", "1", f"{SITE}/b.py", "share/b"), remove=["a"])
    assert made.gone == ("conda-meta/a-1.json", f"{SITE}/a", "share/a")


def test_an_environments_last_package_leaves_nothing() -> None:
    assert decide(package("a", "1", "bin/a", "lib/x/y"), remove=["a"]).gone == ("bin", "conda-meta", "lib")


@pytest.mark.parametrize(
    "more",
    [
        {"base": ["share/a/of-the-base"]},
        {"above": Above(held=frozenset({"share/a/of-the-glue"}))},
        {"own": Above(held=frozenset({"share/a/of-the-patch"}))},
    ],
    ids=["base", "glue or earlier patch", "this patch"],
)
def test_a_directory_that_something_else_lies_in_stays(more: dict[str, Any]) -> None:
    made = decide(package("a", "1", "share/a/x"), package("b", "1", "share/b"), remove=["a"], **more)
    assert made.gone == ("conda-meta/a-1.json", "share/a/x")


def test_a_directory_that_another_package_lists_stays_though_it_is_empty() -> None:
    other = same("b", "1", {"var/cache": DIRECTORY})
    made = decide(package("a", "1", "var/cache/x", "bin/a"), other, remove=["a"])
    assert "var/cache/x" in made.gone


def test_an_empty_directory_that_only_a_removed_package_listed_goes() -> None:
    listed = same("a", "1", {"var/cache": DIRECTORY, "bin/a": "x"})
    assert "var" in decide(listed, package("b", "1", "bin/b"), remove=["a"]).gone


def test_a_file_that_becomes_a_directory_is_no_whiteout() -> None:
    made = decide(package("a", "1", "share/a"), add=[package("a", "2", "share/a/b")])
    assert made.gone == ("conda-meta/a-1.json",)


def test_a_directory_that_becomes_a_file_is_no_whiteout_either() -> None:
    made = decide(package("a", "1", "share/a/b"), add=[package("a", "2", "share/a")])
    assert made.gone == ("conda-meta/a-1.json",)


def test_what_another_package_brings_from_now_on_is_not_gone() -> None:
    made = decide(package("a", "1", "bin/x", "bin/y"), add=[package("new", "1", "bin/x")], remove=["a"])
    assert made.gone == ("bin/y", "conda-meta/a-1.json")


def test_equal_contents_with_equal_modes_are_kept_and_others_written() -> None:
    old = same("a", "1", {"bin/run": "1", "share/same": "2", "share/changed": "3", "share/unknown": None})
    new = same("a", "2", {"bin/run": "1", "share/same": "2", "share/changed": "4", "share/unknown": None})
    modes = {"a-1": {"bin/run": 0o644, "share/same": 0o644}, "a-2": {"bin/run": 0o755, "share/same": 0o644}}
    assert decide(old, add=[new], modes=modes).kept == ("share/same",)


def test_a_directory_of_which_all_is_kept_is_named_instead_of_its_files() -> None:
    files = {f"{SITE}/a/{name}.py": name for name in "xyz"}
    new = {**files, f"{SITE}/a/z.py": "changed", "share/doc/one": "1", "share/doc/deep/two": "2"}
    old = {**files, "share/doc/one": "1", "share/doc/deep/two": "2"}
    made = decide(same("a", "1", old), package("b"), add=[same("a", "2", new)])
    assert made.kept == (f"{SITE}/a/x.py", f"{SITE}/a/y.py", "share")


def test_a_kept_directory_hides_no_new_file_of_another_added_package() -> None:
    old, new = same("a", "1", {"share/doc/one": "1"}), same("a", "2", {"share/doc/one": "1"})
    made = decide(old, add=[new, package("b", "1", "share/doc/two")])
    assert made.kept == ("share/doc/one",)


def test_nothing_is_kept_when_the_python_changes_because_scripts_name_it() -> None:
    old, new = same("a", "1", {"bin/a": "script"}), same("a", "2", {"bin/a": "script"})
    assert decide(old, add=[new], pythons=(PythonVersion(3, 12), PYTHON)).kept == ()


def test_a_path_that_two_packages_brought_alike_is_restored_by_the_one_that_stays() -> None:
    owner, other = same("a", "1", {"share/both": "x"}), same("b", "1", {"share/both": "x", "share/b": "y"})
    made = decide(owner, other, omit={"b": ["share/both"]}, remove=["a"])
    assert made.restored == {"b": ("share/both",)}
    assert made.gone == ("conda-meta/a-1.json",)


def test_a_package_that_stays_keeps_what_it_owns_when_another_brings_the_same() -> None:
    made = decide(same("b", "1", {"share/both": "x"}), add=[same("a", "1", {"share/both": "x", "share/a": "y"})])
    assert [p.omit for p in made.added] == [("share/both",)]
    assert (made.restored, made.yielded) == ({}, {})


def test_the_newer_build_of_an_owner_owns_on() -> None:
    old, new = (same("b", version, {"share/both": "x", "share/b": version}) for version in "12")
    made = decide(same("a", "1", {"share/both": "x"}), old, omit={"a": ["share/both"]}, add=[new])
    assert [p.omit for p in made.added] == [()]
    assert made.restored == {}
    assert "share/both" in made.kept


def test_other_contents_at_one_path_are_refused_until_the_patch_decides() -> None:
    stays, new = package("b", "1", "bin/both"), package("a", "1", "bin/both")
    with pytest.raises(ArtifactError, match="several packages bring these paths") as raised:
        decide(stays, add=[new])
    assert "bin/both: a" in str(raised.value.hint)
    made = decide(stays, add=[new], clobber={"bin/both": "a"})
    assert made.yielded == {"b": ("bin/both",)}
    assert made.added[0].omit == ()
    assert decide(stays, add=[new], clobber={"bin/both": "b"}).added[0].omit == ("bin/both",)


def test_a_clash_that_was_decided_when_locking_is_decided_still() -> None:
    both = package("a", "1", "bin/both"), package("b", "1", "bin/both")
    made = decide(*both, package("c", "1", "bin/c"), omit={"b": ["bin/both"]}, clobber={"bin/both": "a"}, remove=["c"])
    assert (made.restored, made.yielded) == ({}, {})


def test_when_the_winner_of_a_clash_goes_the_others_have_to_be_decided_on_anew() -> None:
    three = [package(name, "1", "bin/both") for name in "abc"]
    omit = {"b": ["bin/both"], "c": ["bin/both"]}
    with pytest.raises(ArtifactError, match="bin/both: b, c"):
        decide(*three, omit=omit, remove=["a"])
    made = decide(*three, omit=omit, remove=["a"], clobber={"bin/both": "c"})
    assert made.restored == {"c": ("bin/both",)}


def test_a_decision_for_a_package_that_does_not_bring_the_path_is_refused() -> None:
    with pytest.raises(DocumentError, match="clobber says that 'z' brings bin/b"):
        decide(package("b", "1", "bin/b"), add=[package("a", "1", "bin/a")], clobber={"bin/b": "z"})


def test_a_file_where_a_directory_is_needed_is_refused() -> None:
    with pytest.raises(ArtifactError, match="stands where another package needs a directory"):
        decide(package("b", "1", "share/b"), add=[package("a", "1", "share/b/x")])


def test_glue_and_files_of_patches_stay_above_what_a_package_brings() -> None:
    held = frozenset({"etc/config.json", f"{SITE}/a.py"})
    new = package("a", "2", "etc/config.json", f"{SITE}/a.py", "etc/other")
    made = decide(package("a", "1", f"{SITE}/a.py"), add=[new], above=Above(held=held))
    assert made.kept == ("etc/config.json", "lib")


def test_what_is_restored_stays_beneath_glue_and_files_of_patches() -> None:
    owner, other = same("a", "1", {"etc/both": "x"}), same("b", "1", {"etc/both": "x", "share/b": "y"})
    above = Above(held=frozenset({"etc/both"}))
    made = decide(owner, other, omit={"b": ["etc/both"]}, remove=["a"], above=above)
    assert (made.restored, made.kept) == ({"b": ("etc/both",)}, ("etc",))


def test_what_a_patch_removed_does_not_come_back_with_a_newer_build() -> None:
    above = Above(removed=frozenset({"share/tests", "bin/unsafe"}))
    old, new = (package("a", version, "share/tests/x", "bin/unsafe", "bin/a") for version in "12")
    made = decide(old, add=[new], above=above)
    assert made.kept == ("bin/unsafe", "share")
    assert made.gone == ("conda-meta/a-1.json",)


def test_bytecode_behind_a_source_that_the_patch_replaces_or_removes_goes() -> None:
    there = package("a", "1", f"{SITE}/a.py", f"{SITE}/b.py", f"{SITE}/c.py", "bin/a.py")
    own = Above(held=frozenset({f"{SITE}/a.py", "bin/a.py"}), removed=frozenset({f"{SITE}/b.py"}))
    made = decide(there, own=own)
    assert made.gone == (pyc(f"{SITE}/a.py"), pyc(f"{SITE}/b.py"))
    assert (made.removed, made.added) == ((), ())


def test_bytecode_in_a_directory_that_the_patch_removes_needs_no_whiteout_of_its_own() -> None:
    there = package("a", "1", f"{SITE}/a/b.py", f"{SITE}/c.py")
    assert decide(there, own=Above(removed=frozenset({f"{SITE}/a"}))).gone == ()


def test_a_file_that_the_patch_removes_keeps_its_directory_for_the_whiteout() -> None:
    there = package("a", "1", "share/a/x", "share/a/y"), package("b", "1", "share/b")
    made = decide(*there, own=Above(removed=frozenset({"share/a/x"})), remove=["a"])
    assert made.gone == ("conda-meta/a-1.json", "share/a/y")


def test_of_an_imported_image_only_what_it_holds_is_gone_whatever_the_records_say() -> None:
    old = same("a", "1", dict.fromkeys([f"{SITE}/a.py", "share/stripped"]))
    base = {f"{SITE}/a.py", f"{SITE}/__pycache__/a.cpython-313.pyc", f"{SITE}/__pycache__/a.cpython-313.opt-1.pyc",
            f"{SITE}/others.py", "conda-meta/a-1.json", "conda-meta/history"}  # fmt: skip
    made = decide(old, remove=["a"], base=base, imported=True)
    assert made.gone == ("conda-meta/a-1.json", f"{SITE}/__pycache__", f"{SITE}/a.py")


def test_of_an_imported_image_the_bytecode_of_replaced_sources_goes_since_none_is_made() -> None:
    old = same("a", "1", {f"{SITE}/a.py": None})
    base = {f"{SITE}/a.py", f"{SITE}/__pycache__/a.cpython-313.pyc", f"{SITE}/__pycache__/b.cpython-313.pyc",
            "conda-meta/a-1.json"}  # fmt: skip
    made = decide(old, add=[package("a", "2", f"{SITE}/a.py")], base=base, imported=True)
    assert made.gone == ("conda-meta/a-1.json", f"{SITE}/__pycache__/a.cpython-313.pyc")
    assert made.kept == ()


def test_packages_of_an_imported_image_that_share_a_path_are_left_as_they_are() -> None:
    both = [same(name, "1", {"share/both": None}) for name in "ab"]
    base = {"share/both", "bin/c", "conda-meta/a-1.json", "conda-meta/b-1.json", "conda-meta/c-1.json"}
    made = decide(*both, package("c", "1", "bin/c"), remove=["c"], base=base, imported=True)
    assert (made.restored, made.yielded, made.gone) == ({}, {}, ("bin", "conda-meta/c-1.json"))
    still = decide(*both, remove=["a"], base=base, imported=True)
    assert still.gone == ("conda-meta/a-1.json",)


def test_a_path_that_no_layer_can_hold_is_refused_by_name() -> None:
    with pytest.raises(ArtifactError, match=r"'share/\.wh\.x' would be read as a whiteout"):
        decide(package("a", "1", "share/.wh.x", "share/y"), package("b", "1", "share/b"), remove=["a"])


def test_the_order_of_packages_does_not_matter() -> None:
    one, two = same("a", "1", {"share/x": "x", "bin/a": "a"}), same("b", "1", {"share/x": "x"})
    add = [same("a", "2", {"share/x": "x"}), same("c", "1", {"share/x": "x"})]
    first = decide(one, two, omit={"b": ["share/x"]}, add=add)
    assert first == decide(two, one, omit={"b": ["share/x"]}, add=add[::-1])


_PATHS = (
    f"{SITE}/a/__init__.py", f"{SITE}/a/b.py", f"{SITE}/a/b", f"{SITE}/c.py", "share/x", "share/d/x", "share/d/e/y",
    "bin/z",
)  # fmt: skip
_STATES = st.lists(
    st.dictionaries(
        st.sampled_from("klmn"), st.dictionaries(st.sampled_from(_PATHS), st.sampled_from("11112"), min_size=1)
    ),
    min_size=2, max_size=4,
)  # fmt: skip


class Environment:
    """An environment as an image's layers make it: files by path, what they hold, and directories."""

    def __init__(self, packages: Mapping[str, Inspected]) -> None:
        self.files: dict[str, str] = {}
        self.folders: set[str] = set()
        for item in packages.values():
            self.write({path: text(item, path) for path in item.contents.paths})

    def write(self, files: Mapping[str, str]) -> None:
        """Lay files over what is there, as a container's runtime does."""
        for path, what in with_bytecode(files).items():
            for taken in [path, *above(path)]:
                if taken in self.files:
                    del self.files[taken]
            if path in self.folders:
                self.remove(path)
            self.files[path] = what
            self.folders.update(above(path))

    def remove(self, path: str) -> None:
        assert path in self.files or path in self.folders, f"{path} is not there to be removed"
        self.files = {each: what for each, what in self.files.items() if not is_covered(each, {path})}
        self.folders = {each for each in self.folders if not is_covered(each, {path})}

    def patch(self, made: PatchedEnvironment, packages: Mapping[str, Inspected]) -> None:
        brought = {
            path: text(packages[new.name], path)
            for new in made.added
            for path in packages[new.name].contents.paths
            if path not in new.omit and not is_covered(path, made.kept)
        }
        brought |= {path: text(packages[name], path) for name, paths in made.restored.items() for path in paths}
        for path in made.gone:
            assert not is_covered(path, brought), f"{path} is removed and written"
            assert path not in ancestors(brought), f"{path} is removed, and something beneath it written"
            self.remove(path)
        self.write(brought)


def text(item: Inspected, path: str) -> str:
    return item.contents.paths[path] or f"record of {item.package.name}"


def with_bytecode(files: Mapping[str, str]) -> dict[str, str]:
    made = {pyc(path): f"bytecode of {what}" for path, what in files.items() if path.endswith(".py")}
    return {**files, **made}


@given(_STATES)
def test_patches_one_upon_the_other_end_where_a_fresh_environment_would(
    states: list[dict[str, dict[str, str]]],
) -> None:
    """Wherever the packages can be together at all: the same files, the same contents, no directory left empty."""
    there = {name: package(name, "0", **_contents(paths)) for name, paths in states[0].items()}
    try:
        decide_fresh(there)
    except ArtifactError:
        return
    omit = {name: frozenset(paths) for name, paths in decide_fresh(there).items()}
    tree = Environment(there)
    for number, state in enumerate(states[1:], start=1):
        after = dict(there)
        for name in there.keys() - state.keys():
            del after[name]
        for name, paths in state.items():
            new = package(name, str(number), **_contents(paths))
            if name not in there or paths.keys() - there[name].contents.paths.keys():
                after[name] = new
        added = [item for name, item in after.items() if there.get(name) is not item]
        try:
            made = decide(*there.values(), add=added, remove=there.keys() - after.keys(), omit=omit)
        except ArtifactError:
            return
        tree.patch(made, after)
        assert tree.files == Environment(after).files
        assert tree.folders == ancestors(tree.files)
        omit = _omitted(omit, made, after)
        there = after


def _contents(paths: Mapping[str, str]) -> dict[str, str | None]:
    """Contents that are mostly the same, whoever brings the path."""
    return {path: f"{what} at {path}" for path, what in paths.items()}


def decide_fresh(packages: Mapping[str, Inspected]) -> dict[str, set[str]]:
    """What each package leaves to others when all are locked at once."""
    owners = decide_owners(LAB, list(packages.values()), "a test")
    omit: dict[str, set[str]] = {name: set() for name in packages}
    for path, owner in owners.items():
        for name, item in packages.items():
            if path in item.contents.paths and name != owner:
                omit[name].add(path)
    return omit


def _omitted(
    omit: Mapping[str, Collection[str]], made: PatchedEnvironment, after: Mapping[str, Inspected]
) -> dict[str, frozenset[str]]:
    """What packages leave to others after a patch, as a lock set has it."""
    fresh = {new.name: frozenset(new.omit) for new in made.added}
    staying = {
        name: (frozenset(omit[name]) - set(made.restored.get(name, ()))) | set(made.yielded.get(name, ()))
        for name in after.keys() - fresh.keys()
    }
    return {**staying, **fresh}
