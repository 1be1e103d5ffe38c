"""What is told of a source that cannot be planned: which file is to blame, what is missing, and what to do."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.actors.imports.scanning import scan_source
from hcs_mesh.plates import DuplicatePlane, NothingToImport, PlanError, plan
from hcs_mesh.plates.errors import BadSourceName, NothingYet
from hcs_mesh.plates.exclusion import Exclusion, pattern_of
from hcs_mesh.plates.folder import UNDER_WAY
from hcs_mesh.plates.planners.folder import is_ome_xml

OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:a">{}</OME>'
GROUP = {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]}
ADD = "To import the rest without it, add --exclude "


def write_image(folder: Path) -> None:
    """An OME-TIFF that is sound, beside which something is damaged."""
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / "sound.ome.tif", np.zeros((6, 8), np.uint8))


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))


def told_pattern(error: PlanError) -> str:
    """The pattern that the hint names, as a shell would hand it over."""
    assert ADD in error.hint
    (pattern,) = shlex.split(error.hint.partition(ADD)[2])
    return pattern


@pytest.mark.parametrize(
    ("files", "blamed", "left_out"),
    [
        ({"bad.zarr/.zattrs": '{"multiscales": oops}'}, "bad.zarr/.zattrs", "bad.zarr/.zattrs"),
        ({"bad.zarr/.zattrs": '{"multiscales": ['}, "bad.zarr/.zattrs", "bad.zarr/.zattrs"),
        ({"bad.zarr/zarr.json": "oops"}, "bad.zarr/zarr.json", "bad.zarr/zarr.json"),
        ({"bad.zarr/.zattrs": GROUP}, "bad.zarr", "bad.zarr/.zattrs"),
        ({"bad.zarr/.zattrs": GROUP, "bad.zarr/0/.zarray": {}}, "bad.zarr/0/.zarray", "bad.zarr"),
        ({"bad.zarr/.zattrs": {"plate": {}}, "bad.zarr/A/1/.zattrs": {}}, "bad.zarr", "bad.zarr"),
        ({".zattrs": "oops"}, ".zattrs", ".zattrs"),
        ({"Index.xml": "<x></y>"}, "Index.xml", "Index.xml"),
        ({"p [1]/it's.companion.ome": "<OME></OMEX>"}, "it's.companion.ome", "p [1]/it's.companion.ome"),
        ({"p/x.companion.ome": OME.format("")}, "p/x.companion.ome", "p/x.companion.ome"),
        ({"p/x.HTD": "rubbish"}, "p/x.HTD", "p/x.HTD"),
        ({"p/MeasurementData.mlf": "rubbish"}, "p/MeasurementData.mlf", "p/MeasurementData.mlf"),
    ],
)
def test_one_damaged_file_is_named_and_the_rest_is_imported_as_the_hint_says(
    tmp_path: Path, files: dict[str, object], blamed: str, left_out: str
) -> None:
    write_image(tmp_path / "images")
    for name, content in files.items():
        write(tmp_path / name, content)
    with pytest.raises(PlanError) as caught:
        plan(tmp_path)
    assert blamed in str(caught.value)
    pattern = told_pattern(caught.value)
    found = plan(tmp_path, exclude=(pattern,))
    assert [file.path for fileset in found.filesets for file in fileset.files] == ["images/sound.ome.tif"]
    assert [one.path for one in found.left_out if one.reason == "excluded"] == [left_out]
    # And the looks at a source at rest see as little of it.
    assert not [path for path in scan_source(tmp_path, exclude=Exclusion([pattern])).files if left_out in path]


def test_a_damaged_header_is_to_blame_where_it_holds_the_metadata(tmp_path: Path) -> None:
    write_image(tmp_path)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", np.zeros((6, 8), np.uint8), description="<OME><a></b></OME>", metadata=None
    )
    with pytest.raises(PlanError, match=r"a\.ome\.tif is damaged XML") as caught:
        plan(tmp_path)
    assert plan(tmp_path, exclude=(told_pattern(caught.value),)).n_files == 1


def test_nothing_is_left_to_import_without_the_only_file(tmp_path: Path) -> None:
    write(tmp_path / "x.companion.ome", "<OME></OMEX>")
    for source in (tmp_path, tmp_path / "x.companion.ome"):
        with pytest.raises(PlanError) as caught:
            plan(source)
        assert "--exclude" not in caught.value.hint


def test_two_files_of_one_plane_say_that_one_can_be_left_out(tmp_path: Path) -> None:
    for name in ("A01_x.tif", "A01_y.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((6, 8), np.uint8))
    with pytest.raises(DuplicatePlane) as caught:
        plan(tmp_path, pattern="{well}_{_}.tif")
    assert "--exclude" in caught.value.hint
    assert plan(tmp_path, pattern="{well}_{_}.tif", exclude=("*_y.tif",)).n_files == 1


def test_a_folder_with_a_name_that_is_no_text_can_be_left_out(tmp_path: Path) -> None:
    write_image(tmp_path)
    (tmp_path / "old").mkdir()
    Path(f"{tmp_path}/old/\udcff").touch()
    with pytest.raises(BadSourceName) as caught:
        plan(tmp_path)
    assert "--exclude" in caught.value.hint
    assert plan(tmp_path, exclude=("old",)).n_files == 1
    assert list(scan_source(tmp_path, exclude=Exclusion(("old",))).files) == ["sound.ome.tif"]


@pytest.mark.parametrize(
    ("depth", "seen"),
    [(0, "a.txt b/a.txt b/c/a.txt"), (1, "a.txt"), (2, "a.txt b/a.txt"), (3, "a.txt b/a.txt b/c/a.txt")],
)
def test_what_lies_deeper_than_was_asked_for_is_neither_planned_nor_looked_at(
    tmp_path: Path, depth: int, seen: str
) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    for path in ("a.txt", "b/a.txt", "b/c/a.txt"):
        (tmp_path / path).touch()
    (planned,) = plan(tmp_path, depth=depth, as_files=True).filesets
    assert sorted(scan_source(tmp_path, depth=depth).files) == [one.path for one in planned.files] == seen.split()


def test_a_name_of_what_is_not_complete_stays_behind_by_its_reason_since_no_repository_takes_it(tmp_path: Path) -> None:
    for name in ("a.czi", "b.tif.part"):
        (tmp_path / name).touch()
    found = plan(tmp_path, as_files=True)
    assert [one.path for one in found.filesets[0].files] == ["a.czi"]
    assert [(one.path, one.reason) for one in found.left_out] == [("b.tif.part", UNDER_WAY)]
    with pytest.raises(NothingToImport, match=r"b\.tif\.part is named \.part, as files that are not complete"):
        plan(tmp_path / "b.tif.part", as_files=True)


NAMES = st.text(alphabet="ab*?[]! '\n\x1b\u202e", min_size=1, max_size=4)


@given(st.lists(NAMES, min_size=1, max_size=3), st.lists(NAMES, min_size=1, max_size=3))
def test_the_pattern_of_a_path_leaves_it_out_and_nothing_that_reads_differently(
    path: list[str], other: list[str]
) -> None:
    pattern = pattern_of("/".join(path))
    exclusion = Exclusion([pattern])
    assert pattern.isprintable()
    assert "/".join(path) in exclusion
    if pattern_of("/".join(other[: len(path)])) != pattern and not {"?"} & {*pattern}:
        assert "/".join(other) not in exclusion


def test_a_pattern_with_a_leading_dot_holds_at_the_top_alone() -> None:
    assert "Index.xml" in Exclusion(["./Index.xml"])
    assert "a/Index.xml" not in Exclusion(["./Index.xml"])
    assert "a/Index.xml" in Exclusion(["Index.xml"])


@pytest.mark.parametrize("version", ["Version5", "Version7"])
def test_metadata_without_images_say_which_is_missing_and_where_it_belongs(
    shared_data: Path, tmp_path: Path, version: str
) -> None:
    source = tmp_path / "plate"
    shutil.copytree(shared_data / "phenix-index-metadata-only" / version, source)
    with pytest.raises(NothingYet, match="none of their files is there, for example images/") as caught:
        plan(source)
    assert "Copy the images to where the metadata name them" in caught.value.hint
    assert plan(source, as_files=True).n_files > 0
    missing = str(caught.value).partition("for example ")[2]
    tifffile.imwrite(source / missing, np.zeros((6, 8), np.uint16))
    (plate,) = plan(source).plates
    assert plate.n_images == 1


def test_an_image_without_a_plate_is_not_called_a_plate(shared_data: Path) -> None:
    with pytest.raises(NothingYet, match=r"^image c3_z33 declares 99 planes and none"):
        plan(shared_data / "ome-xml-samples" / "faim-companion" / "c3_z33.companion.ome")


def test_ome_xml_on_its_own_is_told_from_a_companion(shared_data: Path, tmp_path: Path) -> None:
    samples = sorted((shared_data / "ome-xml-samples" / "ome-types").glob("*.ome.xml"))
    assert len(samples) == 12
    for sample in samples:
        assert is_ome_xml(sample.name)
        with pytest.raises(NothingToImport, match=f"^{sample.name} is OME-XML, which") as caught:
            plan(sample)
        assert "--as-files" in caught.value.hint
        assert plan(sample, as_files=True).n_files == 1
        shutil.copy(sample, tmp_path)
    with pytest.raises(NothingToImport, match=r"2008_instrument\.ome\.xml is OME-XML, which"):
        plan(tmp_path)
    write_image(tmp_path)
    found = plan(tmp_path)
    assert (found.n_files, len(found.left_out)) == (1, 12)
    assert {one.reason for one in found.left_out} == {
        "OME-XML, which describes images and holds none that are read here"
    }


def test_ome_xml_on_its_own_says_which_files_it_describes(shared_data: Path, tmp_path: Path) -> None:
    shutil.copy(shared_data / "ome-xml-samples" / "ome-types" / "tubhiswt.ome.xml", tmp_path)
    with pytest.raises(NothingToImport) as caught:
        plan(tmp_path / "tubhiswt.ome.xml")
    assert caught.value.hint.startswith("It describes 2 files, for example tubhiswt_C0.ome.tif.")
    write(tmp_path / "tubhiswt_C1.ome.tif", "")
    with pytest.raises(NothingToImport) as caught:
        plan(tmp_path / "tubhiswt.ome.xml")
    assert "for example tubhiswt_C1.ome.tif" in caught.value.hint


def member(metadata_file: str) -> str:
    return OME.format(f'<BinaryOnly MetadataFile="{metadata_file}" UUID="urn:uuid:b"/>')


def described(*names: str) -> str:
    """OME-XML of one image, a plane a file."""
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(names)
    )
    return OME.format(
        '<Image ID="Image:0" Name="set"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="6" '
        f'SizeZ="{len(names)}" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}'
        "</Pixels></Image>"
    )


@pytest.mark.parametrize("companion", ["z.companion.ome", "a.ome.xml", "metadata.xml", "z.ome.tif"])
def test_a_set_is_whole_whatever_the_file_is_called_that_describes_it(tmp_path: Path, companion: str) -> None:
    names = ["b1.ome.tif", "b2.ome.tif", "z.ome.tif"]
    for name in names:
        text = described(*names) if name == companion else member(companion)
        tifffile.imwrite(tmp_path / name, np.zeros((6, 8), np.uint8), description=text, metadata=None)
    if companion not in names:
        (tmp_path / companion).write_text(described(*names))
    for source in (tmp_path, tmp_path / "b1.ome.tif"):
        found = plan(source)
        assert [(plate.name, plate.n_images) for plate in found.plates] == [("set", 3)]
        assert (found.n_files, found.left_out, found.pending) == (len({companion, *names}), (), ())


def test_a_member_that_its_companion_does_not_name_stays_behind_and_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("a.ome.tif", "b.ome.tif"):
        text = member("x.companion.ome")
        tifffile.imwrite(tmp_path / name, np.zeros((6, 8), np.uint8), description=text, metadata=None)
    (tmp_path / "x.companion.ome").write_text(described("b.ome.tif"))
    found = plan(tmp_path)
    assert [(one.path, one.reason) for one in found.left_out] == [
        ("a.ome.tif", "part of a set, and x.companion.ome does not name it")
    ]
    assert found.pending == ()


def test_a_renamed_file_is_itself_by_its_uuid(shared_data: Path, tmp_path: Path) -> None:
    original = shared_data / "ome-tiff-companion" / "multi-channel.ome.tif"
    shutil.copy(original, tmp_path / "renamed.ome.tif")
    for source in (tmp_path, tmp_path / "renamed.ome.tif"):
        found = plan(source)
        assert [(plate.n_images, plate.missing) for plate in found.plates] == [(3, ())]
        assert (found.n_files, found.pending) == (1, ())
    shutil.copy(original, tmp_path)
    assert original.name in {image.file for plate in plan(tmp_path).plates for image in plate.images()}


def test_a_uuid_that_a_whole_set_shares_says_nothing(tmp_path: Path) -> None:
    text = described("a.ome.tif", "b.ome.tif").replace("urn:uuid:0", "urn:uuid:a").replace("urn:uuid:1", "urn:uuid:a")
    tifffile.imwrite(tmp_path / "c.ome.tif", np.zeros((6, 8), np.uint8), description=text, metadata=None)
    with pytest.raises(NothingYet, match=r"declares 2 planes and none .* for example a\.ome\.tif"):
        plan(tmp_path)
