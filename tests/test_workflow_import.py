"""``peel import`` of lists: from what history remembers to lock sets that build like any other, or to nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import archives
from channels import index, make_package, repodata_record, tamper
from peel.cli import app
from peel.errors import ArtifactError, DocumentError, PeelError, UsageError
from peel.model.lockset import Record, RecordedImage
from peel.model.plan import Plan, find_interpreter, make_plan
from peel.model.progress import Silent
from peel.model.values import Digest, ImageRef, Platform
from peel.store.archives import Archive
from peel.tools.micromamba import Solver, find_solver
from peel.workflow.build import build_image
from peel.workflow.fetching import Sources
from peel.workflow.import_list import ListImport
from peel.workflow.import_preview import preview_list
from peel.workflow.import_read import read_history
from peel.workflow.import_result import Imported
from peel.workflow.import_target import Wish, make_target
from peel.workflow.lock import FORMATS
from peel.workflow.show import find_incomplete, list_images, show_image
from relocking import write_archive
from test_workflow_build import SmallLayers
from tiny import EMBEDDED, Tiny

OLD = ImageRef("old", "r1_0_0")
LINUX = Platform("linux-64")


class Said(Silent):
    """Progress that remembers what people were warned of."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    made = Tiny(tmp_path)
    made.add("libffi", "3.4", files={"lib/libffi.so": "ffi"})
    make_package(
        made.channel, "python", "3.13.1", build="h1_1", build_number=1,
        depends=["libffi >=3.4,<4.0a0", "__glibc >=2.17"], files={"bin/python": "p", "lib/python3.13/os.py": ""},
    )  # fmt: skip
    index(made.channel)
    return made


def archives_of(tiny: Tiny) -> list[Path]:
    """The archives that the lists here are of: as a channel of then had them, without a second python."""
    return [path for path in sorted(tiny.channel.glob("*/*.conda")) if path.name != "python-3.13.1-0.conda"]


def explicit(tiny: Tiny, hashed: str = "", base: str | None = None) -> str:
    """An explicit list of all archives, with this kind of hash."""
    urls = [path.as_uri() if base is None else f"{base}/{path.parent.name}/{path.name}" for path in archives_of(tiny)]
    records = [repodata_record(path) for path in archives_of(tiny)]
    marks = [f"#{record[hashed]}" if hashed else "" for record in records]
    return "# platform: linux-64\n@EXPLICIT\n" + "".join(
        f"{url}{mark}\n" for url, mark in zip(urls, marks, strict=True)
    )


def exported(tiny: Tiny) -> str:
    lines = ["=".join(path.name.removesuffix(".conda").rsplit("-", 2)) for path in archives_of(tiny)]
    return "# platform: linux-64\n" + "".join(f"{line}\n" for line in lines)


def do(
    tiny: Tiny,
    text: str,
    ref: ImageRef = OLD,
    *,
    archives: Sequence[Archive] = (),
    variables: Mapping[str, str] | None = None,
    progress: Any = None,
    solver: Callable[[], Solver] | None = None,
    dry_run: bool = False,
    **wish: Any,
) -> Imported:
    """Import a list as an image on the tiny base, or into the declared one."""
    path = tiny.root / "list"
    path.write_text(text)
    history = read_history(path, {})
    wanted = Wish(**({} if ref.image == "lab" else {"base": tiny.base}), **wish)
    target = make_target(history, ref, wanted, tiny.catalogue, LINUX)
    if dry_run:
        return preview_list(history, target, archives=archives, catalogue=tiny.catalogue, store=tiny.store.root)
    return ListImport(
        history, target, wanted, tiny.catalogue, tiny.store, archives, variables or {},
        solver or (lambda: find_solver(EMBEDDED)), progress or Silent(),
    ).run()  # fmt: skip


def refused(tiny: Tiny, kind: type[PeelError], text: str, ref: ImageRef = OLD, **more: Any) -> PeelError:
    """The error of an import that has to fail, and that must leave no lock set behind."""
    with pytest.raises(kind) as raised:
        do(tiny, text, ref, **more)
    assert not tiny.catalogue.lock_directory(ref).exists()
    assert not list((tiny.store.root / "tmp").iterdir())
    return raised.value


