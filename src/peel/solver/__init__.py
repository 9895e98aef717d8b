"""``peel-micromamba``: the embedded solver, a program of its own that conda-lock drives."""
