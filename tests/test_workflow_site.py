"""``peel site``: pages of a catalogue, always the same of the same catalogue, and nothing of anybody else touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from many_lock_sets import write_many
from peel.errors import UsageError
from peel.model.progress import Silent
from peel.model.survey import tag_order
from peel.report.site.draw import draw_site
from peel.store.catalogue import Catalogue
from peel.store.pages import Page, write_pages
from peel.workflow.site import Site, make_site

MOST = 200_000


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return write_many(tmp_path / "catalogue", 16, 40, images=2)


def made(catalogue: Catalogue, place: Path) -> Site:
    return make_site(catalogue, place, draw=draw_site, progress=Silent())


def contents(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


class Links(HTMLParser):
    """What a page leads to, and the ids that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        found = dict(attrs)
        self.targets += [found[name] or "" for name in ("href", "src") if name in found]
        self.ids |= {found["id"] or ""} if "id" in found else set()


def test_every_link_leads_to_a_page_of_the_site_and_none_out_of_it(catalogue: Catalogue, tmp_path: Path) -> None:
    made(catalogue, tmp_path / "site")
    pages = {path: Links(text.decode()) for path, text in contents(tmp_path / "site").items() if path.endswith(".html")}
    for path, page in pages.items():
        for target in page.targets:
            place, _, anchor = target.partition("#")
            assert "://" not in target, target
            goal = os.path.normpath(os.path.join(os.path.dirname(path), place)) if place else path  # noqa: PTH118, PTH120
            assert (tmp_path / "site" / goal).is_file(), f"{path} leads to {target}"
            if anchor and goal in pages:
                assert anchor in pages[goal].ids, f"{path} leads to {target}"


def test_pages_tell_images_tags_lineage_and_packages(catalogue: Catalogue, tmp_path: Path) -> None:
    site = made(catalogue, tmp_path / "site")
    pages = {path: text.decode() for path, text in contents(tmp_path / "site").items()}
    assert len(site.survey.by_name) == 16
    for name in site.survey.by_name:
        image, tag = name.split(":")
        assert name in pages[f"tags/{image}/{tag}/index.html"]
        assert tag in pages[f"images/{image}.html"]
    assert any(tag.origin and tag.origin in pages["lineage.html"] for tag in site.survey.by_name.values())
    assert json.loads(pages["packages/search.js"].removeprefix("peelPackages(").removesuffix(");\n"))
    assert max(size for _, size in site.written.sizes) < MOST


def test_the_same_catalogue_gives_the_same_bytes_whatever_is_around_it(catalogue: Catalogue, tmp_path: Path) -> None:
    made(catalogue, tmp_path / "one")
    script = (
        "import os, sys; os.umask(0o077)\n"
        "from pathlib import Path\nfrom peel.model.progress import Silent\n"
        "from peel.report.site.draw import draw_site\n"
        "from peel.store.catalogue import Catalogue\nfrom peel.workflow.site import make_site\n"
        "make_site(Catalogue(Path(sys.argv[1])), Path(sys.argv[2]), draw=draw_site, progress=Silent())\n"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": "/nowhere"}
    subprocess.run(
        [sys.executable, "-c", script, str(catalogue.root), str(tmp_path / "two")], env=env, check=True, cwd="/"
    )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_only_what_changed_is_written_and_stale_pages_go(catalogue: Catalogue, tmp_path: Path) -> None:
    place = tmp_path / "site"
    assert made(catalogue, place).written.changed > 0
    again = made(catalogue, place).written
    assert (again.changed, again.removed) == (0, 0)
    image = min(catalogue.images())
    gone = catalogue.root / "lockfiles" / image
    gone.rename(tmp_path / "gone")
    assert made(catalogue, place).written.removed > 0
    assert not (place / "images" / f"{image}.html").exists()
    assert not (place / "tags" / image).exists()


def test_a_lock_set_that_cannot_be_read_is_told_on_a_page_and_stops_nothing(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    broken = next(catalogue.root.glob("lockfiles/*/*/image.lock.yaml"))
    broken.write_text("schema: <script>alert(1)</script>\n")
    site = made(catalogue, tmp_path / "site")
    assert (len(site.survey.by_name), len(site.survey.unreadable)) == (15, 1)
    page = (tmp_path / "site" / "problems.html").read_text()
    assert "<script>alert" not in page
    assert f"{broken.parent.parent.name}:{broken.parent.name}" in page


def test_nothing_from_outside_is_rendered_unescaped(catalogue: Catalogue, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    patched = [path for path in catalogue.root.glob("lockfiles/*/*/image.lock.yaml") if "reason:" in path.read_text()]
    assert patched
    for path in patched:
        lines = [
            f"{line.partition('reason:')[0]}reason: '{hostile}'" if "reason:" in line else line
            for line in path.read_text().splitlines()
        ]
        path.write_text("\n".join(lines) + "\n")
    made(catalogue, tmp_path / "site")
    pages = contents(tmp_path / "site")
    assert not [path for path, text in pages.items() if b"<img" in text]
    assert any(b"&lt;img" in text for text in pages.values())


def test_an_empty_catalogue_has_a_site(tmp_path: Path) -> None:
    (tmp_path / "catalogue" / "envs").mkdir(parents=True)
    made(Catalogue(tmp_path / "catalogue"), tmp_path / "site")
    assert "Nothing is locked" in (tmp_path / "site" / "index.html").read_text()


def test_a_directory_that_holds_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other things than a site"):
        write_pages(tmp_path, [Page("index.html", "x")])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_files_of_others_in_a_site_stay(tmp_path: Path) -> None:
    place = tmp_path / "site"
    write_pages(place, [Page("index.html", "x"), Page("a/b.html", "x")])
    (place / "a" / "CNAME").write_text("mine")
    write_pages(place, [Page("index.html", "x")])
    assert (place / "a" / "CNAME").read_text() == "mine"
    assert not (place / "a" / "b.html").exists()
    with pytest.raises(UsageError, match="is not peel's"):
        write_pages(place, [Page("a/CNAME", "x")])


def test_a_link_that_leads_out_of_the_site_is_not_followed(tmp_path: Path) -> None:
    place, outside = tmp_path / "site", tmp_path / "outside"
    outside.mkdir()
    write_pages(place, [Page("index.html", "x")])
    (place / "a").symlink_to(outside)
    with pytest.raises(UsageError, match="a link leads out of the site"):
        write_pages(place, [Page("a/b.html", "x")])
    assert list(outside.iterdir()) == []


def test_tags_stand_in_the_order_that_people_count_in() -> None:
    assert sorted(["r1_0_10", "r1_0_9", "r1_0_9_rsp2", "r1_0_9_rsp10"], key=tag_order) == [
        "r1_0_9", "r1_0_9_rsp2", "r1_0_9_rsp10", "r1_0_10",
    ]  # fmt: skip