def lock_file(tiny: Tiny, name: str = "imported", ref: ImageRef = OLD) -> bytes:
    return (tiny.catalogue.lock_directory(ref) / f"{name}.conda-lock.yml").read_bytes()


def plan_of(tiny: Tiny, ref: ImageRef = OLD) -> Plan:
    return make_plan(tiny.catalogue.lock_set(ref), LINUX)


def no_solver() -> Solver:
    pytest.fail("a solver was asked for")


@pytest.mark.parametrize("hashed", ["", "md5", "sha256"])
def test_an_explicit_list_becomes_a_lock_set_whatever_hashes_it_has(tiny: Tiny, hashed: str) -> None:
    imported = do(tiny, explicit(tiny, hashed), solver=no_solver)
    assert (imported.format, imported.written, imported.missing) == ("explicit", True, ())
    assert [(e.name, e.conda, e.pip) for e in imported.environments] == [("imported", 4, 0)]
    locks = tiny.catalogue.lock_set(OLD)
    for package, path in zip(locks.installed["linux-64", "imported"], archives_of(tiny), strict=True):
        record = repodata_record(path)
        assert (package.hash.sha256, package.hash.md5) == (record["sha256"], record["md5"])
        assert tiny.store.blobs.has(Digest.from_hex(record["sha256"]))
    environment = locks.lock.declared.environments[0]
    assert (environment.role, environment.prefix) == ("environment", "/opt/peel/envs/imported")
    assert environment.channels == (tiny.channel.as_uri(),)
    assert locks.lock.locked_with.solver == "none: imported"


def test_what_is_imported_builds_like_any_other_image(tiny: Tiny) -> None:
    do(tiny, explicit(tiny), prefix="/somewhere/else")
    plan = plan_of(tiny)
    assert {step.prefix for step in plan.layers if hasattr(step, "prefix")} == {"/somewhere/else"}
    built = build_image(
        plan, store=tiny.store, sources=Sources(network=False), make_layers=SmallLayers(tiny.store), formats=FORMATS,
        progress=Silent(),
    )  # fmt: skip
    assert len(json.loads(tiny.store.blobs.read(built.manifest.digest))["layers"]) == 1 + len(plan.layers)


def test_the_interpreters_closure_comes_from_what_archives_say_of_themselves(tiny: Tiny) -> None:
    do(tiny, explicit(tiny))
    interpreter = find_interpreter(tiny.catalogue.lock_set(OLD).unpatched(LINUX, "imported"))
    assert interpreter is not None
    assert sorted(package.name for package in interpreter.closure) == ["libffi", "python"]


def test_importing_twice_writes_the_same_bytes_and_so_does_every_format(tiny: Tiny) -> None:
    do(tiny, explicit(tiny))
    first = tiny.catalogue.read_lock_set(OLD)
    do(tiny, explicit(tiny, "sha256"))
    assert tiny.catalogue.read_lock_set(OLD) == first
    do(tiny, exported(tiny), channels=(tiny.channel.as_uri(),))
    assert tiny.catalogue.read_lock_set(OLD) == first
    do(tiny, first["imported.conda-lock.yml"].decode())
    assert tiny.catalogue.read_lock_set(OLD) == first


