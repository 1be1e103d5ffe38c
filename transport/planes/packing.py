"""Planes on their way to another host: cut into parts, smaller where the link is slow, and whole again.

What makes them smaller is LZ4 over shuffled bits, in Blosc2's frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..channel import MOST_PARTS, PART_BYTES
from .errors import BadPlane
from .layout import PlaneRef, plane_bytes

BLOSC2 = "blosc2"


def in_parts(body: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """The bytes of a plane in the parts that it travels in, not copied; one at least.

    A part is small enough to be in the cache still when it is encrypted, and is on its way while the next one is.
    """
    size = max(PART_BYTES, -(-body.size // MOST_PARTS))
    return [body[start : start + size] for start in range(0, max(body.size, 1), size)]


def pack(plane: npt.NDArray[Any]) -> bytes:
    """The compressed bytes of a plane."""
    import imagecodecs

    encode: Any = imagecodecs.blosc2_encode
    packed: bytes = encode(
        plane, level=1, compressor="lz4", shuffle="bitshuffle", typesize=plane.dtype.itemsize, numthreads=1
    )
    return packed


def unpack(parts: Sequence[Any], codec: str, ref: PlaneRef, *, most_bytes: int) -> npt.NDArray[Any]:
    """The plane that a reference describes, from the parts that came beside it; read-only where they came as they are.

    Raises:
        BadPlane: they are not that plane, no array is one, or it has more than ``most_bytes`` or than memory is left.
    """
    kind, n_bytes = plane_bytes(ref.shape, ref.dtype)
    if n_bytes > most_bytes:
        raise BadPlane(
            f"it has {n_bytes} bytes, and at most {most_bytes} are taken here",
            hint="limits.frame_bytes raises the bound",
        )
    try:
        if codec == "":
            return _joined(parts, n_bytes).view(kind).reshape(ref.shape)
        if codec == BLOSC2:
            return _unpacked(parts, np.empty(ref.shape, kind))
    except MemoryError as error:
        raise BadPlane(f"no memory is left here for its {n_bytes} bytes") from error
    raise BadPlane(f"the plane is packed by {codec!r:.80}, which this release does not know")


def _unpacked(parts: Sequence[Any], plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The plane, filled with what is packed in these parts."""
    import imagecodecs

    decode: Any = imagecodecs.blosc2_decode
    try:
        unpacked = decode(_joined(parts), out=plane.reshape(-1).view(np.uint8))
    except (imagecodecs.Blosc2Error, ValueError) as error:
        raise BadPlane(f"a packed plane cannot be unpacked: {error}") from error
    if len(unpacked) != plane.nbytes:
        raise BadPlane(f"{len(unpacked)} bytes came for a plane of {plane.nbytes}")
    return plane


def _joined(parts: Sequence[Any], n_expected: int | None = None) -> npt.NDArray[np.uint8]:
    """The bytes of all parts, read-only; one alone stays where it is."""
    arrays = [np.frombuffer(part, np.uint8) if len(part) else np.empty(0, np.uint8) for part in parts]
    n_bytes = sum(array.size for array in arrays)
    if n_expected is not None and n_bytes != n_expected:
        raise BadPlane(f"{n_bytes} bytes came for a plane of {n_expected}")
    whole = arrays[0] if len(arrays) == 1 else np.concatenate([np.empty(0, np.uint8), *arrays])
    whole.flags.writeable = False
    return whole
