"""What is made of Bio-Formats' answers: its readers are stood in for, so that no Java is needed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hcs_mesh.config import ConfigError, Settings
from hcs_mesh.config.format_settings import BioformatsSettings
from hcs_mesh.config.settings import InspectorSettings
from hcs_mesh.plates import UnreadableImage, bioformats, plan, read_plane
from hcs_mesh.plates.errors import NoLongerAsImported, ReaderUnavailable
from hcs_mesh.plates.java_machine import bioformats_in_use, loci, use_bioformats
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import SourceFile

# Series 0 and 1 are fields of well B2, series 2 is a colour overview on no plate, series 3 its thumbnail.
XML = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
  <Plate ID="Plate:0" Name="scan" Rows="2" Columns="3"><Well ID="Well:0:0" Row="1" Column="1">
    <WellSample ID="s0" Index="0"><ImageRef ID="Image:0"/></WellSample>
    <WellSample ID="s1" Index="1"><ImageRef ID="Image:1"/></WellSample>
  </Well></Plate>
  {images}
</OME>"""
IMAGE = """<Image ID="Image:{n}" Name="{name}"><Pixels ID="Pixels:{n}" DimensionOrder="XYCZT" Type="{kind}"
  SizeX="{x}" SizeY="{y}" SizeC="{c}" SizeZ="{z}" SizeT="{t}"
  PhysicalSizeX="0.5" PhysicalSizeXUnit="µm">{channels}</Pixels></Image>"""
# (T, Z, C, Y, X), and not in this computer's byte order.
FIELDS = [(np.arange(2 * 3 * 2 * 4 * 5).reshape(2, 3, 2, 4, 5) + 1000 * n).astype(">u2") for n in range(2)]
COLOURS = np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3)


class Reader:
    """The calls of loci.formats.ImageReader that are made, on arrays."""

    n_open = 0
    used: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.series = 0
        self.id = ""

    def setFlattenedResolutions(self, flattened: bool) -> None:  # noqa: N802 - the names are Java's, here and below
        assert not flattened

    def setMetadataStore(self, store: object) -> None:  # noqa: N802
        assert store == "store"

    def setId(self, path: str) -> None:  # noqa: N802
        assert Path(path).is_file()
        Reader.n_open += 1
        self.id = path

    def close(self) -> None:
        Reader.n_open -= bool(self.id)
        self.id = ""

    def setSeries(self, number: int) -> None:  # noqa: N802
        self.series = number

    def getUsedFiles(self) -> list[str]:  # noqa: N802
        return [self.id, *self.used]

    def openBytes(self, index: int) -> bytes:  # noqa: N802
        if self.series >= 2:
            return COLOURS.tobytes()
        t, z, c = np.unravel_index(index, (2, 3, 2))
        return FIELDS[self.series][t, z, c].tobytes()

    def getIndex(self, z: int, c: int, t: int) -> int:  # noqa: N802
        return 0 if self.series >= 2 else (t * 3 + z) * 2 + c

    def __getattr__(self, name: str) -> Any:
        field = {"SeriesCount": 4, "SizeX": 5, "SizeY": 4, "SizeZ": 3, "EffectiveSizeC": 2, "SizeT": 2}
        field |= {"RGBChannelCount": 1, "ImageCount": 12, "PixelType": "uint16"}
        colours = {**field, "SizeX": 7, "SizeY": 6, "SizeZ": 1, "EffectiveSizeC": 1, "SizeT": 1}
        colours |= {"RGBChannelCount": 3, "ImageCount": 1, "PixelType": "uint8"}
        flags = {"isLittleEndian": False, "isInterleaved": self.series >= 2, "isThumbnailSeries": self.series == 3}
        known = colours if self.series >= 2 else field
        return lambda: flags[name] if name in flags else known[name.removeprefix("get")]