def test_conda_lock_and_the_solver_read_the_lock_that_was_made(tiny: Tiny, tmp_path: Path) -> None:
    do(tiny, explicit(tiny))
    path = tiny.catalogue.lock_directory(OLD) / "imported.conda-lock.yml"
    conda_lock = Path(sys.executable).parent / "conda-lock"
    rendered = subprocess.run(
        [conda_lock, "render", "-k", "explicit", "-p", "linux-64", path], cwd=tmp_path, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "Traceback" not in rendered.stderr
    assert (tmp_path / "conda-linux-64.lock").read_text().count(tiny.channel.as_uri()) == 4
    argv = [EMBEDDED, "create", "-p", tmp_path / "env", "-f", path, "--dry-run", "--json"]
    made = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert len(json.loads(made.stdout)["actions"]["LINK"]) == 4


def test_an_exported_list_needs_a_channel_and_says_so(tiny: Tiny) -> None:
    error = refused(tiny, ArtifactError, exported(tiny))
    assert "4 artifacts cannot be had, so nothing was written" in error.message
    assert "the list names no channel: name one with --channel" in error.message
    assert "python 3.13.1 h1_1 (conda, line 5)" in error.message
    assert "--partial" in (error.hint or "")


def test_the_channels_of_the_list_are_asked_unless_others_are_named(tiny: Tiny) -> None:
    lines = "".join(f"- {line}\n" for line in exported(tiny).splitlines()[1:])
    text = f"name: Old Stack\nchannels: ['{tiny.channel.as_uri()}']\ndependencies:\n{lines}"
    imported = do(tiny, text)
    assert imported.environments[0].name == "old-stack"
    nowhere = (tiny.root / "nowhere").as_uri()
    error = refused(tiny, ArtifactError, text, ImageRef("other", "1"), channels=(nowhere,))
    assert f"the index of {nowhere} cannot be read" in error.message


def test_all_that_cannot_be_had_is_listed_at_once_with_what_is_known_of_it(tiny: Tiny) -> None:
    text = explicit(tiny, "md5")
    gone = archives_of(tiny)[0]
    md5 = repodata_record(gone)["md5"]
    gone.unlink()
    tamper(archives_of(tiny)[0])
    error = refused(tiny, ArtifactError, text)
    assert "2 artifacts cannot be had" in error.message
    assert f"ipykernel 7.0 0 (conda, line 3, {gone.as_uri()}, md5 {md5})" in error.message
    assert "its bytes are not those locked" in error.message
    assert "python" not in error.message


def test_what_was_fetched_stays_in_the_store_for_the_next_try(tiny: Tiny) -> None:
    text = explicit(tiny, "sha256")
    gone = archives_of(tiny)[0]
    data = gone.read_bytes()
    gone.unlink()
    refused(tiny, ArtifactError, text)
    gone.write_bytes(data)
    for path in archives_of(tiny)[1:]:
        path.unlink()
    assert do(tiny, text).written


def test_a_partial_import_is_written_and_says_what_is_missing_and_is_built_by_nobody(tiny: Tiny) -> None:
    text = explicit(tiny)
    archives_of(tiny)[0].unlink()
    imported = do(tiny, text, partial=True)
    assert imported.written
    assert [(m.title, m.line) for m in imported.missing] == [("ipykernel 7.0 0", 3)]
    with pytest.raises(DocumentError, match=r"is incomplete: an import could not have ipykernel 7\.0"):
        tiny.catalogue.lock_set(OLD)
    (listed,) = (each for each in list_images(tiny.catalogue) if each.tag)
    assert (listed.state, listed.missing, listed.platforms) == ("incomplete", 1, ("linux-64",))
    found = find_incomplete(OLD, tiny.catalogue)
    assert found is not None
    assert "ipykernel-7.0-0.conda" in found.as_json()["missing"][0]["why"]
    assert [package.name for package in tiny.catalogue.conda_lock(OLD, "imported")] == [
        "jupyterlab", "libffi", "python",
    ]  # fmt: skip


def test_a_partial_import_is_completed_by_importing_again(tiny: Tiny) -> None:
    text = explicit(tiny)
    gone = archives_of(tiny)[0]
    data = gone.read_bytes()
    gone.unlink()
    do(tiny, text, partial=True)
    gone.write_bytes(data)
    assert do(tiny, text).missing == ()
    assert find_incomplete(OLD, tiny.catalogue) is None
    assert len(show_image(OLD, tiny.catalogue)[0].packages("imported")) == 4


def test_channels_that_are_named_go_before_those_that_packages_are_said_to_be_from(tiny: Tiny) -> None:
    text = exported(tiny).replace("\nlibffi=", "\nfile:///gone/forge::libffi=")
    error = refused(tiny, ArtifactError, text)
    assert "the index of file:///gone/forge cannot be read:\n    libffi 3.4 0" in error.message
    assert "the list names no channel: name one with --channel:\n    ipykernel 7.0 0" in error.message
    assert do(tiny, text, channels=(tiny.channel.as_uri(),)).written


def test_a_list_of_more_channels_than_anybody_has_is_refused(tiny: Tiny) -> None:
    text = "".join(f"file:///channel{n}::package{n}=1.0=0\n" for n in range(51))
    assert "the list names 51 channels" in refused(tiny, DocumentError, text).message


def test_what_has_been_built_is_not_imported_over(tiny: Tiny) -> None:
    do(tiny, explicit(tiny))
    peel_ref = ImageRef(OLD.image, OLD.tag)
    tiny.catalogue.write_record(peel_ref, _record())
    with pytest.raises(UsageError, match="immutable"):
        do(tiny, explicit(tiny))


def _record() -> Any:
    digest = f"sha256:{'a' * 64}"
    return Record(
        schema=1, platforms={"linux-64": RecordedImage(manifest=digest, config=digest, plan=digest, layers=())}
    )


def test_an_archive_has_what_no_channel_has_any_more(tiny: Tiny) -> None:
    kept = write_archive(tiny.root / "archive", archives_of(tiny))
    by_url, by_name = explicit(tiny), exported(tiny)
    shutil.rmtree(tiny.channel)
    do(tiny, by_url, archives=[kept])
    first = tiny.catalogue.read_lock_set(OLD)
    do(tiny, by_name, ImageRef("other", "1"), archives=[kept])
    urls = {package.url for package in tiny.catalogue.conda_lock(ImageRef("other", "1"), "imported")}
    assert all(url.startswith("https://unknown.invalid/") for url in urls)
    assert first["imported.conda-lock.yml"].count(b"unknown.invalid") == 0
    assert plan_of(tiny).digest != plan_of(tiny, ImageRef("other", "1")).digest  # only their names differ
    layers = [[step.contents for step in plan_of(tiny, ref).layers] for ref in (OLD, ImageRef("other", "1"))]
    assert layers[0] == layers[1]


def test_an_archive_with_another_file_of_the_same_name_is_no_help_against_the_md5(tiny: Tiny) -> None:
    text = explicit(tiny, "md5")
    tamper(archives_of(tiny)[0])
    kept = write_archive(tiny.root / "archive", archives_of(tiny))
    shutil.rmtree(tiny.channel)
    error = refused(tiny, ArtifactError, text, archives=[kept])
    assert "has another md5:\n    ipykernel 7.0 0" in error.message
    assert "1 artifact cannot be had" in error.message


def test_what_an_archive_lists_and_does_not_have_is_told_as_that(tiny: Tiny) -> None:
    kept = write_archive(tiny.root / "archive", archives_of(tiny))
    lost = hashlib.sha256(archives_of(tiny)[0].read_bytes()).hexdigest()
    (kept.root / "blobs" / "sha256" / lost).unlink()
    error = refused(tiny, ArtifactError, exported(tiny), archives=[kept])
    assert "an archive lists it, and does not have it:\n    ipykernel 7.0 0" in error.message


def test_an_archive_whose_bytes_changed_is_refused(tiny: Tiny) -> None:
    kept = write_archive(tiny.root / "archive", archives_of(tiny))
    changed = hashlib.sha256(archives_of(tiny)[0].read_bytes()).hexdigest()
    (kept.root / "blobs" / "sha256" / changed).write_bytes(b"other")
    assert (
        "holds other bytes for ipykernel 7.0 0" in refused(tiny, ArtifactError, exported(tiny), archives=[kept]).message
    )


def test_what_a_lock_set_of_the_catalogue_has_pinned_is_known_by_its_url(tiny: Tiny) -> None:
    text = explicit(tiny)
    do(tiny, explicit(tiny))
    shutil.rmtree(tiny.channel)
    assert do(tiny, text, ImageRef("other", "1")).written


def test_a_channel_that_is_named_is_asked_for_what_is_gone_from_its_place(tiny: Tiny) -> None:
    text = explicit(tiny, "md5", base="file:///gone/channel")
    error = refused(tiny, ArtifactError, text)
    assert "4 artifacts cannot be had" in error.message
    mirror = tiny.channel.as_uri()
    do(tiny, text, channels=(mirror,))
    assert all(package.url.startswith(mirror) for package in tiny.catalogue.conda_lock(OLD, "imported"))
    tamper(archives_of(tiny)[0])
    index(tiny.channel)
    error = refused(tiny, ArtifactError, explicit_with(text), ImageRef("other", "1"), channels=(mirror,))
    assert "ipykernel 7.0 0" in error.message


def explicit_with(text: str) -> str:
    """The list with an md5 that only the archive of then had."""
    return text.replace("ipykernel-7.0-0.conda#", "ipykernel-7.0-0.conda#" + "0" * 32 + "\n#")


def test_an_archive_that_says_that_it_is_another_package_is_refused(tiny: Tiny) -> None:
    other = make_package(tiny.channel, "zlib", "1.0", extension=".tar.bz2")
    wrong = other.rename(other.with_name("zlib-1.1-0.tar.bz2"))
    error = refused(tiny, ArtifactError, f"{explicit(tiny)}{wrong.as_uri()}\n")
    assert "zlib-1.1-0.tar.bz2 says of itself that it is zlib-1.0-0" in error.message


def test_of_a_path_that_several_packages_bring_the_last_one_linked_counts(tiny: Tiny) -> None:
    tiny.add("alpha", files={"share/same": "alpha"}, depends=["omega"])
    tiny.add("omega", files={"share/same": "omega"})
    said = Said()
    do(tiny, explicit(tiny), progress=said)
    assert tiny.catalogue.image_lock(OLD).declared.environments[0].clobber == {"share/same": "omega"}
    assert said.warned == ["1 path is brought by several packages, with other contents: the last package's counts"]
    do(tiny, exported(tiny), ImageRef("other", "1"), channels=(tiny.channel.as_uri(),))
    other = tiny.catalogue.image_lock(ImageRef("other", "1")).declared.environments[0]
    assert other.clobber == {"share/same": "alpha"}  # what others need is linked first, where a list has no order


def test_scripts_that_ran_when_linking_are_left_out_only_on_demand(tiny: Tiny) -> None:
    script = "#!/bin/sh\n"
    tiny.add("scripted", files={"bin/.scripted-post-link.sh": script})
    error = refused(tiny, ArtifactError, explicit(tiny))
    assert "scripted: bin/.scripted-post-link.sh" in error.message
    assert "--skip-link-scripts" in (error.hint or "")
    said = Said()
    do(tiny, explicit(tiny), skip_link_scripts=True, progress=said)
    sha256 = hashlib.sha256(script.encode()).hexdigest()
    declared = tiny.catalogue.image_lock(OLD).declared.environments[0]
    assert declared.skip_link_scripts == {"scripted": {"bin/.scripted-post-link.sh": sha256}}
    assert any("scripted" in line for line in said.warned)


def test_a_list_becomes_the_lock_of_a_declared_payload_and_the_rest_is_solved(tiny: Tiny) -> None:
    tiny.declare_payload("science", "ipykernel")
    tiny.declare_image(payloads=["science"])
    ref = ImageRef("lab", "r1_0_0")
    imported = do(tiny, explicit(tiny), ref)
    assert [(e.name, e.conda) for e in imported.environments] == [("lab", 3), ("science", 4)]
    lock = tiny.catalogue.image_lock(ref)
    assert lock.declared == tiny.catalogue.declared("lab")
    assert lock.locked_with.solver.startswith("peel-micromamba")
    assert {package.name for package in tiny.catalogue.conda_lock(ref, "lab")} == {"jupyterlab", "python", "libffi"}
    assert plan_of(tiny, ref).kernels == (("science", "science"),)


def test_of_several_payloads_one_has_to_be_named(tiny: Tiny) -> None:
    for name in ("one", "two"):
        tiny.declare_payload(name, "ipykernel")
    tiny.declare_image(payloads=["one", "two"])
    ref = ImageRef("lab", "r1_0_0")
    error = refused(tiny, UsageError, explicit(tiny), ref)
    assert (error.message, error.hint) == (
        "lab has 2 payloads", "say which one the list is of, with --environment: lab, one, two",
    )  # fmt: skip
    assert "no environment 'three'" in refused(tiny, UsageError, explicit(tiny), ref, environment="three").message
    told = do(tiny, explicit(tiny), ref, environment="two", dry_run=True)
    assert [environment.name for environment in told.environments] == ["two"]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"prefix": "/opt/x/y"}, "--prefix makes no sense here"),
        ({"base": "docker.io/library/x:1"}, "--base makes no sense here"),
        ({"skip_link_scripts": True}, "--skip-link-scripts makes no sense here"),
        ({"platform": Platform("linux-aarch64")}, "is for linux-64, and --platform says linux-aarch64"),
    ],
)
def test_what_a_declaration_says_already_is_not_said_again(tiny: Tiny, wish: dict[str, Any], message: str) -> None:
    tiny.declare_payload("science", "ipykernel")
    tiny.declare_image(payloads=["science"])
    assert message in refused(tiny, UsageError, explicit(tiny), ImageRef("lab", "r1_0_0"), **wish).message


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"environment": "Not A Name"}, "--environment: should be lower-case"),
        ({"prefix": "relative"}, "--prefix: should be a plain absolute path"),
        ({"theirs": "dev"}, "is of one environment that has no name, not of 'dev'"),
        ({"channels": ("https://u:p@host/c",)}, "password or token written into a channel"),
    ],
)
def test_a_wish_that_no_lock_can_hold_is_refused_by_its_option(tiny: Tiny, wish: dict[str, Any], message: str) -> None:
    assert message in refused(tiny, PeelError, explicit(tiny), **wish).message


