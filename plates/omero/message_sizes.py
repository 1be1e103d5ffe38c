"""How much goes into one message to OMERO, or out of one (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from .errors import OmeroTooLarge

T = TypeVar("T")
LIMIT_BYTES = 250_000 * 1024
"""What OMERO's clients and servers take in a message (``Ice.MessageSizeMax``); who gets more hangs up."""
PART_BYTES = 16 * 1024 * 1024
"""What is sent or asked for at a time."""
# Names of operations and of what is about the bytes themselves.
_AROUND_BYTES = 64 * 1024


def parts(
    items: Iterable[T], size_of: Callable[[T], int], *, n_items: int, n_bytes: int = PART_BYTES
) -> Iterator[list[T]]:
    """Items in their order, so many and of so many bytes together at most; a larger one is a part by itself."""
    part, held_bytes = list[T](), 0
    for item in items:
        size = size_of(item)
        if part and (len(part) >= n_items or held_bytes + size > n_bytes):
            yield part
            part, held_bytes = [], 0
        part.append(item)
        held_bytes += size
    if part:
        yield part


def must_fit(n_bytes: int, what: str) -> None:
    """See to it that nothing is sent that a server answers by hanging up, as if it were away.

    Raises:
        OmeroTooLarge: it is more than a message may have.
    """
    if n_bytes > LIMIT_BYTES - _AROUND_BYTES:
        raise OmeroTooLarge(
            f"{what} has {n_bytes} bytes, and OMERO takes {LIMIT_BYTES} in one message.",
            hint="Analyse smaller images, or parts of them.",
        )
