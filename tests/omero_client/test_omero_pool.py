"""A few connections for each session: never more, never shared, replaced when they break."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.plates.omero.errors import (
    OmeroBusy,
    OmeroCallRefused,
    OmeroNotAnswering,
    OmeroOnTheLoop,
    OmeroPlacesTaken,
    OmeroSessionEnded,
    OmeroUnreachable,
)
from hcs_mesh.plates.omero.pool import ConnectionPool


class Line:
    """A connection that counts, and knows when it was closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


class Exchange:
    """Opens lines, and keeps them."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.refuses: Exception | None = None

    def open(self) -> Any:
        if self.refuses is not None:
            raise self.refuses
        self.lines.append(Line())
        return self.lines[-1]


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


def pool_of(
    exchange: Exchange, *, n: int = 2, clock: Callable[[], float] = lambda: 0.0, **more: float
) -> ConnectionPool:
    return ConnectionPool(exchange.open, n_connections=n, clock=clock, **more)


def test_a_connection_is_opened_when_it_is_needed_and_used_again(exchange: Exchange) -> None:
    pool = pool_of(exchange)
    assert exchange.lines == []
    first = pool.read(lambda line: line)
    assert pool.read(lambda line: line) is first
    assert len(exchange.lines) == 1


def test_never_more_connections_are_open_than_the_pool_has_places(exchange: Exchange) -> None:
    pool = pool_of(exchange, n=2, patience_s=60.0)
    inside, most, may_end = threading.Semaphore(0), [], threading.Event()

    def work(_: Any) -> None:
        most.append(pool.statistics().n_in_use)
        inside.release()
        may_end.wait(60)

    threads = [threading.Thread(target=pool.read, args=(work,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    inside.acquire()
    inside.acquire()
    may_end.set()
    for thread in threads:
        thread.join(60)
    assert len(most) == 6
    assert max(most) <= 2
    assert len(exchange.lines) <= 2
    assert pool.statistics().n_in_use == 0


def test_who_waits_for_too_long_is_told_that_all_are_in_use(exchange: Exchange) -> None:
    pool = pool_of(exchange, n=1, patience_s=0.01)
    with pool.connection(), pytest.raises(OmeroBusy, match="All 1 connections"):
        pool.read(lambda line: line)


def test_what_lasts_has_places_of_the_pool_and_leaves_one_for_all_else(exchange: Exchange) -> None:
    pool = pool_of(exchange, n=3, patience_s=60.0)
    one, _ = pool.apart(lasting=True), pool.apart(lasting=True)
    assert "2 of the 3 connections" in pool.lasting_taken()
    with pytest.raises(OmeroPlacesTaken, match="2 of the 3 connections"):
        pool.apart(lasting=True)
    assert pool.read(lambda _: pool.statistics().n_in_use) == 3
    # What is soon over has the place that is left, and so the one that lay idle in it.
    brief = pool.apart()
    assert exchange.lines[2].closed.is_set()
    assert sum(not line.closed.is_set() for line in exchange.lines) == 3
    brief.close()
    one.close()
    one.leave()
    assert pool.lasting_taken() == ""
    pool.apart(lasting=True)
    assert (pool.statistics().n_in_use, sum(not line.closed.is_set() for line in exchange.lines)) == (2, 2)


def test_a_pool_of_one_place_lends_it_to_what_lasts(exchange: Exchange) -> None:
    pool = pool_of(exchange, n=1, patience_s=0.01)
    lasting = pool.apart(lasting=True)
    with pytest.raises(OmeroPlacesTaken, match="All 1 connections"):
        pool.apart()
    lasting.close()
    assert pool.read(lambda line: line) is exchange.lines[-1]


def test_a_place_is_not_lost_to_a_connection_that_cannot_be_opened(exchange: Exchange) -> None:
    pool = pool_of(exchange, n=2)
    exchange.refuses = OmeroUnreachable("the server is down")
    for _ in range(3):
        with pytest.raises(OmeroUnreachable):
            pool.apart(lasting=True)
    exchange.refuses = None
    pool.apart(lasting=True)
    assert pool.statistics().n_in_use == 1


@pytest.mark.parametrize("broken", [OmeroUnreachable, OmeroSessionEnded])
def test_a_read_on_a_stale_connection_is_done_once_more_on_a_new_one(
    exchange: Exchange, broken: type[OmeroUnreachable]
) -> None:
    pool = pool_of(exchange)
    pool.read(lambda _: None)
    stale = exchange.lines[0]

    def read(line: Any) -> str:
        if line is stale:
            raise broken("gone")
        return "read"

    assert pool.read(read) == "read"
    assert stale.closed.wait(10)
    assert pool.statistics().n_broken == 1


def test_a_read_is_not_tried_without_end(exchange: Exchange) -> None:
    tries = []

    def read(line: Any) -> None:
        tries.append(line)
        raise OmeroUnreachable("gone")

    with pytest.raises(OmeroUnreachable):
        pool_of(exchange).read(read)
    assert len(tries) == 2


def test_a_read_that_took_too_long_is_not_tried_again(exchange: Exchange) -> None:
    tries = []

    def read(line: Any) -> None:
        tries.append(line)
        raise OmeroNotAnswering("slow")

    with pytest.raises(OmeroNotAnswering):
        pool_of(exchange).read(read)
    assert len(tries) == 1
    assert exchange.lines[0].closed.wait(10)


def test_what_writes_is_never_done_twice(exchange: Exchange) -> None:
    writes = []

    def write(line: Any) -> None:
        writes.append(line)
        raise OmeroUnreachable("gone")

    with pytest.raises(OmeroUnreachable), pool_of(exchange).connection() as line:
        write(line)
    assert len(writes) == 1


def test_a_broken_connection_takes_the_idle_ones_with_it(exchange: Exchange) -> None:
    pool = pool_of(exchange)
    with pool.connection(), pool.connection():
        pass
    with pytest.raises(OmeroSessionEnded), pool.connection():
        raise OmeroSessionEnded("the server was started again")
    assert all(line.closed.wait(10) for line in exchange.lines)
    assert pool.statistics().n_idle == 0


def test_a_call_that_was_too_slow_takes_no_other_connection_with_it(exchange: Exchange) -> None:
    pool = pool_of(exchange)
    with pool.connection(), pool.connection():
        pass
    with pytest.raises(OmeroNotAnswering), pool.connection():
        raise OmeroNotAnswering("slow")
    assert pool.statistics().n_idle == 1


def test_a_refusal_breaks_nothing(exchange: Exchange) -> None:
    pool = pool_of(exchange)
    with pytest.raises(OmeroCallRefused), pool.connection():
        raise OmeroCallRefused("no such plate")
    assert pool.statistics().n_idle == 1
    assert not exchange.lines[0].closed.is_set()


def test_a_place_is_free_again_when_no_connection_could_be_opened(exchange: Exchange) -> None:
    pool = pool_of(exchange, n=1, patience_s=0.01)
    exchange.refuses = OmeroUnreachable("down")
    for _ in range(3):
        with pytest.raises(OmeroUnreachable, match="down"):
            pool.read(lambda line: line)
    exchange.refuses = None
    assert pool.read(lambda line: line) is exchange.lines[0]


def test_connections_that_nobody_needs_are_closed(exchange: Exchange) -> None:
    now_s = [0.0]
    pool = pool_of(exchange, clock=lambda: now_s[0], idle_s=120.0)
    with pool.connection(), pool.connection():
        pass
    now_s[0] = 100.0
    used = pool.read(lambda line: line)
    assert pool.statistics().n_idle == 2
    now_s[0] = 130.0
    assert pool.close_idle() == 1
    assert [line.closed.is_set() for line in exchange.lines] == [line is not used for line in exchange.lines]


def test_a_pool_in_use_closes_the_connections_that_it_does_not_need(exchange: Exchange) -> None:
    now_s = [0.0]
    pool = pool_of(exchange, clock=lambda: now_s[0], idle_s=120.0)
    with pool.connection(), pool.connection():
        pass
    now_s[0] = 130.0
    pool.read(lambda _: None)
    assert pool.statistics().n_idle == 1


def test_a_closed_pool_lends_nothing_and_closes_what_comes_back(exchange: Exchange) -> None:
    pool = pool_of(exchange)
    with pool.connection() as line:
        pool.close()
        assert not line.closed.is_set()  # type: ignore[attr-defined]
    assert exchange.lines[0].closed.is_set()
    with pytest.raises(OmeroUnreachable, match="closed"):
        pool.read(lambda one: one)


def test_a_pool_is_not_asked_on_an_event_loop(exchange: Exchange) -> None:
    async def ask() -> None:
        pool_of(exchange).read(lambda line: line)

    with pytest.raises(OmeroOnTheLoop):
        asyncio.run(ask())


def test_what_is_at_rest_for_good_gives_its_place_to_whoever_needs_one(exchange: Exchange) -> None:
    pool = pool_of(exchange, n=3, patience_s=60.0)
    first, second = pool.apart(lasting=True), pool.apart(lasting=True)
    pool.rest(second)
    with pool.connection():
        # Only what is needed: there was a place.
        assert second.stands
        with pool.connection():
            assert (first.stands, second.stands) == (True, False)
            assert exchange.lines[1].closed.is_set()
            assert pool.statistics().n_in_use == 3
    assert not pool.take_up(second)
    second.close()
    assert pool.statistics().n_in_use == 1


def test_who_waits_for_a_place_gets_the_one_of_what_is_laid_to_rest(exchange: Exchange) -> None:
    pool = pool_of(exchange, n=1, patience_s=60.0)
    lasting, found = pool.apart(lasting=True), []
    waiting = threading.Thread(target=lambda: found.append(pool.read(lambda line: line)))
    waiting.start()
    asyncio.run(eventually(lambda: pool.statistics().n_waiting, 60.0, "a wait for the place"))
    pool.rest(lasting)
    waiting.join(60)
    assert found == [exchange.lines[1]]


def test_what_rests_for_a_while_gives_way_to_what_lasts_alone_and_after_what_rests_for_good(exchange: Exchange) -> None:
    now_s = [0.0]
    pool = pool_of(exchange, n=3, patience_s=0.01, clock=lambda: now_s[0])
    waits, failed = pool.apart(lasting=True), pool.apart(lasting=True)
    pool.rest(waits, after_s=600.0)
    assert pool.lasting_taken()
    now_s[0] = 600.0
    assert pool.lasting_taken() == ""
    with pool.connection(), pytest.raises(OmeroBusy):
        pool.read(lambda line: line)
    pool.rest(failed)
    third = pool.apart(lasting=True)
    assert (waits.stands, failed.stands) == (True, False)
    assert pool.take_up(waits)
    assert pool.lasting_taken()
    for one in (waits, third, failed):
        one.close()
    assert pool.statistics().n_in_use == 0
