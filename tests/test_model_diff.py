"""What two sides differ in, decided without a disk."""

from __future__ import annotations

from typing import Any

import pytest

from locksets import make_declared, payload
from peel.model.contents import (
    BaseContents,
    Contents,
    EnvironmentContents,
    LayerContents,
    Present,
    flatten_declared,
    flatten_settings,
)
from peel.model.diff import Changed, Difference, compare, compare_packages
from peel.model.oci import ImageSettings
from peel.model.version_order import compare_versions


def conda(name: str, version: str = "1.0", build: str = "0", sha256: str = "") -> Present:
    return Present(name, version, build, "conda", sha256)


def wheel(name: str, version: str = "1.0") -> Present:
    return Present(name, version, "", "pip")


def env(name: str, *packages: Present, prefix: str = "") -> EnvironmentContents:
    return EnvironmentContents(name, prefix or (name if name.startswith("/") else f"/opt/{name}"), packages)


def layer(name: str, size: int | None = 100, *more: str) -> LayerContents:
    return LayerContents(frozenset({name, *more}), size, f"layer {name}")


def side(*environments: EnvironmentContents, name: str = "lab:1", **more: Any) -> Contents:
    return Contents(name, environments, **more)


def diff(a: Contents, b: Contents) -> Difference:
    return compare(a, b)


def kinds(*pairs: tuple[Present, Present]) -> list[str]:
    changed = [compare_packages([one], [other]).changed for one, other in pairs]
    return [change.kind for found in changed for change in found]


def test_a_version_is_raised_or_lowered_in_condas_order() -> None:
    assert kinds(
        (conda("a", "1.9"), conda("a", "1.10")),
        (conda("openssl", "1.1.1"), conda("openssl", "1.1.1a")),
        (conda("a", "1.0.post1"), conda("a", "1.0")),
    ) == ["raised", "lowered", "lowered"]


def test_the_same_version_in_another_build_is_rebuilt() -> None:
    assert kinds((conda("a", "1.0", "h1_0"), conda("a", "1.0", "h2_1"))) == ["rebuilt"]
    assert kinds((conda("a", "1.0"), conda("a", "1.0.0"))) == ["rebuilt"]


def test_another_archive_of_one_build_is_told() -> None:
    assert kinds((conda("a", sha256="b" * 64), conda("a", sha256="c" * 64))) == ["replaced"]
    assert kinds((conda("a", sha256="b" * 64), conda("a"))) == []


def test_a_wheel_in_place_of_a_conda_package_is_told_whatever_its_spelling() -> None:
    assert kinds((conda("typing_extensions"), wheel("typing-extensions", "2.0"))) == ["replaced"]
    assert kinds((wheel("Flask.Login"), wheel("flask-login"))) == []


def test_wheels_are_ordered_as_pep_440_has_it() -> None:
    assert kinds((wheel("a", "1.0.dev1"), wheel("a", "1.0a1")), (wheel("a", "1.0"), wheel("a", "1.0+x"))) == [
        "raised", "raised",
    ]  # fmt: skip
    assert compare_versions("pip", "not a version", "1.0") < 0


def test_system_packages_are_ordered_as_their_managers_have_it() -> None:
    assert compare_versions("dpkg", "1.0~rc1", "1.0") < 0
    assert compare_versions("rpm", "1.0^git1-1", "1.0-1") > 0


def test_what_is_on_one_side_only_is_added_or_removed() -> None:
    found = compare_packages([conda("b"), conda("a"), conda("same")], [conda("same"), conda("d"), conda("c")])
    assert [package.name for package in found.removed] == ["a", "b"]
    assert [package.name for package in found.added] == ["c", "d"]
    assert found.changed == ()


def test_a_package_that_stands_there_twice_is_compared_with_its_like() -> None:
    found = compare_packages([conda("a", "1"), conda("a", "2")], [conda("a", "2")])
    assert [package.version for package in found.removed] == ["1"]
    assert not found.changed
    found = compare_packages([conda("a"), wheel("a")], [wheel("a", "2.0"), conda("a")])
    assert [(change.before.manager, change.kind) for change in found.changed] == [("pip", "raised")]