def test_a_loose_list_is_solved_as_it_stands(tiny: Tiny) -> None:
    text = f"name: bleed\nchannels: ['{tiny.channel.as_uri()}']\ndependencies: [jupyterlab <5, python=3.13.1=h1_1]\n"
    imported = do(tiny, text)
    assert [(e.name, e.conda, e.pip, e.missing) for e in imported.environments] == [("bleed", 3, 0, 0)]
    lock = tiny.catalogue.image_lock(OLD)
    assert lock.declared.environments[0].dependencies == ("jupyterlab <5", "python ==3.13.1 h1_1")
    assert lock.locked_with.solver.startswith("peel-micromamba")


def test_a_loose_list_is_counted_where_nothing_is_to_be_solved(tiny: Tiny) -> None:
    text = f"channels: ['{tiny.channel.as_uri()}']\ndependencies: [jupyterlab <5, libffi=3.4=0]\n"
    told = do(tiny, text, dry_run=True)
    assert [(e.conda, e.missing) for e in told.environments] == [(2, 2)]
    assert [(m.title, m.artifact.why) for m in told.missing] == [
        ("jupyterlab <5", "not pinned to one build: a solver would decide"),
        ("libffi 3.4 0", "not at hand: it would be looked up"),
    ]
    partly = do(tiny, text, partial=True, solver=no_solver)
    assert [(m.title, m.artifact.version) for m in partly.missing] == [("jupyterlab <5", "<5")]


