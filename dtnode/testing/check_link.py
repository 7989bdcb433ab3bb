"""The conformance kit for links: what dtnode.link.Link promises, tried on a real pair.

For tests of transports, in the manner of trio.testing.check_two_way_stream; needs no test
framework, works under a real clock and under trio.testing.MockClock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from dtnode.errors import LocalProtocolError
from dtnode.link import Link
from dtnode.link_info import LinkInfo
from dtnode.session.transfer.frames import MAX_FRAME_BYTES, MIN_MTU_BYTES

MakePair = Callable[[], Awaitable[tuple[Link, Link]]]

_SETTLE_S: Final = 0.01
"""Real time in which frames in the kernel or a device reach the other end, before it is concluded
that a task is blocked."""

_BULK_FRAMES: Final = 200
_CLOG_BYTES: Final = 64 << 20
"""More than any buffer between two ends holds; a link that takes it all without a receiver has no
backpressure."""


async def check_link(make_pair: MakePair, *, timeout_s: float = 60.0) -> None:
    """Try everything a Link promises on fresh pairs from `make_pair`, an async function.

    The links must be connected, without faults, and wait in send() when the other end doesn't
    receive if their info says reliable. timeout_s: for each of the eleven checks, the longest of
    which moves 80 kB each way; a lost frame shows as its expiry.

    Raises AssertionError that names the broken promise.
    """
    for check in (
        _check_info,
        _check_whole_frames,
        _check_wrong_sizes,
        _check_both_ways_at_once,
        _check_cancelled_receive,
        _check_cancelled_send,
        _check_busy,
        _check_closed_here,
        _check_closed_while_waiting,
        _check_closed_there,
        _check_closed_while_cancelled,
    ):
        async with _pair(make_pair) as (a, b):
            with trio.CancelScope(deadline=trio.current_time() + timeout_s) as scope:
                try:
                    await check(a, b)
                except ExceptionGroup as group:
                    raise _first_broken_promise(group) from group
            name = check.__name__.strip("_")
            assert not scope.cancelled_caught, f"{name}: still waiting after {timeout_s:g} s"


@asynccontextmanager
async def _pair(make_pair: MakePair) -> AsyncIterator[tuple[Link, Link]]:
    a, b = await make_pair()
    try:
        yield a, b
    finally:
        await trio.aclose_forcefully(a)
        await trio.aclose_forcefully(b)


def _first_broken_promise(group: ExceptionGroup) -> Exception:
    """Out of the nurseries' groups; a group without one is a failure of its own."""
    broken, _ = group.split(AssertionError)
    error: Exception | None = broken
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return group if error is None else error


@contextmanager
def _raises(promise: str, *expected: type[BaseException]) -> Iterator[None]:
    try:
        yield
    except expected:
        return
    names = " or ".join(error.__name__ for error in expected)
    raise AssertionError(f"{promise}: {names} expected, nothing was raised")


async def _send(link: Link, frame: bytes) -> None:
    with assert_checkpoints():
        await link.send(frame)


async def _expect(link: Link, frame: bytes) -> None:
    with assert_checkpoints():
        received = await link.receive()
    assert type(received) is bytes, f"receive() gave {type(received)}, not bytes"
    assert received == frame, (
        f"a frame of {len(frame)} bytes arrived altered, late or out of order:"
        f" {frame[:16]!r}... was sent, {len(received)} bytes {received[:16]!r}... came"
    )


