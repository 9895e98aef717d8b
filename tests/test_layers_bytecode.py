"""Bytecode: the same bytes however many workers, whatever else is compiled, whoever asks."""

from __future__ import annotations

import importlib.util
import json
import marshal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from peel.errors import ToolError
from peel.layers import bytecode
from peel.layers.bytecode import Compiled
from peel.model.entry import Entry, Kind
from peel.model.values import PythonVersion

PYTHON = PythonVersion(*sys.version_info[:2])
SITE = PYTHON.site_packages
STDLIB = Path(json.__file__).parents[1]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment with some real packages, and this Python."""
    prefix = tmp_path / "prefix"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/python").symlink_to(sys.executable)
    for name in ("json", "email", "logging", "importlib"):
        for source in sorted((STDLIB / name).glob("*.py")):
            target = prefix / SITE / name / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return prefix


def packages(prefix: Path, names: Sequence[str] = ("json", "email", "logging", "importlib")) -> dict[str, list[str]]:
    return {name: [str(path.relative_to(prefix)) for path in (prefix / SITE / name).glob("*.py")] for name in names}


def compiled(
    prefix: Path,
    out: Path,
    what: Mapping[str, Sequence[str]],
    *,
    workers: int = 1,
    env: Mapping[str, str] | None = None,
    through: Sequence[str] = (),
) -> tuple[dict[str, bytes], subprocess.CompletedProcess[str]]:
    out.mkdir()
    listing = out / "list"
    listing.write_bytes(bytecode.listing(what))
    command = bytecode.argv(
        prefix=str(prefix), script=str(bytecode.SCRIPT), out=str(out / "made"), workers=workers, listing=str(listing)
    )
    done = subprocess.run(
        [*through, *command], env=dict(bytecode.ENVIRONMENT if env is None else env), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return {str(p.relative_to(out / "made")): p.read_bytes() for p in (out / "made").rglob("*.pyc")}, done


def test_the_bytes_do_not_depend_on_workers_company_or_caller(prefix: Path, tmp_path: Path) -> None:
    every = packages(prefix)
    alone, done = compiled(prefix, tmp_path / "1", every)
    assert done.returncode == 0, done.stderr
    assert len(alone) == sum(map(len, every.values()))
    backwards = {name: list(reversed(paths)) for name, paths in reversed(every.items())}
    assert compiled(prefix, tmp_path / "2", backwards, workers=3)[0] == alone
    crowded = {**bytecode.ENVIRONMENT, "HOME": str(tmp_path), "SOME_VARIABLE": "x" * 5000}
    assert compiled(prefix, tmp_path / "3", every, workers=2, env=crowded)[0] == alone
    some = compiled(prefix, tmp_path / "4", packages(prefix, ["logging"]), workers=2)[0]
    assert some == {path: data for path, data in alone.items() if "/logging/" in path}


def test_bytecode_is_unchecked_and_names_the_final_path(prefix: Path, tmp_path: Path) -> None:
    made, _ = compiled(prefix, tmp_path / "out", packages(prefix, ["json"]))
    data = made[bytecode.pyc_path(f"{SITE}/json/decoder.py", PYTHON)]
    assert data[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(data[4:8], "little") == 0b01
    assert data[8:16] == importlib.util.source_hash((prefix / SITE / "json/decoder.py").read_bytes())
    assert marshal.loads(data[16:]).co_filename == f"{prefix}/{SITE}/json/decoder.py"  # noqa: S302 - our own


def test_a_random_hash_seed_is_refused(prefix: Path, tmp_path: Path) -> None:
    made, done = compiled(prefix, tmp_path / "out", packages(prefix, ["json"]), env={"PYTHONHASHSEED": "random"})
    assert made == {}
    assert "PYTHONHASHSEED=0" in done.stderr
    assert done.returncode == 1


def test_a_source_that_does_not_compile_is_told_and_stops_nothing(prefix: Path, tmp_path: Path) -> None:
    bad = {"syntax.py": b"def (:", "nul.py": b"a\0b", "coding.py": b"# coding: nonsense\n", "deep.py": b"(" * 5000}
    for name, data in bad.items():
        (prefix / SITE / name).write_bytes(data)
    paths = [*(f"{SITE}/{name}" for name in bad), f"{SITE}/json/decoder.py"]
    made, done = compiled(prefix, tmp_path / "out", {"bad": paths}, workers=2)
    assert done.returncode == 0, done.stderr
    assert list(made) == [bytecode.pyc_path(f"{SITE}/json/decoder.py", PYTHON)]
    told = bytecode.refused(done.stdout)
    assert [item.path for item in told] == sorted(f"{SITE}/{name}" for name in bad)
    assert told[-1].message.startswith("SyntaxError: ")


def test_a_full_output_or_a_missing_one_ends_with_a_status(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/made").write_bytes(b"in the way")
    (tmp_path / "out/list").write_bytes(bytecode.listing(packages(prefix, ["json"])))
    command = bytecode.argv(
        prefix=str(prefix), script=str(bytecode.SCRIPT), out=str(tmp_path / "out/made"), workers=1,
        listing=str(tmp_path / "out/list"),
    )  # fmt: skip
    done = subprocess.run(command, env=dict(bytecode.ENVIRONMENT), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert bytecode.refused(done.stdout)[0].message.startswith(("NotADirectoryError", "FileExistsError"))


def test_sources_are_the_modules_of_this_python_sorted_by_component() -> None:
    home = f"opt/x/lib/python{PYTHON}"
    entries = [
        Entry(f"{home}/site-packages/a/b.py", Kind.FILE),
        Entry(f"{home}/site-packages/a.py", Kind.FILE),
        Entry(f"{home}/os.py", Kind.HARDLINK),
        Entry(f"{home}/link.py", Kind.SYMLINK),
        Entry(f"{home}/data.txt", Kind.FILE),
        Entry("opt/x/share/a.py", Kind.FILE),
        Entry("opt/x/lib/python2.7/a.py", Kind.FILE),
    ]
    home = home.removeprefix("opt/x/")
    assert bytecode.sources(entries, "/opt/x", PYTHON) == (
        f"{home}/os.py", f"{home}/site-packages/a/b.py", f"{home}/site-packages/a.py"
    )  # fmt: skip


def test_bytecode_bears_the_time_of_its_source_and_lies_where_python_looks(prefix: Path, tmp_path: Path) -> None:
    compiled(prefix, tmp_path / "out", packages(prefix, ["json"]))
    (entry,) = bytecode.entries(
        Compiled(tmp_path / "out/made", {f"{SITE}/json/refused.py"}), owned("decoder", "refused"), "/opt/x", PYTHON
    )
    assert (entry.path, entry.mtime, entry.mode) == (
        f"opt/x/{importlib.util.cache_from_source(f'{SITE}/json/decoder.py')}", 7, 0o644
    )  # fmt: skip
    assert isinstance(entry.source, Path)
    assert entry.size == entry.source.stat().st_size > 0


def owned(*names: str) -> list[Entry]:
    return [Entry(f"opt/x/{SITE}/json/{name}.py", Kind.FILE, mtime=7) for name in names]


def test_a_source_that_is_neither_compiled_nor_refused_is_an_error(prefix: Path, tmp_path: Path) -> None:
    compiled(prefix, tmp_path / "out", packages(prefix, ["json"]))
    with pytest.raises(ToolError, match=r"left no '.*/absent\..*\.pyc', and did not say why"):
        bytecode.entries(Compiled(tmp_path / "out/made"), owned("decoder", "absent"), "/opt/x", PYTHON)


def test_bytecode_is_not_read_through_links_that_the_image_made(tmp_path: Path) -> None:
    made = tmp_path / bytecode.pyc_path(f"outside/{SITE}/json/decoder.py", PYTHON)
    made.parent.mkdir(parents=True)
    made.write_bytes(b"of the host")
    parts = Path(SITE, "json", "__pycache__").parts
    for number in range(len(parts)):
        out = tmp_path / str(number)
        link = out.joinpath(*parts[: number + 1])
        link.parent.mkdir(parents=True)
        link.symlink_to(tmp_path.joinpath("outside", *parts[: number + 1]))
        with pytest.raises(ToolError, match="lies behind a symbolic link"):
            bytecode.entries(Compiled(out), owned("decoder"), "/opt/x", PYTHON)
    file = tmp_path / "file" / bytecode.pyc_path(f"{SITE}/json/decoder.py", PYTHON)
    file.parent.mkdir(parents=True)
    file.symlink_to(made)
    with pytest.raises(ToolError, match="as something else than a file"):
        bytecode.entries(Compiled(tmp_path / "file"), owned("decoder"), "/opt/x", PYTHON)


def test_what_the_machine_refuses_is_no_property_of_a_source(prefix: Path, tmp_path: Path) -> None:
    absent, present = f"{SITE}/json/absent.py", f"{SITE}/json/decoder.py"
    _, done = compiled(prefix, tmp_path / "1", {"json": [absent, present]})
    assert done.returncode == 1
    assert [(item.path, item.message[:17]) for item in bytecode.refused(done.stdout)] == [(absent, "FileNotFoundError")]
    (prefix / SITE / "json/big.py").write_bytes(b"x = '" + bytes([97]) * (64 << 20) + b"'\n")
    little = 'ulimit -v 200000; exec "$@"'
    _, done = compiled(prefix, tmp_path / "2", {"json": [f"{SITE}/json/big.py"]}, through=("sh", "-c", little, "sh"))
    assert done.returncode == 1
    assert bytecode.refused(done.stdout)[0].message.startswith("MemoryError")


def test_output_that_is_not_a_report_is_an_error() -> None:
    with pytest.raises(ToolError, match="printed what it should not"):
        bytecode.refused("Segmentation fault\n")
