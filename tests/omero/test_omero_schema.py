"""The model and the operations as they are read off omero-py."""

import Glacier2
import omero
import omero.api
import omero.gateway
import omero.grid
import pytest
from omero.gateway import BlitzGateway

from omero_server.schema import UnknownName, schema
from omero_server.slices import operations


@pytest.mark.parametrize(
    ("of", "name", "kind", "type_", "nullable"),
    [
        ("Plate", "name", "value", "RString", False),
        ("Well", "plate", "reference", "Plate", False),
        ("Well", "wellSamples", "collection", "WellSample", True),
        ("Image", "acquisitionDate", "value", "RTime", True),
        ("TagAnnotation", "ns", "value", "RString", True),
        ("MapAnnotation", "mapValue", "plain", "NamedValueList", True),
        ("Pixels", "physicalSizeX", "plain", "Length", True),
        ("Mask", "bytes", "plain", "ByteSeq", True),
    ],
)
def test_a_field_has_its_kind_its_type_and_whether_it_may_be_null(
    of: str, name: str, kind: str, type_: str, nullable: bool
) -> None:
    field = schema().fields(of)[name]
    assert (field.kind, field.type) == (kind, type_)
    assert kind == "collection" or field.nullable is nullable


@pytest.mark.parametrize(
    ("of", "collection", "inverse", "ordered"),
    [
        ("Well", "wellSamples", "well", True),
        ("Plate", "wells", "plate", False),
        ("Pixels", "channels", "pixels", True),
        ("Roi", "shapes", "roi", True),
        ("Screen", "plateLinks", "parent", False),
        ("Plate", "screenLinks", "child", False),
        ("Annotation", "annotationLinks", "parent", False),
        ("Fileset", "usedFiles", "fileset", True),
    ],
)
def test_a_collection_knows_what_points_back_and_whether_it_has_an_order(
    of: str, collection: str, inverse: str, ordered: bool
) -> None:
    field = schema().fields(of)[collection]
    assert (field.inverse, field.ordered) == (inverse, ordered)


def test_classes_are_known_by_all_the_names_that_clients_use() -> None:
    for name in ("Image", "ImageI", "ome.model.core.Image", "::omero::model::Image", "omero.model.ImageI"):
        assert schema().of(name).full_name == "ome.model.core.Image"
    with pytest.raises(UnknownName):
        schema().of("Imagine")


def test_families_share_ids_and_what_is_asked_of_a_base_may_be_a_field_of_one_beneath() -> None:
    assert schema().lineage("TagAnnotation")[-2:] == ["Annotation", "IObject"]
    assert schema().table("TagAnnotation") == schema().table("FileAnnotation") == "Annotation"
    assert schema().field("Annotation", "textValue") is not None
    assert schema().field("Annotation", "bogus") is None


def test_operations_say_how_their_skeletons_want_to_be_called() -> None:
    by_name = {one.name: one for one in operations(omero.api.RawFileStore)}
    assert by_name["write"].is_asynchronous
    assert by_name["write"].is_void
    assert not by_name["read"].is_void
    assert {"close", "getCurrentEventContext"} <= set(by_name)
    repository = {one.name: one for one in operations(omero.grid.ManagedRepository)}
    assert not repository["importFileset"].is_asynchronous
    assert {"getClientProxy", "createSession"} <= {one.name for one in operations(Glacier2.Router)}


def test_an_operation_that_was_not_learnt_is_refused_by_name(connection: BlitzGateway) -> None:
    with pytest.raises(omero.ApiUsageException, match=r"IAdmin\.synchronizeLoginCache is not implemented"):
        connection.getAdminService().synchronizeLoginCache()
