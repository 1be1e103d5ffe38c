"""How a ring's file is divided, and the references to planes in it that travel in messages (pure)."""

import math
import mmap
import struct
import sys
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from .allocator import Lease
from .errors import BadPlane

PAGE_BYTES = 4096
HEAD = struct.Struct("<8sIIQQ")
MAGIC = b"HCSMRING"
VERSION = 1
GENERATION = struct.Struct("<Q")
GENERATION_STRIDE_BYTES = 64  # a cache line each, so that a reader's check does not slow a neighbour's writer
PLANE_KINDS = "biufc"
MOST_DIMENSIONS = 32
"""Every release of NumPy knows so many."""


class PlaneRef(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plane lies in a ring on this host; C order, native bytes, ``offset`` in the file."""

    ring: str
    slot: int
    generation: int
    offset: int
    shape: tuple[int, ...]
    dtype: str
    n_bytes: int

    @property
    def lease(self) -> Lease:
        """The use of the slot that the reference names."""
        return Lease(self.slot, self.generation)


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """A head, a generation per slot, then the slots, each on a page boundary."""

    n_slots: int
    slot_bytes: int

    @property
    def data_start(self) -> int:
        """Where the first slot begins."""
        return PAGE_BYTES + _whole_pages(self.n_slots * GENERATION_STRIDE_BYTES)

    @property
    def file_bytes(self) -> int:
        """How large the whole file is."""
        return self.data_start + self.n_slots * _whole_pages(self.slot_bytes)

    def slot_start(self, slot: int) -> int:
        """Return where a slot begins."""
        return self.data_start + slot * _whole_pages(self.slot_bytes)

    def generation_start(self, slot: int) -> int:
        """Return where a slot's generation is written."""
        return PAGE_BYTES + slot * GENERATION_STRIDE_BYTES

    def head(self) -> bytes:
        """Return the first bytes of the file."""
        return HEAD.pack(MAGIC, VERSION, self.n_slots, self.slot_bytes, self.file_bytes)


def parse_head(data: bytes) -> Layout:
    """Return the layout that a file's first bytes state.

    Raises:
        BadPlane: they are not those of a ring.
    """
    if len(data) < HEAD.size:
        raise BadPlane(f"{len(data)} bytes are no ring")
    magic, version, n_slots, slot_bytes, file_bytes = HEAD.unpack_from(data)
    layout = Layout(n_slots=n_slots, slot_bytes=slot_bytes)
    if magic != MAGIC or version != VERSION or file_bytes != layout.file_bytes:
        raise BadPlane("the file is not a ring of this version")
    return layout


def plane_bytes(shape: tuple[int, ...], dtype: npt.DTypeLike) -> tuple[np.dtype[np.generic], int]:
    """Return dtype and size of a plane.

    Raises:
        BadPlane: the dtype is not a plain number, or no array has this shape.
    """
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:
        raise BadPlane(f"{dtype!r:.80} is no dtype") from error
    if kind.kind not in PLANE_KINDS:
        raise BadPlane(f"an array of {kind!s:.80} cannot travel as a plane: plain numbers only")
    if len(shape) > MOST_DIMENSIONS:
        raise BadPlane(f"a shape of {len(shape)} lengths, and a plane has at most {MOST_DIMENSIONS}")
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise BadPlane(f"an array with shape {shape} cannot travel as a plane")
    # As NumPy counts: of an array without an element, too, the other lengths are ones that memory could have.
    if math.prod(length or 1 for length in shape) * kind.itemsize > sys.maxsize:
        raise BadPlane(
            f"an array of {kind} with shape {shape} is too large: at most {sys.maxsize} bytes can be addressed"
        )
    return kind, math.prod(shape) * kind.itemsize


def check_ref(ref: PlaneRef, layout: Layout) -> np.dtype[np.generic]:
    """Return the dtype of a reference that lies within the ring it names.

    Raises:
        BadPlane: it does not.
    """
    kind, n_bytes = plane_bytes(ref.shape, ref.dtype)
    if (
        not 0 <= ref.slot < layout.n_slots
        or n_bytes != ref.n_bytes
        or n_bytes > layout.slot_bytes
        or ref.offset != layout.slot_start(ref.slot)
    ):
        raise BadPlane(f"the reference {ref} does not lie within its ring")
    return kind


def plane_at(memory: mmap.mmap, shape: tuple[int, ...], kind: np.dtype[np.generic], offset: int) -> npt.NDArray[Any]:
    """Return the array that lies in mapped memory; over a read-only mapping it is read-only.

    By ``frombuffer``, which keeps the mapping from being closed under the array; ``ndarray(buffer=...)`` does not.
    """
    n_bytes = math.prod(shape) * kind.itemsize
    return np.frombuffer(memory, np.uint8, n_bytes, offset).view(kind).reshape(shape)


def _whole_pages(n_bytes: int) -> int:
    return -(-n_bytes // PAGE_BYTES) * PAGE_BYTES