def test_a_loose_list_is_no_lock_of_a_declared_environment(tiny: Tiny) -> None:
    tiny.declare_payload("science", "ipykernel")
    tiny.declare_image(payloads=["science"])
    error = refused(tiny, DocumentError, "dependencies: [ipykernel]\n", ImageRef("lab", "r1_0_0"))
    assert "does not pin every package to one build" in error.message
    assert "peel lock lab:r1_0_0" in (error.hint or "")


def test_a_dry_run_asks_nobody_and_writes_nothing(tiny: Tiny) -> None:
    text = explicit(tiny, "sha256")
    told = do(tiny, text, dry_run=True)
    assert (told.written, len(told.missing)) == (False, 4)
    assert not tiny.catalogue.lock_directory(OLD).exists()
    do(tiny, text)
    shutil.rmtree(tiny.channel)
    assert do(tiny, text, dry_run=True).missing == ()


def test_a_list_for_another_platform_is_refused(tiny: Tiny) -> None:
    text = exported(tiny).replace("linux-64", "osx-arm64")
    assert "osx-arm64" in refused(tiny, DocumentError, text).message
    with pytest.raises(DocumentError, match="not for linux-aarch64"):
        do(tiny, exported(tiny), platform=Platform("linux-aarch64"))


@contextmanager
def served(directory: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


TOKEN = "tk-5ecre7-value"  # noqa: S105 - of a channel that lives as long as the test


def test_the_token_of_a_list_is_a_variable_in_the_lock_and_nowhere_else(tiny: Tiny) -> None:
    place = tiny.root / "served" / "t" / TOKEN
    place.mkdir(parents=True)
    (place / "private").symlink_to(tiny.channel)
    variables = {"PEEL_SECRETS": "TOKEN", "TOKEN": TOKEN}
    with served(tiny.root / "served") as host:
        channel = f"{host}/t/$TOKEN/private"
        do(tiny, explicit(tiny, base=channel), variables=variables)
        do(tiny, exported(tiny), ImageRef("other", "1"), channels=(channel,), variables=variables)
        with pytest.raises(UsageError, match="TOKEN, which PEEL_SECRETS does not list"):
            do(tiny, explicit(tiny, base=channel), ImageRef("third", "1"))
        error = refused(
            tiny, ArtifactError, exported(tiny), ImageRef("third", "1"), channels=(f"{channel}/x",), variables=variables
        )
    assert TOKEN not in f"{error.message}{error.hint}"
    kept = [path for path in [*tiny.root.glob("lockfiles/**/*"), *tiny.store.root.rglob("*")] if path.is_file()]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]
    assert b"/t/$TOKEN/private" in lock_file(tiny)
    assert b"/t/${TOKEN}/private" in lock_file(tiny, ref=ImageRef("other", "1"))


