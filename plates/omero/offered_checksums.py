"""The checksums that an OMERO.server may want of an upload, by its own names for them (pure)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from ..checksums import Algorithm, new_digest

SHA1 = "SHA1-160"
OURS: Mapping[Algorithm, str] = {"sha1": SHA1}
"""What OMERO calls the checksums that the mesh keeps."""


class Running(Protocol):
    """A checksum of the bytes that it has been given so far."""

    def update(self, data: memoryview, /) -> None:
        """Take more bytes in."""

    def hexdigest(self) -> str:
        """Say it as OMERO writes it."""


class _Rolling:
    """A checksum of 32 bits."""

    def __init__(self, roll: Callable[[memoryview, int], int], start: int) -> None:
        self._roll = roll
        self._value = start

    def update(self, data: memoryview, /) -> None:
        self._value = self._roll(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class _Size:
    """How many bytes there were."""

    def __init__(self) -> None:
        self._n_bytes = 0

    def update(self, data: memoryview, /) -> None:
        self._n_bytes += len(data)

    def hexdigest(self) -> str:
        return f"{self._n_bytes:016x}"


def _md5() -> Running:
    import hashlib

    return hashlib.md5(usedforsecurity=False)


COMPUTED: Mapping[str, Callable[[], Running]] = {
    SHA1: lambda: new_digest("sha1"),
    "MD5-128": _md5,
    "CRC-32": lambda: _Rolling(zlib.crc32, 0),
    "Adler-32": lambda: _Rolling(zlib.adler32, 1),
    "File-Size-64": _Size,
}
"""Those that can be computed here; a server offers Murmur3 besides."""
