"""Secrets that lie in files which their owner alone can read."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import MeshError


def read_secret(path: Path | str, *, of: str, error: type[MeshError]) -> str:
    """The first line of a file; ``of`` names the setting. It must never reach a journal, log or error.

    Raises:
        MeshError: as ``error``: it cannot be read, is empty or no text, or others than its owner can read it.
    """
    try:
        with Path(path).expanduser().open(encoding="utf-8") as lines:
            mode = os.fstat(lines.fileno()).st_mode
            secret = lines.readline().strip("\r\n")
    except OSError as failure:
        raise error(
            f"{of} {path} cannot be read: {failure.strerror}", hint="write the secret there, then chmod 600 it"
        ) from failure
    except UnicodeDecodeError:
        # Not chained: the error holds the bytes.
        raise error(f"{of} {path} is not text in UTF-8", hint="write the secret there as one line") from None
    if os.name == "posix" and mode & 0o077:
        raise error(f"{of} {path} can be read by others (mode {mode & 0o777:o})", hint=f"chmod 600 {path}")
    if not secret:
        raise error(f"{of} {path} is empty", hint="write the secret there as one line")
    return secret
