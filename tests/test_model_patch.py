"""What a patch may ask for, what it comes to in each environment, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from peel.errors import DocumentError
from peel.model.documents import validate
from peel.model.patch import Changes, Demand, Installed, PackageChange, Replacement, changes_for, refuse_contradictions
from peel.model.patch_document import DeclaredPatch, PatchDeclaration

THERE: Installed = {
    "lab": {"conda": ["openssl", "jupyterlab", "python"], "pip": ["Humanize"]},
    "science": {"conda": ["openssl", "numpy", "python"], "pip": []},
}


def parse(**document: Any) -> PatchDeclaration:
    data = {"schema": 1, "reason": "a test", **document}
    return validate(PatchDeclaration, data, origin="envs/patches/fix.yaml")


def patch(name: str = "fix", contents: dict[str, bytes] | None = None, **document: Any) -> DeclaredPatch:
    return DeclaredPatch(name, parse(**document), "0" * 64, contents or {})


def demand(spec: str, name: str = "fix") -> Demand:
    return Demand(spec.split(maxsplit=1)[0], spec, name)


def test_everything_but_the_reason_may_be_left_out() -> None:
    declared = parse()
    assert (declared.environments, declared.files, declared.packages.raised) == (None, (), ())


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"reason": ""}, "fix.yaml: reason: should say in a line what the patch is for"),
        ({"reason": "two\nlines"}, "reason: should be one line"),
        ({"schema": 2}, "schema: is not 1"),
        ({"package": {}}, "package: unknown key; did you mean 'packages'?"),
        ({"packages": {"rise": []}}, "packages.rise: unknown key; did you mean 'raise'?"),
        ({"packages": {"raise": "openssl"}}, "packages.raise: should be a list"),
        ({"environments": []}, "environments: "),
        ({"files": [{"path": "/etc/x", "source": "/etc/passwd"}]}, "should be a path beneath the directory"),
        ({"files": [{"path": "/etc/x", "source": "../../secret"}]}, "should be a path beneath the directory"),
        ({"files": [{"path": "/etc/../x", "source": "x"}]}, "should be a plain absolute path"),
        ({"files": [{"path": "/lib/x", "source": "x"}]}, "should not lie in a directory that the base has as a link"),
        ({"files": [{"path": "/etc/x", "source": "x", "mode": 420}]}, "files[0].mode: "),
        ({"files": [{"path": "/etc/x", "source": "x", "mode": "4755"}]}, "should be a mode in octal"),
        ({"files": [{"path": "/etc/x", "source": "x", "sha256": "abc"}]}, "should be a sha256 in hexadecimal"),
        ({"remove_files": ["etc/x"]}, "should be a plain absolute path"),
    ],
)
def test_a_bad_patch_is_told_by_file_and_key(document: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(**document)
    assert caught.value.message.startswith("envs/patches/fix.yaml: ")
    assert message in caught.value.message


def test_a_mode_is_a_number_in_octal() -> None:
    assert parse(files=[{"path": "/etc/x", "source": "x", "mode": "0640"}]).files[0].permissions == 0o640


def test_a_package_is_changed_wherever_it_is() -> None:
    changes = changes_for(patch(packages={"raise": ["openssl >=3.5.1", "numpy"]}), THERE)
    assert changes == {
        "lab": PackageChange(Changes(raised=(demand("openssl >=3.5.1"),))),
        "science": PackageChange(Changes(raised=(demand("openssl >=3.5.1"), demand("numpy")))),
    }


def test_a_patch_of_one_environment_leaves_the_others_alone() -> None:
    assert list(changes_for(patch(environments=["lab"], packages={"remove": ["openssl"]}), THERE)) == ["lab"]


def test_every_way_to_change_a_package_is_understood() -> None:
    asked = patch(
        environments=["lab"],
        packages={"replace": {"openssl": "libressl >=4", "python": "python 3.13.1"}, "add": ["certifi"],
                  "remove": ["JupyterLab"]},
        wheels={"raise": ["humanize >=4"]},
    )  # fmt: skip
    change = changes_for(asked, THERE)["lab"]
    assert change.conda.replaced == (
        Replacement("openssl", demand("libressl >=4")),
        Replacement("python", demand("python 3.13.1")),
    )
    assert change.conda.leaving == {"openssl", "jupyterlab"}
    assert [each.name for each in change.conda.demands] == ["libressl", "python", "certifi"]
    assert change.wheels.raised == (demand("humanize >=4"),)


def test_a_patch_of_files_alone_changes_no_packages() -> None:
    assert changes_for(patch(files=[{"path": "/etc/x", "source": "x"}]), THERE) == {}


def test_what_is_added_goes_where_it_is_not_yet() -> None:
    change = changes_for(patch(environments=["lab", "science"], packages={"add": ["numpy"]}), THERE)
    assert list(change) == ["lab"]


@pytest.mark.parametrize(
    ("document", "message", "hint"),
    [
        ({}, "changes nothing: it names neither packages nor files", "docs/patches.md"),
        ({"environments": ["scence"], "remove_files": ["/etc/x"]}, "no environment 'scence'", "mean 'science'?"),
        ({"environments": ["x"], "remove_files": ["/etc/x"]}, "no environment 'x'", "it has lab, science"),
        ({"packages": {"raise": ["opensl"]}}, "packages.raise: no package 'opensl' in lab, science", "'openssl'?"),
        ({"environments": ["lab"], "packages": {"raise": ["numpy"]}}, "no package 'numpy' in lab", "peel show"),
        ({"packages": {"raise": ["humanize"]}}, "no package 'humanize'", "it is a wheel there: name it under wheels"),
        ({"wheels": {"remove": ["numpy"]}}, "wheels.remove: no package 'numpy'", "name it under packages"),
        ({"packages": {"replace": {"libfoo": "x"}}}, "packages.replace: no package 'libfoo'", "peel show"),
        ({"packages": {"add": ["x"]}}, "packages.add: does not say where to add 'x'", "environments: [lab]"),
        ({"environments": ["lab"], "packages": {"add": ["openssl"]}}, "'openssl' is there already", "raise or replace"),
        ({"packages": {"raise": ["openssl >>3"]}}, "packages.raise: 'openssl >>3' is no package spec", "as conda has"),
        ({"packages": {"raise": ["c::openssl"]}}, "'c::openssl' names a channel", "declaration"),
        ({"packages": {"raise": ["openssl[url='file:///x']"]}}, "is no package spec", "as conda has"),
        ({"wheels": {"raise": ["humanize 4"]}}, "wheels.raise: 'humanize 4' is no requirement", "as pip has it"),
        ({"wheels": {"raise": ["humanize @ file:///x.whl"]}}, "names a file", "declaration"),
        ({"packages": {"raise": ["openssl"], "remove": ["openssl"]}}, "'openssl' stands there twice", "one thing"),
        ({"remove_files": ["/etc/x", "/etc/x"]}, "/etc/x stands there twice", "bring a file or remove it"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(document: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(DocumentError) as caught:
        changes_for(patch(**document), THERE)
    assert caught.value.message.startswith("envs/patches/fix.yaml: ")
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("one", "other", "about"),
    [
        ({"packages": {"raise": ["openssl"]}}, {"packages": {"remove": ["openssl"]}}, "'openssl'"),
        ({"packages": {"replace": {"a": "b"}}}, {"packages": {"replace": {"a": "c"}}}, "'a'"),
        ({"packages": {"replace": {"a": "b"}}}, {"packages": {"raise": ["a"]}}, "'a'"),
        ({"packages": {"replace": {"a": "b"}}}, {"packages": {"remove": ["b"]}}, "'b'"),
        ({"wheels": {"raise": ["X_y"]}}, {"wheels": {"remove": ["x-Y"]}}, "'x-y'"),
    ],
)
def test_patches_that_contradict_each_other_are_both_named(one: Any, other: Any, about: str) -> None:
    with pytest.raises(DocumentError, match=rf"^patches 'one' and 'other' contradict each other about {about}: "):
        refuse_contradictions([patch("one", **one), patch("other", **other)])


def test_patches_of_different_environments_do_not_contradict_each_other() -> None:
    one = patch("one", environments=["lab"], packages={"raise": ["openssl"]})
    refuse_contradictions([one, patch("other", environments=["science"], packages={"remove": ["openssl"]})])


def test_patches_that_ask_for_the_same_go_together() -> None:
    document = {"packages": {"replace": {"a": "b"}, "raise": ["c >=1"], "remove": ["d"]}}
    refuse_contradictions([patch("one", **document), patch("other", **document)])
    refuse_contradictions([patch("one", packages={"raise": ["a >=1"]}), patch("other", packages={"raise": ["a >=2"]})])


def test_the_same_patch_is_not_given_twice() -> None:
    with pytest.raises(DocumentError, match="named twice"):
        refuse_contradictions([patch("one", remove_files=["/etc/x"])] * 2)


@pytest.mark.parametrize(
    "other",
    [
        patch("other", {"/etc/x": b"b"}, files=[{"path": "/etc/x", "source": "x"}]),
        patch("other", {"/etc/x": b"a"}, files=[{"path": "/etc/x", "source": "x", "mode": "0600"}]),
        patch("other", remove_files=["/etc/x"]),
    ],
    ids=["contents", "mode", "removed"],
)
def test_a_file_cannot_be_two_things(other: DeclaredPatch) -> None:
    one = patch("one", {"/etc/x": b"a"}, files=[{"path": "/etc/x", "source": "x"}])
    with pytest.raises(DocumentError, match=r"^patches 'one' and 'other' contradict each other about the file /etc/x$"):
        refuse_contradictions([one, other])
    refuse_contradictions([one, patch("same", {"/etc/x": b"a"}, files=[{"path": "/etc/x", "source": "y"}])])
