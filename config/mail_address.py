"""Mail addresses, as this project sends to them (pure)."""

from __future__ import annotations

import re

from .errors import MeshError

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"{_ATOM}(\.{_ATOM})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

MAX_ADDRESS = 254


class NoAddress(MeshError, ValueError):
    """Something that mail cannot be sent to."""


def is_address(text: str) -> bool:
    """Whether mail can be sent there as plain ASCII; what could end a header line or an envelope's field is none."""
    return len(text) <= MAX_ADDRESS and _ADDRESS.fullmatch(text) is not None


def check_address(text: str) -> None:
    """Promise that mail can be sent there, or that there is nothing.

    Raises:
        NoAddress: it cannot.
    """
    if text and not is_address(text):
        raise NoAddress(f"{text!r} is no mail address", hint="write it as ada@example.org, in ASCII and without a name")
