"""Planning for somebody who may read less than the mesh: of what is not for him, nothing is told."""

import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tifffile
from open_below import open_below

from hcs_mesh.messages.imports import PlanSource, ProbePlane, ProbePlanes
from hcs_mesh.plates import NothingToImport, UnreadableImage, plan, read_plane
from hcs_mesh.plates.errors import NotAFile, NotForReader, SourceUnreadable
from hcs_mesh.plates.folder import DiskFolder
from hcs_mesh.plates.opening import check_opens_for, open_folder_for, open_for
from hcs_mesh.plates.permissions import Account
from hcs_mesh.plates.reach import EVERYTHING, Reach

OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'
SECRET = OME.format(
    '<Image ID="Image:0" Name="VICTIM-SECRET"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" '
    'SizeY="6" SizeZ="99" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
    '<TiffData FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="x.ome.tif">urn:uuid:0</UUID></TiffData>'
    "</Pixels></Image>"
)
MEMBER = OME.format('<BinaryOnly MetadataFile="secret.companion.ome" UUID="urn:uuid:b"/>')
# Whoever runs the tests, it is another one.
ANNA = Account("anna", 54001, (54001,))
FOR_ANNA = Reach(account=ANNA)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that any account can enter and write to, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="hcs-mesh-test-"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


def write(path: Path, content: str | bytes, mode: int = 0o644) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def write_tiff(path: Path, value: int, text: str | None = None, mode: int = 0o644) -> Path:
    tifffile.imwrite(path, np.full((6, 8), value, np.uint8), description=text, metadata=None)
    path.chmod(mode)
    return path


def test_a_file_that_the_named_one_names_is_opened_only_where_the_owner_could(shared: Path) -> None:
    named = write_tiff(shared / "x.ome.tif", 1, MEMBER)
    secret = write(shared / "secret.companion.ome", SECRET, 0o600)
    assert "VICTIM-SECRET" in str(plan(named).plates)
    with pytest.raises(SourceUnreadable, match="anna has no permission to read it") as refused:
        plan(named, reach=FOR_ANNA)
    assert "VICTIM-SECRET" not in str(refused.value) + refused.value.hint
    assert "Give that person read permission" in refused.value.hint
    secret.chmod(0o644)
    assert plan(named, reach=FOR_ANNA) == plan(named)


def test_ome_xml_that_may_not_be_read_is_not_told_of(shared: Path) -> None:
    secret = write(shared / "tubhiswt.ome.xml", SECRET, 0o600)
    with pytest.raises(NothingToImport, match="anna has no permission to read it") as refused:
        plan(secret, reach=FOR_ANNA)
    assert "x.ome.tif" not in str(refused.value) + refused.value.hint


