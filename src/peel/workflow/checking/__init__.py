"""``peel check``: the launch contract, proved on a built image."""
