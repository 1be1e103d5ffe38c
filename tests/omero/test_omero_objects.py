"""Objects saved and found again through the unmodified client, by those who may."""

from collections.abc import Callable
from pathlib import Path

import omero
import omero.model
import pytest
from omero.gateway import BlitzGateway, CommentAnnotationWrapper, MapAnnotationWrapper, TagAnnotationWrapper
from omero.model.enums import UnitsLength
from omero.rtypes import rdouble, rint, rstring, unwrap

Connect = Callable[..., BlitzGateway]


def saved(connection: BlitzGateway, sent: omero.model.IObject) -> omero.model.IObject:
    return connection.getUpdateService().saveAndReturnObject(sent, connection.SERVICE_OPTS)


def dataset(connection: BlitzGateway, name: str) -> omero.model.DatasetI:
    made = omero.model.DatasetI()
    made.setName(rstring(name))
    return saved(connection, made)


def test_a_project_with_its_dataset_comes_back_as_it_was_saved(connection: BlitzGateway) -> None:
    project, held = omero.model.ProjectI(), omero.model.DatasetI()
    project.setName(rstring("P"))
    held.setName(rstring("D"))
    project.linkDataset(held)
    id = saved(connection, project).id.val
    read = connection.getObject("Project", id)
    assert read.getName() == "P"
    assert [one.getName() for one in read.listChildren()] == ["D"]
    assert read.getDetails().getOwner().getName() == connection.getUser().getName()
    assert read.canDelete()
    connection.deleteObjects("Project", [id], deleteChildren=True, wait=True)


def test_a_screen_with_its_plate_and_wells_is_browsed_by_the_gateway(connection: BlitzGateway) -> None:
    screen, plate = omero.model.ScreenI(), omero.model.PlateI()
    screen.setName(rstring("S"))
    plate.setName(rstring("P"))
    screen.linkPlate(plate)
    for column in range(3):
        well = omero.model.WellI()
        well.setRow(rint(1))
        well.setColumn(rint(column))
        plate.addWell(well)
    id = saved(connection, screen).id.val
    [read] = connection.getObject("Screen", id).listChildren()
    assert read.getGridSize() == {"rows": 2, "columns": 3}
    assert sorted(one.getWellPos() for one in read.listChildren()) == ["B1", "B2", "B3"]
    connection.deleteObjects("Screen", [id], deleteChildren=True, wait=True)
    assert connection.getObject("Plate", read.getId()) is None


def test_units_bytes_and_named_values_survive_the_way_there_and_back(connection: BlitzGateway) -> None:
    roi, mask = omero.model.RoiI(), omero.model.MaskI()
    mask.setBytes(b"\x01\x80\x00")
    mask.setX(rdouble(1.5))
    mask.setStrokeWidth(omero.model.LengthI(2.0, UnitsLength.PIXEL))
    roi.addShape(mask)
    read = saved(connection, roi).getShape(0)
    assert bytes(read.bytes) == b"\x01\x80\x00"
    assert (read.strokeWidth.getValue(), read.strokeWidth.getUnit()) == (2.0, UnitsLength.PIXEL)
    keys = MapAnnotationWrapper(connection)
    keys.setValue([("a", "1"), ("b", "2")])
    keys.save()
    assert connection.getObject("MapAnnotation", keys.getId()).getValue() == [("a", "1"), ("b", "2")]


def test_annotations_of_several_kinds_are_listed_by_namespace(connection: BlitzGateway) -> None:
    held = connection.getObject("Dataset", dataset(connection, "annotated").id.val)
    for kind, value in ((TagAnnotationWrapper, "good"), (CommentAnnotationWrapper, "bad")):
        annotation = kind(connection)
        annotation.setValue(value)
        annotation.setNs(f"test.{value}")
        held.linkAnnotation(annotation)
    assert sorted(one.getValue() for one in held.listAnnotations()) == ["bad", "good"]
    assert [one.getValue() for one in held.listAnnotations(ns="test.good")] == ["good"]
    held.removeAnnotations("test.bad")
    assert [one.getValue() for one in held.listAnnotations()] == ["good"]


