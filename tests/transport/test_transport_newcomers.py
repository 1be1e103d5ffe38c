"""Connections of which nothing is heard: how many there may be, and for how long."""

import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import hypothesis
import hypothesis.strategies as st
import pytest
import zmq
from waiting import eventually

sys.path.append(str(Path(__file__).parents[1] / "system"))

from open_port import Count, OpenPort, half_open, open_port

from hcs_mesh.transport import binding, descriptors, newcomers
from hcs_mesh.transport.newcomers import Newcomers
from hcs_mesh.transport.unheard import LOOK_S

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def heard_port(folder: Path) -> AsyncIterator[tuple[OpenPort, Newcomers]]:
    """An open port at which everybody has been heard."""
    async with open_port(folder) as port:
        found = port.node._newcomers
        assert found is not None
        await eventually(lambda: not len(found), 20.0, "the first words over both channels")
        yield port, found


async def test_who_says_nothing_for_too_long_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with heard_port(tmp_path) as (port, unheard):
        stranger = half_open(port.port, b"")
        silent = port.raw(port.key("silent"))
        await eventually(lambda: len(unheard) == 2, 20.0, "both")
        monkeypatch.setattr(newcomers, "UNHEARD_S", 0.5)
        # Hung up on again and again: libzmq dials anew.
        await eventually(lambda: unheard.offences.n >= 3, 20.0, "their ends")
        stranger.setblocking(True)
        stranger.settimeout(20.0)
        while stranger.recv(4096):
            pass
        stranger.close()
        silent.close(0)
        assert await port.answers() == 0


async def test_a_data_connection_that_was_made_anew_says_something_and_stays(tmp_path: Path) -> None:
    async with heard_port(tmp_path) as (port, unheard):
        _, data = port.honest._sockets
        data.disconnect(port.honest.endpoint.data)
        data.connect(port.honest.endpoint.data)
        await eventually(lambda: port.honest._n_data_connections > 1, 20.0, "another data connection")
        n_ended = unheard.offences.n
        # Before the time is over after which it would be hung up on, and counted.
        await eventually(lambda: not len(unheard), newcomers.UNHEARD_S, "its first word")
        n_connections = port.honest._n_data_connections
        for _ in range(5):
            assert await port.answers() == 0
        assert unheard.offences.n == n_ended
        assert port.honest._n_data_connections == n_connections


N_FLOOD = 300


