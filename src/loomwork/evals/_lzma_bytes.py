"""What each document adds to LZMA's output after the training text: an exact conditional cost, quickly.

A compressor cannot be copied in Python, and compressing the training text again for each document would take
minutes. So a process of its own, which imports nothing but the standard library and has one thread, reads the
training text once and forks for each document: every child continues from the same state.
"""

from __future__ import annotations

import json
import lzma
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from loomwork.core.errors import StepFailed

PIECE = 16 << 10  # bytes; its output fits the first block of Python's output buffer


def lzma_bytes(training: Iterable[bytes], documents: Sequence[bytes]) -> list[int]:
    """Bytes that each document adds: size(training + document) - size(training).

    Raw LZMA1 at its strongest preset, with a dictionary that holds everything, so the training text stays in reach
    and there is no container or block header to count.

    Args:
        training: the texts that are seen first, in order.
        documents: each is measured alone after the training text.
    """
    primer = b"".join(training)
    frames = b"".join(struct.pack("<Q", len(frame)) + frame for frame in (primer, *documents))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "loomwork.evals._lzma_bytes"], input=frames, capture_output=True, check=False
    )
    if done.returncode:
        raise StepFailed(f"the LZMA process ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    sizes: list[int] = json.loads(done.stdout)
    return [size - sizes[0] for size in sizes[1:]]


def _frames(stream: BinaryIO) -> Iterable[bytes]:
    while head := stream.read(8):
        yield stream.read(struct.unpack("<Q", head)[0])


def _sizes(frames: list[bytes]) -> list[int]:
    """The compressed bytes of the primer (frame 0) with nothing, then with each further frame, after it."""
    room = max(4096, len(frames[0]) + max(map(len, frames)))
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": min(room, 1536 << 20)}]
    compressor = lzma.LZMACompressor(format=lzma.FORMAT_RAW, filters=filters)
    # In one piece most of it would only be stored, and then be encoded anew in each child.
    head = sum(len(compressor.compress(frames[0][at : at + PIECE])) for at in range(0, len(frames[0]), PIECE))
    return [head + _tail(compressor, frame) for frame in (b"", *frames[1:])]


def _tail(compressor: lzma.LZMACompressor, frame: bytes) -> int:
    """What is still to come once `frame` is added, found in a child so that the compressor here does not move."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        size = len(compressor.compress(frame)) + len(compressor.flush())
        os.write(writer, struct.pack("<Q", size))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    if len(answer) != 8:
        raise OSError("a child of the LZMA process died")
    return int(struct.unpack("<Q", answer)[0])


if __name__ == "__main__":
    print(json.dumps(_sizes(list(_frames(sys.stdin.buffer)))))
