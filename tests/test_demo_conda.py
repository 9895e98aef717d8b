"""How wheels become conda packages."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import pytest
import zstandard

from peel.demo.channel import repodata
from peel.demo.conda_archive import PLACEHOLDER, Member, Package, write_package
from peel.demo.depends import conda_depends, exactly_python, python_depends
from peel.demo.pins import download_argv, load_pins, parse_pins
from peel.demo.pythons import LIBRARIES, PYTHONS
from peel.demo.wheel_packages import plan_wheels
from peel.demo.wheels import Wheel, load_wheel, read_members
from peel.errors import ArtifactError
from peel.model.values import Digest, PythonVersion

PY311, PY313 = PythonVersion(3, 11), PythonVersion(3, 13)
TIMESTAMP = 1_700_000_000


def test_markers_are_decided_for_the_python_that_uses_the_package() -> None:
    requires = {"a": ('b>=1; python_version < "3.12"', 'c; sys_platform == "win32"', "D.e"), "b": (), "d-e": ()}

    assert conda_depends("a", requires, PY311) == ("b >=1", "d-e")
    assert conda_depends("a", requires, PY313) == ("d-e",)


def test_an_extra_is_written_out_where_it_is_asked_for() -> None:
    requires = {
        "a": ("schema[strict] >= 4",),
        "schema": ("attrs", 'idna; extra == "strict"', 'schema[more]; extra == "strict"', 'rfc>=1; extra == "more"'),
    }

    assert conda_depends("a", requires, PY313) == ("idna", "rfc >=1", "schema >=4")
    assert conda_depends("schema", requires, PY313) == ("attrs",)


def test_extras_that_ask_for_each_other_come_to_an_end() -> None:
    requires = {"a": ('a[y]; extra == "x"', 'a[x]; extra == "y"', "b[x]"), "b": ('a[x]; extra == "x"',)}

    assert conda_depends("a", requires, PY313) == ("b",)


def test_an_extra_of_a_wheel_that_is_not_pinned_is_an_error() -> None:
    with pytest.raises(ArtifactError, match="missing") as raised:
        conda_depends("a", {"a": ("missing[x]",)}, PY313)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("python", "conda"),
    [
        ("a~=1.4.2", "a 1.4.*,>=1.4.2"),
        ("a==1.*", "a 1.*"),
        ("a==1.2", "a ==1.2"),
        ("a===1.2", "a ==1.2"),
        ("a (>=1,<2,!=1.5)", "a !=1.5,<2,>=1"),
        ("A_b.c", "a-b-c"),
    ],
)
def test_a_version_specifier_is_said_in_condas_words(python: str, conda: str) -> None:
    assert conda_depends("x", {"x": (python,)}, PY313) == (conda,)


def test_pythons_are_asked_for_exactly_or_as_the_wheel_says() -> None:
    assert exactly_python(PY313) == "python >=3.13,<3.14.0a0"
    assert python_depends(">=3.8, !=3.9.*") == "python !=3.9.*,>=3.8"
    assert python_depends("") == "python"
    with pytest.raises(ArtifactError):
        python_depends("three")


def _wheel(
    directory: Path,
    name: str,
    tags: str = "py3-none-any",
    *,
    metadata: str = "",
    extra: Mapping[str, bytes] | None = None,
) -> Wheel:
    info = f"{name}-1.0.dist-info"
    members = {
        f"{name}/__init__.py": b"",
        f"{info}/METADATA": f"Name: {name}\nVersion: 1.0\nRequires-Python: >=3.8\n{metadata}\n".encode(),
        f"{info}/RECORD": f"{name}/__init__.py,sha256=x,0\n{name}-1.0.data/data/share/x,,\n{info}/RECORD,,\n".encode(),
        **(extra or {}),
    }
    path = directory / f"{name}-1.0-{tags}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member, (2023, 11, 14, 22, 13, 20)), data)
    return load_wheel(path, Digest.of(path.read_bytes()))


def test_a_wheels_newest_file_is_its_timestamp_and_its_licence_is_found(tmp_path: Path) -> None:
    wheel = _wheel(
        tmp_path,
        "demo",
        metadata="Classifier: License :: OSI Approved :: MIT License\nSummary: it\n",
        extra={"demo-1.0.dist-info/licenses/LICENSE.txt": b"text"},
    )

    assert (wheel.timestamp, wheel.licence, wheel.summary) == (TIMESTAMP, "MIT License", "it")
    assert wheel.licences == (("LICENSE.txt", b"text"),)


def test_a_noarch_package_has_its_files_where_the_linker_looks_for_them(tmp_path: Path) -> None:
    scripts = {"demo-1.0.data/scripts/tool": b"#!python\nprint()\n", "demo-1.0.data/data/share/x": b"x"}
    found = {member.path: member for member in read_members(_wheel(tmp_path, "demo", extra=scripts), None)}

    assert set(found) == {
        "python-scripts/tool", "share/x", "site-packages/demo/__init__.py",
        *(f"site-packages/demo-1.0.dist-info/{name}" for name in ("INSTALLER", "METADATA", "RECORD")),
    }  # fmt: skip
    assert found["python-scripts/tool"].data.startswith(f"#!{PLACEHOLDER}/bin/python\n".encode())
    assert found["python-scripts/tool"].prefix == "text"
    assert b"../../../share/x,,\n" in found["site-packages/demo-1.0.dist-info/RECORD"].data


def test_a_package_for_one_python_carries_its_commands(tmp_path: Path) -> None:
    commands = {"demo-1.0.dist-info/entry_points.txt": b"[console_scripts]\nDemo-Run = demo.cli:App.main [extra]\n"}
    wheel = _wheel(tmp_path, "demo", "cp313-cp313-manylinux_2_28_x86_64", extra=commands)
    found = {member.path: member for member in read_members(wheel, PY313)}

    assert wheel.entry_points == ("Demo-Run = demo.cli:App.main",)
    assert "lib/python3.13/site-packages/demo/__init__.py" in found
    script = found["bin/Demo-Run"]
    assert (script.mode, script.prefix) == (0o755, "text")
    assert script.data.startswith(f"#!{PLACEHOLDER}/bin/python3.13\n".encode())
    assert b"from demo.cli import App\n" in script.data


def test_a_wheel_that_reaches_outside_is_refused(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "demo", extra={"demo/../../escape": b""})

    with pytest.raises(ArtifactError, match="escape"):
        list(read_members(wheel, None))


def test_what_is_no_wheel_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(b"no zip")

    with pytest.raises(ArtifactError, match="demo-1"):
        load_wheel(path, Digest.of(b""))


def test_a_pure_wheel_is_one_package_unless_the_pythons_need_different_things(tmp_path: Path) -> None:
    same = _wheel(tmp_path, "same", metadata="Requires-Dist: other>=2\n")
    differs = _wheel(tmp_path, "differs", metadata='Requires-Dist: other; python_version < "3.12"\n')

    planned = plan_wheels({PY311: (same, differs), PY313: (same, differs)})
    found = {(made.package.name, made.package.build[:5]): made.package.depends for made in planned}

    assert {key: depends for key, depends in found.items() if key[0] == "differs"} == {
        ("differs", "py311"): ("other", "python >=3.11,<3.12.0a0"),
        ("differs", "py313"): ("python >=3.13,<3.14.0a0",),
    }
    assert [depends for key, depends in found.items() if key[0] == "same"] == [("other >=2", "python >=3.8")]
    assert all(made.package.noarch and made.python is None for made in planned)


def test_a_binary_wheel_is_a_package_of_its_python_and_names_its_glibc(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "fast", "cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.manylinux_2_28_x86_64")

    for_311, for_313 = plan_wheels({PY311: (wheel,), PY313: (wheel,)})

    assert (for_311.python, for_313.python) == (PY311, PY313)
    assert for_313.package.depends == ("__glibc >=2.17", "python >=3.13,<3.14.0a0")
    assert for_313.package.subdir == "linux-64"


PACKAGE = Package("demo", "1.0", "py_0", ("python",), TIMESTAMP, noarch=True, entry_points=("demo = demo:main",))
MEMBERS = (
    Member("site-packages/demo.py", b"print()\n"),
    Member("bin/demo", f"#!{PLACEHOLDER}/bin/python\n".encode(), mode=0o755, prefix="text"),
    Member("lib/libx.so", target="libx.so.1"),
)


def _unpack(archive: Path, part: str) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with zipfile.ZipFile(archive) as bundle:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in bundle.infolist())
        packed = bundle.read(f"{part}-{archive.stem}.tar.zst")
    raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {info.name: (info, tar.extractfile(info).read() if info.isreg() else b"") for info in tar}  # type: ignore[union-attr]


def test_an_archive_says_who_it_is_and_what_it_holds(tmp_path: Path) -> None:
    entry = write_package(PACKAGE, MEMBERS, tmp_path)
    info = {name: data for name, (_, data) in _unpack(tmp_path / PACKAGE.file_name, "info").items()}

    index = json.loads(info["info/index.json"])
    assert index == {
        "arch": None, "build": "py_0", "build_number": 0, "depends": ["python"], "license": "unknown", "name": "demo",
        "noarch": "python", "platform": None, "subdir": "noarch", "timestamp": TIMESTAMP * 1000, "version": "1.0",
    }  # fmt: skip
    assert {key: entry[key] for key in index} == index
    assert entry["sha256"] == Digest.of((tmp_path / PACKAGE.file_name).read_bytes()).hex
    assert json.loads(info["info/link.json"])["noarch"]["entry_points"] == ["demo = demo:main"]
    assert "stand-in" in json.loads(info["info/about.json"])["description"]
    paths = {path["_path"]: path for path in json.loads(info["info/paths.json"])["paths"]}
    assert paths["bin/demo"]["prefix_placeholder"] == PLACEHOLDER
    assert paths["lib/libx.so"]["path_type"] == "softlink"


def test_the_files_of_an_archive_bear_the_packages_own_time_and_no_names(tmp_path: Path) -> None:
    write_package(PACKAGE, MEMBERS, tmp_path)
    found = _unpack(tmp_path / PACKAGE.file_name, "pkg")

    assert {(info.mtime, info.uid, info.gid, info.uname) for info, _ in found.values()} == {(TIMESTAMP, 0, 0, "")}
    assert found["bin/demo"][0].mode == 0o755
    assert found["lib/libx.so"][0].linkname == "libx.so.1"


def test_the_same_package_has_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        directory.mkdir()
        write_package(PACKAGE, MEMBERS, directory)

    assert (first / PACKAGE.file_name).read_bytes() == (second / PACKAGE.file_name).read_bytes()
    assert [path.name for path in first.iterdir()] == [PACKAGE.file_name]


def test_a_placeholder_is_as_long_as_conda_makes_it() -> None:
    assert len(PLACEHOLDER) == 255


def test_repodata_lists_archives_by_file_name() -> None:
    document = json.loads(repodata("noarch", {"demo.conda": {"name": "demo"}}))

    assert document["info"] == {"subdir": "noarch"}
    assert document["packages.conda"] == {"demo.conda": {"name": "demo"}}


@pytest.mark.parametrize("name", ["lab", "payload", "extra", "tools"])
def test_shipped_pins_are_complete_and_name_no_host(name: str) -> None:
    assert load_pins(name)
    assert "://" not in files("peel.demo").joinpath(f"{name}.txt").read_text()


def test_the_pins_have_a_lab_and_a_payload() -> None:
    assert "jupyterlab" in {pin.name for pin in load_pins("lab")}
    assert {"ipykernel", "numpy", "pip"} <= {pin.name for pin in load_pins("payload")}


def test_a_requirement_without_a_hash_is_no_pin() -> None:
    with pytest.raises(ArtifactError, match="numpy"):
        parse_pins("numpy==2.4\n")


def test_pip_is_asked_for_exactly_the_pinned_wheels_of_another_python() -> None:
    argv = download_argv(Path("r.txt"), Path("out"), PY313)

    assert {"--require-hashes", "--no-deps", ":all:", "cp313", "manylinux_2_28_x86_64"} <= set(argv)


def test_every_library_that_a_python_needs_is_in_the_channel() -> None:
    names = {library.name for library in LIBRARIES}

    assert {name for python in PYTHONS for name in python.depends} <= names
    assert {name for library in LIBRARIES for name in library.depends} <= names
