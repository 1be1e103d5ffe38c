"""Regions on planes, and small pictures, through the unmodified client."""

import io

import numpy as np
import omero
import omero.model
import pytest
from omero.gateway import BlitzGateway
from omero.rtypes import rdouble, rint, rstring
from omero_filesets import planes
from PIL import Image


def image(connection: BlitzGateway) -> omero.gateway.ImageWrapper:
    pixels = planes(3, 32, 64)
    return connection.createImageFromNumpySeq(iter(pixels), "with regions", sizeZ=1, sizeC=3, sizeT=1)


def test_a_mask_and_a_polygon_are_found_on_their_planes(connection: BlitzGateway) -> None:
    held = image(connection)
    bits = np.packbits(np.eye(8, dtype=bool)).tobytes()
    mask, polygon, roi = omero.model.MaskI(), omero.model.PolygonI(), omero.model.RoiI()
    for name, value in (("X", 1.0), ("Y", 2.0), ("Width", 8.0), ("Height", 8.0)):
        getattr(mask, f"set{name}")(rdouble(value))
    mask.setBytes(bits)
    for shape, z in ((mask, 0), (polygon, 3)):
        shape.setTheZ(rint(z))
        shape.setTheT(rint(0))
        roi.addShape(shape)
    polygon.setPoints(rstring("1,1 5,1 5,5"))
    roi.setImage(omero.model.ImageI(held.getId(), False))
    connection.getUpdateService().saveObject(roi)
    service = connection.getRoiService()
    [found] = service.findByImage(held.getId(), None).rois
    assert [type(one).__name__ for one in found.copyShapes()] == ["MaskI", "PolygonI"]
    assert bytes(found.getShape(0).bytes) == bits
    [on_plane] = service.findByPlane(held.getId(), 3, 0, None).rois
    assert on_plane.id.val == found.id.val
    assert service.findByPlane(held.getId(), 1, 0, None).rois == []


def test_a_thumbnail_has_the_shape_of_the_image(connection: BlitzGateway) -> None:
    held = image(connection)
    with Image.open(io.BytesIO(held.getThumbnail(32))) as picture:
        assert picture.size == (32, 16)
    [picture_bytes] = connection.getThumbnailSet([held.getId()], max_size=16).values()
    with Image.open(io.BytesIO(picture_bytes)) as picture:
        assert picture.size == (16, 8)


def test_a_new_image_has_no_picture_before_it_has_rendering_settings(connection: BlitzGateway) -> None:
    held = image(connection)
    store = connection.c.sf.createThumbnailStore()
    assert not store.setPixelsId(held.getPixelsId())
    with pytest.raises(omero.ApiUsageException):
        store.getThumbnailByLongestSide(rint(96))
    store.resetDefaults()
    assert store.setPixelsId(held.getPixelsId())
    with Image.open(io.BytesIO(store.getThumbnailByLongestSide(rint(96)))) as picture:
        assert picture.size == (96, 48)
    store.close()