@pytest.mark.parametrize(
    ("name", "before", "after", "major"),
    [("numpy", "1.26", "2.0", True), ("numpy", "2.0", "2.1", False), ("python", "3.11.9", "3.12.0", True),
     ("python", "3.11.8", "3.11.9", False), ("numpy", "2.0", "1.26", False)],
)  # fmt: skip
def test_a_major_raise_is_one_of_the_first_number(name: str, before: str, after: str, major: bool) -> None:
    (change,) = compare_packages([conda(name, before)], [conda(name, after)]).changed
    assert isinstance(change, Changed)
    assert change.is_major is major


def test_environments_are_paired_by_name_then_by_prefix() -> None:
    a = side(env("lab", conda("x")), env("old-name", conda("y"), prefix="/opt/p"))
    b = side(env("lab", conda("x", "2.0"), prefix="/elsewhere"), env("new-name", conda("y"), prefix="/opt/p"))
    found = diff(a, b)
    assert [(e.name, e.state, bool(e.packages)) for e in found.environments] == [
        ("lab", "both", True), ("new-name", "both", False),
    ]  # fmt: skip
    assert (found.environments[0].before, found.environments[0].after) == ("/opt/lab", "/elsewhere")
    assert found.environments[0]
    assert not found.environments[1]


def test_an_image_names_environments_by_prefix_and_the_lock_set_by_name() -> None:
    lock = side(env("lab", conda("x"), prefix="/opt/peel/lab"), env("science", conda("y")))
    image = side(env("/opt/peel/lab", conda("x")), env("/opt/conda/envs/science", conda("y")), env("/usr/local"))
    for found in (diff(lock, image), diff(image, lock)):
        assert {e.name for e in found.environments if e.state == "both"} == {"lab", "science"}
        assert {e.name for e in found.environments if e.state != "both"} == {"/usr/local"}


def test_no_two_environments_get_one_name() -> None:
    a = side(env("x", prefix="/1"), env("y", prefix="/2"))
    b = side(env("x", prefix="/2"), env("z", prefix="/1"))
    names = [environment.name for environment in diff(a, b).environments]
    assert len(names) == len(set(names))


def test_an_environment_of_one_side_brings_or_takes_all_its_packages() -> None:
    found = diff(side(env("gone", conda("a"))), side(env("new", conda("b"))))
    assert [(e.name, e.state) for e in found.environments] == [("new", "added"), ("gone", "removed")]
    assert found.totals["added"] == found.totals["removed"] == 1


def test_equal_sides_differ_in_nothing() -> None:
    same = side(env("lab", conda("a")), layers=(layer("l"),), launch={"k": "v"}, system=(), files={"/p": "x"})
    found = diff(same, same)
    assert not found
    assert [(e.name, bool(e)) for e in found.environments] == [("lab", False)]


@pytest.mark.parametrize(
    "more",
    [{"launch": {"k": "w"}}, {"layers": (layer("m"),)}, {"layers": ()}, {"files": {"/p": "y"}},
     {"system": (Present("bash", "1", "amd64", "dpkg"),)}, {"base": BaseContents("b:9", "sha256:c")}],
    ids=["launch", "layer", "fewer layers", "file", "system", "base"],
)  # fmt: skip
def test_whatever_differs_counts(more: dict[str, Any]) -> None:
    known = {"layers": (layer("l"),), "launch": {"k": "v"}, "system": (), "base": BaseContents("b:9", "sha256:b")}
    assert diff(side(**known, files={"/p": "x"}), side(**{**known, "files": {"/p": "x"}, **more}))


