"""How an image runs: started as its spawners start it, with a read-only root, as a user whom it does not know."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from peel.errors import PeelError, ToolError
from peel.model.checks import Check, judged
from peel.model.glue import START
from peel.model.glue.places import ENTRY
from peel.tools import system
from peel.tools.buildah import Volume
from peel.tools.jupyter import JupyterServer
from peel.tools.podman import Podman
from peel.workflow.checking.homes import OWN_MODULE, break_home, furnish
from peel.workflow.checking.hub_api import serve_hub_api
from peel.workflow.checking.subject import Subject
from peel.workflow.lab import ExpectedKernel, Running, launch, server_argv, server_env

USER: Final = 12345
"""Somebody whom no image knows."""

_TRUE_SECONDS: Final = 30.0
_LEAKS: Final = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "VIRTUAL_ENV", "JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR",
)  # fmt: skip
_QUESTION: Final = (
    "import json, os, sys\n"
    f"try:\n    import {OWN_MODULE}\n    own = True\nexcept ImportError:\n    own = False\n"
    "print(json.dumps({'prefix': sys.prefix, 'version': sys.version.split()[0], 'own': own,"
    f" 'path': os.environ.get('PATH', ''), 'leaks': [n for n in {list(_LEAKS)!r} if n in os.environ]}}))"
)
_HOME: Final = "the user's files keep the lab from starting; is it an image of glue 2?"
_LOG: Final = "the last lines of its log say why"


@dataclass(slots=True)
class Runs:
    """Starts of one image; labs are started once for all checks that a start can answer."""

    subject: Subject
    podman: Podman
    root: str
    seconds: dict[str, float] = field(default_factory=dict)

    def true(self) -> Check:
        """``/bin/true`` runs, by itself as prepullers call it and through the entry point, without much ado."""
        began, faults = time.monotonic(), []
        for argv in (("/bin/true",), (ENTRY, "/bin/true")):
            done = self.podman.run(self.root, argv, timeout=_TRUE_SECONDS, user=f"{USER}:{USER}", workdir="/tmp")  # noqa: S108
            if done.status != 0:
                said = done.stderr.decode("utf-8", "replace").strip()[-200:]
                faults.append(f"{' '.join(argv)} ended with status {done.status}: {said}")
        return judged(
            "true", faults, f"twice in {time.monotonic() - began:.1f} s", "the base needs /bin/true and /bin/sh"
        )

    def started(self) -> Iterator[Check]:
        """All that one start of the lab answers: uid, read-only root, kernels, terminal."""
        with TemporaryDirectory(prefix="peel-home-") as home:
            furnish(Path(home), self.subject.pythons(), USER)
            try:
                with self._lab(Path(home), start=(ENTRY, START)) as running:
                    yield Check("uid", passed=True, detail=f"starts as {USER}:{USER}, which /etc/passwd does not know")
                    yield Check("read-only", passed=True, detail="starts with a read-only root and no capability")
                    yield self._kernels(running)
                    yield self._terminal(running, Path(home))
            except ToolError as error:
                for name in ("uid", "read-only", "kernels", "terminal"):
                    yield Check(name, passed=False, detail=_short(error), hint=_LOG)

    def _kernels(self, running: Running) -> Check:
        shown = {spec.name for spec in running.server.kernelspecs()}
        expected = {kernel.name: kernel for kernel in self.subject.kernels}
        faults = [f"{name} is shown, and no payload has it" for name in sorted(shown - expected.keys())]
        faults += [f"{name} is not shown" for name in sorted(expected.keys() - shown)]
        for name in sorted(shown & expected.keys()):
            faults += self._kernel(running, expected[name])
        return judged(
            "kernels", faults, f"{', '.join(sorted(expected)) or 'none'}: each in its prefix and clean",
            "see the kernel's launcher beneath /usr/local/share/peel/kernels",
        )  # fmt: skip

    def _kernel(self, running: Running, kernel: ExpectedKernel) -> list[str]:
        try:
            result = running.server.run_cell(kernel.name, _QUESTION, timeout=60.0)
            said: Mapping[str, Any] = json.loads(result.text.strip().splitlines()[-1])
        except ToolError as error:
            return [f"{kernel.name}: {_short(error)}"]
        except (ValueError, IndexError):
            return [f"{kernel.name}: the cell printed {result.text[:100]!r} {result.error}".rstrip()]
        lab = self.subject.locks.lock.declared.lab.prefix
        faults = [] if said["prefix"] == kernel.prefix else [f"runs in {said['prefix']}, not in {kernel.prefix}"]
        faults += [f"inherits {name}" for name in said["leaks"]]
        faults += [f"has the lab's {lab}/bin on its PATH"] if f"{lab}/bin" in said["path"].split(":") else []
        faults += [] if said["own"] else ["does not see the packages in the user's home"]
        return [f"{kernel.name}: {fault}" for fault in faults]

    def _terminal(self, running: Running, home: Path) -> Check:
        declared = [env for env in self.subject.locks.lock.declared.payloads if env.terminal]
        if not declared:
            return Check("terminal", passed=True, detail="no payload asks for terminals")
        told = home / "peel-terminal.txt"
        line = 'printf "%s %s" "$CONDA_PREFIX" "$(command -v python)" >"$HOME/peel-terminal.txt"'
        running.server.type_in_terminal(line, until=told.exists, timeout=30.0)
        found, wanted = told.read_text().split(), declared[0].prefix
        faults = [] if found and found[0] == wanted else [f"enters {' '.join(found) or 'nothing'}, not {wanted}"]
        return judged(
            "terminal", faults, f"enters {wanted}", "see /etc/profile.d/peel.sh; does /etc/profile source it?"
        )

    def user_site(self) -> Check:
        """A home full of broken packages and configurations does not keep the lab from starting."""
        with TemporaryDirectory(prefix="peel-home-") as home:
            break_home(Path(home), self.subject.pythons(), USER)
            try:
                with self._lab(Path(home), start=(ENTRY, START)):
                    return Check(
                        "user-site", passed=True, detail="starts in spite of a hostile ~/.local and ~/.jupyter"
                    )
            except ToolError as error:
                return Check("user-site", passed=False, detail=_short(error), hint=_HOME)

    def nublado(self) -> Check:
        """Starts by Nublado's files, in both places that they have been in, with its variables."""
        faults = []
        for inside in ("/etc/nublado/startup", "/lab_startup"):
            with TemporaryDirectory(prefix="peel-startup-") as startup, TemporaryDirectory(prefix="peel-home-") as home:
                _give_away(Path(home))
                try:
                    with self._by_files(Path(startup), Path(home), inside):
                        pass
                except ToolError as error:
                    faults.append(f"{inside}: {_short(error)}")
        return judged("nublado", faults, "starts by args.json and env.json, in the new place and the old", _LOG)

    @contextmanager
    def _by_files(self, startup: Path, home: Path, inside: str) -> Iterator[None]:
        port, token = system.free_port(None), secrets.token_hex(16)
        kernels = [kernel.name for kernel in self.subject.kernels]
        default = (f"--MappingKernelManager.default_kernel_name={kernels[0]}",) if kernels else ()
        arguments = [
            "jupyter-lab", *server_argv(port), "--ContentsManager.allow_hidden=True",
            "--KernelSpecManager.ensure_native_kernel=False", *default,
        ]  # fmt: skip
        (startup / "args.json").write_text(json.dumps(arguments))
        (startup / "env.json").write_text(
            json.dumps({**server_env(), "JUPYTER_TOKEN": token, "JUPYTER_TOKEN_FILE": ""})
        )
        startup.chmod(0o755)
        volumes = [Volume(home, server_env()["HOME"], "rw"), Volume(startup, inside)]
        with self._up((ENTRY, START), JupyterServer(f"http://127.0.0.1:{port}", token), volumes, {}):
            yield

    def hub(self) -> Check:
        """Becomes a single-user server where JupyterHub's variables are set."""
        platform, lab = self.subject.plan.platform.subdir, self.subject.locks.lock.declared.lab.name
        packages = {package.name: package.version for package in self.subject.locks.installed[platform, lab]}
        version = packages.get("jupyterhub") or packages.get("jupyterhub-base") or packages.get("jupyterhub-singleuser")
        if version is None:
            hint = "declare jupyterhub in the lab's environment; --skip hub if no hub starts this image"
            return Check("hub", passed=False, detail="the lab has no jupyterhub", hint=hint)
        with TemporaryDirectory(prefix="peel-home-") as home, serve_hub_api(version) as hub:
            _give_away(Path(home))
            try:
                with self._under_hub(Path(home), hub):
                    return Check("hub", passed=True, detail=f"starts as a single-user server of JupyterHub {version}")
            except ToolError as error:
                return Check("hub", passed=False, detail=_short(error), hint=_LOG)

    @contextmanager
    def _under_hub(self, home: Path, hub: int) -> Iterator[None]:
        port, token = system.free_port(None), secrets.token_hex(16)
        base = "/user/somebody"
        api = f"http://127.0.0.1:{hub}/hub/api"
        variables = {
            "HOME": server_env()["HOME"], "JUPYTERHUB_API_TOKEN": token, "JPY_API_TOKEN": token,
            "JUPYTERHUB_USER": "somebody", "JUPYTERHUB_SERVER_NAME": "", "JUPYTERHUB_HOST": "",
            "JUPYTERHUB_BASE_URL": "/", "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-somebody", "JUPYTERHUB_API_URL": api,
            "JUPYTERHUB_ACTIVITY_URL": f"{api}/users/somebody/activity", "JUPYTERHUB_SERVICE_PREFIX": f"{base}/",
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}{base}/", "JUPYTERHUB_OAUTH_SCOPES": "[]",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{base}/oauth_callback", "JUPYTERHUB_OAUTH_ACCESS_SCOPES": "[]",
        }  # fmt: skip
        volumes = [Volume(home, server_env()["HOME"], "rw")]
        with self._up((ENTRY, START), JupyterServer(f"http://127.0.0.1:{port}{base}", token), volumes, variables):
            yield

    @contextmanager
    def _lab(self, home: Path, *, start: Sequence[str]) -> Iterator[Running]:
        engine = _Rooted(self.podman, self.root)
        with launch("", engine=engine, home=home, start=start, user=USER) as running:
            yield running

    @contextmanager
    def _up(
        self, argv: Sequence[str], server: JupyterServer, volumes: Sequence[Volume], env: Mapping[str, str]
    ) -> Iterator[None]:
        """A start that is waited for until its server answers. Raises ToolError with its last lines."""
        with TemporaryDirectory(prefix="peel-log-") as place:
            log = Path(place) / "log"
            with ExitStack() as stack:
                written = stack.enter_context(log.open("wb"))
                child = stack.enter_context(
                    self.podman.start(
                        self.root, argv, log=written, volumes=volumes, env=env, user=f"{USER}:{USER}",
                        network="host", workdir=server_env()["HOME"],
                    )
                )  # fmt: skip
                try:
                    server.wait_until_answered(timeout=60.0, alive=lambda: child.poll() is None)
                except ToolError as error:
                    lines = log.read_text(errors="replace").strip().splitlines()[-5:]
                    raise ToolError(f"{error.message}: {' | '.join(lines)}") from None
                yield


@dataclass(frozen=True, slots=True)
class _Rooted:
    """An engine whose container is there already."""

    podman: Podman
    root: str

    @contextmanager
    def container(self, _: str) -> Iterator[str]:
        """The root that is mounted."""
        yield self.root

    def start(self, container: str, argv: Sequence[str], **options: Any) -> Any:
        """As podman starts it."""
        return self.podman.start(container, argv, **options)


def _give_away(home: Path) -> None:
    furnish(home, (), USER)
    home.chmod(0o700)


def _short(error: PeelError) -> str:
    return " ".join(error.message.split())[:500]
