"""RawPixelsStore: planes, tiles, rows in and out, sizes checked."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import omero
import omero.api
from numpy.typing import NDArray

from omero_server.bioformats import DecodedPlanes
from omero_server.call import Call
from omero_server.dispatch import unlocked
from omero_server.graph import Row
from omero_server.plane_files import DTYPES, ImportedPlanes, NoPlane, PlaneMap, Planes, RawPlanes, Shape
from omero_server.refusals import BadUse, NotKnown
from omero_server.service_factory import Stateful
from omero_server.wire import Wire

if TYPE_CHECKING:
    from omero_server.server import Server


def shape_of(pixels: Row) -> Shape:
    """The shape that a Pixels object has.

    Raises:
        NotKnown: its pixels are complex numbers or bits.
    """
    type_ = pixels["pixelsType"]["value"]
    if type_ not in DTYPES:
        raise NotKnown(f"pixels of type {type_}")
    size = {axis.lower(): pixels[f"size{axis}"] for axis in "TCZYX"}
    return Shape(**size, dtype=DTYPES[type_])


def planes_of(server: Server, pixels: Row) -> Planes:
    """Where the pixels of an object are read from."""
    shape = shape_of(pixels)
    found = server.folder / "Planes" / f"{pixels.id}.json"
    if not found.exists():
        return RawPlanes(server.folder / "Pixels" / str(pixels.id), shape)
    plane_map = PlaneMap.read(found)
    if plane_map.series is None:
        return ImportedPlanes(server.managed, plane_map, shape)
    return DecodedPlanes(server.bioformats, server.managed / plane_map.files[0], plane_map.series, shape)


class RawPixels(Stateful):
    """The pixels of one image after the other, as the bytes that the wire carries."""

    interface = omero.api.RawPixelsStore
    proxy = omero.api.RawPixelsStorePrx

    _pixels: Row | None = None
    _planes: Planes
    _shape: Shape
    _modified = False

    def setPixelsId(self, call: Call, id: int, bypass: bool) -> None:
        if self._pixels is not None and self._pixels.id == id:
            return
        self.release()
        self._pixels = call.get("Pixels", id)
        self._shape = shape_of(self._pixels)
        self._planes = planes_of(self.server, self._pixels)

    def getPixelsId(self, call: Call) -> int:
        return self._chosen().id

    def prepare(self, call: Call, ids: list[int]) -> None:
        for id in ids:
            call.get("Pixels", id)

    def release(self) -> None:
        if self._pixels is not None:
            self._planes.close()
            self._pixels = None

    # Sizes

    def getByteWidth(self, call: Call) -> int:
        return self._dtype().itemsize

    def isSigned(self, call: Call) -> bool:
        return self._dtype().kind in "if"

    def isFloat(self, call: Call) -> bool:
        return self._dtype().kind == "f"

    def getRowSize(self, call: Call) -> int:
        return self._dtype().itemsize * self._shape.x

    def getPlaneSize(self, call: Call) -> int:
        self._chosen()
        return self._shape.plane_bytes

    def getStackSize(self, call: Call) -> int:
        return self.getPlaneSize(call) * self._shape.z

    def getTimepointSize(self, call: Call) -> int:
        return self.getStackSize(call) * self._shape.c

    def getTotalSize(self, call: Call) -> int:
        return self.getTimepointSize(call) * self._shape.t

    def requiresPixelsPyramid(self, call: Call) -> bool:
        limits = [int(self.server.config[f"omero.pixeldata.max_plane_{side}"]) for side in ("width", "height")]
        self._chosen()
        return self._shape.x * self._shape.y > limits[0] * limits[1]

    def getResolutionLevels(self, call: Call) -> int:
        self._chosen()
        return 1

    def getResolutionLevel(self, call: Call) -> int:
        self._chosen()
        return 0

    def getTileSize(self, call: Call) -> list[int]:
        self._chosen()
        return [min(256, self._shape.x), min(256, self._shape.y)]

    # Reading

    @unlocked
    def getPlane(self, call: Call, z: int, c: int, t: int) -> bytes:
        return self._sent("getPlane", self._plane(z, c, t))

    @unlocked
    def getTile(self, call: Call, z: int, c: int, t: int, x: int, y: int, w: int, h: int) -> bytes:
        plane = self._plane(z, c, t)
        self._within("x", x, w, self._shape.x)
        self._within("y", y, h, self._shape.y)
        return self._sent("getTile", plane[y : y + h, x : x + w])

    @unlocked
    def getRow(self, call: Call, y: int, z: int, c: int, t: int) -> bytes:
        self._within("y", y, 1, self._shape.y)
        return self._sent("getRow", self._plane(z, c, t)[y])

    @unlocked
    def getCol(self, call: Call, x: int, z: int, c: int, t: int) -> bytes:
        self._within("x", x, 1, self._shape.x)
        return self._sent("getCol", self._plane(z, c, t)[:, x])

    @unlocked
    def getStack(self, call: Call, c: int, t: int) -> bytes:
        return self._sent("getStack", np.stack([self._plane(z, c, t) for z in range(self._shape.z)]))

    @unlocked
    def getHypercube(self, call: Call, offset: list[int], size: list[int], step: list[int]) -> bytes:
        lengths = [self._shape.x, self._shape.y, self._shape.z, self._shape.c, self._shape.t]
        for axis, first, n, each, length in zip("xyzct", offset, size, step, lengths, strict=True):
            self._within(axis, first, n, length)
            if each < 1:
                raise BadUse(f"a step of {each} along {axis}")
        xs, ys, zs, cs, ts = (slice(first, first + n, each) for first, n, each in zip(offset, size, step, strict=True))
        cut = [
            self._plane(z, c, t)[ys, xs]
            for t in range(self._shape.t)[ts]
            for c in range(self._shape.c)[cs]
            for z in range(self._shape.z)[zs]
        ]
        return self._sent("getHypercube", np.stack(cut))

    @unlocked
    def findMinMax(self, call: Call, channels: list[int]) -> dict[int, list[float]]:
        """Of the plane in the middle; nothing of an image that is too large for one."""
        if self.requiresPixelsPyramid(call):
            return {}
        z, t = (self._shape.z - 1) // 2, (self._shape.t - 1) // 2
        planes = {c: self._plane(z, c, t) for c in channels}
        return {c: [float(plane.min()), float(plane.max())] for c, plane in planes.items()}

    # Writing

    @unlocked
    def setPlane(self, call: Call, sent: bytes, z: int, c: int, t: int) -> None:
        planes = self._writable(call, z, c, t)
        if self.requiresPixelsPyramid(call):
            raise omero.InternalException("", "", "Non-tile based writing unsupported.")
        if len(sent) != self._shape.plane_bytes:
            raise BadUse(f"Buffer size incorrect: {len(sent)} bytes for a plane of {self._shape.plane_bytes}")
        planes.write(bytes(sent), z, c, t)
        self.server.door.moved("RawPixelsStore.setPlane", len(sent))

    @unlocked
    def setTile(self, call: Call, sent: bytes, z: int, c: int, t: int, x: int, y: int, w: int, h: int) -> None:
        planes = self._writable(call, z, c, t)
        self._within("x", x, w, self._shape.x)
        self._within("y", y, h, self._shape.y)
        if len(sent) != w * h * self._dtype().itemsize:
            raise BadUse(f"Buffer size incorrect: {len(sent)} bytes for a tile of {w} x {h}")
        try:
            plane = planes.plane(z, c, t).copy()
        except NoPlane:
            plane = np.zeros((self._shape.y, self._shape.x), self._shape.dtype)
        plane[y : y + h, x : x + w] = np.frombuffer(bytes(sent), self._shape.dtype).reshape(h, w)
        planes.write(plane.tobytes(), z, c, t)
        self.server.door.moved("RawPixelsStore.setTile", len(sent))

    def calculateMessageDigest(self, call: Call) -> bytes:
        return bytes.fromhex(self._digest())

    def save(self, call: Call) -> Any:
        """Have the Pixels object say what was written; None where nothing was."""
        pixels = self._chosen()
        if not self._modified:
            return None
        with self.graph.changing():
            self.graph.put(pixels, "sha1", self._digest())
            self.graph.put(pixels, "version", (pixels["version"] or 0) + 1)
        self._modified = False
        return Wire(call).root(pixels)

    def close(self, call: Call) -> None:
        if self._pixels is not None and self._modified:
            self.save(call)
        super().close(call)

    # Checks

    def _chosen(self) -> Row:
        if self._pixels is None:
            raise BadUse("This RawPixelsStore has not been initialized: setPixelsId comes first")
        return self._pixels

    def _dtype(self) -> np.dtype[Any]:
        self._chosen()
        return np.dtype(self._shape.dtype)

    def _plane(self, z: int, c: int, t: int) -> NDArray[Any]:
        self._inside(z, c, t)
        try:
            return self._planes.plane(z, c, t)
        except NoPlane as missing:
            raise omero.ResourceError("", "ome.conditions.ResourceError", str(missing)) from None

    def _inside(self, z: int, c: int, t: int) -> None:
        self._chosen()
        for axis, at, length in (("Z", z, self._shape.z), ("C", c, self._shape.c), ("T", t, self._shape.t)):
            if not 0 <= at < length:
                raise BadUse(f"{axis} '{at}' greater than size{axis} '{length}' or below 0")

    def _within(self, axis: str, first: int, n: int, length: int) -> None:
        if first < 0 or n < 1 or first + n > length:
            raise BadUse(f"{axis} from {first} to {first + n} is not within {length}")

    def _writable(self, call: Call, z: int, c: int, t: int) -> RawPlanes:
        self._inside(z, c, t)
        with self.server.lock:
            call.may("edit", self._chosen())
        if not isinstance(self._planes, RawPlanes):
            raise BadUse("The pixels of an imported image cannot be written")
        self._modified = True
        return self._planes

    def _sent(self, operation: str, pixels: NDArray[Any]) -> bytes:
        data = pixels.astype(self._shape.dtype, copy=False).tobytes()  # stacking has made them the machine's own
        self.server.door.moved(f"RawPixelsStore.{operation}", len(data))
        self.server.door.shown(self.session.user["omeName"], self._chosen().id)
        return data

    def _digest(self) -> str:
        self._chosen()
        if isinstance(self._planes, RawPlanes):
            return self._planes.sha1()
        digest = hashlib.sha1(usedforsecurity=False)
        for t in range(self._shape.t):
            for c in range(self._shape.c):
                for z in range(self._shape.z):
                    digest.update(self._planes.plane(z, c, t).tobytes())
        return digest.hexdigest()
