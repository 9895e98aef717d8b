"""``peel propose``: the steps from what an author has to a report, and to files in the catalogue if all is well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final

from peel.errors import ArtifactError, DocumentError, UsageError
from peel.model.condalock import CondaLockPackage
from peel.model.declared import Declared
from peel.model.plan import CapturedLayer, EnvironmentLayer, LayerStep, Plan, make_plan
from peel.model.progress import Progress
from peel.model.proposal.channels import judge_channels
from peel.model.proposal.findings import Finding, error, in_order
from peel.model.proposal.packages import ProposedPackage, channel_of, judge_packages, share
from peel.model.values import Digest, is_name
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock
from peel.workflow.build import Built
from peel.workflow.containers import chosen_buildah, import_image
from peel.workflow.fetching import Sources
from peel.workflow.inspect import Inspected
from peel.workflow.lab import KernelCheck, check, launch
from peel.workflow.launch import expected_kernels
from peel.workflow.propose.declare import IPYKERNEL, Draft, Wish, declare
from peel.workflow.propose.given import Given
from peel.workflow.propose.heard import Heard
from peel.workflow.propose.locking import Locked, Solved, lock_payload, solve_payload
from peel.workflow.propose.place import put_in_place, refuse_overwriting
from peel.workflow.propose.proposal import Proposal, ProposedLayers
from peel.workflow.propose.target import Resolved, Target, join_payload, resolve_payload

_TAKEN: Final = frozenset({"lab", "patches"})
_NO_IPYKERNEL: Final = "no-ipykernel"


@dataclass(frozen=True, slots=True)
class Proposing:
    """What proposing takes.

    ``conda_lock`` is made once it is known which secrets the channels need, ``build`` performs a plan, ``run_kernels``
    runs a cell in all kernels of an image, ``ask`` puts a question to whoever is there to answer it.
    """

    catalogue: Catalogue
    store: Store
    conda_lock: Callable[[Declared], CondaLock]
    build: Callable[[Plan, Sources], Built]
    run_kernels: Callable[[Built], Sequence[KernelCheck]]
    ask: Callable[[str], bool]
    progress: Progress
    dry_run: bool = False
    force: bool = False

    def propose(self, given: Given, name: str, wish: Wish, target: Target) -> Proposal:
        """Try a payload with an image, and put its declaration into the catalogue if it works.

        What is wrong with the payload is a finding of the report; raised is what is wrong with the request or the
        machine: UsageError, ToolError.
        """
        began = monotonic()
        proposal = Proposal(
            name=name, source=given.origin, form=given.form.value if given.form else "payload.yaml", kind="",
            image=str(target.ref), platform=target.platform.subdir, dry_run=self.dry_run,
        )  # fmt: skip
        trying = _Trying(self, given, name, target, proposal)
        with trying.judging("declaration"):
            trying.run(wish)
        found = in_order([*trying.proposal.findings, *trying.findings])
        return replace(trying.proposal, findings=tuple(found), seconds=monotonic() - began)


@dataclass(slots=True)
class _Trying:
    """One proposal on its way; ``findings`` and ``proposal`` are what is known of it so far."""

    tools: Proposing
    given: Given
    name: str
    target: Target
    proposal: Proposal
    findings: list[Finding] = field(default_factory=list)

    @contextmanager
    def judging(self, code: str) -> Iterator[None]:
        """Let what is wrong with the payload become a finding."""
        try:
            yield
        except (DocumentError, ArtifactError) as found:
            self.findings.append(error(code, found.message, found.hint or ""))

    def run(self, wish: Wish) -> None:
        """All steps, until one shows that there is no use in the next."""
        draft, resolved = self._declare(wish)
        conda_lock = self.tools.conda_lock(join_payload(self.target, resolved.payload))
        solved = self._solve(resolved, conda_lock)
        if not resolved.payload.is_captured and not self._has_ipykernel(solved):
            if not self._may_add_ipykernel(wish):
                return
            draft, resolved = self._declare(replace(wish, add_ipykernel=True))
            solved = self._solve(resolved, conda_lock)
        if self.tools.dry_run or self._is_refused():
            return
        sources = Sources(conda_lock.secrets)
        self._try_kernel(self._lock(solved, conda_lock, sources), sources)
        if not self._is_refused() and self.proposal.kernel and self.proposal.kernel.passed:
            place = self.tools.catalogue.root / "envs" / self.name
            written = put_in_place(place, draft.files)
            names = tuple(str(path.relative_to(self.tools.catalogue.root)) for path in written)
            self.proposal = replace(self.proposal, written=names)

    def _declare(self, wish: Wish) -> tuple[Draft, Resolved]:
        draft = declare(self.given, self.name, wish, self.target.surroundings())
        place = self.tools.catalogue.root / "envs" / self.name
        if not self.tools.dry_run:
            refuse_overwriting(place, draft.files, force=self.tools.force)
        judged = tuple(judge_channels(draft.channels, self.target.channels))
        self.proposal = replace(self.proposal, findings=(*draft.findings, *judged))
        with self.tools.store.work() as scratch:
            resolved = resolve_payload(self.name, draft.files, self.target, scratch)
        self.proposal = replace(self.proposal, kind=resolved.payload.kind)
        return draft, resolved

    def _solve(self, resolved: Resolved, conda_lock: CondaLock) -> Solved:
        tools = self.tools
        with self._told_with_channels():
            solved = solve_payload(
                resolved, self.target, store=tools.store, conda_lock=conda_lock, progress=tools.progress
            )
        self._describe([_of_lock(package, tools.store) for package in solved.on(self.target.platform.subdir)])
        return solved

    @contextmanager
    def _told_with_channels(self) -> Iterator[None]:
        """A channel that is misspelt explains a solve that fails: both are told."""
        try:
            yield
        except (DocumentError, ArtifactError) as found:
            meant = [each.hint for each in self.proposal.findings if each.code == "misspelt-channel"]
            found.hint = meant[0] if meant else found.hint
            raise

    def _has_ipykernel(self, solved: Solved) -> bool:
        platforms = self.target.declared.platforms
        return all(IPYKERNEL in {package.name for package in solved.on(name)} for name in platforms)

    def _may_add_ipykernel(self, wish: Wish) -> bool:
        """Whether it may be added; else its absence is what the proposal fails for."""
        can = self.given.form is not None and not wish.add_ipykernel
        if can and self.tools.ask(f"{self.name} has no ipykernel, so no kernel can run in it. Add it?"):
            return True
        hint = "let it be added with --add-ipykernel" if can else "add ipykernel to its packages"
        self.findings.append(error(_NO_IPYKERNEL, "has no ipykernel, so no kernel can run in it", hint))
        return False

    def _is_refused(self) -> bool:
        return any(each.level == "error" for each in (*self.findings, *self.proposal.findings))

    def _lock(self, solved: Solved, conda_lock: CondaLock, sources: Sources) -> Locked:
        tools, heard = self.tools, Heard(self.tools.progress)
        try:
            locked = lock_payload(
                solved, self.target, store=tools.store, conda_lock=conda_lock, sources=sources,
                buildah=lambda: chosen_buildah(tools.store), progress=heard,
            )  # fmt: skip
        finally:
            self.findings += heard.findings()
        found = locked.inspected[self.target.platform.subdir]
        packages = [_of_archive(item) for item in sorted(found, key=lambda item: item.package.name)]
        self._describe(packages)
        unhashed = [item.package.name for item in found if not item.package.hash.sha256]
        self.findings += judge_packages(packages, unhashed)
        return locked

    def _describe(self, packages: Sequence[ProposedPackage]) -> None:
        others = {
            each.name: {package.digest.hex: package.size for package in self.target.packages(each.name)}
            for each in self.target.declared.environments
        }
        self.proposal = replace(self.proposal, packages=tuple(packages), shared=tuple(share(packages, others)))

    def _try_kernel(self, locked: Locked, sources: Sources) -> None:
        """Build lab and payload, and run a cell in the payload's kernel."""
        tools = self.tools
        plan = make_plan(locked.locks, self.target.platform)
        tools.progress.step(f"building the lab with {self.name}")
        built = tools.build(plan, sources)
        self.proposal = replace(self.proposal, layers=_layers(built, self.name))
        tools.progress.step(f"starting the kernel of {self.name}")
        kernel = next((kernel for payload, kernel in plan.kernels if payload == self.name), None)
        said = next((each for each in tools.run_kernels(built) if each.name == kernel), None)
        if said is None:
            self.findings.append(error("kernel", "the image has no kernel of it", "see kernel in its payload.yaml"))
            return
        self.proposal = replace(self.proposal, kernel=replace(said, version=said.version.partition(" ")[0]))
        if not said.passed:
            self.findings.append(error("kernel", f"its kernel fails: {said.detail}"))


