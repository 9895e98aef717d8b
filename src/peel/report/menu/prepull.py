"""The Kubernetes manifest that brings the menu's images to every node."""

from __future__ import annotations

from typing import Any, Final

from peel.model.menu.declaration import Prepull
from peel.model.menu.offer import Offer

_LABELS: Final = {"app.kubernetes.io/name": "peel-prepull", "app.kubernetes.io/managed-by": "peel"}
_LITTLE: Final = {"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"cpu": "10m", "memory": "64Mi"}}
_HARMLESS: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "runAsGroup": 65534,
}


def daemon_set(offer: Offer, settings: Prepull) -> dict[str, Any]:
    """A DaemonSet (apps/v1) whose pods start each image once, with ``/bin/true``, and then do nothing.

    Equal menus give equal manifests, so that applying it again changes nothing.
    """
    images = list(dict.fromkeys(reference for payload in offer.payloads for reference in payload.prepull))
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "initContainers": [
            _container(f"image-{number}", image, command=["/bin/true"]) for number, image in enumerate(images)
        ],
        "containers": [_container("pause", settings.pause)],
        "terminationGracePeriodSeconds": 0,
        "tolerations": [
            {"key": "hub.jupyter.org/dedicated", "operator": "Equal", "value": "user", "effect": "NoSchedule"}
        ],
    }
    if settings.node_selector:
        pod["nodeSelector"] = dict(sorted(settings.node_selector.items()))
    if settings.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.pull_secrets]
    metadata: dict[str, Any] = {"name": settings.name, "labels": dict(_LABELS)}
    if settings.namespace:
        metadata["namespace"] = settings.namespace
    chosen = {"app.kubernetes.io/name": _LABELS["app.kubernetes.io/name"], "app.kubernetes.io/instance": settings.name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": chosen},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {"metadata": {"labels": {**_LABELS, **chosen}}, "spec": pod},
        },
    }


def _container(name: str, image: str, *, command: list[str] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        **({"command": command, "workingDir": "/tmp"} if command else {}),  # noqa: S108 - in the container
        "imagePullPolicy": "IfNotPresent",
        "resources": _LITTLE,
        "securityContext": _HARMLESS,
    }
