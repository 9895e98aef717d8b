"""peel's menu in a JupyterHub: two lines of ``jupyterhub_config.py``.

    from peel.spawner import use_menu
    use_menu(c, "/srv/jupyterhub/menu.json")

The file is what ``peel menu --full -o menu.json`` writes. Write it anew as often as you like, from a timer: each form
is drawn from what it holds then. What users post, by the form or by the hub's API, can only name an image and a size
of it. Works with every spawner that has ``image``: KubeSpawner, DockerSpawner, and others.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from peel.errors import DocumentError
from peel.model.documents import validate
from peel.model.menu.choice import Choice, ChoiceError, check_options, parse_form
from peel.model.menu.offer import Offer
from peel.report.menu.form import draw_form

_LOG: Final = logging.getLogger("peel.spawner")
_SET: Final = ("IMAGE_DESCRIPTION", "IMAGE_DIGEST", "JUPYTER_IMAGE_SPEC", "JUPYTER_IMAGE", "DEBUG", "RESET_USER_ENV")
"""The variables of a lab that depend on the choice."""

_BYTES: Final = {"Mi": "M", "Gi": "G", "Ti": "T"}  # JupyterHub's letters are powers of 1024, too


def use_menu(c: Any, menu: str | Path) -> None:
    """Let the spawners of a JupyterHub configuration offer this menu.

    Raises DocumentError, and so keeps the hub from starting, when the file cannot be read as a menu. Later, a file that
    cannot be read leaves the menu as it was and is logged.
    """
    served = ServedMenu(Path(menu))
    served.load()
    c.Spawner.options_form = served.draw
    c.Spawner.options_from_form = served.parse
    c.Spawner.apply_user_options = served.apply
    c.DockerSpawner.allowed_images = served.pulled  # else it lets nobody choose


@dataclass(slots=True)
class ServedMenu:
    """The menu in a file, read again whenever the file is another."""

    path: Path
    _offer: Offer | None = None
    _read: tuple[int, int, int] | None = field(default=None, repr=False)
    _form: str = field(default="", repr=False)

    def load(self) -> Offer:
        """What the file offers. Raises DocumentError when it cannot be read and never could."""
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._read:
                self._offer, self._read = _load(self.path), stamp
                self._form = draw_form(self._offer)
        except (OSError, DocumentError) as error:
            if self._offer is None:
                raise _unreadable(self.path, error) from None
            _LOG.warning("the menu stays as it was: %s", error)
        if self._offer is None:
            raise DocumentError(f"{self.path}: holds no menu")
        return self._offer

    def draw(self, _spawner: Any = None) -> str:
        """The form, as HTML to be put inside JupyterHub's own."""
        self.load()
        return self._form

    def pulled(self, _spawner: Any = None) -> dict[str, str]:
        """What DockerSpawner is to pull for each image that may be chosen: by digest, where one is known."""
        return {reference: _without_tag(reference) for reference in self.load().images()}

    def parse(self, posted: Mapping[str, Sequence[str]], _spawner: Any = None) -> dict[str, Any]:
        """The user options that a posted form means. Raises ChoiceError."""
        return parse_form(self.load(), posted).as_options()

    def apply(self, spawner: Any, options: Mapping[str, Any]) -> None:
        """Let a spawner start what was chosen. Raises tornado's HTTPError 400 for what the menu does not offer."""
        from tornado.web import HTTPError  # noqa: PLC0415 - comes with JupyterHub, which alone calls this

        try:
            choice = check_options(self.load(), options)
        except ChoiceError as error:
            raise HTTPError(
                400, error.jupyterhub_message
            ) from None  # any other error it tells as "Invalid user options"
        spawner.image = choice.image.reference
        if hasattr(spawner, "pull_image"):  # a DockerSpawner
            spawner.image = _without_tag(choice.image.reference)
            spawner.pull_image = partial(_pull, spawner)
        kept = {name: value for name, value in dict(spawner.environment).items() if name not in _SET}
        spawner.environment = {**kept, **_variables(choice)}
        if choice.size is not None:
            spawner.cpu_limit = choice.size.cpu
            spawner.mem_limit = _bytes(choice.size.memory)


async def _pull(spawner: Any, image: str) -> None:
    """Pull an image unless it is there; DockerSpawner's own way splits a digest at its colon, and asks for its half."""
    repository, at, digest = image.partition("@")
    if not at:
        await type(spawner).pull_image(spawner, image)
        return
    from docker.errors import NotFound  # noqa: PLC0415 - comes with DockerSpawner, which alone calls this

    try:
        await spawner.docker("inspect_image", image)
    except NotFound:
        spawner.log.info("pulling image %s", image)
        await spawner.docker("pull", repository, digest)


def _without_tag(reference: str) -> str:
    """The reference, by its digest alone where it has one: what every engine understands."""
    name, at, digest = reference.partition("@")
    if not at:
        return reference
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@{digest}"


def _variables(choice: Choice) -> dict[str, str]:
    """What the lab is told of the choice: the variables that Nublado sets (docs/launch-contract.md)."""
    image = choice.image
    return {
        "IMAGE_DESCRIPTION": image.name,
        "JUPYTER_IMAGE_SPEC": image.reference,
        "JUPYTER_IMAGE": image.reference,
        **({"IMAGE_DIGEST": image.digest} if image.digest else {}),
        **({"DEBUG": "TRUE"} if choice.debug else {}),
        **({"RESET_USER_ENV": "TRUE"} if choice.reset else {}),
    }


def _bytes(memory: str) -> str:
    return f"{memory[:-2]}{_BYTES[memory[-2:]]}"


def _load(path: Path) -> Offer:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise DocumentError(f"{path}: not JSON", hint="peel menu --full -o writes it") from None
    return validate(Offer, document, origin=str(path))


def _unreadable(path: Path, error: OSError | DocumentError) -> DocumentError:
    if isinstance(error, DocumentError):
        return error
    return DocumentError(f"{path}: cannot be read: {error.strerror}", hint="peel menu --full -o writes it")
