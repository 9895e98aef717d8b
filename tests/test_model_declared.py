"""Declarations put together: what contradicts itself, and how two differ."""

from __future__ import annotations

from typing import Any

import pytest

from peel.errors import DocumentError
from peel.model.declaration import EnvironmentSpec, ImageDeclaration
from peel.model.declared import Declared, differences
from peel.model.payloads import CondaPayload
from peel.model.resolve import PayloadSource, resolve


def spec(*dependencies: Any, channels: tuple[str, ...] = ("conda-forge",), **more: Any) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate(
        {"channels": list(channels), "dependencies": list(dependencies) or ["python"], **more}
    )


def payload(name: str, **more: Any) -> CondaPayload:
    data = {"schema": 1, "kind": "conda", "kernel": {"name": name, "display_name": name}, **more}
    return CondaPayload.model_validate(data)


def declared(
    payloads: dict[str, PayloadSource] | None = None,
    lab: EnvironmentSpec | None = None,
    lab_variables: dict[str, str] | None = None,
    **image: Any,
) -> Declared:
    if lab_variables:
        image["lab"] = {"variables": lab_variables}
    found = ImageDeclaration.model_validate({"schema": 1, "base": "docker.io/library/almalinux:9", **image})
    return resolve(found, lab or spec(), payloads or {}, origin="envs/lab.yaml")


def refused(*args: Any, **image: Any) -> DocumentError:
    with pytest.raises(DocumentError) as raised:
        declared(*args, **image)
    return raised.value


def test_a_payload_lies_under_its_name_unless_it_says_otherwise() -> None:
    made = declared(
        {"a": PayloadSource(payload("a"), spec()), "b": PayloadSource(payload("b", prefix="/opt/mine"), spec())}
    )
    assert [environment.prefix for environment in made.environments] == [
        "/opt/peel/lab", "/opt/peel/envs/a", "/opt/mine",
    ]  # fmt: skip
    assert [environment.role for environment in made.environments] == ["lab", "payload", "payload"]


def test_a_pip_section_is_taken_apart_from_the_conda_specs() -> None:
    made = declared(lab=spec("python", {"pip": ["humanize", "rich"]}, "pip"))
    assert (made.lab.dependencies, made.lab.pip) == (("python", "pip"), ("humanize", "rich"))


def test_two_payloads_cannot_have_one_kernel() -> None:
    error = refused({"a": PayloadSource(payload("same"), spec()), "b": PayloadSource(payload("same"), spec())})
    assert error.message == "envs/lab.yaml: kernel 'same' stands twice"


def test_a_payload_cannot_be_called_lab() -> None:
    assert "'lab' stands twice" in refused({"lab": PayloadSource(payload("a"), spec())}).message


def test_two_environments_cannot_have_one_prefix() -> None:
    error = refused({"a": PayloadSource(payload("a", prefix="/opt/peel/lab"), spec())})
    assert error.message == "envs/lab.yaml: prefix '/opt/peel/lab' stands twice"


@pytest.mark.parametrize("prefix", ["/opt/peel/lab/inner", "/opt/peel"])
def test_a_prefix_cannot_lie_inside_another(prefix: str) -> None:
    assert "lies inside prefix" in refused({"a": PayloadSource(payload("a", prefix=prefix), spec())}).message


def test_a_prefix_may_begin_with_the_letters_of_another() -> None:
    assert declared({"a": PayloadSource(payload("a", prefix="/opt/peel/laboratory"), spec())}).payloads[0].name == "a"


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
    old = declared({"a": PayloadSource(payload("a"), spec("python 3.11.*", "numpy"))})
    new = declared({"a": PayloadSource(payload("a"), spec("python 3.12.*", "numpy"))})
    assert differences(old, new) == (
        "environments.a.dependencies: 'python 3.11.*' was removed",
        "environments.a.dependencies: 'python 3.12.*' was added",
    )