def test_wheels_are_found_by_name_and_version_in_the_indexes_that_are_declared(tiny: Tiny) -> None:
    tiny.add("pip", "25.0", noarch="python", depends=["python"], files={"site-packages/pip.py": ""})
    simple = tiny.root / "index" / "simple" / "small-wheel"
    simple.mkdir(parents=True)
    made = archives.wheel(simple / "small_wheel-1.5-py3-none-any.whl", {"small_wheel.py": b""})
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    (simple / "index.html").write_text(f'<a href="{made.name}#sha256={digest}">{made.name}</a>')
    (simple.parent / "index.html").write_text('<a href="small-wheel/">small-wheel</a>')
    text = exported(tiny) + "Small_Wheel=1.5=pypi_0\n"
    with served(tiny.root / "index") as host:
        tiny.declare_payload("science", "ipykernel")
        spec = tiny.root / "envs" / "science" / "environment.yml"
        spec.write_text(spec.read_text() + f"pip-repositories: ['{host}/simple']\nallow-pypi-requests: false\n")
        tiny.declare_image(payloads=["science"])
        ref = ImageRef("lab", "r1_0_0")
        error = refused(tiny, ArtifactError, text.replace("=1.5=", "=1.6="), ref)
        assert "1 artifact cannot be had" in error.message
        assert "small-wheel 1.6 (pip, line 7)" in error.message
        imported = do(tiny, text, ref)
    assert [(e.name, e.conda, e.pip) for e in imported.environments][1] == ("science", 5, 1)
    (wheel,) = (each for each in tiny.catalogue.conda_lock(ref, "science") if each.manager == "pip")
    assert (wheel.name, wheel.version, wheel.hash.sha256) == ("small-wheel", "1.5", digest)


