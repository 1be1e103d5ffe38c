"""What is decided of an import without a server: names, checksums, and which of several filesets counts."""

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates.import_outline import ImportOutline, OutlinedFileset
from hcs_mesh.plates.local.errors import BadName
from hcs_mesh.plates.omero.client_paths import client_path, in_order
from hcs_mesh.plates.omero.offered_checksums import COMPUTED
from hcs_mesh.plates.omero.standing import FiledFile, FiledFileset, furthest, is_finished, standing

OUTLINE = ImportOutline(import_id="i", root="/data/run", filesets=(OutlinedFileset(files=("a.tif", "b/c.tif")),))


@pytest.mark.parametrize(
    ("files", "first"),
    [
        (["T1/p.HTD", "T1/a.TIF", "p.HTD", "a.TIF"], "p.HTD"),
        (["a.ome.tif", "set.companion.ome", "b.ome.tif"], "set.companion.ome"),
        (["Images/r01.tiff", "Images/Index.idx.xml"], "Images/Index.idx.xml"),
        (["img.tif", "MeasurementData.mlf"], "MeasurementData.mlf"),
        (["img.tif", "MeasurementData.mlf", "run.mes", "wells.wpi"], "wells.wpi"),
        (["_scan_/stack1/frame.ets", "scan.vsi"], "scan.vsi"),
        (["b.tif", "a.tif"], "a.tif"),
        (["d/a.tif", "z.tif"], "z.tif"),
    ],
)
def test_the_servers_reader_is_given_the_file_that_speaks_for_all(files: list[str], first: str) -> None:
    ordered = in_order(files)
    assert ordered[0] == first
    assert sorted(ordered) == sorted(files)


@pytest.mark.parametrize(
    ("root", "path", "said"),
    [
        ("/data/run 7", "T1/a.tif", "data/run 7/T1/a.tif"),
        ("C:\\scans\\run", "a.tif", "C_/scans/run/a.tif"),
        ("", "a.tif", "a.tif"),
    ],
)
def test_a_file_is_announced_by_where_it_came_from(root: str, path: str, said: str) -> None:
    assert client_path(root, path) == said


@pytest.mark.parametrize("path", ["a:b.tif", "a*.tif", 'say "a".tif', "a\\b.tif", "a\x01.tif"])
def test_a_name_that_omero_would_change_is_refused(path: str) -> None:
    # Metadata name their files: under another name no reader finds them.
    with pytest.raises(BadName, match="does not keep"):
        client_path("/data", path)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_checksums_are_written_as_omero_writes_them(content: bytes, cut: int) -> None:
    expected = {
        "SHA1-160": hashlib.sha1(content).hexdigest(),
        "MD5-128": hashlib.md5(content).hexdigest(),
        "CRC-32": f"{zlib.crc32(content):08x}",
        "Adler-32": f"{zlib.adler32(content):08x}",
        "File-Size-64": f"{len(content):016x}",
    }
    assert set(COMPUTED) == set(expected)
    for name, begun in COMPUTED.items():
        running = begun()
        running.update(memoryview(content)[:cut])
        running.update(memoryview(content)[cut:])
        assert running.hexdigest() == expected[name]


def of(number: int, **said: object) -> FiledFileset:
    """A fileset that was begun and no more."""
    whole: dict[str, object] = {
        "id": number,
        "number": 0,
        "files": {},
        "handed_over": False,
        "image_ids": (),
        "plate_ids": (),
        "finished": False,
    }
    return FiledFileset(**(whole | said))  # type: ignore[arg-type]


def test_of_several_filesets_the_one_that_is_furthest_counts_and_the_oldest_of_those() -> None:
    begun, handed, images = of(1), of(2, handed_over=True), of(3, handed_over=True, image_ids=(7,))
    done, twin = (of(n, handed_over=True, image_ids=(n,), finished=True) for n in (4, 5))
    assert furthest([twin, begun, done, handed, images], 0) is done
    assert furthest([begun, handed, images], 0) is images
    assert furthest([of(9), begun], 0) is begun
    assert furthest([done], 1) is None
    own = of(9, files={"a": FiledFile(77, "p/", "a", None, "")})
    assert furthest([begun, own], 0, own_file=77) is own
    assert furthest([handed, own], 0, own_file=77) is handed
    assert is_finished([begun, done], OUTLINE)
    assert not is_finished([images], OUTLINE)
    assert not is_finished([done], ImportOutline(import_id="i"))


def test_a_standing_tells_whole_files_from_begun_ones() -> None:
    files = {
        "data/run/a.tif": FiledFile(1, "p/", "a.tif", 10, "c0ffee"),
        "data/run/b/c.tif": FiledFile(2, "p/b/", "c.tif", 4, ""),
    }
    told = standing([of(1, files=files)], OUTLINE)
    assert (told.complete, told.n_bytes, told.registered) == (("a.tif",), 14, False)
    assert [(one.path, one.size) for one in told.partial] == [("b/c.tif", 4)]