def _frame(size: int, number: int) -> bytes:
    """Frames that differ in every part."""
    pattern = bytes((number * 31 + i) % 251 for i in range(min(size, 251)))
    return (pattern * (size // 251 + 1))[:size]


async def _check_info(a: Link, b: Link) -> None:
    for link in (a, b):
        assert isinstance(link, Link), f"{link!r} is not a dtnode.link.Link"
        assert isinstance(link.info, LinkInfo), "info is not a LinkInfo"
        assert MIN_MTU_BYTES <= link.info.mtu_bytes <= MAX_FRAME_BYTES, (
            f"info.mtu_bytes is {link.info.mtu_bytes}; {MIN_MTU_BYTES} to {MAX_FRAME_BYTES}"
            " can be used"
        )
        assert link.info == link.info, "info changes"


async def _check_whole_frames(a: Link, b: Link) -> None:
    for sender, receiver in ((a, b), (b, a)):
        mtu = sender.info.mtu_bytes
        for number, size in enumerate((1, 2, 3, mtu // 2, mtu - 1, mtu, 1)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send, sender, _frame(size, number))
                nursery.start_soon(_expect, receiver, _frame(size, number))
        for number in range(3):  # waiting frames are not joined or split
            await sender.send(_frame(10 + number, number))
        for number in range(3):
            await _expect(receiver, _frame(10 + number, number))


async def _check_wrong_sizes(a: Link, b: Link) -> None:
    with _raises("a frame over the MTU is refused", LocalProtocolError):
        await a.send(bytes(a.info.mtu_bytes + 1))
    with _raises("an empty frame is refused", LocalProtocolError):
        await a.send(b"")
    await a.send(b"after")
    await _expect(b, b"after")


async def _check_both_ways_at_once(a: Link, b: Link) -> None:
    frames = [_frame(1 + 7 * number % a.info.mtu_bytes, number) for number in range(_BULK_FRAMES)]

    async def send_all(link: Link) -> None:
        for frame in frames:
            await link.send(frame)

    async def receive_all(link: Link) -> None:
        for frame in frames:
            await _expect(link, frame)

    async with trio.open_nursery() as nursery:
        for link in (a, b):
            nursery.start_soon(receive_all, link)
            nursery.start_soon(send_all, link)


async def _check_cancelled_receive(a: Link, b: Link) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(b.receive)
        await wait_all_tasks_blocked(_SETTLE_S)
        nursery.cancel_scope.cancel()
    await a.send(_frame(20, 1))
    await wait_all_tasks_blocked(_SETTLE_S)
    with trio.CancelScope() as scope:  # cancelled with a frame there
        scope.cancel()
        await b.receive()
    assert scope.cancelled_caught, "receive() is no checkpoint when a frame is there"
    await _expect(b, _frame(20, 1))


async def _check_cancelled_send(a: Link, b: Link) -> None:
    """A send() given up while the link is clogged leaves no half frame behind."""
    if not a.info.reliable:
        return
    size = a.info.mtu_bytes
    sent = 0

    async def clog() -> None:
        nonlocal sent
        while sent * size < _CLOG_BYTES:
            await a.send(_frame(size, sent))
            sent += 1
        raise AssertionError("send() never waits for a receiver that doesn't receive")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(clog)
        await wait_all_tasks_blocked(_SETTLE_S)
        nursery.cancel_scope.cancel()
    with trio.CancelScope() as scope:
        scope.cancel()
        await a.send(b"never sent")
    assert scope.cancelled_caught, "send() is no checkpoint when the link is clogged"

    given_up = _frame(size, sent)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.send, b"last")
        for number in range(sent):
            await _expect(b, _frame(size, number))
        received = await b.receive()
        if received == given_up:  # a part was on its way: completed
            received = await b.receive()
        assert received == b"last", "a cancelled send() left part of a frame behind"


async def _check_busy(a: Link, b: Link) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(b.receive)
        await wait_all_tasks_blocked(_SETTLE_S)
        with _raises("a second task in receive() is refused", trio.BusyResourceError):
            await b.receive()
        await a.send(b"x")


async def _check_closed_here(a: Link, _b: Link) -> None:
    await a.aclose()
    await a.aclose()
    with _raises("send() after aclose()", trio.ClosedResourceError):
        await a.send(b"x")
    with _raises("receive() after aclose()", trio.ClosedResourceError):
        await a.receive()


async def _check_closed_while_waiting(a: Link, _b: Link) -> None:
    async def wait() -> None:
        with _raises("receive() while aclose() is called", trio.ClosedResourceError):
            await a.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked(_SETTLE_S)
        await a.aclose()


async def _check_closed_there(a: Link, b: Link) -> None:
    for number in range(3):
        await a.send(_frame(100, number) if a.info.mtu_bytes >= 100 else _frame(10, number))
    await a.aclose()
    for number in range(3):
        await _expect(b, _frame(100, number) if a.info.mtu_bytes >= 100 else _frame(10, number))
    for _ in range(2):
        with _raises("receive() after the other end closed", trio.EndOfChannel):
            await b.receive()
    with _raises("send() after the other end closed", trio.BrokenResourceError):
        for _ in range(_BULK_FRAMES):  # a medium may need some to notice
            await b.send(b"x")
            await wait_all_tasks_blocked()


async def _check_closed_while_cancelled(a: Link, b: Link) -> None:
    await trio.aclose_forcefully(a)
    with _raises("send() after a cancelled aclose()", trio.ClosedResourceError):
        await a.send(b"x")
    with _raises("receive() after the other end's cancelled aclose()", trio.EndOfChannel):
        await b.receive()
