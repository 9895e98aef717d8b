"""Floor 2: stand-ins for a base image and a conda channel, made from Debian's and PyPI's packages."""
