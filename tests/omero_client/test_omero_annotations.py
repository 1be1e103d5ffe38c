"""Annotations of a plate and its wells: whoever attached them, and each of ours once per key."""

from collections.abc import Iterator
from typing import Any

import pytest
from omero_plates import logged_in
from omero_results import gateway, make_plate, pool_of

from hcs_mesh.plates.labels import COMMENT, KEY_VALUE, TAG
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.omero.annotations import OmeroAnnotations
from hcs_mesh.plates.omero.errors import OmeroError, OmeroNothingThere
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.saving import link, save
from hcs_mesh.plates.omero.targets import find_plate
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")


@pytest.fixture
def pool(omero: RunningServer) -> Iterator[ConnectionPool]:
    pool = pool_of(omero)
    yield pool
    pool.close()


@pytest.fixture
def annotations(pool: ConnectionPool) -> OmeroAnnotations:
    return OmeroAnnotations(pool)


@pytest.fixture
def plate_id(omero: RunningServer) -> int:
    return make_plate(omero)


def texts(annotations: OmeroAnnotations, plate_id: int) -> list[tuple[str, str, str, str]]:
    listed = annotations.annotations(plate_id)
    return sorted((one.namespace, one.name, one.value, one.well) for one in listed)


def test_text_is_attached_once_for_each_key(annotations: OmeroAnnotations, plate_id: int) -> None:
    told: dict[str, Any] = {"namespace": "hcs-mesh/import", "name": "source", "value": "/data/plate"}
    first = annotations.annotate(plate_id, key="imp/1/source", **told)
    again = annotations.annotate(plate_id, key="imp/1/source", **told)
    other = annotations.annotate(plate_id, key="imp/2/source", **told)
    assert (first.id, first.namespace, first.name, first.value) == (again.id, *told.values())
    assert other.id != first.id
    assert (first.plate_id, first.well, first.author) == (plate_id, "", "ada")
    assert first.created_at_s > 0
    assert [one.id for one in annotations.annotations(plate_id)] == [first.id, other.id]


def test_each_kind_of_text_is_what_other_programs_know_it_as(
    omero: RunningServer, annotations: OmeroAnnotations, plate_id: int
) -> None:
    annotations.annotate(plate_id, key="k1", namespace=TAG, name="", value="control")
    annotations.annotate(plate_id, key="k2", namespace=COMMENT, name="", value="looks good", well="A02")
    annotations.annotate(plate_id, key="k3", namespace=KEY_VALUE, name="dose", value="5 uM", well="A01")
    with gateway(omero) as connection:
        plate = connection.getObject("Plate", plate_id)
        assert [(one.OMERO_TYPE.__name__, one.getValue()) for one in plate.listAnnotations()] == [
            ("TagAnnotationI", "control")
        ]
        wells = {one.getWellPos(): one for one in plate.listChildren()}
        assert [one.getValue() for one in wells["A1"].listAnnotations()] == [[("dose", "5 uM")]]
        assert [one.getValue() for one in wells["A2"].listAnnotations()] == ["looks good"]
    assert texts(annotations, plate_id) == [
        (COMMENT, "", "looks good", "A02"), (KEY_VALUE, "dose", "5 uM", "A01"), (TAG, "", "control", ""),
    ]  # fmt: skip


def test_a_tag_is_made_once_and_used_for_many_plates(
    omero: RunningServer, annotations: OmeroAnnotations, plate_id: int
) -> None:
    other = make_plate(omero)
    one = annotations.annotate(plate_id, key="a", namespace=TAG, name="", value="shared tag")
    assert annotations.annotate(other, key="b", namespace=TAG, name="", value="shared tag").id == one.id
    assert annotations.annotate(plate_id, key="c", namespace=TAG, name="", value="shared tag").id == one.id
    assert len(annotations.annotations(plate_id)) == 1