def lay_link(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def lay_second_name(path: Path, secret: Path) -> None:
    path.hardlink_to(secret)


@pytest.mark.parametrize("lay", [lay_link, lay_second_name])
def test_what_takes_the_place_of_a_file_that_was_looked_at_is_judged_itself(
    shared: Path, lay: Callable[[Path, Path], None]
) -> None:
    plate, private = shared / "plate", shared / "private"
    for folder in (plate, private):
        folder.mkdir()
        folder.chmod(0o755)
    secret = write_tiff(private / "secret.tif", 9, "VICTIM-SECRET", 0o600)
    index, image = write(plate / "index.xml", "<own/>"), write_tiff(plate / "A01.tif", 1)
    seen = DiskFolder(plate, reach=FOR_ANNA)
    assert seen.text("index.xml") == "<own/>"
    for path in (index, image):
        path.unlink()
        lay(path, secret)
    with pytest.raises(SourceUnreadable, match="anna has no permission to read it"):
        seen.text("index.xml", "latin-1")
    with pytest.raises(UnreadableImage, match="anna has no permission to read it"):
        seen.tiff("A01.tif")
    with pytest.raises(UnreadableImage, match="anna has no permission to read it"):
        read_plane(plate, "A01.tif", follow_links=True, reach=FOR_ANNA)
    assert read_plane(plate, "A01.tif", follow_links=True)[0, 0] == 9
    for by_its_library in (".zarray", "A01.czi"):
        lay(plate / by_its_library, secret)
        with pytest.raises(UnreadableImage, match="anna has no permission to read it"):
            read_plane(plate, by_its_library, follow_links=True, reach=FOR_ANNA)


def test_a_readable_file_in_a_folder_that_may_not_be_entered_is_not_opened(shared: Path) -> None:
    private = shared / "private"
    private.mkdir()
    secret = write(private / "secret.xml", "secret")
    (shared / "link.xml").symlink_to(secret)
    private.chmod(0o700)
    for path in (secret, shared / "link.xml", private / "never.xml"):
        # The same is said of what is not there.
        with pytest.raises(NotForReader, match="anna has no permission to enter a folder above it"):
            check_opens_for(FOR_ANNA, path)
    check_opens_for(EVERYTHING, private / "never.xml")
    private.chmod(0o711)
    check_opens_for(FOR_ANNA, secret)
    with pytest.raises(FileNotFoundError):
        check_opens_for(FOR_ANNA, private / "never.xml")


def test_a_folder_that_may_not_be_entered_is_not_listed(shared: Path) -> None:
    private = shared / "private"
    (private / "z").mkdir(parents=True)
    write(private / "z" / "secret name.tif", b"")
    (private / "z").chmod(0o700)
    private.chmod(0o755)
    with pytest.raises(SourceUnreadable, match="anna has no permission to enter") as refused:
        DiskFolder(private, reach=FOR_ANNA)
    assert "secret name" not in str(refused.value)
    assert list(DiskFolder(private, reach=FOR_ANNA, depth=1).files) == []
    assert list(DiskFolder(private).files) == ["z/secret name.tif"]


def test_a_folder_is_walked_as_it_was_opened_though_a_link_takes_its_place(shared: Path) -> None:
    plate, private = shared / "plate", shared / "private"
    for folder, name in ((plate, "own.tif"), (private, "secret name.tif")):
        folder.mkdir()
        write(folder / name, b"")
        folder.chmod(0o755)
    opened = open_folder_for(FOR_ANNA, plate)
    assert opened is not None
    plate.rename(shared / "aside")
    plate.symlink_to(private)
    assert [entry.name for entry in os.scandir(opened)] == ["own.tif"]
    os.close(opened)


def test_an_access_control_list_counts_for_files_and_for_folders(shared: Path) -> None:
    folder = shared / "theirs"
    folder.mkdir(mode=0o700)
    path = write(folder / "index.xml", "<own/>", 0o600)
    for one, permissions in ((folder, 1), (path, 4)):
        with pytest.raises(NotForReader):
            check_opens_for(FOR_ANNA, path)
        entries = ((0x01, 7, -1), (0x02, permissions, ANNA.uid), (0x04, 0, -1), (0x10, 7, -1), (0x20, 0, -1))
        value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry[:2], entry[2] % 2**32) for entry in entries)
        os.setxattr(one, "system.posix_acl_access", value)
    check_opens_for(FOR_ANNA, path)


def test_what_lies_outside_is_refused_in_the_same_words_whether_it_is_there_or_not(tmp_path: Path) -> None:
    inside = tmp_path / "roots"
    inside.mkdir()
    reach = Reach(inside=(str(inside),))
    (inside / "out").symlink_to(write(tmp_path / "secret", "secret"))
    (inside / "never").symlink_to(tmp_path / "not there")
    (inside / "own").symlink_to(write(inside / "index.xml", "<own/>"))
    for name in ("out", "never"):
        with pytest.raises(NotForReader, match="it leads out of the folders from which imports may come"):
            check_opens_for(reach, inside / name)
    check_opens_for(reach, inside / "own")
    with pytest.raises(NotForReader):
        open_folder_for(reach, tmp_path)
    with pytest.raises(SourceUnreadable):
        DiskFolder(tmp_path, reach=reach)
    assert sorted(DiskFolder(inside, reach=reach).files) == ["index.xml", "own"]


def test_for_somebody_too_nothing_is_waited_for_and_nothing_stays_open(shared: Path) -> None:
    os.mkfifo(shared / "pipe")
    (shared / "pipe").chmod(0o666)
    write(shared / "secret", "secret", 0o600)
    write(shared / "own", "own")
    for name, kind in (("pipe", NotAFile), ("secret", NotForReader), ("own/below", NotADirectoryError)):
        with pytest.raises(kind):
            open_for(FOR_ANNA, shared / name)
    check_opens_for(FOR_ANNA, shared / "own")
    DiskFolder(shared, reach=FOR_ANNA)
    assert open_below(shared) == []


def test_for_whom_is_asked_reaches_the_inspector() -> None:
    reach = Reach(account=ANNA, inside=("/data",))
    plane = ProbePlane(root="/data", file="a.tif", page=0, height=6, width=8, dtype="uint8", follow_links=True)
    for question in (PlanSource(path="/data/plate", reach=reach), ProbePlanes(planes=(plane,), reach=reach)):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(question), type=type(question)) == question
