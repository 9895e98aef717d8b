"""Compiles Python sources to bytecode; run inside the image, by the very Python that will load it.

    PYTHONHASHSEED=0 PREFIX/bin/python -s -B -S compile_in_image.py OUT PREFIX WORKERS LIST

LIST names one source per line, ``CHUNK<tab>PATH``, with the path relative to PREFIX. Beneath OUT appears the bytecode
of each, at its place relative to PREFIX: an unchecked-hash pyc (PEP 552) that names the source by its final absolute
path. What this Python cannot compile is left out and told on standard output, one JSON object per line: {"path",
"message"}. That is decided by the source alone: wrong syntax, a NUL or unknown encoding, a number too large, nesting
deeper than this Python's limit. Whatever the machine decides, as a full disk or memory, ends the run with status 1.

The bytes depend on the Python, the prefix and the chunk alone. marshal marks an object for sharing by its reference
count, and so by what a process did before: hence each chunk is compiled in order by a child freshly forked from a
parent that does nothing else, without garbage collection, whose moments would depend on the parent's data. This file
runs on Python 3.6 to 3.14 with nothing but the standard library; 3.6 has no such pyc, and gets none.
"""

# Written for Python 3.6, with as few imports as can be.
# ruff: noqa: PTH103, PTH118, PTH120, PTH123, UP032, UP036

import sys

sys.path.pop(0)  # the script's own directory: nothing may be imported from there

import gc
import importlib.util
import json
import marshal
import os
import warnings

UNCHECKED_HASH = (1).to_bytes(4, "little")
LONGEST_MESSAGE = 500
# An unknown encoding, null bytes and undecodable text are among these. A parser that runs out of its own stack may
# raise MemoryError, which cannot be told from a real one and so is not: better no image than one with a gap.
REFUSALS = (SyntaxError, ValueError, OverflowError, RecursionError)


def main(out: str, prefix: str, workers: str, listing: str) -> int:
    """Compile all of ``listing``; 0 when every child ended well. Exits when the hash seed is not fixed."""
    if sys.flags.hash_randomization:
        sys.exit("compile_in_image: run with PYTHONHASHSEED=0, or sets would be written in any order")
    if sys.version_info < (3, 7):
        for path in (path for paths in read_chunks(listing) for path in paths):
            report(path, "this Python has no hash-based bytecode (PEP 552)")
        return 0
    warnings.simplefilter("ignore")
    gc.disable()
    return run(read_chunks(listing), out, prefix, int(workers))


def read_chunks(listing: str) -> "list[list[str]]":
    """The sources of each chunk, sorted; the longest chunks first, so that no worker is left alone at the end."""
    chunks = {}  # type: dict[str, list[str]]
    with open(listing, "rb") as lines:
        for line in lines:
            chunk, _, path = os.fsdecode(line.rstrip(b"\n")).partition("\t")
            chunks.setdefault(chunk, []).append(path)
    return sorted((sorted(paths) for paths in chunks.values()), key=lambda paths: (-len(paths), paths))


def run(chunks: "list[list[str]]", out: str, prefix: str, workers: int) -> int:
    """Compile every chunk in a child of its own, so many at once; 0 if all children ended well."""
    failed = running = 0
    for paths in chunks:
        if running == workers:
            failed += wait()
            running -= 1
        if os.fork() == 0:
            os._exit(compile_chunk(paths, out, prefix))
        running += 1
    for _ in range(running):
        failed += wait()
    return 1 if failed else 0


def wait() -> bool:
    """Wait for any child; whether it failed."""
    _, status = os.wait()
    return status != 0


def compile_chunk(paths: "list[str]", out: str, prefix: str) -> int:
    """Compile these sources in order; the exit status of a child."""
    path = ""
    try:
        for path in paths:
            source = prefix + "/" + path
            data = read(source)
            try:
                data = pyc(source, data)
            except REFUSALS as error:
                report(path, "{}: {}".format(type(error).__name__, error))
            else:
                write(os.path.join(out, pyc_path(path)), data)
    except BaseException as error:  # noqa: BLE001 - told and passed on as the status: a child must not return
        report(path, "{}: {}".format(type(error).__name__, error))
        return 1
    return 0


def read(path: str) -> bytes:
    """The bytes of a file."""
    with open(path, "rb") as file:
        return file.read()


def pyc(source: str, data: bytes) -> bytes:
    """The bytes of an unchecked-hash pyc (PEP 552, flags 0b01) of these bytes, which lie at ``source``."""
    code = compile(data, source, "exec", dont_inherit=True, optimize=0)
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(data) + marshal.dumps(code)


def pyc_path(path: str) -> str:
    """Where this Python looks for the bytecode of a source (PEP 3147)."""
    folder, name = os.path.split(path)
    return os.path.join(folder, "__pycache__", name[: -len(".py")] + "." + sys.implementation.cache_tag + ".pyc")


def write(path: str, data: bytes) -> None:
    """Write a file, and the directories that lead to it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def report(path: str, message: str) -> None:
    """One line, in one write: short enough that lines of several children do not mix."""
    line = json.dumps({"path": path, "message": message[:LONGEST_MESSAGE]})
    os.write(1, (line + "\n").encode())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
