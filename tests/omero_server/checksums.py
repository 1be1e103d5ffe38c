"""The checksums that an upload is verified with, by the names that OMERO gives them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

BLOCK = 1 << 20


class NoSuchAlgorithm(Exception):
    """The stand-in has not learnt to compute it."""


def hashed(path: Path, algorithm: str) -> str:
    """The checksum of a file, as the hexadecimal text that OMERO keeps.

    Raises:
        NoSuchAlgorithm: it is none that the stand-in offers.
    """
    if algorithm not in ALGORITHMS:
        raise NoSuchAlgorithm(f"the checksum algorithm {algorithm}")
    return ALGORITHMS[algorithm](path)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _digest(name: str) -> Callable[[Path], str]:
    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, name).hexdigest()

    return digest


def _running(update: Callable[[bytes, int], int], start: int) -> Callable[[Path], str]:
    def digest(path: Path) -> str:
        value = start
        for block in _blocks(path):
            value = update(block, value)
        return f"{value:08x}"

    return digest


ALGORITHMS: dict[str, Callable[[Path], str]] = {
    "SHA1-160": _digest("sha1"),
    "MD5-128": _digest("md5"),
    "CRC-32": _running(zlib.crc32, 0),
    "Adler-32": _running(zlib.adler32, 1),
    "File-Size-64": lambda path: f"{path.stat().st_size:016x}",
}
"""Those that the stand-in offers; a server has Murmur3 besides."""
