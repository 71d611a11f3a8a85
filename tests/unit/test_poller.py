"""`runtime.poller` on real socket pairs, under uvloop and the standard loop."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

import pytest
import uvloop

from flux_gateway.runtime.poller import ERR, HUP, IN, OUT, RDHUP, Handler, Poller

Body = Callable[["Bench"], Coroutine[Any, Any, None]]


class Bench:
    """A poller, socket pairs that are closed at the end, and what the error path was told."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.errors: list[tuple[int, Handler, str]] = []
        self.poller = Poller(asyncio.get_running_loop(), self._on_error)
        stack.callback(self.poller.close)

    def _on_error(self, fd: int, handler: Handler, error: Exception) -> None:
        self.errors.append((fd, handler, str(error)))

    def pair(self) -> tuple[socket.socket, socket.socket]:
        left, right = socket.socketpair()
        for side in (left, right):
            side.setblocking(False)
            self._stack.enter_context(side)
        return left, right

    async def settle(self) -> None:
        """Let the loop take two batches at least."""
        seen = self.poller.batches
        for _ in range(200):
            await asyncio.sleep(0)
            if self.poller.batches >= seen + 2:
                return


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    def go(body: Body) -> None:
        async def main() -> None:
            with ExitStack() as stack:
                await body(Bench(stack))

        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    return go


