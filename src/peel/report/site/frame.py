"""What every page of a site has in common."""

from __future__ import annotations

from typing import Any

from peel.console import human_size
from peel.errors import DocumentError
from peel.model.oci import rfc3339
from peel.model.survey import SurveyedPlatform, SurveyedTag
from peel.report.pages import render
from peel.report.site import counted, links
from peel.report.site.split import Part, shortened
from peel.store.pages import Page


def page(path: str, template: str, title: str, part: Part[Any] | None = None, **values: object) -> Page:
    """A page of the site, with what every page's frame needs."""
    root = "../" * path.count("/")
    frame = {"root": root, "title": title, "part": part, "links": links, "size": human_size, "counted": counted}
    return Page(path, render(f"site/{template}", **frame, short=shortened, **values))


def date_of(epoch: int) -> str:
    """The day of an epoch, in UTC."""
    try:
        return rfc3339(epoch)[:10]
    except DocumentError:
        return "unknown"


def state_of(tag: SurveyedTag, platform: SurveyedPlatform) -> str:
    """How far a lock set has come, in words."""
    if tag.missing:
        return f"incomplete: {counted(tag.missing, 'artifact')} missing"
    return "built" if platform.manifest else "not built"
