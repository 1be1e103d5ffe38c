"""Whether a name or an address is this host's own, whatever it is spelled like."""

from __future__ import annotations

import errno
import socket


def may_be_this_host(name: str) -> bool:
    """Whether any address of a host is one of this host, or cannot be told from one; asks the resolver, and blocks."""
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
        return not found or any(_is_own(family, address) for family, _, _, _, address in found)
    except (OSError, UnicodeError):
        # Not resolved now, or an address of a kind that nobody can try here.
        return True


def _is_own(family: int, address: tuple[object, ...]) -> bool:
    """Whether this host can listen at an address.

    Raises:
        OSError: that cannot be tried.
    """
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        try:
            tried.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True
