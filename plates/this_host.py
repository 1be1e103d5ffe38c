"""Whether names and addresses are those of one host, whatever they are spelled like."""

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


def may_be_one_host(server: str, host: str) -> bool:
    """Whether a server may be a host that goes by another name; asks the resolver, and blocks.

    A server that cannot be resolved now may be anybody. A host that cannot be has that one name.
    """
    if server.casefold() == host.casefold():
        return True
    if host == socket.gethostname():
        return may_be_this_host(server)
    found = _addresses(server)
    return not found or bool(found & _addresses(host))


def _addresses(name: str) -> frozenset[object]:
    """The addresses of a host; none where it cannot be resolved now."""
    try:
        return frozenset(address[0] for *_, address in socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        return frozenset()


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
