"""Pages for browsers, from templates that come with the package: the one module that imports jinja2."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: object) -> str:
    """The page that a template beneath ``report/templates/`` makes of these values.

    Whatever is inserted is escaped, since names in it come from outside. A name that the template uses and nobody
    gave is a mistake in the caller and raises ``jinja2.UndefinedError``. Equal values give equal text.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("peel.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
