"""What is seen at an address before any login, where something else than OMERO answers."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from omero_lab import address_of

from hcs_mesh.plates.omero.address import OmeroAddress
from hcs_mesh.plates.omero.instance.looking import at_the_door, look
from omero_server.running import RunningServer


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port at which each caller gets this answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    answer(line)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def reset(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def say(line: socket.socket) -> None:
    line.sendall(b"220 mail.example ESMTP\r\n")


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("answer", "why"), [(reset, "Connection reset by peer"), (say, "it does not speak TLS")])
def test_who_speaks_no_tls_is_told_and_no_line_stays_open(answer: Callable[[socket.socket], None], why: str) -> None:
    with warnings.catch_warnings():
        # What earlier tests left lying is none of this one's.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    with answering(answer) as port:
        for _ in range(200):
            seen = at_the_door(OmeroAddress(host="127.0.0.1", port=port))
            assert seen is not None
            assert (seen.reach, seen.why) == ("something", why)
    gc.collect()


@pytest.mark.needs("omero")
def test_a_router_that_cannot_ask_its_server_yet_lets_nobody_in(omero: RunningServer) -> None:
    omero.control.tell("fail", operation="Router.createSession", times=None, **{"with": "not asked"})
    sight = look(address_of(omero))
    assert (sight.reach, "internal server error" in sight.why) == ("server", True)
    omero.control.tell("forget_faults")
    assert look(address_of(omero)).reach == "login"
