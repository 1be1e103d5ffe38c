"""IContainer and IPixels: images with their pixels, and new images without any yet."""

from __future__ import annotations

from typing import Any

import omero.api
from omero.rtypes import rlong

from omero_server.call import Call
from omero_server.dispatch import Servant
from omero_server.hql_evaluation import Evaluation
from omero_server.refusals import BadUse, NotKnown
from omero_server.wire import Loaded, Wire

IMAGES = """select i from Image i left outer join fetch i.pixels p left outer join fetch p.pixelsType
    left outer join fetch p.dimensionOrder left outer join fetch i.datasetLinks l left outer join fetch l.parent
    where i.id in (:ids)"""
PIXELS = """select p from Pixels p join fetch p.pixelsType join fetch p.dimensionOrder join fetch p.image
    left outer join fetch p.channels c left outer join fetch c.logicalChannel left outer join fetch c.statsInfo
    where p.id = :id"""


HIERARCHIES = {
    "Project": "left outer join fetch o.datasetLinks l left outer join fetch l.child d",
    "Dataset": "",
    "Screen": "left outer join fetch o.plateLinks l left outer join fetch l.child",
    "Plate": "",
}
LEAVES = {
    "Project": "left outer join fetch d.imageLinks il left outer join fetch il.child",
    "Dataset": "left outer join fetch o.imageLinks il left outer join fetch il.child",
}
"""What comes along with containers, and with option ``leaves`` besides."""


def fetched(call: Call, query: str, **parameters: Any) -> list[Any]:
    """The objects of a query of our own, loaded as it says."""
    evaluation = Evaluation(call.graph, query, parameters, call.may_read)
    rows, came_from = evaluation.objects()
    return Wire(call, Loaded(*evaluation.fetched(came_from))).roots(list(dict.fromkeys(rows)))


class Containers(Servant):
    """What the gateway asks of IContainer."""

    interface = omero.api.IContainer
    proxy = omero.api.IContainerPrx

    def getImages(self, call: Call, of: str, ids: list[int], options: Any) -> list[Any]:
        if self.graph.schema.of(of).name != "Image":
            raise NotKnown(f"IContainer.getImages of a {of}")
        return fetched(call, IMAGES, ids=list(ids)) if ids else []

    def loadContainerHierarchy(self, call: Call, of: str, ids: list[int], options: Any) -> list[Any]:
        """Containers with what is in them; without ids all of the caller's."""
        kind = self.graph.schema.of(of).name
        if kind not in HIERARCHIES:
            raise NotKnown(f"IContainer.loadContainerHierarchy of a {of}")
        chosen = None if options is None else options.theOptions
        joins = HIERARCHIES[kind]
        if chosen is not None and chosen.leaves is not None and chosen.leaves.val:
            joins += " " + LEAVES.get(kind, "")
        where = "o.id in (:ids)" if ids else "o.details.owner.id = :owner"
        return fetched(call, f"select o from {kind} o {joins} where {where}", ids=list(ids or []), owner=call.user.id)


class PixelsService(Servant):
    """Descriptions of pixels, and images made to be filled by RawPixelsStore."""

    interface = omero.api.IPixels
    proxy = omero.api.IPixelsPrx

    def retrievePixDescription(self, call: Call, id: int) -> Any:
        return next(iter(fetched(call, PIXELS, id=id)), None)

    def createImage(
        self, call: Call, x: int, y: int, z: int, t: int, channels: list[int], type_: Any, name: str, said: str | None
    ) -> Any:
        if min(x, y, z, t, len(channels)) < 1:
            raise BadUse(f"an image of {x} x {y} x {z} x {t} with {len(channels)} channels holds nothing")
        with self.graph.changing():
            image = call.make("Image", name=name, description=said, acquisitionDate=self.server.now_ms(), version=0)
            pixels = call.make(
                "Pixels",
                image=image,
                sizeX=x,
                sizeY=y,
                sizeZ=z,
                sizeC=len(channels),
                sizeT=t,
                sha1="Pending...",
                pixelsType=self.graph.get("PixelsType", type_._id.val),
                dimensionOrder=self.server.enumeration("DimensionOrder", "XYZCT"),
                version=0,
            )
            for wave in channels:
                known_as = call.make("LogicalChannel", version=0)
                self.graph.put(known_as, "emissionWave", {"value": float(wave), "unit": "NANOMETER"} if wave else None)
                call.make("Channel", pixels=pixels, logicalChannel=known_as, version=0)
        return rlong(image.id)

    def setChannelGlobalMinMax(self, call: Call, pixels: int, c: int, low: float, high: float) -> None:
        row = call.get("Pixels", pixels)
        call.may("edit", row)
        channels = self.graph.collection(row, "channels")
        if not 0 <= c < len(channels):
            raise BadUse(f"{row} has no channel {c}")
        with self.graph.changing():
            self.graph.put(channels[c], "statsInfo", call.make("StatsInfo", globalMin=low, globalMax=high, version=0))

    def getAllEnumerations(self, call: Call, of: str) -> list[Any]:
        return Wire(call).roots(list(self.graph.all(self.graph.schema.of(of).name)))

    def getEnumeration(self, call: Call, of: str, value: str) -> Any:
        return Wire(call).root(self.server.enumeration(self.graph.schema.of(of).name, value))
