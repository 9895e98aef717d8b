"""peel's menu in a JupyterHub configuration: what is drawn, what is taken, and a file that changes or breaks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from docker.errors import NotFound
from jupyterhub.spawner import Spawner
from tornado.web import HTTPError
from traitlets.config import Config

from peel.errors import DocumentError
from peel.model.menu.choice import ChoiceError
from peel.spawner import ServedMenu, use_menu

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LATEST, OLDER = f"r.org:5000/lab:r2_0_0@{A}", f"r.org:5000/lab:r1_0_0@{B}"


def menu(*references: str, title: str = "Lab") -> str:
    images = [
        {"name": f"Release {one}", "reference": one, "tag": "x", "digest": one.partition("@")[2] or None}
        for one in references
    ]
    group = {"name": "lab", "title": title, "menu": images, "dropdown": images}
    sizes = [{"name": "small", "title": "Small", "cpu": 0.5, "memory": "512Mi"}]
    return json.dumps({"schema": 1, "title": "Choose", "payloads": [group], "sizes": sizes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "menu.json"
    path.write_text(menu(LATEST, OLDER))
    return path


def rewrite(path: Path, text: str) -> None:
    """As ``peel menu -o`` does: whole, and another file."""
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)  # noqa: PTH105


class Started(Spawner):
    """A spawner that has an image, and starts nothing."""

    image = ""

    async def start(self) -> None: ...

    async def stop(self, now: bool = False) -> None: ...

    async def poll(self) -> int:
        return 0


def spawner(path: Path) -> Started:
    config = Config()
    use_menu(config, path)
    return Started(config=config)


async def chosen(one: Started, options: dict[str, Any]) -> Started:
    await one._run_apply_user_options(options)
    return one


def run(awaited: Any) -> Any:
    return asyncio.run(awaited)


def test_two_lines_of_configuration_offer_the_menu(path: Path) -> None:
    one = spawner(path)
    form = run(one.get_options_form())
    assert form.count('type="radio"') == 3
    options = one.run_options_from_form({"image_list": [OLDER], "size": ["small"], "enable_debug": ["true"]})
    one.environment = {"SITE": "here"}
    run(chosen(one, options))
    assert (one.image, one.cpu_limit, one.mem_limit) == (OLDER, 0.5, 512 << 20)
    assert one.environment == {
        "SITE": "here", "IMAGE_DESCRIPTION": f"Release {OLDER}", "IMAGE_DIGEST": B, "JUPYTER_IMAGE": OLDER,
        "JUPYTER_IMAGE_SPEC": OLDER, "DEBUG": "TRUE",
    }  # fmt: skip


def test_what_one_start_asked_for_is_forgotten_by_the_next(path: Path) -> None:
    one = spawner(path)
    run(chosen(one, {"image": OLDER, "enable_debug": True, "reset_user_env": True}))
    assert one.environment["RESET_USER_ENV"] == "TRUE"
    run(chosen(one, {}))
    assert one.image == LATEST
    assert {"DEBUG", "RESET_USER_ENV"}.isdisjoint(one.environment)


def test_what_the_api_posts_beside_the_menu_is_a_bad_request_that_says_why(path: Path) -> None:
    with pytest.raises(HTTPError, match="not, or no longer, on the menu") as refused:
        run(chosen(spawner(path), {"image": "evil.example.org/miner"}))
    assert refused.value.status_code == 400
    with pytest.raises(ChoiceError):
        spawner(path).run_options_from_form({"image_list": ["evil.example.org/miner"]})


def test_a_new_file_is_the_menu_at_once_and_a_broken_one_leaves_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = ServedMenu(path)
    assert LATEST in served.draw()
    newer = f"r.org:5000/lab:r3_0_0@{A}"
    rewrite(path, menu(newer))
    assert newer in served.draw()
    assert LATEST not in served.draw()
    for broken in ("", "{", "[]", '{"schema": 2}', menu(title="x")[:-5], "\x00"):
        rewrite(path, broken)
        with caplog.at_level(logging.WARNING):
            assert newer in served.draw()
        assert "stays as it was" in caplog.text
    path.unlink()
    assert newer in served.draw()
    rewrite(path, menu(OLDER))
    assert OLDER in served.draw()


@pytest.mark.parametrize(
    "text",
    [None, "", "{", '{"schema": 1}', '{"schema": 1, "title": 7, "payloads": []}', menu(LATEST).replace("512Mi", "512")],
)
def test_a_hub_without_a_menu_does_not_start(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "menu.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DocumentError, match=r"menu\.json"):
        use_menu(Config(), path)


class Docker(Started):
    """What of DockerSpawner the menu speaks with."""

    def __init__(self, there: bool, **more: Any) -> None:
        super().__init__(**more)
        self.there = there
        self.asked: list[tuple[str, ...]] = []

    async def docker(self, *asked: str) -> None:
        self.asked.append(asked)
        if asked[0] == "inspect_image" and not self.there:
            raise NotFound("no such image")

    async def pull_image(self, image: str) -> None:
        self.asked.append(("its own way", image))


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        (True, [("inspect_image", f"r.org:5000/lab@{A}")]),
        (False, [("inspect_image", f"r.org:5000/lab@{A}"), ("pull", "r.org:5000/lab", A)]),
    ],
)
def test_a_docker_spawner_pulls_by_digest_what_is_not_there(path: Path, there: bool, asked: list[Any]) -> None:
    config = Config()
    use_menu(config, path)
    one = Docker(there, config=config)
    run(chosen(one, {}))
    assert one.image == f"r.org:5000/lab@{A}"
    run(one.pull_image(one.image))
    assert one.asked == asked
    assert config.DockerSpawner.allowed_images()[LATEST] == one.image


def test_an_image_without_a_digest_is_pulled_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "menu.json"
    path.write_text(menu("r.org:5000/lab:r1_0_0"))
    config = Config()
    use_menu(config, path)
    one = Docker(there=False, config=config)
    run(chosen(one, {}))
    run(one.pull_image(one.image))
    assert one.asked == [("its own way", "r.org:5000/lab:r1_0_0")]
