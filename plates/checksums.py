"""Checksums of stored files, and how people call them (pure)."""

from __future__ import annotations

import hashlib
from typing import Literal

Algorithm = Literal["sha1", "sha256"]

TITLES: dict[Algorithm, str] = {"sha1": "SHA-1", "sha256": "SHA-256"}


def new_digest(algorithm: Algorithm) -> hashlib._Hash:
    """A digest that has seen nothing yet."""
    # SHA-1 is no promise against a forger; it finds what a disk, a network or a program did to a file.
    return hashlib.sha1(usedforsecurity=False) if algorithm == "sha1" else hashlib.sha256()
