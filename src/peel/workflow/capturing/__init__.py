"""Environments that are made by a script, a Dockerfile or in another image: made, judged, and captured as a layer."""
