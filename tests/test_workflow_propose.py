"""``peel propose``: only the payload is locked, the report tells what matters, and files come whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import history_samples as samples
from channels import index, make_package
from peel.demo.wheel_index import WheelIndex, serve_wheel_index
from peel.errors import DocumentError, UsageError
from peel.model.declared import Declared
from peel.model.plan import Plan
from peel.model.progress import Silent
from peel.model.proposal.recognise import Form
from peel.tools.conda_lock import CondaLock
from peel.tools.micromamba import find_solver
from peel.workflow.build import Built, build_image
from peel.workflow.fetching import Sources
from peel.workflow.lab import KernelCheck
from peel.workflow.lock import FORMATS
from peel.workflow.propose.declare import Wish
from peel.workflow.propose.given import make_name, read_given
from peel.workflow.propose.proposal import Proposal
from peel.workflow.propose.proposing import Proposing, choose_name
from peel.workflow.propose.target import open_target
from test_model_proposal import DOCKERFILE, REQUIREMENTS, SCRIPT
from test_workflow_build import SmallLayers
from tiny import EMBEDDED, REF, Tiny

PEEL = Path(sys.executable).parent / "peel"


def works(built: Built) -> Sequence[KernelCheck]:
    return [KernelCheck(kernel, passed=True, version="3.13.1 (main)") for _, kernel in built.plan.kernels]


def fails(built: Built) -> Sequence[KernelCheck]:
    return [KernelCheck(kernel, passed=False, detail="no zmq") for _, kernel in built.plan.kernels]


def interrupts(_: Built) -> Sequence[KernelCheck]:
    raise KeyboardInterrupt


@dataclass
class Author:
    """Somebody with a catalogue whose image ``lab`` is locked, and with files of her own beneath ``home``."""

    tiny: Tiny
    home: Path
    asked: list[str]

    def write(self, name: str, content: Any) -> str:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return str(path)

    def environment(self, *dependencies: Any, channels: Sequence[str] = (), **more: Any) -> str:
        spec = {"channels": list(channels) or [index(self.tiny.channel)], "dependencies": list(dependencies), **more}
        return self.write("environment.yml", spec)

    def propose(
        self, path: str, *, name: str | None = "mine", wish: Wish | None = None, answer: bool = False,
        kernels: Callable[[Built], Sequence[KernelCheck]] = works, **options: bool,
    ) -> Proposal:  # fmt: skip
        def ask(question: str) -> bool:
            self.asked.append(question)
            return answer

        def build(plan: Plan, sources: Sources) -> Built:
            return build_image(
                plan, store=self.tiny.store, sources=sources, make_layers=SmallLayers(self.tiny.store),
                formats=FORMATS, progress=Silent(),
            )  # fmt: skip

        def conda_lock(_: Declared) -> CondaLock:
            return CondaLock(find_solver(EMBEDDED), {})

        given, catalogue = read_given(path), self.tiny.catalogue
        proposing = Proposing(
            catalogue, self.tiny.store, conda_lock, build, kernels, ask, Silent(), **options
        )  # fmt: skip
        return proposing.propose(
            given, choose_name(name, given, catalogue), wish or Wish(), open_target(None, catalogue)
        )

    def declared(self, name: str = "mine") -> dict[str, str]:
        place = self.tiny.root / "envs" / name
        return {str(p.relative_to(place)): p.read_text() for p in sorted(place.rglob("*")) if p.is_file()}


@pytest.fixture
def author(tmp_path: Path) -> Author:
    tiny = Tiny(tmp_path)
    make_package(tiny.channel, "numpy", "2.1", depends=["python"], files={"lib/numpy": "n" * 5000})
    make_package(tiny.channel, "odd", "1.0", license="UNKNOWN", files={"share/odd": "odd"})
    tiny.declare_payload("sci", "ipykernel", "python")
    tiny.declare_image(payloads=["sci"])
    tiny.lock_simply()
    return Author(tiny, tmp_path / "home", [])


def codes(proposal: Proposal, level: str = "") -> list[str]:
    return [finding.code for finding in proposal.findings if level in {"", finding.level}]


def test_an_environment_that_works_is_declared_as_it_was_given(author: Author) -> None:
    path = author.environment("python 3.13.*", "numpy >=2", "ipykernel >=7")
    proposal = author.propose(path)
    assert (proposal.passed, list(proposal.findings)) == (True, [])
    assert author.declared()["environment.yml"] == Path(path).read_text()
    payload = yaml.safe_load(author.declared()["payload.yaml"])
    assert payload == {
        "schema": 1, "kind": "conda", "environment": "environment.yml",
        "kernel": {"name": "mine", "display_name": "Mine"}, "menu": {"title": "Mine"},
    }  # fmt: skip
    assert proposal.written == ("envs/mine/environment.yml", "envs/mine/payload.yaml")


def test_the_report_tells_what_is_installed_how_big_and_what_is_shared(author: Author) -> None:
    proposal = author.propose(author.environment("python 3.13.*", "numpy >=2", "ipykernel >=7"))
    assert [(p.name, p.version, p.license) for p in proposal.packages] == [
        ("ipykernel", "7.0", "MIT"), ("numpy", "2.1", "MIT"), ("python", "3.13.1", "MIT"),
    ]  # fmt: skip
    numpy = proposal.packages[1]
    assert numpy.size == (author.tiny.channel / "linux-64/numpy-2.1-0.conda").stat().st_size
    assert numpy.installed == 5000
    assert [(each.environment, each.packages) for each in proposal.shared] == [("lab", 1), ("sci", 2)]
    assert proposal.layers is not None
    assert (proposal.layers.count, proposal.layers.new) == (2, 2)
    assert (proposal.python, proposal.image, proposal.form) == ("3.13.1", "lab:r1_0_0", "environment.yml")


def test_only_the_payload_is_locked_and_the_catalogue_keeps_its_locks(author: Author) -> None:
    before = author.tiny.files()
    make_package(author.tiny.channel, "jupyterlab", "9.9", depends=["no-such-package"])  # a lab locked anew would fail
    plans: list[Plan] = []

    def see(built: Built) -> Sequence[KernelCheck]:
        plans.append(built.plan)
        return works(built)

    assert author.propose(author.environment("python >=3", "ipykernel >=7"), kernels=see).passed
    (plan,) = plans
    assert [name for name, _ in plan.kernels] == ["mine"]
    assert author.tiny.files() == before
    assert author.tiny.catalogue.tags("lab") == [REF.tag]


def test_a_dry_run_stops_after_the_resolution_and_writes_nothing(author: Author) -> None:
    proposal = author.propose(author.environment("numpy", "ipykernel"), dry_run=True, kernels=interrupts)
    assert proposal.passed
    assert proposal.kernel is None
    assert proposal.layers is None
    assert {p.name for p in proposal.packages} == {"ipykernel", "numpy", "python"}
    assert [p.name for p in proposal.packages if p.size is None] == ["numpy"]  # not fetched
    assert author.declared() == {}


def test_a_payload_without_ipykernel_fails_until_somebody_lets_it_be_added(author: Author) -> None:
    path = author.environment("numpy >=2")
    refused = author.propose(path)
    assert (refused.passed, codes(refused, "error")) == (False, ["no-ipykernel"])
    assert "--add-ipykernel" in next(f.hint for f in refused.findings if f.code == "no-ipykernel")
    assert author.asked == ["mine has no ipykernel, so no kernel can run in it. Add it?"]
    assert author.declared() == {}
    assert author.propose(path, answer=True).passed
    assert "- ipykernel\n" in author.declared()["environment.yml"]
    assert author.declared()["given/environment.yml"] == Path(path).read_text()
    asked = len(author.asked)
    assert author.propose(path, name="other", wish=Wish(add_ipykernel=True)).passed
    assert len(author.asked) == asked


def test_what_cannot_be_solved_fails_with_the_solvers_words_and_writes_nothing(author: Author) -> None:
    proposal = author.propose(author.environment("no-such-thing >=2", "ipykernel >=7"))
    assert (proposal.passed, codes(proposal)) == (False, ["declaration"])
    assert "no-such-thing" in proposal.findings[0].message
    assert author.declared() == {}


def test_wheels_that_do_not_go_together_fail_a_proposal_as_packages_do(author: Author, tmp_path: Path) -> None:
    make_package(author.tiny.channel, "pip", "25.0")
    (tmp_path / "simple").mkdir()
    (tmp_path / "simple/index.html").write_text("<!DOCTYPE html><html><body></body></html>")
    index_of_nothing = WheelIndex(tmp_path, ())
    with serve_wheel_index(index_of_nothing) as url:
        section = {"pip": [f"--index-url {url}", "no-such-wheel"]}
        proposal = author.propose(author.environment("python >=3", "ipykernel >=7", "pip", section))
    assert codes(proposal, "error") == ["declaration"]
    assert "no wheels satisfy" in proposal.findings[0].message
    assert author.declared() == {}


def test_a_misspelt_channel_is_named_beside_the_failure_that_it_causes(author: Author) -> None:
    unreachable = "http://127.0.0.1:9/conda"
    proposal = author.propose(author.environment("numpy >=2", channels=[unreachable, "conda-froge"]))
    assert codes(proposal) == ["declaration", "new-channel", "misspelt-channel"]
    assert "conda-forge" in next(f.message for f in proposal.findings if f.code == "misspelt-channel")


def test_channels_named_on_the_command_line_are_used_and_declared(author: Author) -> None:
    channel = index(author.tiny.channel)
    proposal = author.propose(author.environment("ipykernel >=7", channels=["default"]), wish=Wish(channels=(channel,)))
    assert proposal.passed
    assert yaml.safe_load(author.declared()["environment.yml"])["channels"] == [channel]


def test_packages_without_a_licence_are_a_warning(author: Author) -> None:
    proposal = author.propose(author.environment("odd >=1", "ipykernel >=7"))
    assert proposal.passed
    assert [(f.code, f.message.rpartition(": ")[2]) for f in proposal.findings] == [("no-license", "odd")]


def test_a_kernel_that_fails_fails_the_proposal_and_nothing_is_written(author: Author) -> None:
    proposal = author.propose(author.environment("ipykernel >=7"), kernels=fails)
    assert not proposal.passed
    assert proposal.kernel is not None
    assert [f.message for f in proposal.findings] == ["its kernel fails: no zmq"]
    assert author.declared() == {}


def test_an_interrupt_leaves_nothing(author: Author) -> None:
    with pytest.raises(KeyboardInterrupt):
        author.propose(author.environment("ipykernel >=7"), kernels=interrupts)
    assert author.declared() == {}
    assert not list((author.tiny.root / "envs").glob(".*"))
    assert list((author.tiny.store.root / "tmp").iterdir()) == []


def test_a_declaration_that_is_there_is_overwritten_only_by_force(author: Author) -> None:
    author.propose(author.environment("ipykernel >=7"))
    path = author.environment("numpy >=2", "ipykernel >=7")
    with pytest.raises(UsageError, match=r"envs/mine/environment\.yml is there already") as raised:
        author.propose(path)
    assert "--force" in str(raised.value.hint)
    assert author.propose(path, force=True).written == ("envs/mine/environment.yml",)
    assert "numpy" in author.declared()["environment.yml"]
    assert author.propose(path).written == ()  # it says the same


def test_a_payload_that_is_declared_already_is_tried_as_it_is(author: Author) -> None:
    author.propose(author.environment("ipykernel >=7"))
    place = author.tiny.root / "envs/mine"
    (place / "setup.sh").write_text("export MORE=1\n")
    (place / "payload.yaml").write_text((place / "payload.yaml").read_text() + "setup: setup.sh\n")
    before = author.declared()
    proposal = author.propose(str(place), name=None)
    assert (proposal.name, proposal.passed, proposal.written, codes(proposal)) == ("mine", True, (), ["declared"])
    assert author.declared() == before


def test_a_list_of_exact_packages_is_asked_for_exactly(author: Author) -> None:
    names = ("python-3.13.1-0", "ipykernel-7.0-0")
    urls = [f"{index(author.tiny.channel)}/linux-64/{name}.conda" for name in names]
    path = author.write("frozen.txt", "\n".join(["# platform: linux-64", "@EXPLICIT", *urls, ""]))
    proposal = author.propose(path, name=None)
    assert (proposal.name, proposal.form, proposal.passed) == ("frozen", "list of packages", True)
    declared = yaml.safe_load(author.declared("frozen")["environment.yml"])
    assert declared == {
        "channels": [index(author.tiny.channel)],
        "dependencies": ["python 3.13.1 0", "ipykernel 7.0 0"],
    }
    assert codes(proposal) == ["no-sha256", "list"]


def test_two_payloads_with_one_kernel_or_the_labs_name_are_refused(author: Author) -> None:
    path = author.environment("ipykernel >=7")
    author.propose(path)
    payload = author.tiny.root / "envs/mine/payload.yaml"
    payload.write_text(payload.read_text().replace("name: mine", "name: sci"))
    proposal = author.propose(str(payload), name="mine")
    assert (proposal.passed, "kernel 'sci' stands twice" in proposal.findings[0].message) == (False, True)
    for name in ("lab", "patches", "Not A Name", "../x"):
        with pytest.raises(UsageError, match="cannot be called"):
            author.propose(path, name=name)


def test_a_proposal_needs_an_image_that_is_locked(author: Author) -> None:
    author.tiny.write("other.yaml", {"schema": 1, "base": author.tiny.base})
    with pytest.raises(UsageError, match="other is not locked"):
        open_target("other", author.tiny.catalogue)
    with pytest.raises(DocumentError, match="lab:r9 is not locked"):
        open_target("lab:r9", author.tiny.catalogue)
    assert open_target("lab", author.tiny.catalogue).ref == REF


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.txt", samples.ENVIRONMENT, Form.ENVIRONMENT),
        ("a.yml", REQUIREMENTS, Form.REQUIREMENTS),
        ("a", SCRIPT, Form.SCRIPT),
        ("a.sh", DOCKERFILE, Form.DOCKERFILE),
    ],
)
def test_a_file_is_read_by_its_contents_whatever_its_name(author: Author, name: str, content: str, form: Form) -> None:
    assert read_given(author.write(name, content)).form is form


def test_a_directory_is_what_lies_in_it(author: Author) -> None:
    author.write("docker/Dockerfile", DOCKERFILE)
    author.write("docker/data/more.txt", "more")
    author.write("docker/.git/config", "no part of it")
    given = read_given(str(author.home / "docker"))
    assert (given.form, given.name, sorted(given.files or {})) == (
        Form.DOCKERFILE, "docker", ["Dockerfile", "data/more.txt"],
    )  # fmt: skip
    author.write("pip/requirements.txt", "-r more/base.txt\nnumpy\n")
    author.write("pip/more/base.txt", "scipy\n")
    given = read_given(str(author.home / "pip"))
    assert (given.form, given.name, given.files) == (Form.REQUIREMENTS, "pip", {"more/base.txt": b"scipy\n"})


def test_a_reference_of_an_image_is_taken_by_its_name(author: Author) -> None:
    given = read_given("docker://ghcr.io/lsst/scipipe:al9-w_2026_40")
    assert (given.form, given.name, given.text) == (Form.IMAGE, "scipipe", "ghcr.io/lsst/scipipe:al9-w_2026_40")
    assert author.tiny.catalogue.images() == ["lab"]


def test_what_is_not_there_or_not_clear_is_refused_with_what_to_do(author: Author) -> None:
    author.write("both/environment.yml", samples.ENVIRONMENT)
    author.write("both/requirements.txt", REQUIREMENTS)
    author.write("none/README", "text")
    for path, words in (
        ("nowhere", "no such file"),
        ("both", "environment.yml and requirements.txt"),
        ("none", "nothing"),
    ):
        with pytest.raises(UsageError, match=words):
            read_given(str(author.home / path))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Old Stack", "old-stack"),
        ("environment", ""),
        ("SPHEREx_2", "spherex_2"),
        ("..", ""),
        ("é", ""),
        ("lab", "lab"),
    ],
)
def test_a_payload_is_called_as_its_file_says_where_that_can_be(text: str, name: str) -> None:
    assert make_name(text) == name


def test_the_command_prints_a_report_and_exits_by_it(author: Author) -> None:
    argv = [
        str(PEEL),
        "-C",
        str(author.tiny.root),
        "--store",
        str(author.tiny.store.root),
        "propose",
        "-q",
        "--dry-run",
    ]
    path = author.environment("numpy >=2", "ipykernel >=7")
    done = subprocess.run([*argv, path, "--json", "--name", "mine"], capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr, told["schema"], told["passed"], told["name"]) == (0, "", 1, True, "mine")
    done = subprocess.run(
        [*argv, author.environment("numpy"), "--name", "x"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[-1].startswith("FAIL  x does not work in lab:r1_0_0 as it is (")
