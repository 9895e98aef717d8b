from __future__ import annotations

import hashlib
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from peel.errors import ArtifactError, ToolError
from peel.model.values import Digest
from peel.store.fetch import Artifact, FetchSettings, Unpinned, complete, fetch
from peel.store.store import Store

DATA = b"numpy" * 100_000
FAST = FetchSettings(pause=0.01, timeout=5.0)

FETCHER = """
import sys
from pathlib import Path
from peel.model.values import Digest
from peel.store.fetch import Artifact, fetch
from peel.store.store import Store
store = Store(Path(sys.argv[1]))
try:
    with store.work() as work:
        fetch([Artifact(str(n), f"{sys.argv[2]}/{n}", Digest.of(str(n).encode())) for n in range(8)], store.blobs, work)
except KeyboardInterrupt:
    sys.exit(6)
"""


@dataclass
class Server:
    """A web server on loopback whose answers, by path, a test writes."""

    url: str = ""
    answers: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)

    def serve(self, path, answer):
        """Let ``answer``, bytes or a function of the request, be what lies at ``path``."""
        self.answers[path] = answer
        return f"{self.url}{path}"

    def answer(self, request):
        self.asked.append(request.path)
        answer = self.answers.get(request.path)
        if answer is None:
            request.send_error(404)
        elif callable(answer):
            answer(request)
        else:
            send(request, answer)


def send(request, data, *, length=None):
    request.send_response(200)
    request.send_header("Content-Length", str(len(data) if length is None else length))
    request.end_headers()
    request.wfile.write(data)


def failing(times, status, data=DATA):
    """An answer that fails so many times before it succeeds."""
    left = iter(range(times))

    def answer(request):
        if next(left, None) is None:
            send(request, data)
        else:
            request.send_error(status)

    return answer


def redirect(url):
    """An answer that leads elsewhere."""

    def answer(request):
        request.send_response(302)
        request.send_header("Location", url)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


