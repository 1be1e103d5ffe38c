"""No wake-up is lost, whatever is sent and received when; and what a receiver raises stalls nobody."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import zmq

from hcs_mesh.transport import PeerGone
from hcs_mesh.transport.channel import PER_TICK_DROPPED, Channel, Frames

THROTTLE_S = 0.005
"""A send looks at what came in only if libzmq last did so 3,000,000 cycles ago (max_command_delay)."""
STALLED_S = 20.0
"""A message between two sockets of one process takes a millisecond: this is never, and not late."""

_addresses = itertools.count()


class Pair:
    """A ROUTER and a DEALER of one process, each counting what it hears."""

    def __init__(self, made: type[Channel], per_tick: int, replies: int, stalled_s: float) -> None:
        self.stalled_s = stalled_s
        self.context = zmq.Context()
        address = f"inproc://pair-{next(_addresses)}"
        router, dealer = self.context.socket(zmq.ROUTER), self.context.socket(zmq.DEALER)
        for socket in (router, dealer):
            socket.setsockopt(zmq.LINGER, 0)
        router.bind(address)
        dealer.setsockopt(zmq.ROUTING_ID, b"d")
        dealer.connect(address)
        self.heard = {"router": 0, "dealer": 0}
        self.due = {"router": 0, "dealer": 0}
        self.moved = asyncio.Event()
        self.replies = replies
        self.router = made(router, self._router_hears, per_tick=per_tick)
        self.dealer = made(dealer, self._dealer_hears, per_tick=per_tick)

    def _router_hears(self, frames: Frames) -> None:
        self.heard["router"] += 1
        self.moved.set()
        # Sending from within a receive is where a wake-up is used up most easily.
        for _ in range(self.replies):
            self.to_dealer()

    def _dealer_hears(self, frames: Frames) -> None:
        self.heard["dealer"] += 1
        self.moved.set()

    def to_router(self) -> None:
        self.dealer.send([b"x"])
        self.due["router"] += 1

    def to_dealer(self) -> None:
        self.router.send([b"d", b"x"])
        self.due["dealer"] += 1

    async def settle(self) -> None:
        """Return when everything has arrived.

        Raises:
            TimeoutError: something waits for a wake-up that will not come.
        """
        while self.heard != self.due:
            self.moved.clear()
            await asyncio.wait_for(self.moved.wait(), self.stalled_s)

    def close(self) -> None:
        self.router.close(linger_ms=0)
        self.dealer.close(linger_ms=0)
        self.context.term()


STEPS = st.lists(
    st.tuples(st.sampled_from(["to_router", "to_dealer", "turn", "later", "settle"]), st.integers(1, 8)),
    min_size=1,
    max_size=25,
)


def _spin() -> None:
    # The loop must not turn meanwhile: that is when a send uses up the wake-up of what came in.
    until = time.perf_counter() + THROTTLE_S
    while time.perf_counter() < until:
        pass


async def _play(
    made: type[Channel], steps: list[tuple[str, int]], per_tick: int, replies: int, stalled_s: float
) -> None:
    pair = Pair(made, per_tick, replies, stalled_s)
    try:
        pair.to_router()  # the router learns the dealer's routing id from its first message
        await pair.settle()
        for step, times in steps:
            if step == "settle":
                await pair.settle()
                continue
            if step == "later":
                _spin()
                continue
            for _ in range(times):
                if step == "turn":
                    await asyncio.sleep(0)
                else:
                    getattr(pair, step)()
        await pair.settle()
    finally:
        pair.close()


def _search(made: type[Channel], n_examples: int, *, stalled_s: float = STALLED_S) -> None:
    with asyncio.Runner() as runner:

        @hypothesis.settings(max_examples=n_examples)
        @hypothesis.example(steps=[("to_router", 1), ("later", 1), ("to_dealer", 1)], per_tick=4, replies=0)
        @hypothesis.given(steps=STEPS, per_tick=st.integers(1, 4), replies=st.integers(0, 2))
        def search(steps: list[tuple[str, int]], per_tick: int, replies: int) -> None:
            runner.run(_play(made, steps, per_tick, replies, stalled_s))

        search()


def test_no_message_waits_for_the_next_one() -> None:
    _search(Channel, 150)


class LooksAwayAfterSending(Channel):
    """The classic fault: EVENTS is not looked at after a send."""

    def _readable_after_send(self) -> bool:
        return False


class LooksAwayAfterTheCap(Channel):
    """As bad: a read that ends at its cap does not look again."""

    def _look_unless_idle(self) -> None:
        return


@pytest.mark.parametrize("fault", [LooksAwayAfterSending, LooksAwayAfterTheCap])
def test_the_search_finds_a_lost_wake_up(fault: type[Channel]) -> None:
    with pytest.raises((TimeoutError, ExceptionGroup)):
        _search(fault, 150, stalled_s=0.2)


class Harsh(asyncio.SelectorEventLoop):
    """A loop without add_reader, as Windows has."""

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Any:
        if getattr(callback, "__self__", None).__class__ is Channel:
            raise NotImplementedError
        return super().add_reader(fd, callback, *args)


def test_a_loop_without_readers_hears_all_the_same() -> None:
    async def talk() -> None:
        await _play(Channel, [("to_router", 8), ("to_dealer", 8), ("turn", 3), ("to_dealer", 5)] * 10, 3, 1, STALLED_S)

    with asyncio.Runner(loop_factory=Harsh) as runner:
        runner.run(talk())


@pytest.mark.anyio
async def test_an_error_of_the_receiver_leaves_nothing_behind_it_waiting() -> None:
    loop, errors = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda loop, context: errors.append(context["exception"]))
    pair = Pair(Channel, 100, 0, STALLED_S)
    hear = pair._router_hears

    def fail_on_the_second(frames: Frames) -> None:
        hear(frames)
        if pair.heard["router"] == 2:
            raise ZeroDivisionError("a planted fault")

    pair.router._receive = fail_on_the_second
    for _ in range(5):
        pair.to_router()
    await pair.settle()
    assert [type(error) for error in errors] == [ZeroDivisionError]
    loop.set_exception_handler(None)
    pair.close()


class TellsItsLooks(Channel):
    """Says when it asks its socket for more."""

    looked = staticmethod(lambda: None)

    def _events(self) -> int:
        self.looked()
        return super()._events()


@pytest.mark.anyio
async def test_whoever_a_message_is_for_has_its_turn_before_more_is_looked_for() -> None:
    pair = Pair(TellsItsLooks, 100, 0, STALLED_S)
    pair.to_router()
    await pair.settle()
    # What is looked for after the first message is over with the next one.
    pair.to_router()
    await pair.settle()
    for _ in range(3):
        await asyncio.sleep(0)
    order: list[str] = []
    hear, loop, over = pair.router._receive, asyncio.get_running_loop(), asyncio.Event()

    def hear_and_wake(frames: Frames) -> None:
        hear(frames)
        order.append("heard")
        loop.call_soon(order.append, "had its turn")

    def looked() -> None:
        order.append("looked")
        over.set()

    pair.router._receive, pair.router.looked = hear_and_wake, looked
    pair.to_router()
    await asyncio.wait_for(over.wait(), STALLED_S)
    assert order == ["heard", "had its turn", "looked"]
    pair.close()


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[tuple[zmq.Socket[bytes], str]]:
    """A ROUTER that says when it cannot reach a peer."""
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.LINGER, 0)
    address = f"ipc://{tmp_path}/r"
    socket.bind(address)
    yield socket, address
    context.destroy(linger=0)


@pytest.mark.anyio
async def test_a_message_for_a_peer_that_is_not_there_raises(sockets: tuple[zmq.Socket[bytes], str]) -> None:
    channel = Channel(sockets[0], lambda frames: None)
    with pytest.raises(PeerGone):
        channel.send([b"nobody", b"x"])
    assert channel.n_dropped == 1
    channel.close()


@pytest.mark.anyio
async def test_what_a_peer_does_not_take_waits_up_to_its_bound(tmp_path: Path) -> None:
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.SNDHWM, 1)
    dealer.setsockopt(zmq.LINGER, 0)
    channel = Channel(dealer, lambda frames: None, max_queued=3)
    sent = [channel.send([b"x"]) for _ in range(5)]  # not even connected: nothing is taken
    assert sent == [True] * 3 + [False] * 2
    heard: list[Frames] = []
    done = asyncio.Event()

    def hear(frames: Frames) -> None:
        heard.append(frames)
        if len(heard) == 3:
            done.set()

    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.LINGER, 0)
    router.bind(f"ipc://{tmp_path}/r")
    far = Channel(router, hear)
    dealer.connect(f"ipc://{tmp_path}/r")
    await asyncio.wait_for(done.wait(), 30)
    assert channel.n_dropped == 2
    channel.close(linger_ms=0)
    far.close(linger_ms=0)
    context.term()


@pytest.mark.anyio
async def test_of_a_message_of_too_many_frames_a_few_are_kept_and_the_rest_is_thrown_away_in_slices() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    heard: list[Frames] = []
    try:
        router.bind("inproc://many-frames")
        dealer.setsockopt(zmq.ROUTING_ID, b"d")
        dealer.connect("inproc://many-frames")
        n_frames = 10 * PER_TICK_DROPPED
        dealer.send_multipart([b"%d" % number for number in range(n_frames)])
        dealer.send_multipart([b"behind it", b"and whole"])
        channel = Channel(router, heard.append)
        n_ticks = 0
        while len(heard) < 2:
            await asyncio.sleep(0)
            n_ticks += 1
            assert n_ticks < 1_000_000
        assert heard == [[b"d", b"0", b"1"], [b"d", b"behind it", b"and whole"]]
        # A tick may look twice: for the wake-up, and for what was left over.
        assert n_ticks >= n_frames // PER_TICK_DROPPED // 2
        channel.close(linger_ms=0)
    finally:
        context.destroy(linger=0)