def test_a_field_that_must_be_there_is_asked_for(connection: BlitzGateway) -> None:
    with pytest.raises(omero.ValidationException, match=r"Dataset\.name"):
        saved(connection, omero.model.DatasetI())


def test_nothing_of_a_saving_that_fails_is_kept(connection: BlitzGateway) -> None:
    first, second = omero.model.ProjectI(), omero.model.ProjectI()
    first.setName(rstring("kept only together"))
    with pytest.raises(omero.ValidationException):
        connection.getUpdateService().saveArray([first, second], connection.SERVICE_OPTS)
    assert not list(connection.getObjects("Project", attributes={"name": "kept only together"}))


def test_whoever_saves_an_object_that_changed_meanwhile_is_told(connection: BlitzGateway) -> None:
    one = dataset(connection, "one")
    other = connection.getQueryService().get("Dataset", one.id.val, connection.SERVICE_OPTS)
    other.setName(rstring("other"))
    saved(connection, other)
    one.setName(rstring("mine"))
    with pytest.raises(omero.OptimisticLockException):
        saved(connection, one)


def test_an_object_that_is_not_there_is_none_or_an_error_as_the_call_has_it(connection: BlitzGateway) -> None:
    service = connection.getQueryService()
    assert service.find("Plate", 10**9) is None
    assert connection.getObject("Plate", 10**9) is None
    with pytest.raises(omero.ValidationException):
        service.get("Plate", 10**9)


def test_a_query_that_means_nothing_is_an_error_of_the_servers(connection: BlitzGateway) -> None:
    with pytest.raises(omero.QueryException, match="bogus"):
        connection.getQueryService().projection("select p.bogus from Plate p", None)


def test_columns_come_in_the_types_of_their_fields(connection: BlitzGateway) -> None:
    id = dataset(connection, "typed").id.val
    parameters = omero.sys.ParametersI().addId(id)
    query = """select d, d.id, d.name, count(l) from Dataset d left outer join d.projectLinks l
        where d.id = :id group by d, d.id, d.name"""
    [row] = connection.getQueryService().projection(query, parameters, connection.SERVICE_OPTS)
    kinds = [omero.RObject, omero.RLong, omero.RString, omero.RLong]
    assert [isinstance(one, kind) for one, kind in zip(row, kinds, strict=True)] == [True] * 4
    assert unwrap(row[1:]) == [id, "typed", 0]


@pytest.mark.parametrize(
    ("group", "sees", "annotates", "edits"),
    [("lab", False, False, False), ("readers", True, False, False), ("annotators", True, True, False),
     ("writers", True, True, True)],
)  # fmt: skip
def test_what_a_fellow_may_do_depends_on_the_group(
    connect: Connect, group: str, sees: bool, annotates: bool, edits: bool
) -> None:
    ada, ben = connect("ada", group), connect("ben", group)
    id = dataset(ada, f"of {group}").id.val
    found = ben.getObject("Dataset", id)
    assert (found is not None) is sees
    assert (ben.getQueryService().find("Dataset", id, ben.SERVICE_OPTS) is not None) is sees
    columns = ben.getQueryService().projection(f"select d.id from Dataset d where d.id = {id}", None, ben.SERVICE_OPTS)
    assert bool(columns) is sees
    if found is None:
        return
    assert (found.canAnnotate(), found.canEdit()) == (annotates, edits)
    link = omero.model.DatasetAnnotationLinkI()
    link.setParent(omero.model.DatasetI(id, False))
    link.setChild(omero.model.TagAnnotationI())
    renamed = ben.getQueryService().get("Dataset", id, ben.SERVICE_OPTS)
    renamed.setName(rstring("renamed"))
    for may, sent in ((annotates, link), (edits, renamed)):
        if may:
            saved(ben, sent)
        else:
            with pytest.raises(omero.SecurityViolation):
                saved(ben, sent)


