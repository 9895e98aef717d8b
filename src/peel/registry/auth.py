"""Answering a registry that asks who we are: by password, or by a token of the server that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import httpx

from peel.registry.credentials import Credentials

_CHALLENGE: Final = re.compile(r"\s*(?P<scheme>[A-Za-z]+)\s+(?P<rest>.*)", re.DOTALL)
_PARAMETER: Final = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_CLIENT: Final = "peel"

Read = Callable[[httpx.Response], bytes]
"""Reads an answer that may be of any length, as far as patience and memory go."""


@dataclass(slots=True)
class RegistryAuth:
    """What a registry is told of us: nothing, until it asks (RFC 7235, RFC 6750).

    ``scope`` is what a token is asked for where the challenge names none: ``repository:NAME:pull,push``.
    """

    credentials: Credentials | None
    scope: str
    header: str | None = None
    """What the next request is to say in ``Authorization``."""

    def answer(self, refusal: httpx.Response, http: httpx.Client, read: Read) -> bool:
        """Prepare for asking again after a 401; whether there is anything new to say.

        Raises httpx.HTTPError and httpx.InvalidURL for a token server that cannot be asked.
        """
        before = self.header
        for scheme, parameters in _challenges(refusal):
            if scheme == "bearer" and _is_no_worse(parameters.get("realm", ""), refusal.request.url):
                token = self._fetch_token(parameters, http, read)
                self.header = f"Bearer {token}" if token else None
            elif scheme == "basic" and self.credentials is not None and self.credentials.user:
                self.header = _basic(self.credentials)
            else:
                continue
            break
        return self.header not in {None, before}

    def _fetch_token(self, parameters: Mapping[str, str], http: httpx.Client, read: Read) -> str | None:
        """A token (distribution's docs/spec/auth, "token" and "oauth"); None where the server gives none."""
        asked = {"service": parameters.get("service", ""), "scope": parameters.get("scope") or self.scope}
        known, realm = self.credentials, parameters["realm"]
        if known is not None and known.identity_token:
            form = {**asked, "grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": known.identity_token}
            asking = http.stream("POST", realm, data=form)
        else:
            headers = {"Authorization": _basic(known)} if known is not None and known.user else {}
            asking = http.stream("GET", httpx.URL(realm).copy_merge_params(asked), headers=headers)
        with asking as answer:
            return _token_in(read(answer)) if answer.is_success else None


def _basic(known: Credentials) -> str:
    request = next(httpx.BasicAuth(known.user, known.password).auth_flow(httpx.Request("GET", "https://localhost")))
    return str(request.headers["Authorization"])


def _challenges(response: httpx.Response) -> Iterator[tuple[str, Mapping[str, str]]]:
    for value in response.headers.get_list("WWW-Authenticate"):
        if found := _CHALLENGE.fullmatch(value):
            pairs = _PARAMETER.findall(found["rest"])
            yield found["scheme"].lower(), {name.lower(): quoted or plain for name, quoted, plain in pairs}


def _is_no_worse(realm: str, asked: httpx.URL) -> bool:
    """Whether a token server may be told what the registry may: never in clear text what came over TLS."""
    return realm.startswith("https://") or (realm.startswith("http://") and asked.scheme == "http")


def _token_in(body: bytes) -> str | None:
    said = None
    with suppress(ValueError, RecursionError):
        said = json.loads(body)
    token = (said.get("token") or said.get("access_token")) if isinstance(said, dict) else None
    return token if isinstance(token, str) and token.isprintable() and token.isascii() else None
