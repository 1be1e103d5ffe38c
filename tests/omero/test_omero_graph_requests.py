"""Parts of the graph deleted, moved to another group and given to another user."""

from collections.abc import Callable

import omero
import omero.cmd
import omero.model
import pytest
from omero.cmd import Chgrp2, Chown2, Delete2, DoAll, SkipHead
from omero.cmd.graphs import ChildOption
from omero.gateway import BlitzGateway
from omero.rtypes import rstring
from omero_filesets import planes

Connect = Callable[..., BlitzGateway]


def project(connection: BlitzGateway) -> tuple[int, int]:
    """A project with a dataset, both tagged with one tag of their own; the ids of the two."""
    made, held, tag = omero.model.ProjectI(), omero.model.DatasetI(), omero.model.TagAnnotationI()
    made.setName(rstring("P"))
    held.setName(rstring("D"))
    made.linkDataset(held)
    made.linkAnnotation(tag)
    held.linkAnnotation(tag)
    saved = connection.getUpdateService().saveAndReturnObject(made, connection.SERVICE_OPTS)
    return saved.id.val, saved.linkedDatasetList()[0].id.val


def answer(connection: BlitzGateway, request: omero.cmd.Request) -> omero.cmd.Response:
    """What came of a request."""
    handle = connection.c.sf.submit(request, connection.SERVICE_OPTS)
    callback = connection.c.waitOnCmd(handle, loops=120, failonerror=False)
    try:
        return callback.getResponse()
    finally:
        callback.close(True)


def names(response: omero.cmd.Response) -> set[str]:
    return {name.rsplit(".", 1)[-1] for name in response.deletedObjects}


def test_a_dry_run_tells_what_would_go_and_leaves_it(connection: BlitzGateway) -> None:
    id, _ = project(connection)
    response = answer(connection, Delete2(targetObjects={"Project": [id]}, dryRun=True))
    assert response.deletedObjects["ome.model.containers.Project"] == [id]
    assert {"Project", "Dataset", "ProjectDatasetLink", "TagAnnotation"} <= names(response)
    assert connection.getObject("Project", id) is not None


def test_children_and_annotations_stay_where_they_are_excluded(connection: BlitzGateway) -> None:
    id, dataset = project(connection)
    keep = ChildOption(excludeType=["Dataset", "TagAnnotation"])
    response = answer(connection, Delete2(targetObjects={"Project": [id]}, childOptions=[keep]))
    assert names(response) == {"Project", "ProjectDatasetLink", "ProjectAnnotationLink"}
    assert [one.OMERO_TYPE.__name__ for one in connection.getObject("Dataset", dataset).listAnnotations()] == [
        "TagAnnotationI"
    ]


def test_what_lies_below_goes_without_its_head(connection: BlitzGateway) -> None:
    id, dataset = project(connection)
    request = SkipHead(targetObjects={"Project": [id]}, startFrom=["Dataset"], request=Delete2())
    answer(connection, request)
    assert connection.getObject("Project", id) is not None
    assert connection.getObject("Dataset", dataset) is None


def test_several_requests_are_done_together_or_not_at_all(connection: BlitzGateway) -> None:
    id, _ = project(connection)
    both = DoAll([Delete2(targetObjects={"Project": [id]}), Delete2(targetObjects={"Project": [10**9]})])
    assert isinstance(answer(connection, both), omero.cmd.ERR)
    assert connection.getObject("Project", id) is not None
    assert isinstance(answer(connection, DoAll([both.requests[0]])), omero.cmd.DoAllRsp)
    assert connection.getObject("Project", id) is None


def test_what_belongs_to_somebody_else_is_not_deleted(connect: Connect) -> None:
    ada, ben = connect("ada", "readers"), connect("ben", "readers")
    id, _ = project(ada)
    response = answer(ben, Delete2(targetObjects={"Project": [id]}))
    assert isinstance(response, omero.cmd.ERR)
    assert "Cannot delete" in response.parameters["message"]


def test_a_request_that_was_not_learnt_fails_by_name(connection: BlitzGateway) -> None:
    response = answer(connection, omero.cmd.DiskUsage2(targetObjects={"Project": [1]}))
    assert "DiskUsage2" in response.parameters["message"]


def test_a_project_moves_with_all_that_is_in_it_and_its_pixels(connect: Connect) -> None:
    ada = connect("ada", "lab")
    id, dataset = project(ada)
    pixels = planes(1, 8, 9)
    image = ada.createImageFromNumpySeq(iter(pixels), "moves", dataset=ada.getObject("Dataset", dataset))
    group = ada.getAdminService().lookupGroup("writers").id.val
    assert isinstance(answer(ada, Chgrp2(targetObjects={"Project": [id]}, groupId=group)), omero.cmd.Chgrp2Response)
    assert ada.getObject("Project", id) is None
    ben = connect("ben", "writers")
    assert [one.getName() for one in ben.getObject("Project", id).listChildren()] == ["D"]
    read = ben.getObject("Image", image.getId()).getPrimaryPixels().getPlane(0, 0, 0)
    assert (read == pixels[0]).all()


def test_nobody_moves_to_a_group_that_is_not_theirs_or_what_is_not_theirs(connect: Connect) -> None:
    ada, ben = connect("ada", "writers"), connect("ben", "writers")
    id, _ = project(ada)
    admin = ada.getAdminService()
    for connection, group in ((ada, "elsewhere"), (ben, "readers")):
        request = Chgrp2(targetObjects={"Project": [id]}, groupId=admin.lookupGroup(group).id.val)
        assert isinstance(answer(connection, request), omero.cmd.ERR)


def test_a_leader_gives_what_is_in_the_group_to_another(connect: Connect) -> None:
    ada, lea, ben = connect("ada", "lab"), connect("lea", "lab"), connect("ben", "lab")
    id, _ = project(ada)
    request = Chown2(targetObjects={"Project": [id]}, userId=ben.getEventContext().userId)
    assert isinstance(answer(ada, request), omero.cmd.ERR)
    assert isinstance(answer(lea, request), omero.cmd.Chown2Response)
    assert ada.getObject("Project", id) is None
    assert ben.getObject("Project", id) is not None


@pytest.mark.parametrize("kind", ["Tag", "Comment", "Map", "File"])
def test_an_annotation_goes_with_the_last_object_that_it_describes(connection: BlitzGateway, kind: str) -> None:
    annotation = getattr(omero.model, f"{kind}AnnotationI")()
    first, second = omero.model.ProjectI(), omero.model.ProjectI()
    for one in (first, second):
        one.setName(rstring("described"))
        one.linkAnnotation(annotation)
    ids = connection.getUpdateService().saveAndReturnIds([first, second])
    held = connection.getObject("Project", ids[0]).listAnnotations()
    [annotation_id] = [one.getId() for one in held]
    answer(connection, Delete2(targetObjects={"Project": [ids[0]]}))
    assert connection.getObject("Annotation", annotation_id) is not None
    answer(connection, Delete2(targetObjects={"Project": [ids[1]]}))
    assert connection.getObject("Annotation", annotation_id) is None