def test_a_leader_sees_what_is_private_and_cannot_annotate_it(connect: Connect) -> None:
    ada, lea = connect("ada", "lab"), connect("lea", "lab")
    id = dataset(ada, "private").id.val
    found = lea.getObject("Dataset", id)
    assert (found.canEdit(), found.canAnnotate()) == (True, False)


def test_objects_of_two_groups_are_not_linked(connect: Connect) -> None:
    lab, writers = connect("ada", "lab"), connect("ada", "writers")
    link = omero.model.DatasetAnnotationLinkI()
    link.setParent(omero.model.DatasetI(dataset(lab, "here").id.val, False))
    link.setChild(omero.model.TagAnnotationI())
    link = saved(lab, link)
    elsewhere = saved(writers, omero.model.TagAnnotationI())
    link.setChild(omero.model.TagAnnotationI(elsewhere.id.val, False))
    lab.SERVICE_OPTS.setOmeroGroup("-1")
    with pytest.raises(omero.GroupSecurityViolation):
        saved(lab, link)


def test_nothing_new_is_made_in_all_groups_at_once(connect: Connect) -> None:
    connection = connect("ada")
    connection.SERVICE_OPTS.setOmeroGroup("-1")
    with pytest.raises(omero.SecurityViolation, match="group"):
        dataset(connection, "nowhere")


def test_all_groups_at_once_show_all_that_is_the_users(connect: Connect) -> None:
    lab, writers = connect("ada", "lab"), connect("ada", "writers")
    ids = {dataset(lab, "in the lab").id.val, dataset(writers, "among writers").id.val}
    lab.SERVICE_OPTS.setOmeroGroup("-1")
    assert ids <= {one.getId() for one in lab.getObjects("Dataset")}


def test_nobody_but_an_administrator_makes_people(connection: BlitzGateway) -> None:
    made = omero.model.ExperimenterI()
    for name in ("OmeName", "FirstName", "LastName"):
        getattr(made, f"set{name}")(rstring("mallory"))
    with pytest.raises(omero.SecurityViolation):
        saved(connection, made)


def test_file_annotations_are_listed_with_their_files(connection: BlitzGateway, tmp_path: Path) -> None:
    path = tmp_path / "listed.csv"
    path.write_text("x")
    connection.createFileAnnfromLocalFile(str(path), mimetype="text/csv", ns="test.listed")
    [found] = connection.listFileAnnotations(toInclude=["test.listed"])
    assert found.getFile().getName() == "listed.csv"
    everything = [one.getNs() for one in connection.listFileAnnotations(toExclude=["test.other"])]
    assert "test.listed" in everything
    assert "test.listed" not in [one.getNs() for one in connection.listFileAnnotations(toExclude=["test.listed"])]


def test_a_hierarchy_comes_with_its_leaves_when_they_are_asked_for(connection: BlitzGateway) -> None:
    project, held, image = omero.model.ProjectI(), omero.model.DatasetI(), omero.model.ImageI()
    for one in (project, held, image):
        one.setName(rstring("in a hierarchy"))
    held.linkImage(image)
    project.linkDataset(held)
    id = saved(connection, project).id.val
    service, options = connection.getContainerService(), omero.sys.ParametersI()
    [found] = service.loadContainerHierarchy("Project", [id], options, connection.SERVICE_OPTS)
    [below] = found.linkedDatasetList()
    assert (below.name.val, below.sizeOfImageLinks()) == ("in a hierarchy", -1)
    [found] = service.loadContainerHierarchy("Project", [id], options.leaves(), connection.SERVICE_OPTS)
    assert [one.name.val for one in found.linkedDatasetList()[0].linkedImageList()] == ["in a hierarchy"]


def test_the_disk_says_how_full_it_is(connection: BlitzGateway) -> None:
    info = connection.c.sf.getRepositoryInfoService()
    assert info.getFreeSpaceInKilobytes() > 0
    assert 0 < info.getUsageFraction() < 1
