"""``peel patch``: from a historical lock set to one that says what it was made from, and what is other in it.

Everything is decided before anything is written; what is written is all that a build of it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from peel.errors import DocumentError, UsageError
from peel.model.declared import Declared
from peel.model.lockset import AppliedPatch, ImageLock, MadeFrom
from peel.model.patch import refuse_contradictions
from peel.model.patch_document import DeclaredPatch
from peel.model.plan import make_plan
from peel.model.progress import Progress
from peel.model.tags.next_rsp import next_rsp_tag
from peel.model.values import ImageRef, Platform
from peel.store.archives import Archive
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock
from peel.tools.micromamba import Solver
from peel.workflow.build import refuse_other_formats
from peel.workflow.draft import Draft, load_draft
from peel.workflow.fetching import Sources
from peel.workflow.lock import FORMATS
from peel.workflow.packages import PackageReader
from peel.workflow.patch_fold import fold_patches
from peel.workflow.patch_lab import LabChanger, OtherLab, declare_lab, find_lab
from peel.workflow.patch_packages import Moved, changes_of, lab_moves, relock_all
from peel.workflow.patch_step import apply_patch
from peel.workflow.relock import Relocked, relock
from peel.workflow.solve import channel_secrets
from peel.workflow.workbench import Workbench

Mode = Literal["overlay", "replace"]

_MOST_LAYERS: Final = 127
"""Of a whole image, base included: what every runtime can mount (docs/design.md)."""

_MOST_PATCHES: Final = 1000
"""How long a chain of patched lock sets is followed back."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be patched, by which patches, under which tag (None: the next one) and how; ``epoch`` in seconds.

    ``platform`` is what will be built of it, if anything.
    """

    origin: ImageRef
    patches: tuple[str, ...]
    tag: str | None = None
    mode: Mode = "overlay"
    lab: str | None = None
    epoch: int | None = None
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class Patched:
    """What patching did: the new lock, all that moved, and whether the lock set was not there before."""

    ref: ImageRef
    lock: ImageLock
    made_from: MadeFrom
    moves: tuple[Moved, ...]
    changed: bool


@dataclass(frozen=True, slots=True)
class _Begun:
    """An order, read: ``draft`` is the origin with the other lab in place, and ``earlier`` the patches that led to it.

    ``newest`` is when the newest of it was built, in seconds.
    """

    ref: ImageRef
    newest: int
    patches: Sequence[DeclaredPatch]
    earlier: Sequence[DeclaredPatch]
    made_from: MadeFrom
    bench: Workbench
    draft: Draft
    moves: tuple[Moved, ...]


@dataclass(frozen=True, slots=True)
class Patcher:
    """What patching takes; ``variables`` are those of the process, of which channels may name some.

    ``solve`` is what relocks an environment, as ``relock`` does.
    """

    catalogue: Catalogue
    store: Store
    solver: Solver
    variables: Mapping[str, str]
    archives: Sequence[Archive]
    progress: Progress
    solve: Callable[..., Relocked] = relock

    def patch(self, order: Order) -> Patched:
        """Make the new lock set and write it, whole or not at all.

        Raises UsageError for what makes no sense, DocumentError for bad documents and what cannot be had, ArtifactError
        for packages that cannot be had or go together. The same order gives the same bytes.
        """
        begun = self._begin(order)
        draft, moves, newest = begun.draft, list(begun.moves), begun.newest
        for number, patch in enumerate(begun.patches):
            self.progress.step(f"applying {patch.name}: {patch.declaration.reason}")
            applied = apply_patch(draft, patch, [*begun.earlier, *begun.patches[:number]], begun.bench)
            draft, newest = applied.draft, max(newest, applied.newest)
            moves += applied.moves
        if order.mode == "replace":
            draft = fold_patches(draft, begun.draft.lock, begun.bench.reader)
        epoch = newest if order.epoch is None else order.epoch
        finished = draft.with_lock(tag=begun.ref.tag, epoch=epoch, made_from=begun.made_from)
        return Patched(begun.ref, finished.lock, begun.made_from, tuple(moves), self._write(finished))

    def preview(self, order: Order) -> Patched:
        """What would move, and nothing else; nothing is written."""
        begun = self._begin(order)
        draft, moves = begun.draft, list(begun.moves)
        for number, patch in enumerate(begun.patches):
            earlier = [*begun.earlier, *begun.patches[:number]]
            draft, more = relock_all(draft, changes_of(patch, draft), earlier, begun.bench.relock)
            moves += more
        return Patched(begun.ref, draft.lock, begun.made_from, tuple(moves), changed=False)

    def _begin(self, order: Order) -> _Begun:
        """All that is read before anything is solved, with the lab in place. What makes no sense is refused here."""
        if not order.patches and order.lab is None:
            raise UsageError("nothing to change: no patch and no lab", hint="name a patch of envs/patches, or --lab")
        origin = load_draft(order.origin, self.catalogue)
        self._refuse_unfit(origin, order)
        patches = [self.catalogue.patch(name) for name in order.patches]
        refuse_contradictions(patches)
        lab = find_lab(order.lab, origin, self.catalogue) if order.lab else None
        made_from = self._made_from(order, patches, lab)
        ref = self._address(order, origin, made_from)
        bench, changer = self._tools(declare_lab(origin, lab) if lab else origin.lock.declared)
        draft, newest = changer.change(origin, lab) if lab else (origin, 0)
        moves = lab_moves(origin, draft, lab.name, self.store) if lab else ()
        newest = max(newest, origin.lock.epoch)
        return _Begun(ref, newest, patches, self._earlier(origin), made_from, bench, draft, moves)

    def _refuse_unfit(self, origin: Draft, order: Order) -> None:
        """Raise UsageError or DocumentError for a lock set that cannot be patched so."""
        platform = order.platform or Platform(origin.lock.declared.platforms[0])
        refuse_other_formats(make_plan(origin.locks(), platform), FORMATS)  # its layers have to come out as they were
        if origin.lock.imported and order.mode == "replace":
            raise UsageError(
                f"{order.origin} was imported: nobody knows what its layers are made from, so they cannot be replaced",
                hint="leave --mode replace out: patches go on top",
            )

    def _tools(self, declared: Declared) -> tuple[Workbench, LabChanger]:
        conda_lock = CondaLock(self.solver, channel_secrets(declared, self.variables))
        sources = Sources(conda_lock.secrets, tuple(self.archives))
        solve = partial(self.solve, store=self.store, conda_lock=conda_lock, sources=sources, progress=self.progress)
        reader = PackageReader(self.store, sources, self.progress)
        bench = Workbench(solve, reader, self.store, sources, self.progress)
        return bench, LabChanger(self.store, sources, conda_lock, self.progress)

    def _address(self, order: Order, origin: Draft, made_from: MadeFrom) -> ImageRef:
        """Where the new lock set goes. Raises UsageError where it has to be said, or would be the origin's place."""
        image, tag = order.origin.image, order.tag
        if tag is None and origin.lock.declared.tags == "rsp":
            tag = self._unfinished(image, made_from) or next_rsp_tag(order.origin.tag, self.catalogue.tags(image))
        if tag is None:
            raise UsageError(f"no next tag is known for {order.origin}", hint="name one: --as NEWTAG")
        ref = ImageRef(image, tag)
        if ref == order.origin:
            raise UsageError(f"{ref} cannot become a patched version of itself", hint="name another tag: --as NEWTAG")
        return ref

    def _unfinished(self, image: str, made_from: MadeFrom) -> str | None:
        """The tag under which the same was begun and never built: an interrupted patch goes on there."""
        tags = [tag for tag in self.catalogue.tags(image) if self._is_unfinished(ImageRef(image, tag), made_from)]
        return max(tags, default=None)

    def _is_unfinished(self, ref: ImageRef, made_from: MadeFrom) -> bool:
        if not self.catalogue.has_lock(ref) or self.catalogue.record(ref) is not None:
            return False
        try:
            return self.catalogue.image_lock(ref).made_from == made_from
        except DocumentError:
            return False  # somebody's broken lock set is nobody's beginning

    def _made_from(self, order: Order, patches: Sequence[DeclaredPatch], lab: OtherLab | None) -> MadeFrom:
        record = self.catalogue.record(order.origin)
        built = record.platforms if record else {}
        return MadeFrom(
            image=order.origin.image, tag=order.origin.tag, mode=order.mode, lab=lab.name if lab else "",
            manifests={platform: found.manifest for platform, found in sorted(built.items())},
            patches=tuple(
                AppliedPatch(
                    name=patch.name, sha256=patch.sha256, reason=patch.declaration.reason,
                    references=patch.declaration.references,
                )
                for patch in patches
            ),
        )  # fmt: skip

    def _earlier(self, origin: Draft) -> Sequence[DeclaredPatch]:
        """The patches that led to the origin, the first one first, as far as they still are what they were."""
        found = []
        for applied in _lineage(origin.lock, self.catalogue):
            try:
                patch = self.catalogue.patch(applied.name)
            except DocumentError:
                continue  # gone, or changed into something else: what it asked for is not known any more
            if patch.sha256 == applied.sha256:
                found.append(patch)
        return found[::-1]

    def _write(self, draft: Draft) -> bool:
        """Put the lock set in place, unless that very one is there. Raises UsageError where something else is.

        What the same order made of other channels, and nobody built, makes way.
        """
        for platform in draft.lock.declared.platforms:
            _refuse_too_many(draft, Platform(platform))
        files, there = draft.files(), self.catalogue.read_lock_set(draft.ref)
        if there == files:
            return False
        is_begun = draft.lock.made_from is not None and self._is_unfinished(draft.ref, draft.lock.made_from)
        if (there or self.catalogue.record(draft.ref) is not None) and not is_begun:
            raise UsageError(f"{draft.ref} is locked already, as something else", hint="name another tag: --as NEWTAG")
        self.catalogue.write_lock_set(draft.ref, files)
        return True


def _lineage(lock: ImageLock, catalogue: Catalogue) -> Iterator[AppliedPatch]:
    """The patches of a lock and of those it was made from, the last one first."""
    for _ in range(_MOST_PATCHES):
        if lock.made_from is None:
            return
        yield from reversed(lock.made_from.patches)
        ref = ImageRef(lock.made_from.image, lock.made_from.tag)
        if not catalogue.has_lock(ref):
            return
        lock = catalogue.image_lock(ref)


def _refuse_too_many(draft: Draft, platform: Platform) -> None:
    count = draft.lock.base[platform.subdir].layers + len(make_plan(draft.locks(), platform).layers)
    if count > _MOST_LAYERS:
        raise DocumentError(
            f"{draft.ref} would have {count} layers for {platform}, and {_MOST_LAYERS} run everywhere",
            hint="the image has too many for a patch" if draft.lock.imported else "fold the patches in: --mode replace",
        )
