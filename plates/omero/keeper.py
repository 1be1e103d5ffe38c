"""The process that keeps sessions alive, whatever long calls the processes that use them are in.

It is told by lines of JSON on its standard input, where no list of processes shows them: the server's address and how
often, then ``{"keep": number, "uuid": ...}`` and ``{"leave": number}``. It answers ``{"kept": number}`` once for each
session, and ``{"ended": number}`` when one is over. It ends when its input does, which is when its parent has.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import msgspec

from .address import Credential, OmeroAddress, SessionKey
from .connection import Connection, close_quietly
from .errors import OmeroError, OmeroSessionEnded
from .secret import Secret

# A server that does not answer holds up as many sessions as this, and not all.
_AT_ONCE = 4


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: where the sessions are, and how often each is kept alive."""

    address: OmeroAddress
    every_s: float


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Each further line; 0 means that nothing of the kind is asked for."""

    keep: int = 0
    uuid: str = ""
    leave: int = 0

    def __repr__(self) -> str:
        return f"Order(keep={self.keep}, leave={self.leave})"


class News(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the process says."""

    kept: int = 0
    ended: int = 0


class Rounds:
    """Keeps each session alive when it comes, and then again and again."""

    def __init__(
        self,
        start: Start,
        tell: Callable[[News], None],
        *,
        open_connection: Callable[[OmeroAddress, Credential], Connection] = Connection,
    ) -> None:
        self._start = start
        self._tell = tell
        self._open = open_connection
        self._keys: dict[int, SessionKey] = {}
        self._told: set[int] = set()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="omero-keeping")
        self._come = threading.Event()
        self._over = False

    def obey(self, order: Order) -> None:
        """Keep or leave a session."""
        if order.keep:
            self._keys[order.keep] = SessionKey(uuid=Secret(order.uuid))
            # Not after the next pause: it may have been idle for long already.
            self._come.set()
        self._keys.pop(order.leave, None)

    def run(self) -> None:
        """Go round until ``end``."""
        while not self._over:
            self._come.wait(self._start.every_s)
            self._come.clear()
            # Waited for: a server that is slow is not asked twice at the same time.
            list(self._threads.map(self.keep_alive, list(self._keys)))

    def end(self) -> None:
        """Go round no more."""
        self._over = True
        self._come.set()

    def keep_alive(self, number: int) -> None:
        """Touch one session; tell when it is over. A server that is away now may be there in the next round."""
        key = self._keys.get(number)
        if key is None:
            return
        try:
            try:
                self._touch(key)
            except OmeroSessionEnded:
                # So it is told as well where the connection was cut on the way: another one knows.
                self._touch(key)
        except OmeroSessionEnded:
            self._keys.pop(number, None)
            self._tell(News(ended=number))
            return
        except OmeroError:
            return
        if number not in self._told:
            self._told.add(number)
            self._tell(News(kept=number))

    def _touch(self, key: SessionKey) -> None:
        # A connection for each time: it finds its way again after any restart of the server.
        connection = self._open(self._start.address, key)
        try:
            connection.keep_alive()
        finally:
            close_quietly(connection)


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Obey until the input ends."""
    writing = threading.Lock()

    def tell(news: News) -> None:
        with writing:
            answers.write(msgspec.json.encode(news) + b"\n")
            answers.flush()

    rounds = Rounds(msgspec.json.decode(orders.readline(), type=Start), tell)
    threading.Thread(target=rounds.run, name="omero-rounds", daemon=True).start()
    for line in orders:
        rounds.obey(msgspec.json.decode(line, type=Order))
    rounds.end()


def end_with_it(failure: threading.ExceptHookArgs) -> None:
    """End the process when one of its threads fails: it would look alive and keep nothing alive."""
    threading.__excepthook__(failure)
    os._exit(1)


if __name__ == "__main__":
    threading.excepthook = end_with_it
    serve(sys.stdin.buffer, sys.stdout.buffer)
    # Threads may be waiting for a server that does not answer, and nobody waits for them.
    os._exit(0)
