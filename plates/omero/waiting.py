"""Waiting for work that goes on inside the server, whoever asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .connection import Connection

LOOK_S = 2.0
"""How often the server is asked although it would call: a call back that was lost comes no second time."""


def proceed() -> None:
    """Go on waiting."""


def response_of(connection: Connection, handle: Any, *, proceed: Callable[[], None] = proceed) -> Any:
    """What came of the work behind a handle, which is closed unless it failed; ``proceed`` may raise to wait no more.

    Raises:
        OmeroError: the server cannot be reached; the work may go on all the same.
    """
    with connection.calling():
        callback = connection.callback(connection.in_time(handle))
        done = False
        try:
            while not callback.block(1000 * LOOK_S):
                proceed()
                callback.poll()
            answer = callback.getResponse()
            # A failure can be asked for again, by who comes after.
            done = not isinstance(answer, connection.library.omero.cmd.ERR)
            return answer
        finally:
            callback.close(done)