async def test_who_speaks_before_the_news_of_his_connection_is_read_is_heard_all_the_same(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        unheard = port.node._newcomers
        assert unheard is not None
        await eventually(lambda: not len(unheard), 20.0, "the first words over both channels")
        channels = list(unheard._followed.values())
        for channel in channels:
            # One piece of news in each turn of the loop: so few strangers are a flood.
            channel._per_tick = 1
        # Without a turn of the loop in between.
        flood = [half_open(port.port, b"") for _ in range(N_FLOOD)]
        late = port.dial("late")
        await eventually(lambda: len(port.listener.links) == 2, 20.0, "the first word of one who comes late")
        assert await late.link.ask("counter", Count(), timeout_s=20.0) == 0
        await eventually(lambda: late._n_data_connections == 1, 20.0, "its data connection")
        await eventually(lambda: not any(channel.is_behind for channel in channels), 20.0, "the rest of the news")
        await eventually(lambda: len(unheard) <= N_FLOOD, 20.0, "nobody but strangers among those that are not heard")
        for one in flood:
            one.close()
        late.close()


STRANGERS = """
import resource, socket, sys
n = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (n + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = []
for _ in range(n):
    held.append(socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60.0))
    # It has been accepted: knocking faster than that makes connections wait for a second each.
    held[-1].recv(1)
sys.stdin.read()
"""
N_AT_ONCE = 5_000
N_OVERDUE = 100_000
MOST_OF_A_CORE = 0.1
SLOWEST_S = 5.0
N_STANDSTILLS = 2
"""Answers that may take longer, for as often the computer may stand still."""


@pytest.fixture
def _many_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def strangers(port: OpenPort, n: int) -> AsyncIterator[None]:
    """So many connections at once that say nothing."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STRANGERS, str(port.port), str(n), stdin=asyncio.subprocess.PIPE
    )
    try:
        yield
    finally:
        process.kill()
        await process.communicate()


async def test_no_more_than_half_of_the_descriptors_are_connections_of_which_nothing_was_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (600, before[1]))
    try:
        async with open_port(tmp_path) as port:
            unheard = port.node._newcomers
            assert unheard is not None
            async with strangers(port, 400):
                await eventually(lambda: unheard.offences.n >= 90, 60.0, "the end of the oldest")
                assert len(unheard) <= 300
                late = port.dial("late")
                assert await late.link.ask("counter", Count(), timeout_s=20.0) == 0
                late.close()
            told = [one.getMessage() for one in caplog.records if "the oldest are hung up on" in one.getMessage()]
            assert 0 < len(told) < 12
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("_many_descriptors")
async def test_thousands_that_say_nothing_at_once_cost_little_of_a_core_and_keep_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Callable[[str], None]
) -> None:
    # On a busy computer it takes longer than either until all of them are there.
    monkeypatch.setattr(binding, "HANDSHAKE_MS", 100_000)
    monkeypatch.setattr(newcomers, "UNHEARD_S", 100.0)
    async with open_port(tmp_path) as port:
        unheard = port.node._newcomers
        assert unheard is not None
        async with strangers(port, N_AT_ONCE):
            await eventually(lambda: len(unheard) >= N_AT_ONCE * 0.9, 60.0, "thousands at once")
            answers_s, looks_s, loop = [], [], asyncio.get_running_loop()
            for _ in range(20):
                began_s = loop.time()
                assert await port.answers() == 0
                answers_s.append(loop.time() - began_s)
                used_s = time.thread_time()
                unheard.look()
                looks_s.append(time.thread_time() - used_s)
            n_held = len(unheard)
            slowest_s = sorted(answers_s)[-1 - N_STANDSTILLS]
            tell(
                f"{n_held} silent connections at once: a look takes {1e3 * median(looks_s):.1f} ms of a core, "
                f"others answered in {slowest_s:.2f} s"
            )
            assert n_held > N_AT_ONCE / 2
            assert median(looks_s) / LOOK_S < MOST_OF_A_CORE
            assert slowest_s < SLOWEST_S
        await eventually(lambda: not len(unheard), 30.0, "their ends")


def overdue(n: int) -> Newcomers:
    """So many connections that have been silent for too long; their descriptors are no process's."""
    found, long_ago_s = Newcomers(most_bytes=1 << 30, n_descriptors=descriptors.UNLIMITED), -newcomers.UNHEARD_S
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        for number in range(n):
            found._unheard[descriptors.UNLIMITED + number] = newcomers._Newcomer(socket, long_ago_s)
    return found


def microseconds_each(found: Newcomers) -> float:
    n, began_s = len(found), time.thread_time()
    while len(found):
        n_before = len(found)
        found._end_the_overdue()
        assert 0 < n_before - len(found) <= newcomers.PER_LOOK
    return 1e6 * (time.thread_time() - began_s) / n


async def test_the_ends_of_many_connections_cost_each_what_those_of_few_do_and_never_come_all_at_once(
    tell: Callable[[str], None],
) -> None:
    few = many = float("inf")
    for _ in range(5):
        # The best of each: a computer that is slow for a while may be so for the many alone.
        few = min(few, *(microseconds_each(overdue(2 * newcomers.PER_LOOK)) for _ in range(5)))
        many = min(many, microseconds_each(overdue(N_OVERDUE)))
        if many < 3 * few:
            break
    tell(f"the end of each of {N_OVERDUE} overdue connections takes {many:.1f} us, of few {few:.1f} us")
    assert many < 3 * few


async def test_breaks_by_chance_over_months_make_nobody_suspected_and_many_within_an_hour_do() -> None:
    found, now_s = Newcomers(most_bytes=1_000, n_descriptors=100), 0.0
    found._now, found._faded_s = lambda: now_s, now_s
    for _ in range(100):
        now_s += 24 * 3_600.0
        assert not found.look()
        found._lost_bytes += 300
        assert not found.look()
    now_s += 24 * 3_600.0
    for _ in range(4):
        assert not found.look()
        found._lost_bytes += 300
        now_s += 600.0
    assert found.look()
    assert found._lost_bytes == 0


@hypothesis.given(st.integers(2, 1 << 20))
def test_connections_leave_descriptors_to_everything_else(n_allowed: int) -> None:
    most = descriptors.most(n_allowed)
    assert 0 < most <= n_allowed - n_allowed // 4
    assert n_allowed - most >= min(32, n_allowed // 2)
