"""IRoi: regions by image and by plane."""

from __future__ import annotations

from typing import Any

import omero.api

from omero_server.call import Call
from omero_server.containers import fetched
from omero_server.dispatch import Servant
from omero_server.refusals import NotKnown

ROIS = "select distinct r from Roi r left outer join fetch r.shapes s where {} order by r.id"


class Rois(Servant):
    """Regions with their shapes, on the planes that these name."""

    interface = omero.api.IRoi
    proxy = omero.api.IRoiPrx

    def findByRoi(self, call: Call, id: int, options: Any) -> Any:
        return self._found(call, "r.id = :id", options, id=id)

    def findByImage(self, call: Call, id: int, options: Any) -> Any:
        return self._found(call, "r.image.id = :id", options, id=id)

    def findByPlane(self, call: Call, id: int, z: int, t: int, options: Any) -> Any:
        on_plane = "(s.theZ is null or s.theZ = :z) and (s.theT is null or s.theT = :t)"
        return self._found(call, f"r.image.id = :id and {on_plane}", options, id=id, z=z, t=t)

    def _found(self, call: Call, where: str, options: Any, **parameters: int) -> Any:
        if options is not None and (options.shapes or options.limit or options.offset):
            raise NotKnown("RoiOptions")
        for end in ("userId", "groupId"):
            wanted = None if options is None else getattr(options, end)
            if wanted is not None:
                where += f" and r.details.{'owner' if end == 'userId' else 'group'}.id = :{end}"
                parameters[end] = wanted.val
        rois = fetched(call, ROIS.format(where), **parameters)
        by_z: dict[int, list[Any]] = {}
        by_t: dict[int, list[Any]] = {}
        for roi in rois:
            for shape in roi._shapesSeq:
                by_z.setdefault(-1 if shape._theZ is None else shape._theZ.val, []).append(shape)
                by_t.setdefault(-1 if shape._theT is None else shape._theT.val, []).append(shape)
        return omero.api.RoiResult(options, rois, by_z, by_t)