def test_a_base_differs_by_its_digest_alone_and_only_if_both_are_known() -> None:
    one, other = BaseContents("a:9", "sha256:b"), BaseContents("b:9", "sha256:b")
    assert diff(side(base=one), side(base=other)).base is None
    assert diff(side(base=one), side()).base is None
    changed = BaseContents("a:9@sha256:c", "sha256:c")
    assert diff(side(base=one), side(base=changed)).base == (one, changed)
    assert changed.text == "a:9@sha256:c"


def test_system_packages_that_one_side_does_not_know_are_not_compared() -> None:
    found = diff(side(system=()), side(system=None, unknown=("no base",)))
    assert found.system is None
    assert found.unknown == ("no base",)


def test_layers_are_shared_by_any_of_their_names_and_bytes_known_by_either_side() -> None:
    a = side(layers=(layer("d1", 10, "k1"), layer("d2", 20), layer("k3", None)))
    b = side(layers=(layer("k1", None), layer("d2", 20), layer("k3", None), layer("d4", 40), layer("k5", None)))
    found = diff(a, b).layers
    assert found is not None
    assert (found.shared, found.shared_bytes, found.shared_unknown) == (3, 30, 1)
    assert (len(found.new), found.new_bytes, found.new_unknown, found.gone) == (2, 40, 1, 0)


def test_a_blob_that_stands_twice_in_an_image_is_pulled_once() -> None:
    found = diff(side(layers=()), side(layers=(layer("d", 10), layer("d", 10)))).layers
    assert found is not None
    assert (len(found.new), found.new_bytes) == (2, 10)


def test_layers_of_an_incomplete_import_are_not_compared() -> None:
    assert diff(side(layers=None), side(layers=(layer("d"),))).layers is None


def test_declared_settings_are_compared_only_where_both_sides_declare() -> None:
    one = side(launch={"launch.port": "1"}, config={"User": "1:1"})
    assert [s.key for s in diff(one, side(launch={"launch.port": "2"})).launch] == ["launch.port"]
    found = diff(one, side(config={"User": "2:2", "Cmd": "sh"})).launch
    assert [(s.key, s.before, s.after) for s in found] == [("Cmd", None, "sh"), ("User", "1:1", "2:2")]


def test_of_a_config_that_is_known_in_part_only_that_part_is_compared() -> None:
    part = side(config={"User": "1:1"}, config_whole=False)
    whole = side(config={"User": "2:2", "Env PATH": "/bin"})
    assert [s.key for s in diff(part, whole).launch] == [s.key for s in diff(whole, part).launch] == ["User"]


def test_settings_of_an_image_are_told_without_its_identity_and_without_passwords() -> None:
    settings = ImageSettings(
        env=(("PATH", "/bin"), ("INDEX", "https://me:secret@host/simple")), cmd=("run", "two words"), entrypoint=(),
        labels=(("org.opencontainers.image.version", "1"), ("io.peel-images.plan", "x"), ("team", "sky")),
        exposed_ports=("8888/tcp",),
    )  # fmt: skip
    assert flatten_settings(settings) == {
        "Env PATH": "/bin", "Env INDEX": "https://<hidden>@host/simple", "Cmd": "run 'two words'",
        "ExposedPorts": "8888/tcp", "Label team": "sky",
    }  # fmt: skip


def test_declared_settings_are_those_of_launching() -> None:
    declared = make_declared("calm", launch={"variables": {"A": "1"}, "arguments": ["--x"]}, links={"/etc/x": "/opt/y"})
    assert flatten_declared(declared) == {
        "launch.user": "65534:65534", "launch.working_dir": "/tmp", "launch.port": "8888", "launch.arguments": "--x",
        "launch.variables.A": "1", "links./etc/x": "/opt/y", "calm.kernel.name": "calm",
        "calm.kernel.display_name": "Calm", "calm.kernel.language": "python",
    }  # fmt: skip
    more = make_declared(
        environments=[make_declared().environments[0].model_dump(), payload("x", variables={"B": "2"})]
    )
    assert flatten_declared(more)["x.variables.B"] == "2"
