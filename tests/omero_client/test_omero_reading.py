"""Planes of plates in OMERO by their address, as viewers and executors ask for them: in a person's name, or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from omero_lab import address_of, login
from omero_plates import import_files, logged_in, some_planes, write_ome_plate

from hcs_mesh.plates import Plate
from hcs_mesh.plates.errors import PlaceRefused, ReaderUnavailable, UnreadableImage
from hcs_mesh.plates.omero import pixels as pixels_of_omero
from hcs_mesh.plates.omero import planes as planes_of_omero
from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroAwaitsLogin, OmeroUnreachable
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.planes import OmeroPlanes, planes_of_this_process
from hcs_mesh.plates.omero.source import OmeroSource
from hcs_mesh.plates.plane_readers import read_any_plane
from hcs_mesh.plates.plate_source import PlaneReader
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]

PLANES = some_planes(2, 2, 3, 40, 48)


def log_in(server: RunningServer, identities: Identities, user: str) -> None:
    own = Connection(address_of(server), login(user))
    identities.logged_in(Person(user=user), own.key)
    own.close()


@contextmanager
def people_of(server: RunningServer, *users: str) -> Iterator[Identities]:
    identities = Identities(address_of(server))
    for user in users:
        log_in(server, identities, user)
    yield identities
    identities.close()


@pytest.fixture
def people(omero: RunningServer) -> Iterator[Identities]:
    omero.control.tell("set_permissions", group="lab", permissions="rw----")
    with people_of(omero, "ada", "grace") as identities:
        yield identities


def imported(server: RunningServer, folder: Path) -> int:
    path = write_ome_plate(folder / "plate.ome.tiff", PLANES)
    with logged_in(server, "ada") as client:
        return next(number for kind, number in import_files(client, [path], folder) if kind == "Plate")


@pytest.fixture
def plate(omero: RunningServer, people: Identities, tmp_path: Path) -> Plate:
    return OmeroSource(people).plate(imported(omero, tmp_path), "ada")


def must_be_as_imported(read: PlaneReader, plate: Plate, requester: str = "ada") -> None:
    for image in plate.images():
        plane = read(plate.root, image.file, image.page, requester=requester)
        np.testing.assert_array_equal(plane, PLANES[int(image.well[1:]) - 1, image.field - 1, image.c])


def test_the_address_of_a_plate_says_who_reads_it(omero: RunningServer, people: Identities, plate: Plate) -> None:
    assert plate.root == f"omero://{omero.host}:{omero.port}"
    with planes_of_this_process().at(address_of(omero), people):
        must_be_as_imported(read_any_plane, plate)
    with pytest.raises(ReaderUnavailable, match="this process reads no planes at omero://"):
        read_any_plane(plate.root, plate.image(0).file, requester="ada")


def test_files_and_the_api_give_the_same_planes(omero: RunningServer, people: Identities, plate: Plate) -> None:
    by_api, by_files = OmeroPlanes(), OmeroPlanes()
    with by_api.at(address_of(omero), people), by_files.at(address_of(omero), people, managed=omero.managed):
        must_be_as_imported(by_api, plate)
        must_be_as_imported(by_files, plate)
        counted = [planes.statistics()[plate.root]["ada"] for planes in (by_api, by_files)]
    assert [(one.n_local, one.not_local) for one in counted] == [(0, ()), (12, ())]
    assert counted[1].local_bytes == PLANES.nbytes


def test_what_the_status_tells_of_planes_names_no_file(
    omero: RunningServer, people: Identities, plate: Plate, tmp_path: Path
) -> None:
    planes, image = OmeroPlanes(), plate.image(0)
    with planes.at(address_of(omero), people, managed=tmp_path / "not mounted"):
        planes(plate.root, image.file, image.page, requester="ada")
        told = planes.counts()
        (why,) = planes.statistics()[plate.root]["ada"].not_local
    assert (told["omero_planes_from_server"], told["omero_filesets_not_local"]) == (1, 1)
    assert "plate.ome.tiff" in why[1]
    assert told["omero_not_local"] == f"fileset {why[0]}: a file is missing here or cannot be read"


def test_planes_of_people_whose_files_were_closed_still_count(
    omero: RunningServer, people: Identities, plate: Plate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planes_of_omero, "MOST_PEOPLE", 1)
    planes, image = OmeroPlanes(), plate.image(0)
    with planes.at(address_of(omero), people, managed=omero.managed):
        planes(plate.root, image.file, image.page, requester="ada")
        with pytest.raises(PlaceRefused):
            planes(plate.root, image.file, image.page, requester="grace")
        assert planes.counts()["omero_planes_from_files"] == 1


def test_nothing_is_asked_of_a_plane_but_its_pixels(omero: RunningServer, people: Identities, plate: Plate) -> None:
    planes = OmeroPlanes()
    with planes.at(address_of(omero), people):
        planes(plate.root, plate.image(0).file, requester="ada")
        omero.control.tell("forget_counts")
        must_be_as_imported(planes, plate)
    counts = omero.control.counts()
    assert counts["RawPixelsStore.getPlane"] == 12
    assert not {name for name in counts if name.startswith("IQuery.")}


def test_who_may_not_see_a_plate_is_shown_none_of_it_from_its_files_either(
    omero: RunningServer, people: Identities, plate: Plate
) -> None:
    planes, image = OmeroPlanes(), plate.image(0)
    with planes.at(address_of(omero), people, managed=omero.managed):
        must_be_as_imported(planes, plate)
        with pytest.raises(PlaceRefused, match=r"grace is not shown pixels \d+ at OMERO"):
            planes(plate.root, image.file, image.page, requester="grace")
        with pytest.raises(PlaceRefused, match="nobody's name"):
            planes(plate.root, image.file, image.page)
        with pytest.raises(OmeroAwaitsLogin, match="nobody may act for eve"):
            planes(plate.root, image.file, image.page, requester="eve")


def test_who_may_not_see_a_plate_any_more_is_shown_no_more_of_its_files(
    omero: RunningServer, people: Identities, plate: Plate, monkeypatch: pytest.MonkeyPatch
) -> None:
    omero.control.tell("set_permissions", group="lab", permissions="rwr---")
    planes, image = OmeroPlanes(), plate.image(0)
    with planes.at(address_of(omero), people, managed=omero.managed):
        must_be_as_imported(planes, plate, "grace")
        assert planes.statistics()[plate.root]["grace"].n_local == 12
        omero.control.tell("set_permissions", group="lab", permissions="rw----")
        monkeypatch.setattr(pixels_of_omero, "SEEN_S", 0.0)
        with pytest.raises(PlaceRefused, match="grace is not shown"):
            planes(plate.root, image.file, image.page, requester="grace")
        must_be_as_imported(planes, plate, "ada")


def test_a_plane_that_there_is_not_is_told_as_one(omero: RunningServer, people: Identities, plate: Plate) -> None:
    planes, image = OmeroPlanes(), plate.image(0)
    with planes.at(address_of(omero), people):
        for file, page in ((image.file, 3), (image.file, -1), ("pixels/7", 0), ("../etc/passwd", 0)):
            with pytest.raises(UnreadableImage):
                planes(plate.root, file, page, requester="ada")
        with pytest.raises(UnreadableImage, match="was asked for"):
            planes(plate.root, image.file, out=np.zeros((40, 48), "uint8"), requester="ada")
        out = np.zeros((40, 48), "uint16")
        assert planes(plate.root, image.file, out=out, requester="ada") is out


def test_of_two_meshes_in_one_process_only_one_reads_at_a_server(omero: RunningServer, people: Identities) -> None:
    planes = OmeroPlanes()
    reading = planes.at(address_of(omero), people)
    with reading, pytest.raises(PlaceRefused, match="another mesh"), planes.at(address_of(omero), people):
        pass
    with planes.at(address_of(omero), people):
        pass


def test_a_server_that_is_away_may_come_back_and_wants_another_session(
    own_omero: RunningServer, tmp_path: Path
) -> None:
    planes = OmeroPlanes()
    with people_of(own_omero, "ada") as people:
        plate = OmeroSource(people).plate(imported(own_omero, tmp_path), "ada")
        image = plate.image(0)
        with planes.at(address_of(own_omero), people):
            must_be_as_imported(planes, plate)
            own_omero.kill()
            with pytest.raises(OmeroUnreachable, match="cannot be reached"):
                planes(plate.root, image.file, requester="ada")
            own_omero.start()
            # Its sessions are gone with it.
            with pytest.raises(OmeroAwaitsLogin):
                planes(plate.root, image.file, requester="ada")
            log_in(own_omero, people, "ada")
            must_be_as_imported(planes, plate)
