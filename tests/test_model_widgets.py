"""Widgets whose halves do not go together are told before a user sees an empty cell."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from peel.model.widgets import apart


@pytest.mark.parametrize(
    ("lab", "payload", "told"),
    [
        ({}, {}, []),
        ({"jupyterlab-widgets": "3.0.15"}, {"ipywidgets": "8.1.7"}, []),
        ({"jupyterlab-widgets": "1.1.0"}, {"ipywidgets": "7.8"}, []),
        (
            {"jupyterlab-widgets": "1.1.0"}, {"ipywidgets": "8.1"},
            ["ipywidgets 8.1 needs jupyterlab_widgets 3 in the lab, which has 1.1.0"],
        ),
        ({}, {"ipywidgets": "8.1"}, ["ipywidgets 8.1 needs jupyterlab_widgets 3 in the lab, which has none"]),
        ({"ipympl": "0.9.7"}, {"ipympl": "0.9.3"}, []),
        ({"ipympl": "1.0"}, {"ipympl": "0.9.3"}, ["ipympl 0.9.3 needs ipympl 0 in the lab, which has 1.0"]),
        ({}, {"jupyter-bokeh": "4.0"}, ["jupyter-bokeh 4.0 needs jupyter-bokeh 4 in the lab, which has none"]),
        ({}, {"bokeh": "3.6"}, []),
        ({"plotly": "5.1"}, {"plotly": "5.24"}, []),
        ({}, {"plotly": "5.24"}, ["plotly 5.24 needs plotly 5 in the lab, which has none"]),
        ({}, {"plotly": "6.0"}, []),
        (
            {"anywidget": "0.9"}, {"plotly": "6.0", "anywidget": "1.0"},
            ["anywidget 1.0 needs anywidget 1 in the lab, which has 0.9"],
        ),
        ({"ipympl": "x"}, {"ipympl": "y"}, []),
    ],
)  # fmt: skip
def test_halves_agree_in_their_major_version(
    lab: Mapping[str, str], payload: Mapping[str, str], told: list[str]
) -> None:
    assert list(apart(lab, payload)) == told
