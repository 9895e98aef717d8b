"""buildah: working containers, what runs inside them, and images in local storage.

What comes from documents is always one argv item of its own; nothing here goes through a shell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal, NamedTuple, Protocol, TypedDict, Unpack

from peel.errors import ToolError, UsageError
from peel.interrupts import uninterrupted
from peel.tools import claims, process, skopeo, system

MINIMUM: Final = (1, 28)

Network = Literal["none", "host"]
_FORBIDDEN_IN_STORAGE: Final = "@+[],:"


class Child(Protocol):
    """A running program, as ``tools.process.start`` gives it."""

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended."""


class Volume(NamedTuple):
    """A host path seen inside a container, read-only or writable."""

    host: Path
    inside: str
    mode: Literal["ro", "rw"] = "ro"


@dataclass(frozen=True, slots=True)
class Storage:
    """Where buildah keeps images and containers; by default the machine's own storage, which podman sees too."""

    root: Path | None = None
    runroot: Path | None = None
    driver: str = ""

    @classmethod
    def beneath(cls, directory: Path, driver: str) -> Storage:
        """A storage of peel's own. Raises UsageError for a directory that the tools' notation cannot name."""
        place = directory.absolute()
        if wrong := sorted(set(_FORBIDDEN_IN_STORAGE) & set(str(place))):
            raise UsageError(
                f"buildah cannot keep containers beneath {place}: {' '.join(wrong)} in the path",
                hint="choose another directory with --store or PEEL_STORE",
            )
        return cls(place / "storage", place / "run", driver)

    @property
    def claims(self) -> Path:
        """Where the names of its containers are claimed by the processes that use them.

        Raises ToolError for the machine's own storage, where peel makes none.
        """
        if self.root is None:
            raise ToolError("containers are made in a storage of peel's own only")
        return self.root.parent / "claims"

    @property
    def argv(self) -> tuple[str, ...]:
        """buildah's global options for it."""
        if self.root is None:
            return ()
        return (
            "--root", str(self.root),
            "--runroot", str(self.runroot),
            "--storage-driver", self.driver,
        )  # fmt: skip

    def reference(self, name: str) -> str:
        """An image in it, in the notation of containers-transports(5)."""
        place = f"[{self.driver}@{self.root}+{self.runroot}]" if self.root else ""
        return f"containers-storage:{place}{name}"


@dataclass(frozen=True, slots=True)
class Isolation:
    """How a program is kept inside its container: the flags of ``buildah run`` that say so.

    ``ulimits`` are flags of ``buildah from``, needed where buildah (1.39 and later) would raise limits and may not.
    """

    name: Literal["runc", "crun", "chroot"]
    argv: tuple[str, ...]
    ulimits: tuple[str, ...] = ()

    def offline_prefix(self, network: Network) -> tuple[str, ...]:
        """What goes before buildah: under chroot it alone can take the network away."""
        return ("unshare", "--net", "--") if network == "none" and self.name == "chroot" else ()

    def network_argv(self, network: Network) -> tuple[str, ...]:
        """The network flags of ``buildah run``; chroot knows the host's only."""
        return ("--network", "host" if self.name == "chroot" else network)


RUNC: Final = Isolation("runc", ("--isolation", "oci", "--runtime", "runc"))
CRUN: Final = Isolation("crun", ("--isolation", "oci", "--runtime", "crun"))
CHROOT: Final = Isolation("chroot", ("--isolation", "chroot"))


def from_argv(storage: Storage, image: str, name: str, ulimits: Sequence[str]) -> tuple[str, ...]:
    """The argv that makes a working container of an image that is there already."""
    return process.argv_of(
        "buildah", storage.argv, "from",
        "--pull-never",
        "--name", name,
        ulimits,
        image,
    )  # fmt: skip


