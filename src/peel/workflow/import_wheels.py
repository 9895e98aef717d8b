"""Finding the wheels that a list names by name and version alone: conda-lock knows the indexes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from peel.errors import PeelError
from peel.model.declared import DeclaredEnvironment
from peel.model.history.artifacts import normal_name, parse_wheel_url
from peel.model.history.remembered import Remembered
from peel.model.progress import Progress
from peel.model.secrets import holds_credentials, name_secrets
from peel.model.values import Platform
from peel.store.documents import parse_plain
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock, Request

_GLIBC: Final = "2.28"  # what wheels may ask for: conda-lock's own assumption
_NOT_LOCKED: Final = "conda-lock found another version of it"
_NO_WHEEL: Final = "its index has no wheel of it that fits, and peel builds none"


@dataclass(frozen=True, slots=True)
class WheelFinder:
    """Where wheels are looked for: by conda-lock, for the Python of the list, from the indexes that are declared."""

    channels: Sequence[str]
    platform: Platform
    declared: DeclaredEnvironment | None
    find_conda_lock: Callable[[], CondaLock]
    store: Store
    progress: Progress

    def find(
        self, wheels: Sequence[Remembered], python: Remembered | str
    ) -> tuple[Mapping[Remembered, Remembered], Mapping[Remembered, str]]:
        """Those that were found, each with URL and sha256; and why the others were not.

        Instead of a ``python`` may come the reason that there is none.
        """
        if isinstance(python, str):
            return {}, dict.fromkeys(wheels, python)
        conda_lock = self.find_conda_lock()
        self.progress.step(f"looking for {len(wheels)} wheels with conda-lock and {conda_lock.solver.title}")
        try:
            return self._among(wheels, self._lock(wheels, python, conda_lock))
        except PeelError as error:
            if len(wheels) == 1:
                return {}, {wheels[0]: name_secrets(error.message.partition("\n")[0], conda_lock.secrets)}
        found, why = dict[Remembered, Remembered](), dict[Remembered, str]()
        for wheel in wheels:  # so that the ones that can be had are, and each of the others has its own reason
            had, not_had = self.find([wheel], python)
            found |= had
            why |= not_had
        return found, why

    def _lock(
        self, wheels: Sequence[Remembered], python: Remembered, conda_lock: CondaLock
    ) -> Sequence[Mapping[str, Any]]:
        asked = DeclaredEnvironment(
            name="wheels", role="environment", prefix="/wheels", channels=tuple(self.channels),
            dependencies=(f"python =={python.version}", "pip"),
            pip=tuple(f"{wheel.name}=={wheel.version}" for wheel in wheels),
            pip_repositories=self.declared.pip_repositories if self.declared else (),
            allow_pypi_requests=self.declared.allow_pypi_requests if self.declared else True,
        )  # fmt: skip
        with self.store.work() as work:
            data = conda_lock.lock(Request(asked, {self.platform.subdir: _GLIBC}), work)
        document = parse_plain(name_secrets(data.decode(), conda_lock.secrets), "conda-lock.yml")
        return [each for each in document["package"] if each["manager"] == "pip"]

    def _among(
        self, wheels: Sequence[Remembered], locked: Sequence[Mapping[str, Any]]
    ) -> tuple[Mapping[Remembered, Remembered], Mapping[Remembered, str]]:
        by_name = {normal_name(each["name"]): each for each in locked}
        found, why = dict[Remembered, Remembered](), dict[Remembered, str]()
        for wheel in wheels:
            entry = by_name.get(wheel.name)
            if entry is None or entry["version"] != wheel.version:
                why[wheel] = _NOT_LOCKED
            elif parse_wheel_url(entry["url"]) is None or holds_credentials(entry["url"]):
                why[wheel] = _NO_WHEEL
            else:
                hashes = entry["hash"]
                found[wheel] = replace(
                    wheel,
                    url=entry["url"].partition("#")[0],
                    sha256=hashes.get("sha256") or "",
                    md5=hashes.get("md5") or "",
                )
        return found, why
