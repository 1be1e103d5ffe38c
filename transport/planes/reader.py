"""The consumer's side of planes in shared memory: read-only views of other processes' rings."""

import mmap
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .errors import BadPlane, RingError, StaleFrame
from .files import SUFFIX, default_folder, map_file
from .layout import GENERATION, HEAD, Layout, PlaneRef, check_ref, parse_head, plane_at

Array = npt.NDArray[Any]


class PlaneReader:
    """Opens rings as references name them, only below one folder, and reads planes from them."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read rings that lie in ``folder`` (by default, where this user's rings lie)."""
        self._folder = (folder or default_folder()).resolve()
        self._rings: dict[str, tuple[mmap.mmap, Layout]] = {}

    def open(self, ring: str) -> None:
        """Open a ring before the first plane comes: the proof that this process can see it.

        Raises:
            BadPlane: it is not one of the folder.
            RingError: it cannot be opened.
        """
        self._ring(ring)

    def view(self, ref: PlaneRef) -> Array:
        """Return the plane in place, read-only; it may be used until it is acknowledged.

        Raises:
            StaleFrame: the slot holds another plane by now.
            BadPlane: the reference is not one of a ring in the folder.
            RingError: the ring cannot be opened.
        """
        memory, layout = self._ring(ref.ring)
        kind = check_ref(ref, layout)
        _check_generation(memory, layout, ref)
        return plane_at(memory, ref.shape, kind, ref.offset)

    def check(self, ref: PlaneRef) -> None:
        """Promise that what was seen of a plane since its view is that one plane and no mixture.

        Raises:
            StaleFrame: the slot was used again.
        """
        _check_generation(*self._ring(ref.ring), ref)

    def copy_into(self, ref: PlaneRef, out: Array) -> None:
        """Copy the plane into ``out``, sure that it is one plane and no mixture.

        Raises:
            StaleFrame: the slot was used again before or during the copy; ``out`` is worthless.
            BadPlane: the reference is not one of a ring in the folder, or ``out`` has another shape or dtype.
            RingError: the ring cannot be opened.
        """
        plane = self.view(ref)
        if out.shape != plane.shape or out.dtype != plane.dtype:
            raise BadPlane(f"a plane {plane.shape} of {plane.dtype} does not fit {out.shape} of {out.dtype}")
        np.copyto(out, plane)
        self.check(ref)

    def close(self) -> None:
        """Let all rings go."""
        rings, self._rings = self._rings, {}
        for memory, _ in rings.values():
            with suppress(BufferError):  # a view is still in use: its end frees the mapping
                memory.close()

    def forget(self, ring: str) -> None:
        """Let one ring go, whose owner has ended."""
        found = self._rings.pop(ring, None)
        if found is not None:
            with suppress(BufferError):  # as above
                found[0].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _ring(self, name: str) -> tuple[mmap.mmap, Layout]:
        found = self._rings.get(name)
        if found is None:
            found = self._rings[name] = self._open(name)
        return found

    def _open(self, name: str) -> tuple[mmap.mmap, Layout]:
        path = Path(name)
        if path.parent.resolve() != self._folder or path.suffix != SUFFIX:
            raise BadPlane(f"{name} is not a ring in {self._folder}")
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise RingError(f"cannot open the ring {name}: {error}", hint="Its owner may have ended.") from error
        try:
            head = os.read(descriptor, HEAD.size)
            layout = parse_head(head)
            if os.fstat(descriptor).st_size < layout.file_bytes:
                raise BadPlane(f"the ring {name} is shorter than it says")
            return map_file(descriptor, layout.file_bytes, writable=False), layout
        finally:
            os.close(descriptor)


def _check_generation(memory: mmap.mmap, layout: Layout, ref: PlaneRef) -> None:
    (generation,) = GENERATION.unpack_from(memory, layout.generation_start(ref.slot))
    if generation != ref.generation:
        raise StaleFrame(f"slot {ref.slot} holds plane {generation} by now, not {ref.generation}")
