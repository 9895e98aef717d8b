"""What is solved for a patch: all environments of all platforms that it concerns, and what earlier ones still hold."""

from __future__ import annotations

from typing import Any

from locksets import make_declared, make_lock
from peel.model.lockset import LockedBase
from peel.model.patch import changes_for
from peel.model.patch_document import DeclaredPatch, PatchDeclaration
from peel.workflow.draft import Draft, Place
from peel.workflow.patch_packages import installed, relock_all
from peel.workflow.relock import Relocked, Wish

LINUX, ARM = "linux-64", "linux-aarch64"


def entry(name: str, platform: str, manager: str = "conda") -> dict[str, Any]:
    return {
        "name": name, "version": "1.0", "manager": manager, "platform": platform, "hash": {},
        "url": f"https://host/{platform}/{name}-1.0-0.conda",
    }  # fmt: skip


def draft(places: dict[Place, list[str]]) -> Draft:
    """An image for two platforms with these packages."""
    declared = make_declared("science", platforms=[LINUX, ARM])
    bases = {platform: LockedBase(digest=f"sha256:{'b' * 64}", glibc=glibc, layers=1) for platform, glibc in
             ((LINUX, "2.34"), (ARM, "2.28"))}  # fmt: skip
    lock = make_lock(declared, {}, base=bases)
    entries: dict[str, list[Any]] = {"lab": [], "science": []}
    for (platform, environment), names in places.items():
        entries[environment] += [entry(name, platform) for name in names]
    return Draft(lock, {}, entries, {})


ALL = draft(
    {
        (LINUX, "lab"): ["openssl", "only"],
        (ARM, "lab"): ["openssl"],
        (LINUX, "science"): ["numpy"],
        (ARM, "science"): [],
    }
)


def patch(name: str, environments: list[str] | None = None, **packages: Any) -> DeclaredPatch:
    document = {"schema": 1, "reason": "a test", "environments": environments, "packages": packages}
    return DeclaredPatch(name, PatchDeclaration.model_validate(document), "0" * 64)


class Asked:
    """A relock that notes what it was asked."""

    def __init__(self) -> None:
        self.wishes = list[Wish]()

    def __call__(self, wish: Wish) -> Relocked:
        self.wishes.append(wish)
        return Relocked(tuple(wish.locked), ())

    @property
    def places(self) -> list[tuple[str, str, str]]:
        return [(wish.platform, wish.environment.name, wish.glibc) for wish in self.wishes]


def asked(*earlier: DeclaredPatch, **packages: Any) -> Asked:
    found, environments = Asked(), packages.pop("environments", None)
    now = patch("now", environments, **packages)
    relock_all(ALL, changes_for(now, installed(ALL)), earlier, found)
    return found


def test_every_platform_is_solved_with_its_own_base() -> None:
    assert asked(**{"raise": ["openssl"]}).places == [(LINUX, "lab", "2.34"), (ARM, "lab", "2.28")]


def test_a_platform_without_the_package_is_left_alone() -> None:
    assert asked(**{"raise": ["only"]}).places == [(LINUX, "lab", "2.34")]
    assert asked(remove=["numpy"]).places == [(LINUX, "science", "2.34")]


def test_what_is_added_is_added_where_it_is_missing() -> None:
    found = asked(environments=["lab", "science"], add=["numpy"])
    assert found.places == [(LINUX, "lab", "2.34"), (ARM, "lab", "2.28")]


def test_what_earlier_patches_asked_for_still_holds_where_it_still_is_so() -> None:
    raised, removed = patch("one", **{"raise": ["openssl >=3"]}), patch("two", remove=["telnet", "numpy"])
    elsewhere = patch("three", ["science"], **{"raise": ["openssl >=9"]})
    (wish,) = asked(raised, removed, elsewhere, **{"raise": ["only"]}).wishes
    assert [demand.spec for demand in wish.held.conda.raised] == ["openssl >=3"]
    assert [demand.name for demand in wish.held.conda.removed] == ["telnet", "numpy"]
