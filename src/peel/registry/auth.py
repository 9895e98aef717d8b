"""Answering a registry that asks who we are: by password, or by a token of the server that it names."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Final

import httpx

from peel.registry.credentials import Credentials

_CHALLENGE: Final = re.compile(r"\s*(?P<scheme>[A-Za-z]+)\s+(?P<rest>.*)", re.DOTALL)
_PARAMETER: Final = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_CLIENT: Final = "peel"


class RegistryAuth(httpx.Auth):
    """Asks without credentials first; what the challenge was is answered from then on (RFC 7235, RFC 6750).

    ``actions`` is what a token is asked for where the challenge names no scope: ``pull`` or ``pull,push``.
    """

    def __init__(self, credentials: Credentials | None, name: str, actions: str) -> None:
        self._credentials = credentials
        self._scope = f"repository:{name}:{actions}"
        self._header: str | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """One request, and what has to be asked beside it."""
        if self._header is not None:
            request.headers["Authorization"] = self._header
        response = yield request
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return
        for scheme, parameters in _challenges(response):
            if scheme == "bearer" and "realm" in parameters:
                answer = yield self._ask_for_token(parameters)
                token = _token_of(answer)
                self._header = f"Bearer {token}" if token else None
            elif scheme == "basic" and self._credentials is not None and self._credentials.user:
                basic = httpx.BasicAuth(self._credentials.user, self._credentials.password)
                self._header = next(basic.auth_flow(httpx.Request("GET", request.url))).headers["Authorization"]
            else:
                continue
            if self._header is not None:
                request.headers["Authorization"] = self._header
                yield request
            return

    def _ask_for_token(self, parameters: Mapping[str, str]) -> httpx.Request:
        """The request for a token (distribution's docs/spec/auth, "token" and "oauth")."""
        asked = {"service": parameters.get("service", ""), "scope": parameters.get("scope") or self._scope}
        known = self._credentials
        if known is not None and known.identity_token:
            form = {**asked, "grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": known.identity_token}
            return httpx.Request("POST", parameters["realm"], data=form)
        request = httpx.Request("GET", parameters["realm"], params=asked)
        if known is not None and known.user:
            return next(httpx.BasicAuth(known.user, known.password).auth_flow(request))
        return request


def _challenges(response: httpx.Response) -> Generator[tuple[str, Mapping[str, str]], None, None]:
    for value in response.headers.get_list("WWW-Authenticate"):
        if found := _CHALLENGE.fullmatch(value):
            pairs = _PARAMETER.findall(found["rest"])
            yield found["scheme"].lower(), {name.lower(): quoted or plain for name, quoted, plain in pairs}


def _token_of(answer: httpx.Response) -> str | None:
    try:
        answer.read()
        said = answer.json() if answer.is_success else {}
    except ValueError:
        return None
    token = (said.get("token") or said.get("access_token")) if isinstance(said, dict) else None
    return token if isinstance(token, str) and token.isprintable() and token.isascii() else None
