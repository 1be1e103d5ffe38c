"""Companion files: what OMERO is told of plates that no reader of its own would know."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import numpy as np
import ome_types
import pytest
import tifffile
from companions import NF1, STACKS, TRANSLOCATION, outlined, write_stacks

from hcs_mesh.plates import plan, read_plane
from hcs_mesh.plates.model import Plate
from hcs_mesh.plates.omero.companion import OMEROS_OWN, Companion, with_companions
from hcs_mesh.plates.planning import BUILT_IN


def companion(source: Path, pattern: str, key: str = "mesh/import-1") -> Companion:
    """The one that is added to a plate."""
    [(number, found)] = with_companions(outlined(plan(source, pattern=pattern)), key)[1].items()
    assert number == 0
    return found


def placed(plate: Plate) -> dict[tuple[str, int, int, int, int], tuple[str, int]]:
    """Where each plane lies; fields by their rank in the well, as OMERO counts them."""
    return {
        (one.well, plate.fields(one.well).index(one.field), one.c, one.z, one.t): (one.file, one.page)
        for one in plate.images()
    }


@pytest.mark.parametrize(("source", "pattern"), [NF1, TRANSLOCATION])
def test_a_real_plate_is_told_with_its_wells_fields_and_channels(
    shared_data: Path, tmp_path: Path, source: str, pattern: str
) -> None:
    copy = shutil.copytree(shared_data / source, tmp_path / source)
    [planned] = plan(copy, pattern=pattern).plates
    told = companion(copy, pattern)
    (copy / told.path).write_bytes(told.data)
    # Read back by the planner of OME-TIFF, which knows nothing of who wrote it.
    [read] = plan(copy).plates
    assert placed(read) == placed(planned)
    assert (read.name, read.channels, read.n_rows, read.n_columns) == (
        planned.name,
        planned.channels,
        planned.n_rows,
        planned.n_columns,
    )
    assert (read.n_images, read.missing, told.plates[0].n_images) == (planned.n_images, (), planned.n_images)


def test_z_t_and_folders_are_told_and_another_library_reads_it(tmp_path: Path) -> None:
    source = write_stacks(tmp_path / "stacks")
    [planned] = plan(source, pattern=STACKS).plates
    told = companion(source, STACKS)
    (source / told.path).write_bytes(told.data)
    [read] = plan(source).plates
    assert placed(read) == placed(planned)
    assert len(placed(read)) == 2 * 2 * 2 * 2 * 3
    for image in read.images():
        assert read_plane(source, image.file, image.page).shape == (12, 16)
    said = ome_types.from_xml(told.data.decode())
    assert [image.name for image in said.images] == [f"{well} field {n}" for well in ("B02", "H12") for n in (5, 6)]
    assert [(well.row, well.column) for well in said.plates[0].wells] == [(1, 1), (7, 11)]


def test_the_same_import_is_told_in_the_same_bytes_and_another_under_other_ids(tmp_path: Path) -> None:
    source = write_stacks(tmp_path / "stacks")
    assert companion(source, STACKS) == companion(source, STACKS)
    # As an import goes on in another life: what was planned comes back from the journal.
    outline = outlined(plan(source, pattern=STACKS))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(outline), type=type(outline))
    assert with_companions(again, "mesh/import-1") == with_companions(outline, "mesh/import-1")
    other = companion(source, STACKS, "mesh/import-2").data
    assert ET.fromstring(other).get("UUID") != ET.fromstring(companion(source, STACKS).data).get("UUID")


def test_what_lacks_a_plane_is_told_as_far_as_it_is_whole(tmp_path: Path) -> None:
    source = write_stacks(tmp_path / "stacks")
    # No channel 2 of one field, no first plane of another, fewer z of a third.
    (source / "t2" / "B2_s5_GFP.tif").unlink()
    (source / "t1" / "B2_s6_DAPI.tif").unlink()
    tifffile.imwrite(source / "t2" / "H12_s6_GFP.tif", np.zeros((2, 12, 16), "u2"), photometric="minisblack")
    [planned] = plan(source, pattern=STACKS).plates
    [told] = companion(source, STACKS).plates
    sizes = {
        (well, field): tuple(
            1 + max(getattr(one, axis) for one in told.images(well=well, field=field)) for axis in "czt"
        )
        for well in told.wells
        for field in told.fields(well)
    }
    assert sizes == {("B02", 5): (2, 3, 1), ("H12", 5): (2, 3, 2), ("H12", 6): (2, 2, 2)}
    assert told.n_images == 6 + 12 + 8 == len(set(placed(told).values()) & set(placed(planned).values()))
    assert told.notes == ("B02 field 5: 3 of 9 planes", "B02 field 6: 9 of 9 planes", "H12 field 6: 3 of 11 planes")
    description = ome_types.from_xml(companion(source, STACKS).data.decode()).plates[0].description
    assert description == f"Stored, and not shown: {'; '.join(told.notes)}."


def test_planes_of_another_size_or_type_are_no_part_of_an_image(tmp_path: Path) -> None:
    for name, plane in {
        "A1_1": np.zeros((4, 6), "u1"),
        "A1_2": np.zeros((4, 7), "u1"),
        "A2_1": np.zeros((4, 6), bool),
    }.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", plane)
    told = companion(tmp_path, "{well}_{channel}.tif")
    assert [(one.well, one.c) for one in told.plates[0].images()] == [("A01", 0)]
    assert told.plates[0].notes == ("A01 field 1: 1 of 2 planes", "A02 field 1: 1 of 1 planes")


def test_colours_and_stacks_behind_one_directory_are_left_to_omero(tmp_path: Path) -> None:
    for folder, pixels, options in (
        ("colour", np.zeros((4, 6, 3), "u1"), {"photometric": "rgb"}),
        ("imagej", np.zeros((3, 4, 6), "u1"), {"imagej": True, "truncate": True}),
    ):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "A1.tif", pixels, **options)
        outline = outlined(plan(tmp_path / folder, pattern="{well}.tif"))
        assert outline.filesets[0].plates[0].n_images == (3 if folder == "imagej" else 1)
        assert with_companions(outline, "k") == (outline, {})


def test_layouts_that_omero_reads_itself_are_left_to_it(shared_data: Path) -> None:
    found = plan(shared_data / "metaxpress-htd-9987" / "9987_Plate_3433")
    assert with_companions(outlined(found), "k") == (outlined(found), {})
    names = {one.__module__.rpartition(".")[2].replace("_", "-") for one in BUILT_IN}
    assert names - OMEROS_OWN == {"imagexpress"}


def test_a_plate_whose_htd_counts_no_z_step_is_told_under_a_name_that_no_image_of_it_has(shared_data: Path) -> None:
    found = plan(shared_data / "metaxpress-htd-9987" / "9987_Plate_3420")
    announced, added = with_companions(outlined(found), "k")
    assert added[0].path == "9987-Plate-3420.companion.ome"
    assert placed(added[0].plates[0]) == placed(found.plates[0])
    assert announced.filesets[0].files == (*(file.path for file in found.filesets[0].files), added[0].path)


def test_a_name_that_is_taken_is_not_taken_again_and_odd_ones_become_plain(tmp_path: Path) -> None:
    for name in ("A1.tif", "Über_plate.companion.ome"):
        tifffile.imwrite(tmp_path / name, np.zeros((4, 6), "u1"))
    outline = outlined(plan(tmp_path, pattern="{well}.tif", name="Über: <plate>\x01"))
    files = (*outline.filesets[0].files, "ber_plate.companion.ome")
    [fileset] = outline.filesets
    outline = msgspec.structs.replace(outline, filesets=(msgspec.structs.replace(fileset, files=files),))
    announced, added = with_companions(outline, "k")
    assert added[0].path == "ber_plate-2.companion.ome"
    assert announced.filesets[0].files == (*files, added[0].path)
    assert ome_types.from_xml(added[0].data.decode()).plates[0].name == "Über: <plate>\N{REPLACEMENT CHARACTER}"


def test_two_plates_of_one_name_have_companions_of_two_names(tmp_path: Path) -> None:
    source = write_stacks(tmp_path / "stacks")
    outline = outlined(plan(source, pattern=STACKS))
    [fileset] = outline.filesets
    twice = msgspec.structs.replace(outline, filesets=(fileset, fileset))
    assert [one.path for one in with_companions(twice, "k")[1].values()] == [
        "stacks.companion.ome",
        "stacks-2.companion.ome",
    ]