def test_a_wheel_of_a_list_without_a_python_has_a_reason_of_its_own(tiny: Tiny) -> None:
    text = "libffi=3.4=0\nwrapt=1.11.1=pypi_0\n"
    error = refused(tiny, ArtifactError, text, channels=(tiny.channel.as_uri(),), solver=no_solver)
    assert "the list has no conda python" in error.message


def peel(tiny: Tiny, *argv: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(tiny.root), "--store", str(tiny.store.root), *argv])


def test_the_verb_says_what_was_read_as_json_and_as_a_table(tiny: Tiny) -> None:
    path = tiny.root / "list.txt"
    path.write_text(explicit(tiny))
    archives_of(tiny)[0].unlink()
    argv = ["import", str(path), "old:r1_0_0", "--base", tiny.base]
    done = peel(tiny, *argv, "--partial", "--json")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert {key: said[key] for key in ("schema", "image", "tag", "format", "written")} == {
        "schema": 1, "image": "old", "tag": "r1_0_0", "format": "explicit", "written": True,
    }  # fmt: skip
    assert said["environments"] == {"imported": {"conda": 4, "pip": 0, "missing": 1}}
    assert [(each["name"], each["line"]) for each in said["missing"]] == [("ipykernel", 3)]
    shown = peel(tiny, "show", "old:r1_0_0")
    assert shown.stdout.splitlines()[0] == "old:r1_0_0 is incomplete: 1 artifact missing"
    assert "incomplete: 1 artifact missing" in peel(tiny, "list").stdout
    assert peel(tiny, "build", "old:r1_0_0").exit_code == 3
    failed = peel(tiny, *argv)
    assert (failed.exit_code, failed.stdout) == (5, "")
    table = peel(tiny, *argv, "--dry-run").stdout
    assert table.splitlines()[0].split() == ["ENVIRONMENT", "CONDA", "PIP", "MISSING"]
    assert "nothing was written" in table


