"""What plates elsewhere held when they were last asked, on the disk, so that a restart need not ask again."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from ..config.logging import get_logger
from .model import Plate

log = get_logger(__name__)

MAX_BYTES = 1 << 30
"""All files together; the plate that was written longest ago goes first."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A plate as it was when its place gave it this stamp, and for whom; ``checked_at_s`` is since 1970."""

    plate: Plate
    stamp: str
    checked_at_s: float
    viewer: str = ""
    """The person who was told so; empty where everybody sees the same."""


class StructureShelf:
    """One file for each plate and person; what is damaged or cannot be written is asked for again."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        """Keep files in ``folder``, which only the mesh's own account may enter."""
        self._folder = folder
        self._max_bytes = max_bytes

    def read(self, plate_id: int, viewer: str) -> Known | None:
        """What was written last of a plate for a person, None where there is nothing whole."""
        path = self._path(plate_id, viewer)
        try:
            content = path.read_bytes()
            digest, packed = content[:32], content[32:]
            if hashlib.sha256(packed).digest() != digest:
                raise ValueError("its digest is another")
            known = msgspec.msgpack.decode(packed, type=Known)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            # A crash while it was written, or another version's: the plate's place knows.
            log.warning("a plate's structure on the disk is not used", file=str(path), reason=str(error))
            return None
        return known if (known.plate.id, known.viewer) == (plate_id, viewer) else None

    def write(self, known: Known) -> None:
        """Keep it until it is forgotten, replaced, or the room is needed."""
        path = self._path(known.plate.id, known.viewer)
        packed = msgspec.msgpack.encode(known)
        begun = path.with_suffix(".part")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(begun, "wb", opener=_for_us_alone) as file:
                file.write(hashlib.sha256(packed).digest() + packed)
            begun.replace(path)
            self._make_room()
        except OSError as error:
            log.warning("a plate's structure is not kept on the disk", file=str(path), reason=str(error))

    def forget(self, plate_id: int, viewer: str | None = None) -> None:
        """Remove what is kept of a plate, for one person or for everybody."""
        paths = [self._path(plate_id, viewer)] if viewer is not None else self._folder.glob(f"{plate_id}-*.msgpack")
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("a plate's structure stays on the disk", file=str(path), reason=str(error))

    def _path(self, plate_id: int, viewer: str) -> Path:
        return self._folder / f"{plate_id}-{hashlib.sha256(viewer.encode()).hexdigest()[:32]}.msgpack"

    def _make_room(self) -> None:
        kept = []
        for path in self._folder.iterdir():
            # Forgotten meanwhile, by another thread.
            with suppress(FileNotFoundError):
                look = path.stat()
                kept.append((look.st_mtime_ns, look.st_size, path))
        n_bytes = sum(size for _, size, _ in kept)
        # The newest stays whatever its size.
        for _, size, path in sorted(kept)[:-1]:
            if n_bytes <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            n_bytes -= size


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
