"""The thread that computes: turns, limits, cancelling, stopping."""

from __future__ import annotations

import asyncio
import threading

import pytest

from loomwork.serve.worker import Busy, Stopping, Worker


@pytest.fixture
def worker():
    made = Worker(most=3, together=2)
    made.start()
    yield made
    made.stop()


def test_turns_are_taken_a_piece_each(worker):
    order, ready = [], threading.Event()

    def count(name):
        ready.wait()
        for i in range(3):
            order.append(f"{name}{i}")
            yield i

    async def read(name):
        async with worker.pieces(lambda: count(name)) as pieces:
            return [piece async for piece in pieces]

    async def both():
        asking = [asyncio.create_task(read(name)) for name in "abc"]
        await asyncio.sleep(0)
        ready.set()
        return await asyncio.gather(*asking)

    assert asyncio.run(both()) == [[0, 1, 2]] * 3
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2", "c0", "c1", "c2"]  # two together; the third waits


def test_one_more_than_may_be_open_is_refused_and_a_place_becomes_free_again(worker):
    hold = threading.Event()

    async def ask():
        waiting = [asyncio.create_task(worker.once(hold.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await worker.once(int)
        hold.set()
        await asyncio.gather(*waiting)
        while worker.open:
            await asyncio.sleep(0.001)
        return await worker.once(int)

    assert asyncio.run(ask()) == 0


def test_leaving_cancels_what_is_left(worker):
    def forever():
        while True:
            yield 1

    async def leave():
        async with worker.pieces(forever) as pieces:
            assert await anext(pieces) == 1
        while worker.open:
            await asyncio.sleep(0.001)

    asyncio.run(leave())


def test_an_error_reaches_the_one_who_asked_and_the_thread_goes_on(worker):
    async def ask():
        with pytest.raises(ZeroDivisionError):
            await worker.once(lambda: 1 // 0)
        return await worker.once(lambda: 7)

    assert asyncio.run(ask()) == 7


def test_stopping_tells_those_who_wait(worker):
    entered, hold = threading.Event(), threading.Event()

    def slow():
        entered.set()
        hold.wait()
        yield 1
        yield 2

    async def ask():
        async with worker.pieces(slow) as pieces:
            await asyncio.to_thread(entered.wait)
            stopping = asyncio.create_task(asyncio.to_thread(worker.stop))
            await asyncio.sleep(0.05)
            hold.set()
            assert await anext(pieces) == 1
            with pytest.raises(Stopping):
                await anext(pieces)
            await stopping
        with pytest.raises(Stopping):
            await worker.once(int)

    asyncio.run(ask())
