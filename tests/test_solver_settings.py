"""What environment variables ask for, and the virtual packages that follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from peel.errors import PeelError
from peel.solver.options import UsageExit, overview, parse_options
from peel.solver.settings import Priority, VirtualPackage, read_settings, virtual_packages

HOST = {
    "__linux": VirtualPackage("__linux", "6.1", "0"),
    "__glibc": VirtualPackage("__glibc", "2.36", "0"),
    "__archspec": VirtualPackage("__archspec", "1", "x86_64_v4"),
}


def shown(subdir: str, **overrides: str) -> list[str]:
    return [str(each) for each in virtual_packages(subdir, HOST, overrides)]


def test_this_machine_is_described_as_micromamba_describes_it() -> None:
    assert shown("linux-64") == ["__unix=0=0", "__linux=6.1=0", "__glibc=2.36=0", "__archspec=1=x86_64_v4"]


def test_an_override_replaces_and_an_empty_one_removes() -> None:
    found = shown("linux-64", glibc="2.34", linux="", cuda="12.8", archspec="x86_64", osx="13", win="")
    assert found == ["__unix=0=0", "__glibc=2.34=0", "__cuda=12.8=0", "__archspec=1=x86_64"]


def test_another_architecture_has_its_own_microarchitecture_not_this_machines() -> None:
    assert shown("linux-aarch64")[-1] == "__archspec=1=aarch64"


def test_another_system_does_not_get_this_machines_glibc() -> None:
    assert shown("osx-arm64", osx="11.0") == ["__unix=0=0", "__osx=11.0=0", "__archspec=1=m1"]


def test_settings_come_from_the_variables_that_conda_lock_sets() -> None:
    environment = {
        "CONDA_SUBDIR": "linux-aarch64", "CONDA_PKGS_DIRS": "/cache,/other", "CONDA_OVERRIDE_GLIBC": "2.28",
        "CONDA_OVERRIDE_WIN": "", "CONDA_CHANNEL_PRIORITY": "strict", "MAMBA_ROOT_PREFIX": "/root-prefix",
    }  # fmt: skip
    settings = read_settings(environment, machine="x86_64")
    assert (settings.subdir, settings.package_cache) == ("linux-aarch64", Path("/cache"))
    assert (settings.priority, settings.overrides) == (Priority.STRICT, {"glibc": "2.28", "win": ""})


def test_without_variables_the_machine_decides_and_the_cache_is_in_the_xdg_directory() -> None:
    settings = read_settings({"HOME": "/h"}, machine="aarch64")
    assert (settings.subdir, settings.package_cache) == ("linux-aarch64", Path("/h/.cache/peel/pkgs"))


def test_an_unknown_priority_or_machine_is_refused() -> None:
    with pytest.raises(PeelError, match="CONDA_CHANNEL_PRIORITY"):
        read_settings({"CONDA_CHANNEL_PRIORITY": "loose"}, machine="x86_64")
    with pytest.raises(PeelError, match="sparc"):
        read_settings({}, machine="sparc")


def test_specs_and_options_may_stand_in_any_order() -> None:
    options = parse_options(["create", "a", "-c", "x", "b >=1", "--json", "--channel", "y", "c"])
    assert (options.specs, options.channel, options.json) == (["a", "b >=1", "c"], ["x", "y"], True)


@pytest.mark.parametrize(
    ("argv", "status", "text"),
    [
        (["create", "--frobnicate"], 109, "The following argument was not expected: --frobnicate"),
        (["frobnicate"], 109, "The following argument was not expected: frobnicate"),
        (["list", "--no-pip", "--prefix"], 106, "--prefix"),
        (["config"], 106, "action"),
        ([], 0, "peel-micromamba create -p ./env -f conda-lock.yml"),
        (["create", "--help"], 0, "--strict-channel-priority"),
    ],
)
def test_the_command_line_ends_as_micromambas_does(argv: list[str], status: int, text: str) -> None:
    with pytest.raises(UsageExit) as caught:
        parse_options(argv)
    assert caught.value.status == status
    assert text in caught.value.text


def test_the_overview_names_every_command() -> None:
    assert all(f"  {command}" in overview() for command in ("create", "install", "update", "list", "config", "info"))
