"""One thread that computes for many requests in turn, so that the event loop stays free and nobody waits for the
longest answer: each open request gets one piece (a chunk of text, a batch of vectors) at a time.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

Piece = TypeVar("Piece")
_END = object()


class Busy(Exception):
    """As many requests are waiting as may wait."""


class Stopping(Exception):
    """The service is being stopped."""


class Job:
    """One request's work: an iterator made and run in the thread, its pieces read in the event loop."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self.make, self.cancelled = make, False
        self.pieces: asyncio.Queue[Any] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._work: Iterator[Any] | None = None

    def step(self) -> bool:
        """Compute one piece, in the thread. False once there is nothing left."""
        try:
            if self._work is None:
                self._work = self.make()
            self.give(next(self._work))
            return True
        except StopIteration:
            self.give(_END)
        except Exception as error:
            self.give(error)
        return False

    def give(self, piece: Any) -> None:
        if not self.cancelled and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.pieces.put_nowait, piece)

    async def read(self) -> AsyncIterator[Any]:
        while (piece := await self.pieces.get()) is not _END:
            if isinstance(piece, Exception):
                raise piece
            yield piece


class Worker:
    """The thread and its queue.

    Args:
        most: how many requests may be open, computing or waiting; one more is refused with Busy.
        together: how many of them take turns; the others wait. Each holds memory (a decoder's keys and values).
    """

    def __init__(self, *, most: int = 64, together: int = 8) -> None:
        self.most, self.together, self.open = most, together, 0
        self._waiting: deque[Job] = deque()
        self._turns: deque[Job] = deque()
        self._change = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="loomwork-serve", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the piece in hand; what is still open ends with Stopping."""
        with self._change:
            self._stopping = True
            self._change.notify()
        if self._thread.is_alive():
            self._thread.join()

    @asynccontextmanager
    async def pieces(self, make: Callable[[], Iterator[Piece]]) -> AsyncIterator[AsyncIterator[Piece]]:
        """Run an iterator in the thread; leaving the block cancels what is left of it.

        Raises:
            Busy: too many requests are open.
        """
        job = Job(make)
        with self._change:
            if self._stopping:
                raise Stopping
            if self.open >= self.most:
                raise Busy
            self.open += 1
            self._waiting.append(job)
            self._change.notify()
        try:
            yield job.read()
        finally:
            job.cancelled = True

    async def once(self, compute: Callable[[], Piece]) -> Piece:
        """Run one function in the thread."""
        async with self.pieces(lambda: iter((compute(),))) as found:
            return await anext(found)

    def _run(self) -> None:
        while job := self._next():
            alive = not job.cancelled and job.step()
            with self._change:
                if alive:
                    self._turns.append(job)
                else:
                    self.open -= 1
        for job in (*self._turns, *self._waiting):
            job.give(Stopping())

    def _next(self) -> Job | None:
        with self._change:
            self._change.wait_for(lambda: self._stopping or self._turns or self._waiting)
            if self._stopping:
                return None
            while self._waiting and len(self._turns) < self.together:
                self._turns.append(self._waiting.popleft())
            return self._turns.popleft()
