"""Planes made smaller for a slow link, and whole again: LZ4 over shuffled bits, in Blosc2's frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import BadPlane
from .layout import PlaneRef, plane_bytes

BLOSC2 = "blosc2"


def pack(plane: npt.NDArray[Any]) -> bytes:
    """The compressed bytes of a plane."""
    import imagecodecs

    encode: Any = imagecodecs.blosc2_encode
    packed: bytes = encode(
        plane, level=1, compressor="lz4", shuffle="bitshuffle", typesize=plane.dtype.itemsize, numthreads=1
    )
    return packed


def unpack(packed: Any, codec: str, ref: PlaneRef) -> npt.NDArray[Any]:
    """The plane that a reference describes, from the bytes that came beside it; read-only where they came as they are.

    Raises:
        BadPlane: they are not that plane.
    """
    kind, n_bytes = plane_bytes(ref.shape, ref.dtype)
    if codec == "":
        if len(memoryview(packed).cast("B")) != n_bytes:
            raise BadPlane(f"{len(packed)} bytes came for a plane of {n_bytes}")
        return np.frombuffer(packed, kind).reshape(ref.shape)
    if codec != BLOSC2:
        raise BadPlane(f"the plane is packed by '{codec}', which this release does not know")
    import imagecodecs

    decode: Any = imagecodecs.blosc2_decode
    plane = np.empty(ref.shape, kind)
    try:
        whole = decode(packed, out=plane.reshape(-1).view(np.uint8))
    except (imagecodecs.Blosc2Error, ValueError) as error:
        raise BadPlane(f"a packed plane cannot be unpacked: {error}") from error
    if len(whole) != n_bytes:
        raise BadPlane(f"{len(whole)} bytes came for a plane of {n_bytes}")
    return plane
