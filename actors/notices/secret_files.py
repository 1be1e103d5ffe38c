"""Secrets that lie in files which their owner alone can read."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import WayClosed


def read_secret(path: str, *, of: str) -> str:
    """The first line of a file; ``of`` names the setting. It must never reach a journal, log or error.

    Raises:
        WayClosed: it cannot be read, is empty, or others than its owner can read it.
    """
    file = Path(path).expanduser()
    try:
        with file.open(encoding="utf-8") as lines:
            mode = os.fstat(lines.fileno()).st_mode
            secret = lines.readline().strip("\r\n")
    except OSError as error:
        raise WayClosed(
            f"{of} {path} cannot be read: {error.strerror}", hint="write the secret there, then chmod 600 it"
        ) from error
    except UnicodeDecodeError:
        # Not chained: the error holds the bytes.
        raise WayClosed(f"{of} {path} is not text in UTF-8", hint="write the secret there as one line") from None
    if os.name == "posix" and mode & 0o077:
        raise WayClosed(f"{of} {path} can be read by others (mode {mode & 0o777:o})", hint=f"chmod 600 {path}")
    if not secret:
        raise WayClosed(f"{of} {path} is empty", hint="write the secret there as one line")
    return secret