def test_differences_tell_of_payloads_bases_and_settings() -> None:
    old = declared({"a": PayloadSource(payload("a"), spec())})
    new = declared(
        {"b": PayloadSource(payload("b"), spec())}, base="docker.io/library/almalinux:10", launch={"port": 8889}
    )
    told = "\n".join(differences(old, new))
    assert "base: 'docker.io/library/almalinux:9' became 'docker.io/library/almalinux:10'" in told
    assert "environments.a: was removed" in told
    assert "environments.b: was added" in told
    assert "launch.port: 8888 became 8889" in told


def test_the_order_of_channels_and_of_payloads_is_a_difference() -> None:
    one, two = spec(channels=("a", "b")), spec(channels=("b", "a"))
    assert len(differences(declared(lab=one), declared(lab=two))) == 1
    pair = {name: PayloadSource(payload(name, terminal=False), spec()) for name in ("a", "b")}
    assert differences(declared(pair), declared(dict(reversed(pair.items())))) == (
        "payload order: ['a', 'b'] became ['b', 'a']",
    )


def test_a_repeated_dependency_is_a_difference() -> None:
    assert differences(declared(lab=spec("a", "a")), declared(lab=spec("a"))) != ()


def test_a_kernel_or_variable_that_changed_is_a_difference() -> None:
    old = declared({"a": PayloadSource(payload("a", variables={"X": "1"}), spec())})
    new = declared({"a": PayloadSource(payload("a", variables={"X": "2", "Y": "3"}, menu={"title": "A"}), spec())})
    assert differences(old, new) == (
        "environments.a.menu: was added",
        "environments.a.variables.X: '1' became '2'",
        "environments.a.variables.Y: was added",
    )


def terminals(**said: bool | None) -> list[str]:
    """The payloads whose environment terminals enter, when each says this of it."""
    sources = {name: PayloadSource(payload(name, terminal=value), spec()) for name, value in said.items()}
    return [environment.name for environment in declared(sources).payloads if environment.terminal]


def test_terminals_enter_the_first_payload_unless_another_is_named() -> None:
    assert terminals(a=None, b=None) == ["a"]
    assert terminals(a=None, b=True) == ["b"]
    assert terminals(a=False, b=None) == ["b"]
    assert terminals(a=False, b=False) == []


def test_terminals_cannot_enter_two_payloads() -> None:
    with pytest.raises(DocumentError, match="terminals cannot enter both 'a' and 'b'"):
        terminals(a=True, b=True)


@pytest.mark.parametrize(
    "name", ["JUPYTERHUB_USER", "NUBLADO_TOKEN", "DEBUG", "PEEL_PATH", "RUNNING_INSIDE_JUPYTERLAB"]
)
def test_a_variable_that_a_spawner_sets_is_refused_wherever_it_stands(name: str) -> None:
    wanted = f"variables: {name} is set by the spawner"
    assert wanted in refused({"a": PayloadSource(payload("a", variables={name: "1"}), spec())}).message
    assert wanted in refused(launch={"variables": {name: "1"}}).message
    assert wanted in refused(lab_variables={name: "1"}).message


def test_a_kernel_of_another_language_needs_its_own_launcher() -> None:
    kernel = {"name": "r", "display_name": "R", "language": "R"}
    assert (
        "envs/r/payload.yaml: kernel.language"
        in refused({"r": PayloadSource(payload("r", kernel=kernel), spec())}).message
    )
    own = PayloadSource(payload("r", kernel={**kernel, "launcher": "start.sh"}), spec())
    assert declared({"r": own}).payloads[0].kernel is not None


def test_links_to_a_kernel_need_that_kernel() -> None:
    assert "links to the kernel 'lsst', which no payload has" in refused(compat=["sciplat-2025"]).message
    assert declared({"a": PayloadSource(payload("lsst"), spec())}, compat=["sciplat-2025"]).compat == ("sciplat-2025",)
    assert declared(compat=["nublado"]).compat == ("nublado",)
    assert "nublado stands twice" in refused(compat=["nublado", "nublado"]).message


def test_a_logo_is_a_picture_that_jupyter_shows() -> None:
    with pytest.raises(ValueError, match=r"should be an \.svg or \.png file"):
        payload("a", kernel={"name": "a", "display_name": "A", "logo": "logo.gif"})
