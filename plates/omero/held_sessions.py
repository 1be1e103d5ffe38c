"""The sessions that are held of one person, and how their connections are let go of."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from .address import SessionKey
from .pool import ConnectionPool
from .whose_session import Standing

Source = Literal["own", "minted"]


class HeldSessions:
    """What is held of one person."""

    def __init__(self) -> None:
        self.standing = Standing()
        self.pools: dict[Source, tuple[SessionKey, ConnectionPool]] = {}
        self.resting = False
        self.used_at_s = 0.0
        self.choosing = threading.Lock()
        """Never held while a server is asked for a session: who tells of a login or an end does not wait for that."""
        self.minting = threading.Lock()
        self.dropped: list[ConnectionPool] = []
        """What is to be closed once ``choosing`` is let go."""

    @contextmanager
    def choose(self) -> Iterator[None]:
        """Hold ``choosing``; what was dropped meanwhile is closed after it, for that may wait for a server."""
        dropped: list[ConnectionPool] = []
        try:
            with self.choosing:
                try:
                    yield
                finally:
                    dropped = self.take_dropped()
        finally:
            close_pools(dropped)

    def take_dropped(self) -> list[ConnectionPool]:
        """What was dropped, to be closed by who asks; with ``choosing`` held."""
        dropped, self.dropped = self.dropped, []
        return dropped


def close_pools(pools: Iterable[ConnectionPool]) -> None:
    """Close several at the same time: each waits for a while for a server that does not answer."""
    closing = [threading.Thread(target=pool.close, name="omero-leaving", daemon=True) for pool in pools]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()