def test_readable_and_writable_are_reported_until_handled(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        left, right = bench.pair()
        seen: list[int] = []
        bench.poller.register(right.fileno(), IN, seen.append)
        await bench.settle()
        assert seen == []
        left.send(b"x")
        await bench.settle()
        assert len(seen) >= 2  # level-triggered: nobody read
        assert set(seen) == {IN}
        right.recv(10)
        seen.clear()
        bench.poller.modify(right.fileno(), OUT)
        await bench.settle()
        assert set(seen) == {OUT}
        bench.poller.unregister(right.fileno())
        seen.clear()
        await bench.settle()
        assert seen == []
        assert len(bench.poller) == 0

    run(body)


def test_hangup_is_reported_without_any_interest(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        left, right = bench.pair()
        told = asyncio.Event()

        def handler(events: int) -> None:
            assert events & HUP
            bench.poller.unregister(right.fileno())
            told.set()

        bench.poller.register(right.fileno(), 0, handler)
        left.close()
        await asyncio.wait_for(told.wait(), 5)

    run(body)


def test_error_is_reported_without_any_interest(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        # A refused connection is an error on the dialling socket.
        with socket.socket() as holder, socket.socket() as dialling:
            holder.bind(("127.0.0.1", 0))
            dialling.setblocking(False)
            assert dialling.connect_ex(holder.getsockname()) != 0
            told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

            def handler(events: int) -> None:
                bench.poller.unregister(dialling.fileno())
                told.set_result(events)

            bench.poller.register(dialling.fileno(), 0, handler)
            assert await asyncio.wait_for(told, 5) & ERR

    run(body)


def test_half_close_is_reported_to_who_asks(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        left, right = bench.pair()
        seen: list[int] = []
        bench.poller.register(right.fileno(), RDHUP, seen.append)
        left.shutdown(socket.SHUT_WR)
        await bench.settle()
        assert seen
        assert seen[0] & RDHUP

    run(body)


def test_an_unregistered_descriptor_gets_nothing_more_of_its_batch(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        pairs = [bench.pair() for _ in range(5)]
        called: list[int] = []

        def first_come(index: int) -> Handler:
            def handler(_: int) -> None:
                called.append(index)
                for _left, right in pairs:
                    bench.poller.unregister(right.fileno())
                    right.close() if right.fileno() >= 0 else None

            return handler

        for index, (left, right) in enumerate(pairs):
            bench.poller.register(right.fileno(), IN, first_come(index))
            left.send(b"x")
        await bench.settle()
        assert len(called) == 1
        assert bench.poller.stale == 4
        assert bench.errors == []

    run(body)


def test_a_reused_number_does_not_inherit_the_event_of_the_old_socket(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        (wake_a, a), (wake_b, b) = bench.pair(), bench.pair()
        fresh = bench.pair()[1]  # nothing to read from it, ever
        wrong: list[int] = []
        moved = 0

        def close_other(mine: socket.socket, other: socket.socket) -> Handler:
            def handler(_: int) -> None:
                nonlocal moved
                mine.recv(10)
                number = other.fileno()
                bench.poller.unregister(number)
                other.detach()
                os.dup2(fresh.fileno(), number)  # closes the old one and takes its number
                bench.poller.register(number, IN, wrong.append)
                moved = number

            return handler

        bench.poller.register(a.fileno(), IN, close_other(a, b))
        bench.poller.register(b.fileno(), IN, close_other(b, a))
        wake_a.send(b"x")
        wake_b.send(b"x")
        await bench.settle()
        assert wrong == []
        assert bench.poller.stale == 1
        assert bench.poller.events == 2
        # It is registered all the same: the next thing that is true of the new socket arrives.
        bench.poller.modify(moved, OUT)
        await bench.settle()
        assert set(wrong) == {OUT}
        bench.poller.unregister(moved)
        os.close(moved)

    run(body)


def test_a_paused_reader_is_not_called_from_the_rest_of_the_batch(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        pairs = [bench.pair() for _ in range(4)]
        called: list[int] = []

        def pause_all_others(index: int) -> Handler:
            def handler(_: int) -> None:
                called.append(index)
                pairs[index][1].recv(10)
                for other, (_left, right) in enumerate(pairs):
                    if other != index:
                        bench.poller.modify(right.fileno(), 0)

            return handler

        for index, (left, right) in enumerate(pairs):
            bench.poller.register(right.fileno(), IN, pause_all_others(index))
            left.send(b"x")
        await bench.settle()
        assert len(called) == 1
        # Resumed, the bytes are still there and reported.
        waiting = next(index for index in range(4) if index not in called)
        bench.poller.modify(pairs[waiting][1].fileno(), IN)
        await bench.settle()
        assert called[1:] == [waiting]
        assert len(bench.poller) == 4

    run(body)


def test_a_handler_that_raises_is_dropped_and_the_others_go_on(
    run: Callable[[Body], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def body(bench: Bench) -> None:
        pairs = [bench.pair() for _ in range(3)]
        calm: list[int] = []

        def failing(_: int) -> None:
            raise RuntimeError("on purpose")

        bad = pairs[1][1].fileno()
        for index, (left, right) in enumerate(pairs):
            bench.poller.register(right.fileno(), IN, failing if index == 1 else calm.append)
            left.send(b"x")
        await bench.settle()
        assert bench.errors == [(bad, failing, "on purpose")]  # once: it is unregistered
        assert len(calm) >= 4
        assert len(bench.poller) == 2
        assert caplog.records[0].__dict__["fields"] == {"fd": bad}

    run(body)


def test_raising_after_giving_the_descriptor_up_spares_its_next_owner(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        left, right = bench.pair()
        number = right.fileno()
        other: list[int] = []

        def handler(_: int) -> None:
            bench.poller.unregister(number)
            bench.poller.register(number, OUT, other.append)
            raise RuntimeError("too late")

        bench.poller.register(number, IN, handler)
        left.send(b"x")
        await bench.settle()
        assert bench.errors == [(-1, handler, "too late")]
        assert other  # still registered

    run(body)


def test_an_error_path_that_raises_does_not_stop_the_batch(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("on purpose")

        poller = Poller(asyncio.get_running_loop(), fail)
        calm: list[int] = []
        try:
            for handler in (fail, calm.append, fail):
                left, right = bench.pair()
                poller.register(right.fileno(), IN, handler)
                left.send(b"x")
            for _ in range(200):
                await asyncio.sleep(0)
            assert calm
            assert len(poller) == 1
        finally:
            poller.close()

    run(body)


def test_a_handler_may_swap_itself_and_watch_for_more(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        left, right = bench.pair()
        order: list[str] = []

        def first(_: int) -> None:
            order.append("first")
            bench.poller.replace(right.fileno(), second)
            bench.poller.modify(right.fileno(), IN | OUT)
            bench.poller.replace(right.fileno(), second)

        def second(events: int) -> None:
            order.append("second")
            assert events == IN | OUT
            bench.poller.unregister(right.fileno())

        bench.poller.register(right.fileno(), IN, first)
        left.send(b"x")
        await bench.settle()
        assert order == ["first", "second"]
        with pytest.raises(KeyError):
            bench.poller.replace(right.fileno(), first)

    run(body)


def test_closing_within_a_handler_ends_the_batch(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        called: list[int] = []

        def close(events: int) -> None:
            called.append(events)
            bench.poller.close()

        for _ in range(3):
            left, right = bench.pair()
            bench.poller.register(right.fileno(), IN, close)
            left.send(b"x")
        await bench.settle()
        assert called == [IN]
        bench.poller.close()  # again is nothing
        assert len(bench.poller) == 0

    run(body)


def test_more_ready_descriptors_than_a_batch_are_all_served(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        poller = Poller(asyncio.get_running_loop(), bench._on_error, batch=3)
        try:
            served: set[int] = set()
            for index in range(20):
                left, right = bench.pair()

                def handler(_: int, index: int = index) -> None:
                    served.add(index)

                poller.register(right.fileno(), IN, handler)
                left.send(b"x")
            for _ in range(100):
                await asyncio.sleep(0)
            assert served == set(range(20))  # none starves, though all stay ready
        finally:
            poller.close()

    run(body)


def test_registering_twice_is_refused(run: Callable[[Body], None]) -> None:
    async def body(bench: Bench) -> None:
        right = bench.pair()[1]
        bench.poller.register(right.fileno(), IN, lambda _: None)
        with pytest.raises(FileExistsError):
            bench.poller.register(right.fileno(), IN, lambda _: None)
        with pytest.raises(FileNotFoundError):
            bench.poller.modify(bench.pair()[1].fileno(), IN)
        bench.poller.unregister(bench.pair()[1].fileno())  # never registered: nothing happens

    run(body)