def run_kernels(built: Built, store: Store) -> Sequence[KernelCheck]:
    """Start the lab of an image that nobody has recorded, and run a cell in every kernel through it.

    Raises ToolError when the lab does not come up.
    """
    engine = chosen_buildah(store)
    with launch(import_image(built.manifest, store, engine), engine=engine) as running:
        return check(running, expected_kernels(built.plan))


def choose_name(wished: str | None, given: Given, catalogue: Catalogue) -> str:
    """What the payload is to be called: as was wished, as its directory in the catalogue is, or as it says.

    Raises UsageError when nothing says it, or when it cannot be called so.
    """
    name = wished or _place_in(catalogue, given) or given.name
    if not name:
        raise UsageError(f"{given.origin} does not say what the payload is called", hint="name it with --name NAME")
    if not is_name(name) or name in _TAKEN:
        raise UsageError(
            f"a payload cannot be called {name!r}", hint="lower-case letters and digits, parted by . _ or -; not lab"
        )
    return name


def _place_in(catalogue: Catalogue, given: Given) -> str:
    """The payload whose directory a file lies in, "" for a file elsewhere."""
    envs = (catalogue.root / "envs").resolve()
    directory = given.path.resolve().parent if given.path else envs
    return directory.name if directory.parent == envs else ""


def _layers(built: Built, name: str) -> ProposedLayers:
    own = [layer for layer in built.layers if _is_of(layer.step, name)]
    new = [layer for layer in own if not layer.reused or isinstance(layer.step, CapturedLayer)]  # captured just now
    return ProposedLayers(
        len(own), sum(layer.record.blob.size for layer in own), len(new), sum(layer.record.blob.size for layer in new)
    )


def _is_of(step: LayerStep, name: str) -> bool:
    return isinstance(step, EnvironmentLayer | CapturedLayer) and step.environment == name


def _of_lock(package: CondaLockPackage, store: Store) -> ProposedPackage:
    """A package as far as its lock describes it; its size where the store has it already."""
    sha256 = package.hash.sha256 or ""
    digest = Digest.from_hex(sha256) if sha256 else None
    size = store.blobs.path(digest).stat().st_size if digest and store.blobs.has(digest) else None
    return ProposedPackage(package.name, package.version, package.manager, channel_of(package), sha256, size=size)


def _of_archive(item: Inspected) -> ProposedPackage:
    package, contents = item.package, item.contents
    return ProposedPackage(
        package.name, package.version, package.manager, channel_of(package), item.digest.hex,
        size=item.size, installed=contents.installed_size, license=contents.license.strip(),
    )  # fmt: skip