def described() -> str:
    channel = '<Channel ID="c{c}" Name="{name}" SamplesPerPixel="{samples}"/>'
    fields = "".join(channel.format(c=c, name=name, samples=1) for c, name in enumerate(("DAPI", "GFP")))
    colours = channel.format(c=0, name="camera", samples=3)
    images = [IMAGE.format(n=n, name="", kind="uint16", x=5, y=4, c=2, z=3, t=2, channels=fields) for n in range(2)]
    images += [
        IMAGE.format(n=n, name="overview", kind="uint8", x=7, y=6, c=3, z=1, t=1, channels=colours) for n in (2, 3)
    ]
    return XML.format(images="".join(images))


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A container that Bio-Formats reads, with a file that it uses and one that it does not."""
    service = SimpleNamespace(createOMEXMLMetadata=lambda: "store", getOMEXML=lambda store: described())
    services = SimpleNamespace(ServiceFactory=lambda: SimpleNamespace(getInstance=lambda kind: service))
    formats = SimpleNamespace(
        ImageReader=Reader,
        FormatTools=SimpleNamespace(getPixelTypeString=str),
        services=SimpleNamespace(OMEXMLService=object),
    )
    package = SimpleNamespace(common=SimpleNamespace(services=services), formats=formats)
    monkeypatch.setattr(bioformats, "loci", lambda: package)
    monkeypatch.setattr(bioformats, "_readers", type(bioformats._readers)())
    folder = tmp_path / "scan"
    folder.mkdir()
    for name in ("scan.czi", "scan.extra", "notes.txt"):
        (folder / name).write_bytes(b"0123")
    monkeypatch.setattr(Reader, "used", (str(folder / "scan.extra"), str(tmp_path / "elsewhere")))
    monkeypatch.setattr(Reader, "n_open", 0)
    use_bioformats(BioformatsSettings(jar="bioformats_package.jar"))
    yield folder
    use_bioformats(BioformatsSettings())


def test_series_become_fields_of_their_wells_or_images(scan: Path) -> None:
    found = plan(scan)
    (fileset,) = found.filesets
    assert (fileset.planner, [file.path for file in fileset.files]) == ("bio-formats", ["scan.czi", "scan.extra"])
    assert [one.path for one in found.left_out] == ["notes.txt"]
    assert fileset.notes == (f"1 files that it needs lie elsewhere, the first {scan.parent / 'elsewhere'}",)
    plate, overview = fileset.plates
    assert (plate.kind, plate.name, plate.wells, plate.fields("B02")) == ("plate", "scan", ("B02",), (1, 2))
    assert (plate.n_rows, plate.n_columns, plate.channels, plate.pixel_size_um) == (2, 3, ("DAPI", "GFP"), 0.5)
    assert (overview.kind, overview.name, overview.n_images, overview.dtypes) == ("image", "overview", 3, ("uint8",))
    assert Reader.n_open == 0


def test_every_plane_is_found_by_its_number(scan: Path) -> None:
    found = plan(scan)
    plate, overview = found.plates
    for image in plate.images():
        plane = read_plane(scan, image.file, image.page)
        assert plane.dtype.isnative
        np.testing.assert_array_equal(plane, FIELDS[image.field - 1][image.t, image.z, image.c])
    for image in overview.images():
        np.testing.assert_array_equal(read_plane(scan, image.file, image.page), COLOURS[:, :, image.c])
    with pytest.raises(UnreadableImage, match="holds no plane 1000"):
        read_plane(scan, "scan.czi", 1000)


def test_few_readers_are_kept_open_and_a_file_that_changed_is_opened_anew(scan: Path) -> None:
    for n in range(5):
        (scan / f"{n}.czi").write_bytes(bytes(n))
        for _ in range(2):
            read_plane(scan, f"{n}.czi", 0)
    assert Reader.n_open == 2
    (scan / "4.czi").write_bytes(b"another length")
    read_plane(scan, "4.czi", 0)
    assert Reader.n_open == 2


def put_a_link_in_place_of(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("moved"))


@pytest.mark.parametrize("touched", ["scan.czi", "scan.extra"])
def test_a_container_in_place_is_read_while_all_that_it_uses_is_as_it_was_imported(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, touched: str
) -> None:
    repository = LocalRepository(tmp_path / "data")
    repository.adopt("i1", scan, [SourceFile(path=name, size=4) for name in ("scan.czi", "scan.extra")])
    files = repository.files_folder("i1")
    # Named by where it lies, as Bio-Formats names what it found beside the link.
    monkeypatch.setattr(Reader, "used", (str(scan / "scan.extra"),))
    np.testing.assert_array_equal(read_plane(files, "scan.czi", 0), FIELDS[0][0, 0, 0])
    monkeypatch.setattr(Reader, "used", (str(scan / "notes.txt"),))
    with pytest.raises(UnreadableImage, match=r"notes\.txt is not read: it is no part of what was imported"):
        read_plane(files, "scan.czi", 0)
    monkeypatch.setattr(Reader, "used", (str(files / "scan.extra"),))
    put_a_link_in_place_of(scan / touched)
    with pytest.raises(NoLongerAsImported, match=f"{touched} is a link by now"):
        read_plane(files, "scan.czi", 0)
    repository.close()


def test_bio_formats_is_not_handed_what_a_link_in_the_place_of_a_container_leads_to(scan: Path, tmp_path: Path) -> None:
    repository = LocalRepository(tmp_path / "data")
    repository.adopt("i1", scan, [SourceFile(path="scan.czi", size=4)])
    put_a_link_in_place_of(scan / "scan.czi")
    with pytest.raises(NoLongerAsImported, match="is a link by now"):
        read_plane(repository.files_folder("i1"), "scan.czi", 0)
    assert Reader.n_open == 0
    repository.close()


def test_what_is_not_there_is_named(scan: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"gone\.czi cannot be read: No such file"):
        read_plane(scan, "gone.czi", 0)


def test_without_a_jar_containers_are_stored_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "scan.czi").write_bytes(b"0123")
    assert not bioformats_in_use()
    assert [one.planner for one in plan(tmp_path).filesets] == ["files"]
    with pytest.raises(ReaderUnavailable, match="no Bio-Formats jar is set"):
        read_plane(tmp_path, "scan.czi", 0)


def test_a_jar_that_is_not_there_and_a_missing_jpype_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        use_bioformats(BioformatsSettings(jar=str(tmp_path / "no.jar")))
        with pytest.raises(ReaderUnavailable, match=r"there is no Bio-Formats jar at .*no\.jar"):
            loci()
        (tmp_path / "no.jar").touch()
        monkeypatch.setitem(sys.modules, "jpype", None)
        with pytest.raises(ReaderUnavailable, match="needs JPype") as missing:
            loci()
        assert missing.value.hint == "pip install 'hcs-mesh[bioformats]'"
    finally:
        use_bioformats(BioformatsSettings())


def test_a_java_heap_without_room_in_the_inspector_is_refused() -> None:
    Settings(bioformats=BioformatsSettings(memory_mib=1024))
    with pytest.raises(ConfigError, match=r"do not fit into inspector\.memory_mib \(2048\)"):
        Settings(bioformats=BioformatsSettings(jar="x.jar", memory_mib=1025))
    Settings(bioformats=BioformatsSettings(jar="x.jar", memory_mib=4096), inspector=InspectorSettings(memory_mib=8192))