@contextmanager
def serving(server, context=None):
    """Let a server listen on a port of loopback, behind TLS if there is a context for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        http.handle_error = lambda *_: None  # a client that goes away is what some tests are about
        if context is not None:
            http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http.server_port
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server():
    server = Server()
    with serving(server) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def get(store):
    """Fetch into the store, and see that nothing half-done stays."""

    def get(*artifacts, settings=FAST, **more):
        with store.work() as work:
            try:
                fetch(artifacts, store.blobs, work, settings=settings, **more)
            finally:
                assert list(work.iterdir()) == []

    return get


def artifact(url, data=DATA, size=None):
    return Artifact("numpy", url, Digest.of(data), size)


class Told:
    """Remembers what progress was told."""

    def __init__(self):
        self.count = self.total = None
        self.come = 0
        self.names = []

    def started(self, count, total):
        self.count, self.total = count, total

    def advanced(self, size):
        self.come += size

    def finished(self, name):
        self.names.append(name)


def test_artifacts_are_fetched_once_and_then_never_again(server, store, get):
    wanted = [artifact(server.serve(f"/{n}", b"%d" % n), b"%d" % n) for n in range(20)]
    get(*wanted, *wanted)
    get(*wanted)
    assert sorted(server.asked) == sorted(f"/{n}" for n in range(20))
    for one in wanted:
        store.blobs.verify(one.digest)


def test_nothing_missing_asks_nobody(get, store):
    get(Artifact("x", "https://127.0.0.1:1/", store.blobs.put_bytes(b"x")))


def test_of_a_local_file_that_is_not_the_locked_one_nothing_is_told(get, tmp_path):
    (tmp_path / "secret").write_bytes(b"sesame")
    with pytest.raises(ArtifactError, match="not those locked: expected sha256:") as raised:
        get(artifact((tmp_path / "secret").as_uri()))
    assert Digest.of(b"sesame").hex not in raised.value.message


def test_a_file_url_is_read_and_checked(store, get, tmp_path):
    (tmp_path / "a b.conda").write_bytes(DATA)
    get(artifact(f"file://{tmp_path}/a%20b.conda#fragment"))
    store.blobs.verify(Digest.of(DATA))
    assert (tmp_path / "a b.conda").exists()
    with pytest.raises(ArtifactError, match="not those locked"):
        get(artifact(f"file://{tmp_path}/a%20b.conda", b"other"))


def test_progress_adds_up_even_over_failed_attempts(server, get):
    def first_cut_short(request):
        send(request, DATA[: 1000 if len(server.asked) == 1 else None], length=len(DATA))

    told = Told()
    get(artifact(server.serve("/a", first_cut_short), size=len(DATA)), progress=told)
    assert (told.count, told.total, told.come, told.names) == (1, len(DATA), len(DATA), ["numpy"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(server, get, status):
    get(artifact(server.serve("/a", failing(2, status))))
    assert len(server.asked) == 3


def test_a_server_that_stays_in_trouble_is_given_up(server, get):
    with pytest.raises(ArtifactError, match="status 502"):
        get(artifact(server.serve("/a", failing(99, 502))))
    assert len(server.asked) == FAST.attempts


def test_a_body_that_is_always_cut_short_is_told(server, get):
    url = server.serve("/a", lambda request: send(request, DATA[:10], length=len(DATA)))
    with pytest.raises(ArtifactError, match="broke off"):
        get(artifact(url))
    assert len(server.asked) == FAST.attempts


def test_a_body_cut_short_without_a_length_is_told(server, get):
    def answer(request):
        request.send_response(200)
        request.end_headers()
        request.wfile.write(DATA[:10])

    with pytest.raises(ArtifactError, match=r"only 10 of its 500,000 bytes"):
        get(artifact(server.serve("/a", answer), size=len(DATA)))


def test_a_body_that_is_too_long_is_cut_off(server, get):
    with pytest.raises(ArtifactError, match="longer than the 9 bytes"):
        get(artifact(server.serve("/a", DATA), size=9))
    assert len(server.asked) == 1


def test_a_server_that_falls_silent_is_told(server, get):
    released = threading.Event()

    def answer(request):
        send(request, b"x", length=10)
        released.wait()

    with pytest.raises(ArtifactError, match="fell silent"):
        get(artifact(server.serve("/a", answer)), settings=FetchSettings(pause=0.01, timeout=0.1, attempts=2))
    released.set()


def test_a_gone_file_is_not_asked_for_twice(server, get):
    with pytest.raises(ArtifactError, match=r"numpy: the server answered with status 404 \(http") as caught:
        get(artifact(f"{server.url}/gone"))
    assert "lock anew" in caught.value.hint
    assert server.asked == ["/gone"]


def test_other_bytes_than_the_locked_are_refused_and_not_kept(server, store, get):
    with pytest.raises(ArtifactError, match=str(Digest.of(DATA))) as caught:
        get(artifact(server.serve("/a", b"evil")))
    assert str(Digest.of(b"evil")) in caught.value.message
    assert not store.blobs.has(Digest.of(b"evil"))


def test_all_failures_are_told_at_once_and_the_rest_is_kept(server, store, get):
    good = artifact(server.serve("/good", DATA))
    bad = Artifact("evil", server.serve("/evil", b"evil"), Digest.of(b"good"))
    gone = [Artifact(f"gone-{n:02}", f"{server.url}/gone-{n}", Digest.of(b"%d" % n)) for n in range(30)]
    with pytest.raises(ArtifactError) as caught:
        get(bad, *gone, good)
    lines = caught.value.message.splitlines()
    assert lines[0] == "31 artifacts cannot be fetched:"
    assert lines[1].startswith("  evil: its bytes are not those locked")
    assert lines[2].startswith("  gone-00: the server answered with status 404")
    assert lines[-1] == "  and 11 more"
    assert store.blobs.has(good.digest)


def test_redirects_are_followed_but_not_for_ever(server, get):
    server.serve("/end", DATA)
    get(artifact(server.serve("/start", redirect("/end"))))
    with pytest.raises(ArtifactError, match="redirects more than"):
        get(artifact(server.serve("/loop", redirect("/loop")), b"x"))
    with pytest.raises(ArtifactError, match="cannot be fetched"):
        get(artifact(server.serve("/local", redirect("file:///etc/passwd")), b"x"))


def test_a_label_of_compression_does_not_change_the_bytes(server, get):
    def answer(request):
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(DATA)))
        request.end_headers()
        request.wfile.write(DATA)

    get(artifact(server.serve("/a", answer)))


def test_a_host_that_cannot_be_reached_is_given_up_for_all(get):
    wanted = [Artifact(f"p{n}", f"http://127.0.0.1:1/{n}", Digest.of(b"%d" % n)) for n in range(100)]
    with pytest.raises(ArtifactError, match=r"100 artifacts(.|\n)*p0: 127\.0\.0\.1 cannot be reached"):
        get(*wanted, settings=FetchSettings(pause=0.01, attempts=2))


@pytest.mark.parametrize("url", ["ftp://host/x", "/etc/passwd", "file://elsewhere/x", "", "http://[::1", "http://x:y/"])
def test_a_url_that_cannot_be_fetched_is_told(get, url):
    with pytest.raises(ArtifactError, match="cannot fetch numpy"):
        get(artifact(url))


@pytest.fixture
def secure(server, tmp_path):
    """The address of a server that speaks TLS, answers as ``server`` does, and whose certificate nobody knows."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so there is no certificate")
    subprocess.run(
        (
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", tmp_path / "key", "-out", tmp_path / "cert",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        ),
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with serving(server, context) as port:
        yield f"https://localhost:{port}"


def test_a_server_with_a_certificate_that_is_not_trusted_is_refused_at_once(server, secure, get):
    server.serve("/a", DATA)
    with pytest.raises(ArtifactError, match="certificate verify failed") as caught:
        get(artifact(f"{secure}/a"))
    assert "SSL_CERT_FILE" in caught.value.hint


def test_a_certificate_named_by_the_usual_variable_is_trusted(server, secure, get, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    server.serve("/a", DATA)
    get(artifact(f"{secure}/a"))


def test_a_redirect_never_leads_out_of_https(server, secure, get, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    server.serve("/away", redirect(server.serve("/a", DATA)))
    with pytest.raises(ArtifactError, match="from https to http"):
        get(artifact(f"{secure}/away"))


@pytest.mark.parametrize("proxy", ["cow://me:s3cret@there", "http://[::1", "http://x:y"])
def test_a_proxy_that_makes_no_sense_is_told(server, get, monkeypatch, proxy):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ToolError, match="proxy") as caught:
        get(artifact(server.serve("/a", DATA)))
    assert "s3cret" not in caught.value.message


def test_a_file_that_is_not_there_is_told(get, tmp_path):
    with pytest.raises(ArtifactError, match=f"no file {tmp_path}/none"):
        get(artifact(f"file://{tmp_path}/none"))


def test_a_token_in_a_variable_is_used_and_never_told(server, get):
    settings = FetchSettings(variables={"TOKEN": "s3cret"}, pause=0.01)
    server.serve("/t/s3cret/a", DATA)
    get(artifact(f"{server.url}/t/$TOKEN/a"), settings=settings)
    with pytest.raises(ArtifactError) as caught:
        get(artifact(f"{server.url}/t/${{TOKEN}}/gone", b"x"), settings=settings)
    assert "s3cret" not in caught.value.message
    with pytest.raises(ArtifactError, match="variable OTHER, which is not set"):
        get(artifact(f"{server.url}/t/$OTHER/a", b"x"), settings=settings)


def test_a_password_in_a_url_is_never_told(server, get):
    with pytest.raises(ArtifactError, match="<hidden>@") as caught:
        get(artifact(server.url.replace("://", "://me:s3cret@") + "/gone"))
    assert "s3cret" not in caught.value.message


def test_a_full_disk_is_told_with_the_bytes_needed(server, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "peel-test", place]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        store = Store(place / "store")
        with pytest.raises(ToolError, match="No space left") as caught, store.work() as work:
            fetch([artifact(server.serve("/a", DATA), size=len(DATA))], store.blobs, work, settings=FAST)
        assert f"{len(DATA):,} bytes" in caught.value.hint
        assert str(store.root) in caught.value.hint
        assert list((store.root / "tmp").iterdir()) == []
    finally:
        subprocess.run(["umount", place], check=True)


def test_an_interrupt_ends_all_transfers_and_leaves_nothing(server, store):
    released, begun = threading.Event(), threading.Semaphore(0)

    def answer(request):
        send(request, b"x", length=10)
        begun.release()
        released.wait()

    for number in range(8):
        server.serve(f"/{number}", answer)
    command = [sys.executable, "-c", FETCHER, store.root, server.url]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
        for _ in range(6):
            begun.acquire()
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=20)  # far less than the silence that would be waited for
    released.set()
    assert (child.returncode, stderr) == (6, b"")
    assert list((store.root / "tmp").iterdir()) == []
    assert list((store.root / "blobs" / "sha256").iterdir()) == []


def test_files_without_a_sha256_are_completed_in_the_order_given(server, store):
    files = [Unpinned(f"p{n}", server.serve(f"/{n}", b"%d" % n)) for n in range(10)]
    with store.work() as work:
        found = complete([*files, files[0]], store.blobs, work, settings=FAST)
    assert [pinned.digest for pinned in found] == [Digest.of(b"%d" % n) for n in (*range(10), 0)]
    assert {pinned.size for pinned in found} == {1}
    assert all(store.blobs.has(pinned.digest) for pinned in found)


def test_a_known_md5_is_checked(server, store):
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    url = server.serve("/a", DATA)
    with store.work() as work:
        complete([Unpinned("numpy", url, md5=md5.upper())], store.blobs, work, settings=FAST)
        with pytest.raises(ArtifactError, match=f"expected md5:{'0' * 32}, got md5:{md5}"):
            complete([Unpinned("numpy", url, md5="0" * 32)], store.blobs, work, settings=FAST)
