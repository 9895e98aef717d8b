"""Declarations put together: what contradicts itself, and how two differ."""

from __future__ import annotations

from typing import Any

import pytest

from peel.errors import DocumentError
from peel.model.declaration import EnvironmentSpec, ImageDeclaration, PayloadDeclaration
from peel.model.declared import Declared, differences, resolve


def spec(*dependencies: Any, channels: tuple[str, ...] = ("conda-forge",), **more: Any) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate(
        {"channels": list(channels), "dependencies": list(dependencies) or ["python"], **more}
    )


def payload(kernel: str, **more: Any) -> PayloadDeclaration:
    data = {"schema": 1, "kind": "conda", "kernel": {"name": kernel, "display_name": kernel}, **more}
    return PayloadDeclaration.model_validate(data)


def declared(
    payloads: dict[str, tuple[PayloadDeclaration, EnvironmentSpec]] | None = None,
    lab: EnvironmentSpec | None = None,
    **image: Any,
) -> Declared:
    found = ImageDeclaration.model_validate({"schema": 1, "base": "docker.io/library/almalinux:9", **image})
    return resolve(found, lab or spec(), payloads or {}, origin="envs/lab.yaml")


def refused(*args: Any, **image: Any) -> DocumentError:
    with pytest.raises(DocumentError) as raised:
        declared(*args, **image)
    return raised.value


def test_a_payload_lies_under_its_name_unless_it_says_otherwise() -> None:
    made = declared({"a": (payload("a"), spec()), "b": (payload("b", prefix="/opt/mine"), spec())})
    assert [environment.prefix for environment in made.environments] == [
        "/opt/peel/lab", "/opt/peel/envs/a", "/opt/mine",
    ]  # fmt: skip
    assert [environment.role for environment in made.environments] == ["lab", "payload", "payload"]


def test_a_pip_section_is_taken_apart_from_the_conda_specs() -> None:
    made = declared(lab=spec("python", {"pip": ["humanize", "rich"]}, "pip"))
    assert (made.lab.dependencies, made.lab.pip) == (("python", "pip"), ("humanize", "rich"))


def test_two_payloads_cannot_have_one_kernel() -> None:
    error = refused({"a": (payload("same"), spec()), "b": (payload("same"), spec())})
    assert error.message == "envs/lab.yaml: kernel 'same' stands twice"


def test_a_payload_cannot_be_called_lab() -> None:
    assert "'lab' stands twice" in refused({"lab": (payload("a"), spec())}).message


def test_two_environments_cannot_have_one_prefix() -> None:
    error = refused({"a": (payload("a", prefix="/opt/peel/lab"), spec())})
    assert error.message == "envs/lab.yaml: prefix '/opt/peel/lab' stands twice"


@pytest.mark.parametrize("prefix", ["/opt/peel/lab/inner", "/opt/peel"])
def test_a_prefix_cannot_lie_inside_another(prefix: str) -> None:
    assert "lies inside prefix" in refused({"a": (payload("a", prefix=prefix), spec())}).message


def test_a_prefix_may_begin_with_the_letters_of_another() -> None:
    assert declared({"a": (payload("a", prefix="/opt/peel/laboratory"), spec())}).payloads[0].name == "a"


def test_a_platform_cannot_stand_twice() -> None:
    assert "platform 'linux-64' stands twice" in refused(platforms=["linux-64", "linux-64"]).message


@pytest.mark.parametrize(
    "channel",
    [
        "https://host/t/abcdef/channel", "https://user:pass@host/channel", "https://user:pa$$@host/c",
        "https://abcdef@host/channel", "https://host/t/abc$X/channel",
    ],
)  # fmt: skip
def test_a_secret_written_into_a_channel_is_refused_and_not_repeated(channel: str) -> None:
    error = refused(None, spec(channels=(channel,)))
    assert error.hint is not None
    assert "$TOKEN" in error.hint
    assert "abcdef" not in f"{error.message}{error.hint}"
    assert "pa" + "ss@" not in error.message


def test_a_secret_written_into_a_wheel_index_is_refused() -> None:
    index = "https://user:secret@host/simple"
    assert "secret" not in refused(None, spec(**{"pip-repositories": [index]})).message


@pytest.mark.parametrize(
    "channel",
    ["conda-forge", "https://host/t/$TOKEN/c", "https://host/t/${TOKEN}/c", "https://u:$PASS@host/c", "https://h:8080/c"],
)  # fmt: skip
def test_a_channel_may_name_a_variable(channel: str) -> None:
    assert declared(None, spec(channels=(channel,))).lab.channels == (channel,)


def test_equal_declarations_do_not_differ() -> None:
    assert differences(declared(), declared()) == ()


def test_differences_name_the_environment_and_what_came_and_went() -> None:
    old = declared({"a": (payload("a"), spec("python 3.11.*", "numpy"))})
    new = declared({"a": (payload("a"), spec("python 3.12.*", "numpy"))})
    assert differences(old, new) == (
        "environments.a.dependencies: 'python 3.11.*' was removed",
        "environments.a.dependencies: 'python 3.12.*' was added",
    )


def test_differences_tell_of_payloads_bases_and_settings() -> None:
    old = declared({"a": (payload("a"), spec())})
    new = declared({"b": (payload("b"), spec())}, base="docker.io/library/almalinux:10", launch={"port": 8889})
    told = "\n".join(differences(old, new))
    assert "base: 'docker.io/library/almalinux:9' became 'docker.io/library/almalinux:10'" in told
    assert "environments.a: was removed" in told
    assert "environments.b: was added" in told
    assert "launch.port: 8888 became 8889" in told


def test_the_order_of_channels_and_of_payloads_is_a_difference() -> None:
    one, two = spec(channels=("a", "b")), spec(channels=("b", "a"))
    assert len(differences(declared(lab=one), declared(lab=two))) == 1
    pair = {"a": (payload("a"), spec()), "b": (payload("b"), spec())}
    assert differences(declared(pair), declared(dict(reversed(pair.items())))) == (
        "payload order: ['a', 'b'] became ['b', 'a']",
    )


def test_a_repeated_dependency_is_a_difference() -> None:
    assert differences(declared(lab=spec("a", "a")), declared(lab=spec("a"))) != ()


def test_a_kernel_or_variable_that_changed_is_a_difference() -> None:
    old = declared({"a": (payload("a", variables={"X": "1"}), spec())})
    new = declared({"a": (payload("a", variables={"X": "2", "Y": "3"}, menu={"title": "A"}), spec())})
    assert differences(old, new) == (
        "environments.a.menu: was added",
        "environments.a.variables.X: '1' became '2'",
        "environments.a.variables.Y: was added",
    )
