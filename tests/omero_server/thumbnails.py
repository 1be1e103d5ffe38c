"""ThumbnailStore: small pictures of images, rendered when asked for."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import omero
import omero.api
from numpy.typing import NDArray
from PIL import Image

from omero_server.call import Call
from omero_server.dispatch import unlocked
from omero_server.graph import Row
from omero_server.plane_files import NoPlane, RawPlanes
from omero_server.raw_pixels import planes_of, shape_of
from omero_server.refusals import BadUse
from omero_server.service_factory import Stateful

LONGEST_SIDE = 96
DARK_PERCENT, BRIGHT_PERCENT = 1, 99.8


class Thumbnails(Stateful):
    """Every channel's first plane, blue, green and red, as JPEG."""

    interface = omero.api.ThumbnailStore
    proxy = omero.api.ThumbnailStorePrx

    _pixels: Row | None = None

    def setPixelsId(self, call: Call, id: int) -> bool:
        """Whether there are rendering settings: an import makes them, and whoever else makes an image does not."""
        self._pixels = call.get("Pixels", id)
        return self._has_settings()

    def resetDefaults(self, call: Call) -> None:
        """Have the settings that an import would make."""
        self.server.rendered.add(self._chosen().id)

    def isInProgress(self, call: Call) -> bool:
        return False

    @unlocked
    def getThumbnail(self, call: Call, width: Any, height: Any) -> bytes:
        return self._jpeg(self._rendered(), _said(width), _said(height))

    getThumbnailDirect = getThumbnail

    @unlocked
    def getThumbnailByLongestSide(self, call: Call, longest: Any) -> bytes:
        return self._by_longest_side(self._rendered(), _said(longest))

    getThumbnailByLongestSideDirect = getThumbnailByLongestSide

    def getThumbnailByLongestSideSet(self, call: Call, longest: Any, ids: list[int]) -> dict[int, bytes]:
        rows = [row for id in ids if (row := call.find("Pixels", id)) is not None]
        return {row.id: self._by_longest_side(row, _said(longest)) for row in rows}

    def getThumbnailSet(self, call: Call, width: Any, height: Any, ids: list[int]) -> dict[int, bytes]:
        rows = [row for id in ids if (row := call.find("Pixels", id)) is not None]
        return {row.id: self._jpeg(row, _said(width), _said(height)) for row in rows}

    def _by_longest_side(self, pixels: Row, longest: int) -> bytes:
        shape = shape_of(pixels)
        scale = longest / max(shape.x, shape.y)
        return self._jpeg(pixels, max(1, round(shape.x * scale)), max(1, round(shape.y * scale)))

    def _jpeg(self, pixels: Row, width: int, height: int) -> bytes:
        shape = shape_of(pixels)
        rgb = np.zeros((shape.y, shape.x, 3), "u1")
        planes = planes_of(self.server, pixels)
        try:
            for c in range(min(3, shape.c)):
                rgb[..., 2 - c] = _scaled(planes.plane(0, c, 0))
        except NoPlane as missing:
            raise omero.ResourceError("", "ome.conditions.ResourceError", str(missing)) from None
        finally:
            planes.close()
        written = io.BytesIO()
        Image.fromarray(rgb).resize((width, height)).save(written, "JPEG", quality=85)
        return written.getvalue()

    def _chosen(self) -> Row:
        if self._pixels is None:
            raise BadUse("This ThumbnailStore has no pixels: setPixelsId comes first")
        return self._pixels

    def _rendered(self) -> Row:
        if not self._has_settings():
            raise BadUse("The rendering definition is null: resetDefaults comes first")
        return self._chosen()

    def _has_settings(self) -> bool:
        pixels = self._chosen()
        return pixels.id in self.server.rendered or not isinstance(planes_of(self.server, pixels), RawPlanes)


def _said(size: Any) -> int:
    return LONGEST_SIDE if size is None else int(size.val)


def _scaled(plane: NDArray[Any]) -> NDArray[Any]:
    """A plane as eight bits, its dark and bright ends cut off."""
    low, high = np.percentile(plane, (DARK_PERCENT, BRIGHT_PERCENT))
    return np.clip((plane.astype("f4") - low) / max(high - low, 1) * 255, 0, 255).astype("u1")
