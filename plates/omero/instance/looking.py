"""How far one gets at an address without any credentials: TCP, TLS, Ice, and the guest's login as OMERO.web uses it."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

from ..address import OmeroAddress, Password
from ..connection import Connection, end_quietly, refuse_on_a_loop
from ..errors import OmeroError, OmeroLoginRefused, OmeroNotTrusted
from ..library import omero_py
from ..secret import Secret
from .life import Sight

GUEST = Password(user="guest", password=Secret("guest"))
"""Who may log in everywhere, and see nothing."""
_ICE = b"IceP"
_MOST_AT_ONCE = 65536
# A port is answered for by the computer, a handshake by the server: neither takes as long as a login.
_DOOR_S = 10.0


def look(address: OmeroAddress) -> Sight:
    """How far one gets; changes nothing at the server but that a guest was there.

    Raises:
        OmeroMissing: omero-py is not installed.
        OmeroOnTheLoop: called where an event loop runs.
    """
    refuse_on_a_loop()
    omero_py()
    stopped = at_the_door(address)
    return stopped if stopped is not None else _log_in(address)


def at_the_door(address: OmeroAddress) -> Sight | None:
    """What stands in the way before there is any login; None where a server speaks Ice over TLS."""
    door_s = min(_DOOR_S, address.connect_s)
    try:
        line = socket.create_connection((address.host, address.port), timeout=door_s)
    except ConnectionResetError as error:
        # Somebody took the call, and dropped it before it was through.
        return Sight(reach="something", why=_words(error, door_s))
    except OSError as error:
        return Sight(reach="nothing", why=_words(error, door_s))
    # Whom to trust is judged by the client that will work with it: this only asks whether there is an OMERO at all.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Servers without a certificate offer anonymous suites, which no library takes by default.
    context.set_ciphers("DEFAULT:aNULL:@SECLEVEL=0")
    try:
        with line:
            said = _first_words(line, context, address.host)
    except OSError as error:
        return Sight(reach="something", why=_words(error, door_s))
    if said != _ICE:
        return Sight(reach="something", why="it does not speak Ice")
    return None


def _log_in(address: OmeroAddress) -> Sight:
    try:
        connection = Connection(address, GUEST)
    except OmeroNotTrusted as error:
        return Sight(reach="untrusted", why=_inner(error))
    except OmeroLoginRefused:
        # It has judged a password, which is all that a login takes; that it wants no guests is its own affair.
        return Sight(reach="login", why="it takes no guests, so its version is not known")
    except OmeroError as error:
        return Sight(reach="server", why=_inner(error))
    try:
        with connection.calling():
            version = str(connection.service("ConfigService").getVersion())
    except OmeroError as error:
        return Sight(reach="server", why=_inner(error))
    finally:
        end_quietly(connection)
    return Sight(reach="login", version=version)


def look_at_files(folder: Path) -> str:
    """What a mounted managed repository shows.

    Raises:
        OSError: it is not there or cannot be read.
    """
    with os.scandir(folder) as entries:
        first = next(entries, None)
    if first is None:
        return f"{folder} is empty: nothing was imported yet, or it is not mounted"
    if first.is_dir():
        with os.scandir(first.path):
            pass
    return f"{folder} can be read"


def _first_words(line: socket.socket, context: ssl.SSLContext, host: str) -> bytes:
    """What the server says first, over TLS."""
    # An SSLSocket would be left open by CPython where the line breaks while it is wrapped.
    came, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = context.wrap_bio(came, leaving, server_hostname=host)
    while True:
        try:
            return secured.read(len(_ICE))
        except ssl.SSLWantReadError:
            line.sendall(leaving.read())
            received = line.recv(_MOST_AT_ONCE)
            if received:
                came.write(received)
            else:
                came.write_eof()


def _words(error: OSError, door_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {door_s:g} s"
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS"
    return error.strerror or str(error) or type(error).__name__


def _inner(error: OmeroError) -> str:
    """What is said in brackets: the rest is told by who asks."""
    text = str(error)
    _, _, inner = text.partition(" (")
    return inner.rstrip(".").removesuffix(")") or text.rstrip(".")
