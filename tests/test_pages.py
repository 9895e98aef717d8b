"""Pages for browsers: what is inserted cannot become markup, and what is missing is told."""

import jinja2
import pytest

from peel.report import pages


def with_templates(monkeypatch: pytest.MonkeyPatch, **templates: str) -> None:
    environment = pages._environment().overlay(loader=jinja2.DictLoader(templates))
    monkeypatch.setattr(pages, "_environment", lambda: environment)


def test_inserted_text_is_escaped(monkeypatch):
    with_templates(monkeypatch, page='<p title="{{ name }}">{{ name }}</p>')
    text = pages.render("page", name="\"><script>alert('x')</script>&")
    assert "<script>" not in text
    assert text.count("&#34;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;") == 2


def test_a_name_that_nobody_gave_is_not_an_empty_string(monkeypatch):
    with_templates(monkeypatch, page="{{ forgotten }}")
    with pytest.raises(jinja2.UndefinedError, match="forgotten"):
        pages.render("page")