def test_what_others_attached_is_listed_with_its_author(
    omero: RunningServer, annotations: OmeroAnnotations, plate_id: int
) -> None:
    with gateway(omero) as connection:
        from omero.gateway import CommentAnnotationWrapper, MapAnnotationWrapper, TagAnnotationWrapper

        plate = connection.getObject("Plate", plate_id)
        for kind, value in (
            (TagAnnotationWrapper, "theirs"),
            (CommentAnnotationWrapper, "a remark"),
            (MapAnnotationWrapper, [("cell line", "HeLa"), ("passage", "7")]),
        ):
            made = kind(connection)
            made.setValue(value)
            plate.linkAnnotation(made)
    assert texts(annotations, plate_id) == [
        (COMMENT, "", "a remark", ""), (KEY_VALUE, "cell line", "HeLa", ""), (KEY_VALUE, "passage", "7", ""),
        (TAG, "", "theirs", ""),
    ]  # fmt: skip
    assert {one.author for one in annotations.annotations(plate_id)} == {"ada"}


def test_a_value_that_is_too_long_for_a_pair_comes_back_whole(annotations: OmeroAnnotations, plate_id: int) -> None:
    value = "/".join(["a long folder's name"] * 30)
    assert annotations.annotate(plate_id, key="k", namespace=KEY_VALUE, name="source", value=value).value == value
    (listed,) = annotations.annotations(plate_id)
    assert listed.value == value


def test_an_answer_that_got_lost_makes_no_second_one(own_omero: RunningServer) -> None:
    plate_id = make_plate(own_omero)
    pool = pool_of(own_omero)
    annotations = OmeroAnnotations(pool)
    own_omero.control.tell("kill_at", operation="IUpdate.saveAndReturnIds", nth=1, after=True)
    with pytest.raises(OmeroError):
        annotations.annotate(plate_id, key="k", namespace=COMMENT, name="", value="once")
    own_omero.wait_until_dead()
    own_omero.start()
    again = pool_of(own_omero)
    OmeroAnnotations(again).annotate(plate_id, key="k", namespace=COMMENT, name="", value="once")
    assert texts(OmeroAnnotations(again), plate_id) == [(COMMENT, "", "once", "")]
    for one in (pool, again):
        one.close()


def test_what_another_has_attached_with_a_key_is_neither_taken_for_ours_nor_in_the_way(
    omero: RunningServer, annotations: OmeroAnnotations, plate_id: int
) -> None:
    omero.control.tell("set_permissions", group="lab", permissions="rwra--")
    told: dict[str, Any] = {"key": "k", "namespace": COMMENT, "name": ""}
    theirs = pool_of(omero, "grace")
    for _ in range(2):
        OmeroAnnotations(theirs).annotate(plate_id, value="forged", **told)
    assert annotations.annotate(plate_id, value="ours", **told).author == "ada"
    assert annotations.annotate(plate_id, value="ours", **told).author == "ada"
    assert texts(annotations, plate_id) == [(COMMENT, "", "forged", ""), (COMMENT, "", "ours", "")]
    theirs.close()
    omero.control.tell("set_permissions", group="lab", permissions="rw----")


def test_of_two_that_a_call_given_up_and_its_repeat_have_left_one_stays(
    omero: RunningServer, pool: ConnectionPool, annotations: OmeroAnnotations, plate_id: int
) -> None:
    told: dict[str, Any] = {"key": "k", "namespace": COMMENT, "name": "", "value": "once"}
    first = annotations.annotate(plate_id, **told)
    with pool.connection() as connection:
        model, wrap = connection.library.omero.model, connection.library.rtypes.rstring
        late = model.CommentAnnotationI()
        for name, value in (("Ns", COMMENT), ("Name", "k"), ("TextValue", "once")):
            getattr(late, f"set{name}")(wrap(value))
        plate, _ = find_plate(connection, plate_id)
        save(connection, [link(connection, plate, late)], group_id=plate.group_id)
    assert len(annotations.annotations(plate_id)) == 2
    assert annotations.annotate(plate_id, **told) == first
    assert annotations.annotations(plate_id) == (first,)


def test_a_plate_or_well_that_is_not_there_is_told(
    omero: RunningServer, annotations: OmeroAnnotations, plate_id: int
) -> None:
    with pytest.raises(PlateNotFound):
        annotations.annotations(999_999)
    with pytest.raises(OmeroNothingThere):
        annotations.annotate(plate_id, key="k", namespace=COMMENT, name="", value="v", well="P24")
    with logged_in(omero, "grace"):
        other = pool_of(omero, "grace")
        with pytest.raises(PlateNotFound):
            OmeroAnnotations(other).annotations(plate_id)
        other.close()