class RunOptions(TypedDict, total=False):
    """What a program finds inside its container; offline, as the image's user and in its directory by default.

    ``capabilities`` are buildah's default ones; "none" is for what needs no privilege, even as root.
    """

    volumes: Sequence[Volume]
    env: Mapping[str, str]
    user: str
    workdir: str
    network: Network
    hostname: str
    capabilities: Literal["none"]


def run_argv(
    storage: Storage, isolation: Isolation, container: str, argv: Sequence[str], **options: Unpack[RunOptions]
) -> tuple[str, ...]:
    """The argv that runs ``argv`` in a working container. Raises UsageError for a volume that has no notation."""
    network = options.get("network", "none")
    env = sorted(options.get("env", {}).items())
    return process.argv_of(
        isolation.offline_prefix(network),
        "buildah", storage.argv, "run",
        isolation.argv,
        isolation.network_argv(network),
        "--hostname", options.get("hostname", "localhost"),  # a random one otherwise, which programs may write down
        ("--user", options["user"]) if "user" in options else None,
        ("--workingdir", options["workdir"]) if "workdir" in options else None,
        ("--cap-drop", "ALL") if "capabilities" in options else None,
        tuple(item for name, value in env for item in ("--env", f"{name}={value}")),
        tuple(item for volume in options.get("volumes", ()) for item in ("--volume", volume_text(volume))),
        container,
        "--",
        argv,
    )  # fmt: skip


def volume_text(volume: Volume) -> str:
    """``HOST:INSIDE:MODE``. Raises UsageError when a path holds the colon that parts them."""
    for path in (str(volume.host), volume.inside):
        if ":" in path or not path.startswith("/"):
            raise UsageError(
                f"cannot be mounted into a container: {path!r}", hint="an absolute path without ':' is needed"
            )
    return f"{volume.host}:{volume.inside}:{volume.mode}"


def version() -> system.Version:
    """buildah's version. Raises ToolError, with a hint, when it is missing or too old."""
    return system.require_version("buildah", MINIMUM)


def open_storage(directory: Path) -> Storage:
    """peel's own storage beneath ``directory``: with overlay where the kernel has it there, else with vfs.

    One that exists keeps its driver. Raises UsageError for an impossible path, ToolError when neither works.
    """
    overlay, vfs = (Storage.beneath(directory, driver) for driver in ("overlay", "vfs"))
    for storage in (overlay, vfs):
        if (directory / "storage" / f"{storage.driver}-images").is_dir():
            return storage
    if _run(overlay, "info", check=False).status == 0:
        return overlay
    try:
        _run(vfs, "info")
    except ToolError as error:
        raise ToolError(error.message, hint=error.hint or system.privilege_hint()) from None
    return vfs


def import_layout(storage: Storage, layout: Path, tag: str | None, name: str) -> str:
    """Import an image of an OCI layout into a storage as ``name``; returns its image id.

    ``tag`` is its ``org.opencontainers.image.ref.name``, None when the layout holds one image only. An image that
    the storage has is not imported again. Raises ToolError or ArtifactError.
    """
    source = f"oci:.:{tag}" if tag else "oci:."  # relative: upper-case letters and colons in its path do no harm
    skopeo.copy(source, storage.reference(name), cwd=layout, preserve_digests=False)
    return image_id(storage, name)


def load(layout: Path, tag: str | None, name: str) -> str:
    """Import an image into the machine's own storage, for buildah and podman; as ``import_layout`` otherwise."""
    return import_layout(Storage(), layout, tag, name)


class StoredImage(NamedTuple):
    """A name of an image in a storage, and how large buildah says the image is, for people."""

    name: str
    size: str


def list_images(storage: Storage) -> Sequence[StoredImage]:
    """Every name of every image in a storage, sorted. Raises ToolError when buildah fails."""
    try:
        listed = json.loads(_run(storage, "images", "--json").stdout or b"[]") or []
        return sorted(StoredImage(str(name), str(image["size"])) for image in listed for name in image["names"] or ())
    except (ValueError, KeyError, TypeError):
        raise ToolError("buildah does not say which images there are", hint="run `buildah images --json`") from None


