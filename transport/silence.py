"""How soon it is noticed that nobody is at the other end of a connection any more."""

from __future__ import annotations

import zmq

SILENCE_S = 5.0
"""A peer of the fronts that says nothing for so long is away; libzmq answers for one that only computes."""
LAST_WORDS_S = 0.2
"""What was said last has so long to leave before its socket ends."""


def notice_silence(socket: zmq.Socket[bytes], silence_s: float) -> None:
    """Have libzmq end a connection over which nothing has come for ``silence_s``; before bind or connect."""
    # It asks every quarter of the time, and waits the other three for the answer.
    socket.setsockopt(zmq.HEARTBEAT_IVL, max(1, round(250 * silence_s)))
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, max(1, round(750 * silence_s)))
    # With heartbeats, libzmq 4.3.5 aborts the whole process ("Assertion failed: !_io_error", stream_engine_base.cpp)
    # when a connection breaks on which a message is waiting that cannot be handed on. So it may hold any number of them
    # here; the listener takes them off at once, and hangs up on who says more than can be heard.
    socket.setsockopt(zmq.RCVHWM, 0)


def last_words_ms(*, stalled: bool) -> int:
    """How long libzmq may keep a socket that is closed.

    It hands on nothing more then, and aborts if a peer speaks and dies meanwhile (see above): so it may only while
    there is nothing that a peer does not take.
    """
    return 0 if stalled else round(1000 * LAST_WORDS_S)
