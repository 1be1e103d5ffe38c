"""Plates that names alone tell of: in OMERO they are plates by a file that the mesh adds, and that is nobody's."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from companions import NF1, STACKS, outlined, write_stacks
from omero_imports import FILES, METAXPRESS, Import, Importing, ask, importing, n_of, secret
from omero_plates import logged_in

from hcs_mesh.plates import plan, read_plane
from hcs_mesh.plates.local import FolderReader
from hcs_mesh.plates.local.certifying import decode_plane
from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.companion import with_companions
from hcs_mesh.plates.omero.companion_files import open_fileset
from hcs_mesh.plates.omero.managed_files import NotDerivable
from hcs_mesh.plates.omero.pixels import OmeroPixels
from hcs_mesh.plates.omero.plates import OmeroPlates
from hcs_mesh.plates.omero.raw_planes import read_raw_plane
from hcs_mesh.plates.repository import StoredFile
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]
__all__ = ["secret"]


@pytest.fixture
def desk(omero: RunningServer) -> Iterator[Importing]:
    with importing(omero, managed=omero.managed) as one:
        yield one


def files_at(server: RunningServer, one: Import) -> dict[str, Path]:
    """What the server has of an import, by the path in the source."""
    with logged_in(server, "ada") as client:
        rows = ask(client, FILES, str(one.root).strip("/") + "/%")
    cut = len(str(one.root).strip("/")) + 1
    return {said[cut:]: server.managed / path / name for said, path, name in rows}


def added_to(one: Import, origin: str = "this-mesh") -> dict[str, bytes]:
    """What belongs to no user, by its path."""
    added = with_companions(outlined(one.plan, one.import_id), f"{origin}/{one.import_id}")[1]
    return {companion.path: companion.data for companion in added.values()}


def check_plate(desk: Importing, one: Import, plate_id: int) -> None:
    """Every plane of the plan is in OMERO in its well, field, channel, z and t, with the source's own pixels."""
    pool: Any = desk.identities.pool(Person(user="ada"))
    there = OmeroPlates(pool).with_places(plate_id)
    [planned] = one.plan.plates
    assert (there.plate.name, there.plate.n_rows, there.plate.n_columns) == (planned.name, 8, 12)
    assert (there.plate.wells, there.plate.channels) == (planned.wells, planned.channels)
    assert there.plate.n_images == planned.n_images
    found = {(image.well, image.field, image.c, image.z, image.t): image.file for image in there.plate.images()}
    for image in planned.images():
        field = 1 + planned.fields(image.well).index(image.field)
        place = there.places[found[image.well, field, image.c, image.z, image.t]]

        def ask_for(connection: Any, place: Any = place, image: Any = image) -> Any:
            return read_raw_plane(connection, place, c=image.c, z=image.z, t=image.t)

        np.testing.assert_array_equal(pool.read(ask_for), read_plane(one.root, image.file, image.page))


def test_a_real_plate_known_by_its_names_is_a_plate_in_omero(
    omero: RunningServer, desk: Importing, shared_data: Path
) -> None:
    one = desk.of("by-names", shared_data / NF1[0], pattern=NF1[1])
    before = one.bytes_here()
    n_images = n_of(omero, "Image")
    told: list[StoredFile] = []
    n_bytes: list[int] = []
    one.at.transfer(one.import_id, FolderReader(one.root), one.files, on_bytes=n_bytes.append, on_files=told.extend)
    # Nobody hears of what was added: not the journal, not the progress.
    assert {file.path for file in told} == set(before)
    assert sum(n_bytes) == sum(map(len, before.values()))
    one.stored = {file.path: file for file in told}
    one.verify()
    [plate_id] = one.register()
    assert n_of(omero, "Image") - n_images == 3
    check_plate(desk, one, plate_id)
    standing = one.reconcile()
    assert (set(standing.complete), standing.n_bytes) == (set(before), sum(map(len, before.values())))
    assert one.register() == (plate_id,)
    there = {path: file.read_bytes() for path, file in files_at(omero, one).items()}
    assert there == before | added_to(one)
    # The source is the user's, and stays as it is.
    assert one.bytes_here() == before
    assert not list(one.root.rglob("*.companion.ome"))
    served = one.at.served_planes(one.filesets())
    assert [plane for _, plane in served] == [
        decode_plane(one.root, image.file, image.page, follow_links=True) for image, _ in served
    ]


def test_a_real_plate_over_which_omeros_own_reader_fails_is_a_plate_in_omero(
    desk: Importing, shared_data: Path, omero: RunningServer
) -> None:
    one = desk.of("no-z-step", shared_data / METAXPRESS)
    [plate_id] = one.whole()
    check_plate(desk, one, plate_id)
    there = {path: file.read_bytes() for path, file in files_at(omero, one).items()}
    assert there == one.bytes_here() | added_to(one)


