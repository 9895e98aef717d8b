"""The pool of processes that makes layers."""

from __future__ import annotations

import os

import pytest

from peel.errors import ToolError
from peel.workflow.pools import linkers


def test_a_process_that_is_killed_is_one_error_with_what_to_do() -> None:
    with pytest.raises(ToolError, match="was killed") as raised, linkers() as pool:
        pool.submit(os._exit, 9).result(timeout=60)
    assert "memory" in str(raised.value.hint)


def test_no_more_processes_work_than_may_run_here() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with linkers() as pool:
            assert len({pool.submit(os.getpid).result(timeout=60) for _ in range(8)}) == 1
    finally:
        os.sched_setaffinity(0, allowed)
