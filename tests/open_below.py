"""What this process has open below a folder."""

from __future__ import annotations

from pathlib import Path


def open_below(folder: Path) -> list[str]:
    """The paths behind this process's descriptors that are the folder or lie in it.

    Only these: what earlier tests left to the garbage collector may be closed at any moment.
    """
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = descriptor.readlink()
        except FileNotFoundError:
            # The one that lists them, or of another thread, and closed meanwhile.
            continue
        if target.is_relative_to(folder):
            found.append(str(target))
    return found
