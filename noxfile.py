"""Development tasks. ``.ci/nox`` runs this file on a machine that has nothing yet."""

from __future__ import annotations

import os
import shutil

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["check"]
nox.options.default_venv_backend = "uv|venv"
nox.options.reuse_existing_virtualenvs = True

LOCK = ".ci/requirements.txt"


def install(session: nox.Session) -> None:
    """Install peel and its tools, each of the version that the lock names."""
    session.install("--require-hashes", "-r", LOCK)
    session.install("--no-deps", "-e", ".")


@nox.session
def check(session: nox.Session) -> None:
    """Pass all that a change has to pass: lint, types and tests, in one environment."""
    install(session)
    run_lint(session)
    run_types(session)
    run_tests(session)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and the floors that modules may import from."""
    install(session)
    run_lint(session)


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session)
    run_types(session)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests; installs the system packages that they need."""
    install(session)
    run_tests(session)


def run_lint(session: nox.Session) -> None:
    """Style, format, floors."""
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


def run_types(session: nox.Session) -> None:
    """Types."""
    session.run("mypy")


def run_tests(session: nox.Session) -> None:
    """Tests, two files at a time: tests/conftest.py says in which order."""
    session.run("peel", "doctor", "--install", "--for", "tests", "--quiet")
    session.run("pytest", *(session.posargs or ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")))


@nox.session
def demo(session: nox.Session) -> None:
    """Run ``peel demo DIR``; installs the system packages that it needs."""
    install(session)
    purpose = "hub" if "--hub" in session.posargs else "demo"
    session.run("peel", "doctor", "--install", "--for", purpose, "--quiet")
    session.run("peel", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure peel against the plain way, in one run, as ratios."""
    install(session)
    session.run("peel", "doctor", "--install", "--for", "tests", "--quiet")
    session.run("python", "tests/bench/run.py", *session.posargs)


@nox.session
def matrix(session: nox.Session) -> None:
    """Build one lock set with the buildahs of Debian 12, 13 and sid, and compare the digests."""
    install(session)
    session.run("peel", "doctor", "--install", "--for", "demo", "--quiet")
    if shutil.which("mmdebstrap") is None:
        session.run("apt-get", "install", "-y", "--no-install-recommends", "mmdebstrap", external=True)
    session.run("python", "tests/matrix/run.py", *session.posargs)


@nox.session(venv_backend="none")
def lock(session: nox.Session) -> None:
    """Renew the lock for development; needs uv."""
    session.run(
        "uv", "pip", "compile", "pyproject.toml", "--universal", "--generate-hashes", "--no-emit-index-url", "--quiet",
        "--python-version", "3.11", "--group", "lint", "--group", "types", "--group", "tests", "--extra", "hub",
        "--custom-compile-command", "nox -s lock", "--output-file", LOCK, *session.posargs,
        env=dict(os.environ), external=True,
    )  # fmt: skip
