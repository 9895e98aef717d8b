from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from peel.errors import ToolError
from peel.tools import jupyter, process, system
from peel.tools.jupyter import CellResult, JupyterServer, Message, Transcript
from real_jupyter import install_jupyter

TOKEN = "sesame"  # noqa: S105 - of a server that lives as long as the test


def answer(kind: str, parent: str = "mine", **content: object) -> Message:
    return Message("iopub", kind, parent, content)


IDLE = answer("status", execution_state="idle")
REPLY = answer("execute_reply", status="ok")


def transcript(*messages: Message) -> Transcript:
    made = Transcript("mine")
    for message in messages:
        made.feed(message)
    return made


def test_a_request_is_what_the_protocol_wants() -> None:
    request = json.loads(jupyter.execute_request("1 + 1", "m", "s"))
    assert request["channel"] == "shell"
    assert (request["header"]["msg_type"], request["header"]["msg_id"]) == ("execute_request", "m")
    assert request["content"]["code"] == "1 + 1"
    assert request["content"]["allow_stdin"] is False


def test_output_and_value_are_joined_in_their_order() -> None:
    made = transcript(
        answer("stream", name="stdout", text="a\n"),
        answer("execute_result", data={"text/plain": "2"}),
        REPLY,
        IDLE,
    )
    assert made.complete
    assert made.result() == CellResult("a\n2", "ok")


@pytest.mark.parametrize("messages", [[IDLE], [REPLY], []])
def test_a_cell_is_over_only_when_both_the_reply_and_idle_have_come(messages: list[Message]) -> None:
    assert not transcript(*messages).complete


def test_the_reply_may_come_after_idle() -> None:
    assert transcript(IDLE, REPLY).complete


def test_what_answers_somebody_else_is_passed_over() -> None:
    others = [answer("stream", "other", text="x"), answer("status", "other", execution_state="idle")]
    assert transcript(*others, REPLY, IDLE).result().text == ""
    assert not transcript(*others, REPLY).complete


def test_an_error_is_told_by_name_and_value() -> None:
    made = transcript(answer("error", ename="ValueError", evalue="no"), answer("execute_reply", status="error"), IDLE)
    assert made.result() == CellResult("", "error", "ValueError: no")


def test_a_cell_that_was_never_run_is_an_error_too() -> None:
    assert transcript(answer("execute_reply", status="aborted"), IDLE).result() == CellResult("", "error", "aborted")


@pytest.mark.parametrize("state", ["dead", "restarting"])
def test_a_kernel_that_dies_ends_the_wait(state: str) -> None:
    with pytest.raises(ToolError, match="the kernel died"):
        transcript(answer("status", "", execution_state=state))


@pytest.mark.parametrize(
    "data", [b"", "[]", '"x"', "{}", '{"header": 1}', '{"header": {"msg_type": "x"}, "parent_header": 1}', "[" * 9999]
)
def test_what_is_no_message_is_one_clear_error(data: str | bytes) -> None:
    with pytest.raises(ToolError, match="no Jupyter message"):
        jupyter.parse_message(data)


def test_a_message_without_content_has_none() -> None:
    text = '{"channel": "iopub", "header": {"msg_type": "status"}, "parent_header": {}, "content": null}'
    assert jupyter.parse_message(text) == Message("iopub", "status", "", {})


def test_waiting_ends_when_the_server_has_ended() -> None:
    with pytest.raises(ToolError, match="ended before it was up"):
        _nobody().wait_until_up(timeout=60, alive=lambda: False)


def test_waiting_ends_when_time_runs_out() -> None:
    with pytest.raises(ToolError, match=r"did not answer within 0\.3 s"):
        _nobody().wait_until_up(timeout=0.3, alive=lambda: True)


def test_what_answers_but_is_no_jupyter_server_is_said_to_be_none() -> None:
    with _stranger() as url, pytest.raises(ToolError, match="is no Jupyter server"):
        JupyterServer(url, TOKEN).kernelspecs()


def test_the_token_does_not_show_in_a_servers_representation() -> None:
    assert TOKEN not in repr(JupyterServer("http://127.0.0.1:1", TOKEN))


def _nobody() -> JupyterServer:
    return JupyterServer(f"http://127.0.0.1:{system.free_port()}", TOKEN)


@contextmanager
def _stranger() -> Iterator[str]:
    """A web server that knows nothing of Jupyter; yields its URL."""
    with HTTPServer(("127.0.0.1", 0), _Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None:
        pass


# What follows talks to a real server.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    python = install_jupyter(tmp_path_factory)
    home = tmp_path_factory.mktemp("home")
    made = JupyterServer(f"http://127.0.0.1:{system.free_port()}", TOKEN)
    argv = (
        str(python), "-m", "jupyter_server", "--allow-root", "--no-browser",
        "--ip=127.0.0.1", f"--port={made.url.rpartition(':')[2]}", f"--ServerApp.root_dir={home}",
    )  # fmt: skip
    env = process.inherit({"HOME": str(home), "JUPYTER_TOKEN": TOKEN})
    with (
        (home / "log").open("wb") as log,
        process.start(process.Command(argv, env), stdout=log, stderr=log) as child,
    ):
        made.wait_until_up(timeout=60, alive=lambda: child.poll() is None)
        yield made
        made.shutdown()
        for _ in range(400):
            if child.poll() is not None:
                break
            time.sleep(0.05)
        assert child.poll() == 0


@pytest.mark.e2e
def test_the_kernels_that_the_server_offers_are_listed(server: JupyterServer) -> None:
    assert [(spec.name, spec.display_name) for spec in server.kernelspecs()] == [("python3", "Python 3 (ipykernel)")]


@pytest.mark.e2e
def test_a_cell_runs_in_a_real_kernel(server: JupyterServer) -> None:
    code = "import sys\nprint('out')\nprint('é', file=sys.stderr)\n6 * 7"
    result = server.run_cell("python3", code, timeout=60)
    assert result.status == "ok"
    assert sorted(result.text.replace("\n", "")) == sorted("outé42")


@pytest.mark.e2e
def test_a_failing_cell_says_how_it_failed(server: JupyterServer) -> None:
    result = server.run_cell("python3", "print('before'); 1 / 0", timeout=60)
    assert result == CellResult("before\n", "error", "ZeroDivisionError: division by zero")


@pytest.mark.e2e
def test_a_kernel_that_dies_is_an_error_long_before_the_time_is_up(server: JupyterServer) -> None:
    with pytest.raises(ToolError, match="the kernel died"):
        server.run_cell("python3", "import os; os._exit(1)", timeout=60)


@pytest.mark.e2e
def test_a_cell_that_does_not_end_runs_out_of_time(server: JupyterServer) -> None:
    with pytest.raises(ToolError, match="kernel python3 did not answer within 3 s"):
        server.run_cell("python3", "while True: pass", timeout=3)


@pytest.mark.e2e
def test_an_unknown_kernel_is_refused(server: JupyterServer) -> None:
    with pytest.raises(ToolError, match="refused POST /api/kernels"):
        server.run_cell("no-such-kernel", "1", timeout=60)


@pytest.mark.e2e
def test_a_wrong_token_is_refused(server: JupyterServer) -> None:
    with pytest.raises(ToolError, match="403"):
        JupyterServer(server.url, "wrong").kernelspecs()


@pytest.mark.e2e
def test_no_kernel_is_left_behind(server: JupyterServer) -> None:
    server.run_cell("python3", "1", timeout=60)
    assert server._request("GET", "/api/kernels") == []