def remove_image(storage: Storage, name: str) -> None:
    """Take a name from an image, and remove it with its last one. Raises ToolError when buildah fails."""
    _run(storage, "rmi", name)


def image_id(storage: Storage, name: str) -> str:
    """The id, in hexadecimal, of an image in a storage. Raises ToolError when it is not there."""
    return _first_id(_run(storage, "images", "--quiet", "--no-trunc", name))


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah on one storage, with one isolation. Every method raises ToolError when buildah is missing or fails."""

    storage: Storage
    isolation: Isolation

    def find_image(self, name: str) -> str | None:
        """The id of the image that goes by this name in the storage, if there is one."""
        listed = _run(self.storage, "images", "--quiet", "--no-trunc", name, check=False)
        return _first_id(listed) if listed.status == 0 else None

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """A working container of an image id or name, or of ``scratch``; yields its name, and removes it on leaving."""
        with claims.claim(self.storage.claims) as name:
            argv = from_argv(self.storage, image, name, self.isolation.ulimits)
            try:
                process.run(process.Command(argv, process.inherit()))
                yield name
            finally:
                with uninterrupted():
                    _remove(self.storage, name)

    def sweep(self) -> None:
        """Remove the containers that killed processes left, and end what runs in them; never of a living process."""
        for name in claims.abandoned(self.storage.claims):
            process.end_left(name)
            with uninterrupted():
                _remove(self.storage, name)

    def mount(self, container: str) -> str:
        """Where a working container's file system is mounted; it is unmounted when the container goes."""
        return _run(self.storage, "mount", container).text.strip()

    def copy_in(self, container: str, source: Path, inside: str) -> None:
        """Put one file or the contents of a directory into a working container."""
        _run(self.storage, "copy", "--quiet", container, str(source), inside)

    def run(
        self, container: str, argv: Sequence[str], *,
        check: bool = True, timeout: float | None = None, **options: Unpack[RunOptions],
    ) -> process.Completed:  # fmt: skip
        """Run a program to its end in a working container; ``timeout`` in seconds. See ``RunOptions``."""
        whole = run_argv(self.storage, self.isolation, container, argv, **options)
        return process.run(process.Command(whole, process.inherit()), check=check, timeout=timeout)

    def attend(self, container: str, argv: Sequence[str], **options: Unpack[RunOptions]) -> int:
        """Run a program on this process's own terminal; the status that buildah ends with. See ``RunOptions``."""
        whole = run_argv(self.storage, self.isolation, container, argv, **options)
        return process.attend(process.Command(whole, process.inherit()))

    @contextmanager
    def start(
        self, container: str, argv: Sequence[str], *, log: IO[bytes], **options: Unpack[RunOptions]
    ) -> Iterator[Child]:
        """Start a program in a working container; what it prints goes to ``log``; on leaving it is gone."""
        whole = run_argv(self.storage, self.isolation, container, argv, **options)
        with process.start(process.Command(whole, process.inherit()), stdout=log, stderr=log) as child:
            yield child


def _remove(storage: Storage, name: str) -> None:
    """Remove a container, which may not have come to be; its name stays claimed where that fails, for a later sweep."""
    if _run(storage, "rm", name, check=False).status != 0:
        listed = _run(storage, "containers", "--format", "{{.ContainerName}}", check=False)
        if listed.status != 0 or name in listed.text.split():
            return
    claims.release(storage.claims, name)


def _run(storage: Storage, *arguments: str, check: bool = True) -> process.Completed:
    command = process.Command(("buildah", *storage.argv, *arguments), process.inherit())
    return process.run(command, check=check)


def _first_id(listed: process.Completed) -> str:
    """The id in what ``buildah images`` listed: an image has a line for each of its names."""
    return listed.text.partition("\n")[0].strip().removeprefix("sha256:")