def test_planes_come_straight_from_the_mounted_files(
    omero: RunningServer, desk: Importing, tmp_path: Path, shared_data: Path
) -> None:
    linked = desk.of("read-linked", shared_data / NF1[0], pattern=NF1[1])
    linked.adopt()
    linked.verify()
    stacks = desk.of("read-stored", write_stacks(tmp_path / "stacks"), pattern=STACKS)
    pool: Any = desk.identities.pool(Person(user="ada"))
    for one, plate_ids in ((linked, linked.register()), (stacks, stacks.whole())):
        pixels = OmeroPixels(pool, managed=omero.managed)
        there = OmeroPlates(pool).with_places(plate_ids[0])
        [planned] = one.plan.plates
        ours = list(planned.images())
        for image in there.plate.images():
            [same] = [
                other
                for other in ours
                if (other.well, other.c, other.z, other.t) == (image.well, image.c, image.z, image.t)
                and planned.fields(other.well).index(other.field) == image.field - 1
            ]
            np.testing.assert_array_equal(pixels.read(there, image), read_plane(one.root, same.file, same.page))
        said = pixels.statistics()
        assert (said.n_local, said.not_local) == (planned.n_images, ())
        # The rest was asked for to prove them.
        assert said.n_remote <= 4
        pixels.close()


def test_a_companion_leads_to_no_file_but_those_of_its_fileset(tmp_path: Path) -> None:
    own, theirs = write_stacks(tmp_path / "own"), write_stacks(tmp_path / "theirs")
    [told] = with_companions(outlined(plan(own, pattern=STACKS)), "k")[1].values()
    files = ["own/a.companion.ome", *(path.relative_to(tmp_path).as_posix() for path in own.rglob("*.tif"))]
    (tmp_path / files[0]).write_bytes(told.data)
    open_fileset(tmp_path, files).close()
    for name in (b"../theirs/t1/B2_s5_DAPI.tif", str(theirs / "t1" / "B2_s5_DAPI.tif").encode()):
        (tmp_path / files[0]).write_bytes(told.data.replace(b"t1/B2_s5_DAPI.tif", name))
        with pytest.raises(NotDerivable, match="lies in"):
            open_fileset(tmp_path, files)
    (tmp_path / files[0]).write_bytes(b"<OME>")
    with pytest.raises(NotDerivable, match="companion"):
        open_fileset(tmp_path, files)


def test_z_t_and_folders_come_to_omero_as_they_were_planned(desk: Importing, tmp_path: Path) -> None:
    one = desk.of("stacks", write_stacks(tmp_path / "stacks"), pattern=STACKS, name="Named")
    [plate_id] = one.whole(name="Named")
    check_plate(desk, one, plate_id)


def test_in_place_the_companion_lies_beside_the_links(omero: RunningServer, desk: Importing, shared_data: Path) -> None:
    one = desk.of("in-place", shared_data / NF1[0], pattern=NF1[1])
    one.adopt()
    one.verify()
    [plate_id] = one.register()
    there = files_at(omero, one)
    assert {path: file.resolve() for path, file in there.items() if file.is_symlink()} == {
        file.path: (one.root / file.path).resolve() for file in one.files
    }
    assert {path: file.read_bytes() for path, file in there.items() if not file.is_symlink()} == added_to(one)
    assert set(one.stored) == {file.path for file in one.files}
    check_plate(desk, one, plate_id)


@pytest.mark.parametrize(
    ("step", "nth", "after"),
    [
        ("RawFileStore.close", 1, True),
        ("ManagedRepository.verifyChecksums", 1, False),
        ("ImportProcess.verifyUpload", 1, True),
    ],
)
def test_after_a_death_the_same_bytes_are_added_and_there_is_one_plate(
    own_omero: RunningServer, secret: Path, shared_data: Path, step: str, nth: int, after: bool
) -> None:
    with importing(own_omero, users=(), minter=secret, patience_s=3.0) as desk:
        one = desk.of("import-0001", shared_data / NF1[0], pattern=NF1[1])
        own_omero.control.tell("kill_at", operation=step, nth=nth, after=after)

        def restart() -> None:
            own_omero.wait_until_dead()
            own_omero.start()

        again = threading.Thread(target=restart)
        again.start()
        [plate_id] = one.driven(n_tries=200)
        again.join()
        assert one.again().register() == (plate_id,)
        assert (n_of(own_omero, "Fileset"), n_of(own_omero, "Plate"), n_of(own_omero, "Image")) == (1, 1, 3)
        there = {path: file.read_bytes() for path, file in files_at(own_omero, one).items()}
        assert there == one.bytes_here() | added_to(one)


def test_an_upload_that_goes_on_does_not_send_the_companion_again(
    omero: RunningServer, desk: Importing, tmp_path: Path
) -> None:
    one = desk.of("goes-on", write_stacks(tmp_path / "stacks"), pattern=STACKS)
    one.transfer()
    again = one.again()
    omero.control.tell("forget_counts")
    again.transfer()
    assert omero.control.counts().get("RawFileStore.write", 0) == 0
    again.discard()
    assert files_at(omero, one) == {}
