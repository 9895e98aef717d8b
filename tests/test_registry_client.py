"""The client of registries: against a real one, and against ones that do wrong."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from peel.errors import ArtifactError, ToolError, UsageError
from peel.model.oci import MANIFEST
from peel.model.repository import Repository
from peel.model.values import Digest, canonical_json
from peel.registry.auth import RegistryAuth
from peel.registry.client import RegistryClient, RegistryTimes, open_registry
from peel.registry.credentials import Credentials, find_credentials
from peel.registry.settings import Location, locate
from registries import NAME, Answer, odd_registry, published, status, trusting

QUICK = RegistryTimes(silence=2.0, whole=3.0, attempts=3, pause=0.001)


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], RegistryClient]]:
    """Opens a client for a registry that answers so."""

    monkeypatch.setenv("HOME", str(tmp_path))
    with ExitStack() as stack:

        def answering(answer: Answer) -> RegistryClient:
            host = stack.enter_context(odd_registry(answer))
            monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(host, tmp_path)))
            return stack.enter_context(open_registry(Repository.parse(f"{host}/a/b"), times=QUICK))

        yield answering


def say(request: BaseHTTPRequestHandler, body: bytes = b"", number: int = 200, **headers: str) -> None:
    request.send_response(number)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("registry.example.org/science/lab", "registry.example.org/science/lab"),
        ("docker://localhost:5000/lab", "localhost:5000/lab"),
        ("docker.io/almalinux", "docker.io/library/almalinux"),
        ("index.docker.io/lsstsqre/sciplat-lab", "docker.io/lsstsqre/sciplat-lab"),
    ],
)
def test_a_repository_is_read(text: str, means: str) -> None:
    assert str(Repository.parse(text)) == means


@pytest.mark.parametrize(
    "text",
    [
        "", "lab", "science/lab", "registry.example.org/", "registry.example.org/Science/lab",
        "registry.example.org/science/lab:tag", "https://registry.example.org/a", "user:secret@host.org/a",
        "registry.example.org/../a", "a..b/c",
        f"{'x' * 64}.org/a", "registry.example.org/a b", "-registry.example.org/a", f"host.org/{'a' * 256}",
    ],
)  # fmt: skip
def test_what_is_no_repository_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(UsageError, match="not a repository") as refused:
        Repository.parse(text)
    assert "secret" not in refused.value.message


def test_tags_and_what_they_stand_for_are_read_from_a_real_registry(trusted: str) -> None:
    digests = published(trusted, ["w_2077_1", "w_2077_2"])
    with open_registry(Repository.parse(f"{trusted}/{NAME}")) as client:
        assert client.tags().tags == ["w_2077_1", "w_2077_2"]
        assert client.describe("w_2077_1").digest == digests["w_2077_1"]
        assert client.describe("w_2077_3") is None
        descriptor, raw = client.manifest("w_2077_2")
        assert (descriptor.media_type, Digest.of(raw)) == (MANIFEST, digests["w_2077_2"])
        assert client.has_blob(Digest(json.loads(raw)["config"]["digest"]))
        assert not client.has_blob(Digest.of(b"nobody has this"))


def test_pages_are_followed_on_the_same_registry_only(odd) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        last = parse_qs(urlsplit(request.path).query).get("last", [""])[0]
        if not last:
            return say(request, b'{"tags": ["w_2077_1"]}', Link='</v2/a/b/tags/list?last=w_2077_1>; rel="next"')
        return say(request, b'{"tags": ["w_2077_2"]}', Link='<http://192.0.2.1/v2/a/b/tags/list>; rel="next"')

    listing = odd(answer).tags()
    assert listing.tags == ["w_2077_1"]
    assert "said to be at 192.0.2.1" in listing.fault


def test_a_registry_that_fails_half_way_is_told_beside_what_came(odd) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if "last" in request.path:
            return say(request, number=500)
        return say(request, b'{"tags": ["w_2077_1"]}', Link='</v2/a/b/tags/list?last=w_2077_1>; rel="next"')

    listing = odd(answer).tags()
    assert listing.tags == ["w_2077_1"]
    assert "status 500" in listing.fault


def test_pages_that_lead_back_to_themselves_end(odd) -> None:
    client = odd(lambda r: say(r, b'{"tags": ["x"]}', Link='</v2/a/b/tags/list?n=1000>; rel="next"'))
    assert (client.tags().tags, "in a circle" in client.tags().fault) == (["x"], True)


def test_a_proxy_that_writes_another_scheme_or_port_into_links_is_understood(odd) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if "last" in request.path:
            return say(request, b'{"tags": ["b"]}')
        return say(request, b'{"tags": ["a"]}', Link='<https://127.0.0.1/v2/a/b/tags/list?last=a>; rel="next"')

    assert odd(answer).tags().tags == ["a", "b"]


def test_nothing_is_followed_to_another_place(odd) -> None:
    digest = Digest.of(b"x")
    client = odd(lambda r: say(r, number=307, Location="http://192.0.2.1/elsewhere"))
    with pytest.raises(ArtifactError, match="status 307"):
        client.tags()
    assert client.has_blob(digest)  # it lies elsewhere, so it is there
    with pytest.raises(ArtifactError, match="status 307"):
        client.put_manifest("x", MANIFEST, b"{}")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"token": 7}', b"[" * 100_000])
def test_a_token_server_that_gives_none_leaves_us_refused(body: bytes, odd) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/token"):
            return say(request, body)
        challenge = f'Bearer realm="http://{request.headers["Host"]}/token",service="here"'
        return say(request, number=401, WWW_Authenticate=challenge)

    client = odd(answer)
    for ask in (client.tags, lambda: client.describe("x"), lambda: client.put_manifest("x", MANIFEST, b"{}")):
        with pytest.raises(ArtifactError, match="does not give us"):
            ask()


def test_a_registry_that_does_not_keep_what_it_took_is_told(odd) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        kept = str(Digest.of(b"another"))
        say(request, number=201 if request.command == "PUT" else 200, Docker_Content_Digest=kept)

    with pytest.raises(ArtifactError, match="after it was written"):
        odd(answer).put_manifest("x", MANIFEST, b"{}")


def test_names_that_no_tag_can_have_are_counted_and_left_out(odd) -> None:
    names = ["w_2077_1", "", "x" * 129, "täg", "a\nb", "<script>", 7]
    listing = odd(lambda r: say(r, json.dumps({"tags": names}).encode())).tags()
    assert (listing.tags, listing.refused) == (["w_2077_1"], 5)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"tags": 7}', b"<html>", b"\xff", b'{"tags": {"a": 1}}'])
def test_what_is_no_listing_is_refused(body: bytes, odd) -> None:
    with pytest.raises(ArtifactError, match="came as something else"):
        odd(lambda r: say(r, body)).tags()


def test_a_repository_without_tags_is_empty_and_one_that_is_not_there_is_told(odd) -> None:
    assert odd(lambda r: say(r, b'{"tags": null}')).tags().tags == []
    with pytest.raises(ArtifactError, match="there is no repository"):
        odd(status(404)).tags()


@pytest.mark.parametrize(("number", "words"), [(401, "does not give us"), (403, "log in"), (500, "status 500")])
def test_a_refusal_is_told_with_what_to_do(number: int, words: str, odd) -> None:
    with pytest.raises(ArtifactError) as refused:
        odd(status(number)).tags()
    assert words in f"{refused.value.message} {refused.value.hint}"


def test_what_fails_in_passing_is_asked_again(odd) -> None:
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        if len(asked) < 4:  # the first is whether it speaks TLS
            say(request, number=503, Retry_After="0")
        else:
            say(request, b'{"tags": ["x"]}')

    assert odd(answer).tags().tags == ["x"]


def test_a_registry_that_falls_silent_or_trickles_is_given_up(odd) -> None:
    def trickle(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/v2/":
            return say(request)
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b" ")
            time.sleep(0.1)
        return None

    with pytest.raises(ArtifactError, match="not whole after 3 s"):
        odd(trickle).tags()


def test_an_answer_without_end_is_given_up(odd) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/v2/":
            return say(request)
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b" " * 65536)
        except OSError:
            return None

    with pytest.raises(ArtifactError, match="longer than 4 MiB"):
        odd(endless).manifest("x")


def test_a_manifest_that_is_not_what_its_digest_says_is_refused(odd) -> None:
    with pytest.raises(ArtifactError, match="as it came"):
        odd(lambda r: say(r, b"{}")).manifest(str(Digest.of(b"other")))


def test_a_registry_that_does_not_say_digests_is_asked_for_the_manifest(odd) -> None:
    body = canonical_json({"schemaVersion": 2})
    found = odd(lambda r: say(r, body, Content_Type=MANIFEST)).describe("x")
    assert (found.digest, found.media_type) == (Digest.of(body), MANIFEST)


def test_nobody_at_the_other_end_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with (
        open_registry(Repository.parse("127.0.0.1:9/a/b"), times=QUICK) as client,
        pytest.raises(ArtifactError, match="cannot be reached"),
    ):
        client.tags()


def asking_for(user: str, password: str) -> Answer:
    """A registry that wants a token, and a server that gives one for this user."""
    basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        host, sent = request.headers["Host"], request.headers.get("Authorization", "")
        if request.path.startswith("/token"):
            asked = parse_qs(urlsplit(request.path).query)
            if sent == basic and asked == {"service": ["here"], "scope": ["repository:a/b:pull"]}:
                return say(request, b'{"token": "it-is-me"}')
            return say(request, number=401)
        if sent == "Bearer it-is-me":
            return say(request, b'{"tags": ["mine"]}')
        challenge = f'Bearer realm="http://{host}/token",service="here",scope="repository:a/b:pull"'
        return say(request, number=401, WWW_Authenticate=challenge)

    return answer


def test_credentials_of_the_auth_file_are_exchanged_for_a_token(odd, tmp_path: Path, monkeypatch) -> None:
    auth = tmp_path / "auth.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(auth))
    with pytest.raises(ArtifactError, match="does not give us"):
        odd(asking_for("me", "s3cret")).tags()
    with odd_registry(asking_for("me", "s3cret")) as host:
        entry = {"auths": {f"{host}/a": {"auth": base64.b64encode(b"me:s3cret").decode()}}}
        auth.write_text(json.dumps(entry))
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(host, tmp_path)))
        with open_registry(Repository.parse(f"{host}/a/b"), times=QUICK) as client:
            assert client.tags().tags == ["mine"]


def test_a_token_is_not_asked_for_in_clear_text_on_behalf_of_a_registry_with_tls() -> None:
    auth = RegistryAuth(Credentials("me", "s3cret"), "repository:a/b:pull")
    challenge = {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:9/token",service="x"'}
    refusal = httpx.Response(401, headers=challenge, request=httpx.Request("GET", "https://host.org/v2/"))
    with httpx.Client() as http:
        assert not auth.answer(refusal, http, httpx.Response.read)
    assert auth.header is None


def test_the_most_specific_entry_is_used_and_a_password_is_never_shown(tmp_path: Path) -> None:
    def entry(text: str) -> dict[str, str]:
        return {"auth": base64.b64encode(text.encode()).decode()}

    auth = tmp_path / "auth.json"
    auth.write_text(json.dumps({"auths": {"host.org": entry("a:1"), "host.org/team": entry("b:s3cret")}}))
    environment = {"REGISTRY_AUTH_FILE": str(auth)}
    found = find_credentials(Repository("host.org", "team/lab"), environment)
    assert found == Credentials("b", "s3cret")
    assert "s3cret" not in repr(found)
    assert find_credentials(Repository("host.org", "other"), environment) == Credentials("a", "1")
    assert find_credentials(Repository("elsewhere.org", "team/lab"), environment) is None


def test_a_credential_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-mine"
    helper.write_text('#!/bin/sh\nread host; echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"for $host\\"}"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    auth = tmp_path / "auth.json"
    auth.write_text('{"credHelpers": {"host.org": "mine"}}')
    found = find_credentials(Repository("host.org", "a"), {"REGISTRY_AUTH_FILE": str(auth)})
    assert found == Credentials("", "", "for host.org")


def test_a_helper_that_knows_nothing_and_one_that_fails_are_told_apart(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    auth, helper = tmp_path / "auth.json", tmp_path / "docker-credential-mine"
    auth.write_text('{"credHelpers": {"host.org": "mine"}}')
    environment = {"REGISTRY_AUTH_FILE": str(auth)}
    helper.write_text("#!/bin/sh\necho credentials not found in native keychain; exit 1\n")
    helper.chmod(0o755)
    assert find_credentials(Repository("host.org", "a"), environment) is None
    helper.write_text("#!/bin/sh\necho the key ring is locked >&2; exit 1\n")
    with pytest.raises(ToolError, match="docker-credential-mine failed"):
        find_credentials(Repository("host.org", "a"), environment)


def test_credentials_are_looked_for_where_login_leaves_them(tmp_path: Path) -> None:
    kept = {"auths": {"host.org": {"auth": base64.b64encode(b"a:b").decode()}}}
    for variable, place in [
        ("XDG_RUNTIME_DIR", "containers/auth.json"), ("XDG_CONFIG_HOME", "containers/auth.json"),
        ("DOCKER_CONFIG", "config.json"),
    ]:  # fmt: skip
        file = tmp_path / variable / place
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(kept))
        environment = {"HOME": str(tmp_path / "nobody"), variable: str(tmp_path / variable)}
        assert find_credentials(Repository("host.org", "x"), environment) == Credentials("a", "b")


def test_what_is_written_goes_to_where_the_name_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "registries.conf"
    conf.write_text('[[registry]]\nprefix = "127.0.0.1:9"\nlocation = "mirror.org"\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
    with open_registry(Repository.parse("127.0.0.1:9/a/b")) as reading:
        assert reading._root == "https://mirror.org/v2/a/b"
    with open_registry(Repository.parse("127.0.0.1:9/a/b"), writing=True) as writing:
        assert writing._root == "https://127.0.0.1:9/v2/a/b"


def test_an_auth_file_that_is_no_json_is_told_without_its_contents(tmp_path: Path) -> None:
    auth = tmp_path / "auth.json"
    auth.write_text("s3cret")
    with pytest.raises(ToolError, match="not JSON") as refused:
        find_credentials(Repository("host.org", "a"), {"REGISTRY_AUTH_FILE": str(auth)})
    assert "s3cret" not in refused.value.message


@pytest.mark.parametrize(
    ("conf", "location"),
    [
        ("", Location("docker.io", "library/lab")),
        (
            '[[registry]]\nlocation = "docker.io"\ninsecure = true\n',
            Location("docker.io", "library/lab", insecure=True),
        ),
        (
            '[[registry]]\nprefix = "docker.io/library"\nlocation = "mirror.org:5000/x"\n',
            Location("mirror.org:5000", "x/lab"),
        ),
        ('[[registry]]\nprefix = "*.io"\ninsecure = true\n', Location("docker.io", "library/lab", insecure=True)),
        ("registry = 7\n", Location("docker.io", "library/lab")),
    ],
)
def test_registries_conf_says_where_a_repository_is(conf: str, location: Location, tmp_path: Path) -> None:
    file = tmp_path / "registries.conf"
    file.write_text(conf)
    found = locate(Repository("docker.io", "library/lab"), {"CONTAINERS_REGISTRIES_CONF": str(file)})
    if location.host == "docker.io":
        location = Location("registry-1.docker.io", location.name, location.insecure)
    assert found == location


def test_a_blocked_registry_and_a_broken_file_are_told(tmp_path: Path) -> None:
    file = tmp_path / "registries.conf"
    environment = {"CONTAINERS_REGISTRIES_CONF": str(file)}
    for text, words in [('[[registry]]\nlocation = "a.org"\nblocked = true\n', "blocked"), ("[[", "cannot be read")]:
        file.write_text(text)
        with pytest.raises(ToolError, match=words):
            locate(Repository("a.org", "b"), environment)