def test_the_help_is_as_it_was_read_over(golden: Callable[[str, bytes], None]) -> None:
    plain = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100", "TERMINAL_WIDTH": "100"}
    argv = [Path(sys.executable).parent / "peel", "import", "--help"]
    done = subprocess.run(argv, env={**plain, "HOME": "/nonexistent"}, capture_output=True, check=True)
    golden("cli/import.txt", done.stdout)


def test_the_verb_chooses_an_environment_of_a_lock_that_holds_several(tiny: Tiny) -> None:
    do(tiny, explicit(tiny))
    document = lock_file(tiny).decode().replace("name: libffi", "name: libffi\n  # of tests", 1)
    text = document.replace("category: main", "category: dev", 1)
    path = tiny.root / "several.yml"
    path.write_text(text)
    argv = ["import", str(path), "new:1", "--base", tiny.base, "--json", "--environment"]
    assert json.loads(peel(tiny, *argv, "mine=dev").stdout)["environments"] == {
        "mine": {"conda": 4, "pip": 0, "missing": 0}
    }
    assert json.loads(peel(tiny, *argv, "mine").stdout)["environments"]["mine"]["conda"] == 3
    assert peel(tiny, *argv, "mine=docs").exit_code == 2


LEGACY = Path(__file__).parents[2] / "shared" / "data" / "legacy-locks"


@pytest.mark.skipif(not LEGACY.is_dir(), reason="the real lists of ../shared are not beside this checkout")
@pytest.mark.parametrize(
    ("start", "name", "conda", "pip"),
    [
        ("2016-02", "imported", 41, 0),
        ("2019-03", "imported", 88, 2),
        ("2020-05", "pinned_20200506", 250, 2),
        ("2020-08_cb4e2dc_conda-", "imported", 284, 0),
        ("2020-08_cb4e2dc_conda3", "bleed", 74, 0),
        ("2021-11", "imported", 213, 0),
    ],
)
def test_the_verb_counts_real_lists_rightly(tiny: Tiny, start: str, name: str, conda: int, pip: int) -> None:
    (path,) = LEGACY.glob(f"{start}*")
    done = peel(tiny, "import", str(path), "old:r1_0_0", "--platform", "linux-64", "--partial", "--dry-run", "--json")
    assert json.loads(done.stdout)["environments"] == {name: {"conda": conda, "pip": pip, "missing": conda + pip}}


def test_a_look_at_a_list_loads_nothing_that_takes_its_time(tiny: Tiny) -> None:
    path = tiny.root / "list.txt"
    path.write_text(explicit(tiny))
    argv = ["-C", str(tiny.root), "import", str(path), "old:r1_0_0", "--partial", "--dry-run", "--json"]
    script = f"import sys; from peel.cli import app; sys.argv = {['peel', *argv]}; app(standalone_mode=False)"
    told = f"import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); {script}"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["written"] is False
    assert not {"rattler", "httpx", "zstandard", "rich", "asyncio", "packaging"} & set(done.stderr.split())
