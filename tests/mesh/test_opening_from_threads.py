"""A blocking client that several threads open and close at the same time is open once, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hcs_mesh import BlockingClient

TOGETHER_S = 2.0
"""How long one that is under way gives another the time to come beside it; nobody comes who waits his turn."""
WITHIN_S = 45.0


class Connection:
    """A client that counts who is inside it, and lets whoever could come beside come."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.n_opened = self.n_open = self.n_under_way = self.most_under_way = 0
        self.together = threading.Barrier(1)

    async def __aenter__(self) -> Connection:
        self._meet()
        self.n_opened += 1
        self.n_open += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._meet()
        self.n_open -= 1

    def _meet(self) -> None:
        self.n_under_way += 1
        self.most_under_way = max(self.most_under_way, self.n_under_way)
        self.began.set()
        with suppress(threading.BrokenBarrierError):
            self.together.wait(TOGETHER_S)
        self.n_under_way -= 1


def beside(connection: Connection, first: Callable[[], Any], second: Callable[[], Any]) -> None:
    """Have two threads do these, the second once the first is under way."""
    connection.began.clear()
    connection.together = threading.Barrier(2)
    threads = [threading.Thread(target=work, daemon=True) for work in (first, second)]
    threads[0].start()
    assert connection.began.wait(WITHIN_S)
    threads[1].start()
    for thread in threads:
        thread.join(WITHIN_S)
        assert not thread.is_alive()


def test_two_threads_that_open_at_the_same_time_dial_once() -> None:
    connection: Any = Connection()
    client = BlockingClient(connection)
    beside(connection, client.open, client.open)
    assert (connection.n_opened, connection.n_open, connection.most_under_way) == (1, 1, 1)
    client.close()
    assert connection.n_open == 0


def test_who_opens_while_another_thread_closes_dials_once_that_has_hung_up() -> None:
    connection: Any = Connection()
    client = BlockingClient(connection).open()
    beside(connection, client.close, client.open)
    assert (connection.n_opened, connection.n_open, connection.most_under_way) == (2, 1, 1)
    client.close()
    assert connection.n_open == 0


def test_who_closes_while_another_thread_opens_hangs_up_what_that_has_dialled() -> None:
    connection: Any = Connection()
    client = BlockingClient(connection)
    beside(connection, client.open, client.close)
    assert (connection.n_opened, connection.n_open, connection.most_under_way) == (1, 0, 1)
