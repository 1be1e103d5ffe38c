"""Imports without Java: filesets uploaded, verified, made into plates and images."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import omero
import omero.cmd
import omero.model
import pytest
import tifffile
from omero.gateway import BlitzGateway
from omero.rtypes import rstring, unwrap
from omero_filesets import Upload, metaxpress_plate, ome_tiff_plate, planes
from omero_people import Login

from omero_server.managed_repository import expanded, relative_paths
from omero_server.refusals import BadData, NotKnown
from omero_server.running import RunningServer

Connect = Callable[..., BlitzGateway]


def images_of(plate: omero.gateway.PlateWrapper) -> list[omero.gateway.ImageWrapper]:
    wells = sorted(plate.listChildren(), key=lambda well: (well.row, well.column))
    return [sample.getImage() for well in wells for sample in well.listChildren()]


def test_an_ome_tiff_plate_of_several_files_becomes_a_plate_with_its_pixels(
    connection: BlitzGateway, tmp_path: Path
) -> None:
    pixels = planes(3, 2, 20, 30)
    response = Upload(connection, ome_tiff_plate(tmp_path / "in", pixels)).whole()
    assert [one.ice_id().rsplit("::", 1)[-1] for one in response.objects] == ["Plate", "Image", "Image", "Image"]
    plate = connection.getObject("Plate", response.objects[0].id.val)
    assert (plate.getName(), plate.getGridSize()) == ("made", {"rows": 1, "columns": 3})
    images = images_of(plate)
    for n, image in enumerate(images):
        read = list(image.getPrimaryPixels().getPlanes([(0, 0, 0), (0, 1, 0)]))
        assert (np.array(read) == pixels[n]).all()
    assert [channel.getLabel() for channel in images[0].getChannels(noRE=True)] == ["C0", "C1"]
    assert images[0].getPixelSizeX() == 0.5
    files = {one.getName(): one.getSize() for one in images[1].getFileset().listFiles()}
    assert files == {one.name: one.stat().st_size for one in (tmp_path / "in").iterdir()}


def test_a_metaxpress_plate_becomes_a_plate_with_its_sites(connection: BlitzGateway, tmp_path: Path) -> None:
    pixels = planes(2, 2, 10, 12)
    response = Upload(connection, metaxpress_plate(tmp_path / "in", pixels)).whole()
    plate = connection.getObject("Plate", response.objects[0].id.val)
    assert plate.getGridSize() == {"rows": 2, "columns": 2}
    for n, image in enumerate(images_of(plate)):
        read = list(image.getPrimaryPixels().getPlanes([(0, 0, 0), (0, 1, 0)]))
        assert (np.array(read) == pixels[n]).all()


def test_a_plain_tiff_goes_into_the_dataset_that_was_named(connection: BlitzGateway, tmp_path: Path) -> None:
    file = tmp_path / "plain.tif"
    tifffile.imwrite(file, planes(10, 12))
    target = omero.model.DatasetI()
    target.setName(rstring("target"))
    target = connection.getUpdateService().saveAndReturnObject(target)
    note = omero.model.CommentAnnotationI()
    note.setTextValue(rstring("imported"))
    response = Upload(
        connection, [file], userSpecifiedTarget=target.proxy(), userSpecifiedName=rstring("named"),
        userSpecifiedAnnotationList=[note],
    ).whole()  # fmt: skip
    [image] = connection.getObject("Dataset", target.id.val).listChildren()
    assert (image.getId(), image.getName()) == (response.objects[0].id.val, "named")
    assert [one.getValue() for one in image.listAnnotations()] == ["imported"]


def test_a_wrong_hash_a_wrong_count_and_an_open_upload_are_refused(connection: BlitzGateway, tmp_path: Path) -> None:
    upload = Upload(connection, ome_tiff_plate(tmp_path / "in", planes(2, 1, 10, 12)))
    upload.send(0)
    with pytest.raises(omero.ApiUsageException):
        upload.process.verifyUpload(["00"])
    store = upload.process.getUploader(1)
    store.write(b"part", 0, 4)
    right, wrong = upload.hashes()[0], "0" * 40
    with pytest.raises(omero.ChecksumValidationException) as refused:
        upload.process.verifyUpload([right, wrong])
    assert set(refused.value.failingChecksums) == {1}
    store.close()
    with pytest.raises(omero.ChecksumValidationException) as refused:
        upload.process.verifyUpload([wrong, wrong])
    assert refused.value.failingChecksums == {0: right, 1: hashlib.sha1(b"part").hexdigest()}
    upload.process.close()


def test_an_upload_goes_on_where_it_was_left(connection: BlitzGateway, login, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    upload = Upload(connection, ome_tiff_plate(tmp_path / "in", planes(1, 1, 10, 12)))
    data = upload.files[0].read_bytes()
    upload.process.getUploader(0).write(data[:100], 0, 100)
    name = upload.process.ice_getIdentity().name
    joined = BlitzGateway(host=login.host, port=login.port, secure=True)
    assert joined.connect(connection.getEventContext().sessionUuid)
    [found] = [one for one in joined.c.getManagedRepository().listImports() if one.ice_getIdentity().name == name]
    assert found.getUploadOffset(0) == 100
    store = found.getUploader(0)
    store.write(data[100:], 100, len(data) - 100)
    store.close()
    assert isinstance(upload.finish(), omero.grid.ImportResponse)
    joined.close(hard=False)


def test_of_an_upload_whose_client_has_gone_only_what_is_open_goes_on(login: Login, tmp_path: Path) -> None:
    # A server registers each new store at the client that began the upload. Where that has gone it has nowhere to
    # register it, and answers with no proxy.
    first, second = login.connect(), login.client()
    upload = Upload(first, metaxpress_plate(tmp_path / "in", planes(1, 2, 10, 12)))
    upload.process.getUploader(0).write(b"part", 0, 4)
    second.joinSession(first.getEventContext().sessionUuid)
    name = first.c.getCommunicator().proxyToString(upload.process)
    found = omero.grid.ImportProcessPrx.uncheckedCast(second.getCommunicator().stringToProxy(name))
    first.close(hard=False)
    assert found.getUploadOffset(0) == 4
    assert found.getUploader(0).size() == 4
    assert found.getUploader(1) is None


def test_a_store_that_is_opened_to_be_read_takes_nothing(connection: BlitzGateway, tmp_path: Path) -> None:
    upload = Upload(connection, ome_tiff_plate(tmp_path / "in", planes(1, 1, 10, 12)))
    upload.send(0)
    store = upload.process.getUploader(0, {"omero.fs.mode": "r"})
    assert store.size() == upload.files[0].stat().st_size
    with pytest.raises(omero.InternalException):
        store.write(b"more", 0, 4)
    store.close()
    assert isinstance(upload.finish(), omero.grid.ImportResponse)


def test_an_empty_file_is_uploaded_by_opening_and_closing(connection: BlitzGateway, tmp_path: Path) -> None:
    files = metaxpress_plate(tmp_path / "in", planes(1, 2, 10, 12))
    (tmp_path / "in" / "notes.txt").touch()
    upload = Upload(connection, [*files, tmp_path / "in" / "notes.txt"])
    for n in range(len(files)):
        upload.send(n)
    upload.process.getUploader(len(files)).close()
    assert isinstance(upload.finish(), omero.grid.ImportResponse)


def test_files_that_nobody_can_read_fail_with_a_reason(connection: BlitzGateway, tmp_path: Path) -> None:
    file = tmp_path / "notes.lif"
    file.write_bytes(b"no pixels")
    response = Upload(connection, [file]).whole()
    assert isinstance(response, omero.cmd.ERR)
    assert "notes.lif" in response.parameters["message"]


def test_a_call_to_the_repository_with_a_context_of_its_own_is_nobodys_unless_it_says_whose(
    connection: BlitzGateway,
) -> None:
    # What a client sends by itself, it does not send with a context that it is handed; the repository has nothing else.
    repository = connection.c.getManagedRepository()
    with pytest.raises(omero.ServerError):
        repository.listImports({"omero.group": "-1"})
    repository.listImports(connection.c.getContext(-1))


def test_an_import_wants_paths_a_checksum_algorithm_and_one_upload_job(connection: BlitzGateway) -> None:
    repository = connection.c.getManagedRepository()
    settings = omero.grid.ImportSettings(checksumAlgorithm=repository.listChecksumAlgorithms()[0])
    with pytest.raises(omero.ApiUsageException, match="paths"):
        repository.importFileset(omero.model.FilesetI(), settings)
    fileset, entry = omero.model.FilesetI(), omero.model.FilesetEntryI()
    entry.setClientPath(rstring("a.tif"))
    fileset.addFilesetEntry(entry)
    with pytest.raises(omero.ApiUsageException, match="checksum"):
        repository.importFileset(fileset, omero.grid.ImportSettings())
    with pytest.raises(omero.ValidationException, match="job"):
        repository.importFileset(fileset, settings)
    fileset.linkJob(omero.model.IndexingJobI())
    with pytest.raises(omero.ValidationException, match="UploadJob"):
        repository.importFileset(fileset, settings)


def test_an_import_leaves_its_jobs_and_its_log_with_the_fileset(connection: BlitzGateway, tmp_path: Path) -> None:
    response = Upload(connection, ome_tiff_plate(tmp_path / "in", planes(1, 1, 10, 12))).whole()
    query = """select job.class, job.status.value, log.mimetype from Image i join i.fileset f join f.jobLinks l
        join l.child job left outer join job.originalFileLinks ol left outer join ol.child log
        where i.id = :id order by index(l)"""
    parameters = omero.sys.ParametersI().addId(response.objects[1].id.val)
    rows = unwrap(connection.getQueryService().projection(query, parameters))
    assert rows == [
        ["UploadJob", "Finished", "application/omero-log-file"],
        ["MetadataImportJob", "Finished", None],
        ["PixelDataJob", "Finished", None],
        ["IndexingJob", "Finished", None],
    ]


def test_an_import_is_made_in_the_group_of_the_call_that_began_it(
    stand_in: RunningServer, connect: Connect, tmp_path: Path
) -> None:
    connection = connect("ada")
    group = next(one for one in connection.getGroupsMemberOf() if one.getName() == "readers")
    upload = Upload(connection, ome_tiff_plate(tmp_path / "in", planes(1, 1, 10, 12)), group_id=group.getId())
    upload.send(0)
    plate = upload.finish().objects[0]
    found = connection.getQueryService().get("Plate", plate.id.val, {"omero.group": "-1"})
    assert found.details.group.id.val == group.getId()


def test_of_a_fileset_that_was_removed_no_images_are_made(connection: BlitzGateway, tmp_path: Path) -> None:
    upload = Upload(connection, ome_tiff_plate(tmp_path / "in", planes(1, 1, 10, 12)))
    upload.send(0)
    file = upload.process.getUploader(0).getFileId().val
    query = f"select fse.fileset.id from FilesetEntry fse where fse.originalFile.id = {file}"
    [[fileset]] = unwrap(connection.getQueryService().projection(query, None))
    connection.deleteObjects("Fileset", [fileset], wait=True)
    with pytest.raises(omero.ChecksumValidationException) as refused:
        upload.process.verifyUpload(upload.hashes())
    assert refused.value.failingChecksums == {0: ""}


def test_an_upload_that_is_verified_twice_is_imported_twice(connection: BlitzGateway, tmp_path: Path) -> None:
    upload = Upload(connection, ome_tiff_plate(tmp_path / "in", planes(1, 1, 10, 12)))
    upload.send(0)
    first, second = upload.finish(), upload.finish()
    assert first.objects[0].id.val != second.objects[0].id.val


@pytest.mark.parametrize(
    ("client_paths", "expected"),
    [
        (["/a/b/c/d/e/x.tif"], ["c/d/e/x.tif"]),
        (["a.tif"], ["a.tif"]),
        (["/p/a.tif"], ["p/a.tif"]),
        (["/a/b/c/d/p.HTD", "/a/b/c/d/T1/x.tif"], ["b/c/d/p.HTD", "b/c/d/T1/x.tif"]),
        (["/a/b/c/d/e/T1/x", "/a/b/c/d/e/T2/y"], ["d/e/T1/x", "d/e/T2/y"]),
        (["/a/b/c/d/1/2/3/4/x", "/a/b/c/d/5/6/7/8/y"], ["1/2/3/4/x", "5/6/7/8/y"]),
    ],
)
def test_how_much_of_a_clients_path_comes_along(client_paths: list[str], expected: list[str]) -> None:
    assert relative_paths(client_paths) == expected


def test_a_template_is_filled_in_and_a_term_that_means_nothing_is_refused() -> None:
    said = {"user": "ada", "userid": "2", "time": "06-30-00.123"}
    assert expanded("%user%_%userId%//x/%time%", said) == "ada_2/x/06-30-00.123"
    with pytest.raises(NotKnown, match="moon"):
        expanded("%user%/%moon%", said)


@pytest.mark.parametrize("client_paths", [["/a/../etc/passwd"], ["a:b.tif"], ["a.tif", "a.tif"], ["a\x00.tif"]])
def test_paths_that_no_repository_takes_are_refused(client_paths: list[str]) -> None:
    with pytest.raises(BadData):
        relative_paths(client_paths)


def test_the_servers_favourite_algorithm_among_the_offered_is_suggested(connection: BlitzGateway) -> None:
    repository = connection.c.getManagedRepository()
    algorithms = {one.value.val: one for one in repository.listChecksumAlgorithms()}
    offered = [algorithms[name] for name in ("File-Size-64", "MD5-128", "CRC-32")]
    assert repository.suggestChecksumAlgorithm(offered).value.val == "MD5-128"
    assert repository.suggestChecksumAlgorithm([]) is None


def test_a_link_in_the_repository_is_an_import_in_place(
    stand_in: RunningServer, connect: Connect, tmp_path: Path
) -> None:
    connection = connect("ada")
    pixels = planes(1, 1, 10, 12)
    upload = Upload(connection, ome_tiff_plate(tmp_path / "in", pixels))
    store = upload.process.getUploader(0)
    store.write(b"is this the server's disk?", 0, 26)
    file = connection.getQueryService().get("OriginalFile", store.getFileId().val)
    place = stand_in.managed / file.path.val / file.name.val
    assert place.read_bytes() == b"is this the server's disk?"
    place.unlink()
    place.symlink_to(upload.files[0])
    store.close()
    response = upload.finish()
    image = connection.getObject("Image", response.objects[1].id.val)
    assert (image.getPrimaryPixels().getPlane(0, 0, 0) == pixels[0, 0]).all()


def test_a_plate_is_deleted_with_its_files_but_no_image_out_of_its_midst(
    stand_in: RunningServer, connect: Connect, tmp_path: Path
) -> None:
    connection = connect("ada")
    response = Upload(connection, ome_tiff_plate(tmp_path / "in", planes(2, 1, 10, 12))).whole()
    plate, image, _ = (one.id.val for one in response.objects)
    files = [stand_in.managed / one.getPath() / one.getName()
             for one in connection.getObject("Image", image).getFileset().listFiles()]  # fmt: skip
    assert all(one.exists() for one in files)
    with pytest.raises(Exception, match="stay behind"):
        connection.deleteObjects("Image", [image], wait=True)
    connection.deleteObjects("Plate", [plate], deleteChildren=True, wait=True)
    assert connection.getObject("Image", image) is None
    assert not any(one.exists() for one in files)
