"""Yokogawa CellVoyager: a real CV8000 measurement, and what its records can say besides."""

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from named_folder import NamedFolder

from hcs_mesh.plates import DuplicatePlane, MetadataError, Plan, Plate, plan
from hcs_mesh.plates.errors import NothingYet, NotYetComplete
from hcs_mesh.plates.planners import recognise
from hcs_mesh.plates.planners.cellvoyager import UNLISTED, plan_cellvoyager

NAME = "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack"
BTS = 'xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"'


def only_plate(found: Plan) -> Plate:
    (plate,) = found.plates
    return plate


@pytest.fixture
def measured(shared_data: Path) -> Path:
    (folder,) = (shared_data / "yokogawa-cv8000-minimal").glob("CV8000*")
    return folder


@pytest.fixture
def copied(measured: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    copy = tmp_path / "measured"
    shutil.copytree(measured, copy, copy_function=shutil.copyfile)
    for folder in (copy, *copy.iterdir()):
        folder.chmod(0o755)
    return copy / NAME


def test_a_real_measurement(measured: Path) -> None:
    found = plan(measured)
    plate = only_plate(found)
    assert (plate.name, plate.n_rows, plate.n_columns, plate.pixel_size_um) == (NAME, 8, 12, 0.325)
    assert (plate.wells, plate.channels, plate.dtypes) == (("D08", "E03", "F08"), ("405", "488"), ("uint16",))
    assert (plate.n_images, plate.missing, plate.notes, found.pending) == (96, (), (), ())
    assert [plate.fields(well) for well in plate.wells] == [(1, 2, 3, 4)] * 3
    assert {(one.c, one.z, one.t, one.kind) for one in plate.images()} == {
        (c, z, 0, "plane") for c in (0, 1) for z in range(4)
    }
    assert {(one.height, one.width) for one in plate.images()} == {(2000, 2000)}
    first = plate.image(0)
    assert first.file == f"{NAME}/{NAME}_D08_T0001F001L01A01Z01C01.tif"


def test_its_metadata_and_corrections_are_stored_with_it(measured: Path) -> None:
    found = plan(measured)
    stored = {Path(file.path).name for fileset in found.filesets for file in fileset.files}
    others = {name for name in stored if not name.startswith(f"{NAME}_")}
    assert others == {file.name for file in (measured / NAME).iterdir() if not file.name.startswith(f"{NAME}_")}
    assert sum(name.startswith(("DC_", "SC_")) for name in others) == 6
    assert {one.path for one in found.left_out} == {"TRACE-incomplete.log", "TRACE2023-XX-XX.log"}


def test_images_that_are_due_and_one_that_no_record_names(copied: Path) -> None:
    (copied / f"{NAME}_E03_T0001F002L01A02Z03C02.tif").rename(copied / f"{NAME}_E03_T0001F002L01A02Z03C05.tif")
    found = plan(copied)
    (missing,) = only_plate(found).missing
    assert (missing.well, missing.field, missing.c, missing.z, missing.t) == ("E03", 2, 1, 2, 0)
    assert found.pending == ("MeasurementData.mlf declares 96 images and 95 are there",)
    assert [(one.path, one.reason) for one in found.left_out] == [(f"{NAME}_E03_T0001F002L01A02Z03C05.tif", UNLISTED)]


def test_a_measurement_waits_for_its_detail_and_for_its_end(copied: Path) -> None:
    detail = copied / "MeasurementDetail.mrf"
    text = detail.read_text(encoding="utf-8-sig")
    detail.unlink()
    found = plan(copied)
    assert found.pending == found.unended == ("MeasurementDetail.mrf is not there yet",)
    plate = only_plate(found)
    assert (plate.n_images, plate.name, plate.n_rows, plate.n_columns) == (96, NAME, 8, 12)
    assert plate.channels == ("405", "488")
    assert "plate format 8 x 12 is the smallest usual one: no .mrf writes it" in plate.notes
    detail.write_text(re.sub(r'bts:EndTime="[^"]*"', 'bts:EndTime=""', text))
    found = plan(copied)
    assert found.pending == found.unended == ("MeasurementDetail.mrf does not say yet when the measurement ended",)
    detail.write_text(text[:700])
    with pytest.raises(NotYetComplete, match=r"MeasurementDetail\.mrf is not closed"):
        plan(copied)


def test_records_that_end_in_the_middle_are_waited_for(copied: Path) -> None:
    records = copied / "MeasurementData.mlf"
    records.write_bytes(records.read_bytes()[:20_000])
    with pytest.raises(NotYetComplete, match=r"MeasurementData\.mlf is not closed"):
        plan(copied)
    records.unlink()
    with pytest.raises(NothingYet, match=r"MeasurementData\.mlf is not there yet"):
        plan(copied)


def test_without_its_setting_the_channels_bear_their_numbers(copied: Path) -> None:
    (setting,) = copied.glob("*.mes")
    setting.write_text("<a></b>")
    plate = only_plate(plan(copied))
    assert plate.channels == ("C01", "C02")
    assert "is damaged XML" in plate.notes[0]
    setting.write_text("<a>")
    assert ".mes is not closed" in plan(copied).pending[0]
    setting.unlink()
    assert only_plate(plan(copied)).notes == (
        "Minimal-3C3W2S-FP2-stack.mes is not there: the channels bear their numbers alone",
    )


def image(
    well: tuple[int, int] = (1, 1),
    field: int = 1,
    ch: int = 1,
    z: int = 1,
    t: int = 1,
    timeline: int = 1,
    action: int = 1,
    more: str = "",
) -> tuple[str, str]:
    """A record with the name of its file, as the microscope makes them."""
    row, column = well
    name = f"p_{chr(64 + row)}{column:02d}_T{t:04d}F{field:03d}L{timeline:02d}A{action:02d}Z{z:02d}C{ch:02d}.tif"
    return name, (
        f'<bts:MeasurementRecord bts:Type="IMG" bts:Row="{row}" bts:Column="{column}" bts:TimePoint="{t}" '
        f'bts:FieldIndex="{field}" bts:ZIndex="{z}" bts:TimelineIndex="{timeline}" bts:ActionIndex="{action}" '
        f'bts:X="{100.04 * field}" bts:Y="-20" bts:Ch="{ch}" {more}>{name}</bts:MeasurementRecord>'
    )


def error(well: tuple[int, int], more: str = "", t: int = 1, text: str = "AF Error at A02 No. 0 (p)") -> str:
    row, column = well
    return (
        f'<bts:MeasurementRecord bts:Type="ERR" bts:Time="2020-01-01T11:00:00.000+01:00" bts:Column="{column}" '
        f'bts:Row="{row}" bts:TimePoint="{t}" bts:PartialTileIndex="1" bts:TimelineIndex="1" {more}>{text}'
        "</bts:MeasurementRecord>"
    )


def measurement(*images: tuple[str, str], errors: tuple[str, ...] = (), channels: str = "") -> NamedFolder:
    records = "".join([record for _, record in images] + list(errors))
    listed = f"<bts:ChannelList>{channels}</bts:ChannelList>"
    texts = {
        "MeasurementData.mlf": f"<bts:MeasurementData {BTS}>{records}</bts:MeasurementData>",
        "MeasurementDetail.mrf": f'<bts:MeasurementDetail {BTS} bts:Title="P" bts:RowCount="16" bts:ColumnCount="24" '
        'bts:EndTime="2023-09-18T13:59:15" bts:MeasurementSettingFileName="s.mes"/>',
        "s.mes": f"<bts:MeasurementSetting {BTS}>{listed}</bts:MeasurementSetting>",
    }
    return NamedFolder(*(name for name, _ in images), texts=texts)


def places(plate: Plate) -> set[tuple[str, int, int, int, int]]:
    return {(one.well, one.field, one.c, one.z, one.t) for one in plate.images()}


def lacking(plate: Plate) -> list[tuple[str, int, int, int, int]]:
    return [(one.well, one.field, one.c, one.z, one.t) for one in plate.missing]


WHOLE_WELL = [image(field=f, ch=ch, z=z) for f in (1, 2) for ch, z in ((1, 1), (2, 1), (2, 2))]
FIRST_FIELD = [image((1, 2), ch=ch, z=z) for ch, z in ((1, 1), (2, 1), (2, 2))]
SECOND_FIELD_PLANES = [("A02", 2, 0, 0, 0), ("A02", 2, 1, 0, 0), ("A02", 2, 1, 1, 0)]


@pytest.mark.parametrize(
    "more", ['bts:X="200.1" bts:Y="-20.2"', 'bts:FieldIndex="2"', "", 'bts:X="7" bts:Y="7"'], ids=str
)
def test_an_error_is_a_missing_field_and_no_failure(more: str) -> None:
    found = plan_cellvoyager(measurement(*WHOLE_WELL, *FIRST_FIELD, errors=(error((1, 2), more),)))
    plate = only_plate(found)
    assert found.pending == ()
    assert (plate.n_images, lacking(plate)) == (9, SECOND_FIELD_PLANES)
    assert plate.notes == ("the microscope recorded 1 error; the first: AF Error at A02 No. 0 (p)",)


def test_an_error_over_a_whole_well_leaves_all_its_fields_missing() -> None:
    plate = only_plate(plan_cellvoyager(measurement(*WHOLE_WELL, errors=(error((1, 2)), error((1, 2)), error((1, 3))))))
    assert lacking(plate) == [
        (well, f, c, z, 0) for well in ("A02", "A03") for f in (1, 2) for c, z in ((0, 0), (1, 0), (1, 1))
    ]
    assert plate.notes[0].startswith("the microscope recorded 3 errors; the first: AF Error at A02")
    assert plate.wells == ("A01",)


def test_an_error_that_names_its_channel_and_plane_is_one_missing_image() -> None:
    one = error((1, 2), 'bts:FieldIndex="2" bts:Ch="2" bts:ZIndex="2"')
    plate = only_plate(plan_cellvoyager(measurement(*WHOLE_WELL, *FIRST_FIELD, errors=(one,))))
    assert lacking(plate) == [("A02", 2, 1, 1, 0)]


def test_an_error_after_which_the_field_was_taken_all_the_same_leaves_nothing_missing() -> None:
    plate = only_plate(plan_cellvoyager(measurement(*WHOLE_WELL, errors=(error((1, 1), 'bts:FieldIndex="2"'),))))
    assert (plate.missing, len(plate.notes)) == ((), 1)


def test_an_error_of_a_later_time_point_is_missing_there() -> None:
    folder = measurement(image(t=1), image(t=2), image((1, 2), t=1), errors=(error((1, 2), t=2),))
    assert lacking(only_plate(plan_cellvoyager(folder))) == [("A02", 1, 0, 0, 1)]


def test_a_measurement_of_errors_alone_says_so() -> None:
    folder = measurement(errors=(error((1, 2), 'bts:Ch="3"'), error((1, 3), text="")))
    plate = only_plate(plan_cellvoyager(folder))
    assert lacking(plate) == [("A02", 1, 0, 0, 0), ("A03", 1, 0, 0, 0)]
    with pytest.raises(ValueError, match="plate P declares 2 images and none of their files is there"):
        recognise(folder, (plan_cellvoyager,))


def test_channels_are_called_what_the_setting_calls_them() -> None:
    channels = (
        '<bts:Channel bts:Ch="1" bts:Target="DNA" bts:Acquisition="BP445/45" bts:Fluorophore=""/>'
        '<bts:Channel bts:Ch="2" bts:Target="" bts:Acquisition="BP525/50"/>'
        '<bts:Channel bts:Ch="4" bts:Target="ER" bts:Fluorophore="ConA"/>'
        '<bts:Channel bts:Ch="5" bts:Target="DNA"/>'
    )
    images = [image(ch=ch) for ch in (1, 2, 3, 4)]
    assert only_plate(plan_cellvoyager(measurement(*images, channels=channels))).channels == (
        "DNA", "BP525/50", "C03", "ConA",
    )  # fmt: skip
    images = [image(ch=ch) for ch in (1, 5)]
    assert only_plate(plan_cellvoyager(measurement(*images, channels=channels))).channels == ("C01 DNA", "C05 DNA")


def test_time_points_and_rows_beyond_z() -> None:
    folder = measurement(*(image((27, 3), t=t) for t in (1, 2, 3)))
    assert places(only_plate(plan_cellvoyager(folder))) == {("AA03", 1, 0, 0, t) for t in range(3)}


def test_a_maximum_that_the_microscope_made_is_a_projection() -> None:
    folder = measurement(image(more='bts:ZImageProcessing="Maximum"'), image(ch=2))
    assert [(one.c, one.kind) for one in only_plate(plan_cellvoyager(folder)).images()] == [
        (0, "projection"),
        (1, "plane"),
    ]


def test_a_channel_taken_in_two_actions_is_two_channels() -> None:
    folder = measurement(image(action=1), image(action=2, z=1), image(action=2, z=2), image(ch=2, action=3))
    plate = only_plate(plan_cellvoyager(folder))
    assert plate.channels == ("C01 L01A01", "C01 L01A02", "C02")
    assert places(plate) == {("A01", 1, 0, 0, 0), ("A01", 1, 1, 0, 0), ("A01", 1, 1, 1, 0), ("A01", 1, 2, 0, 0)}
    apart = measurement(image(timeline=1), image((1, 2), timeline=2))
    assert only_plate(plan_cellvoyager(apart)).channels == ("C01",)


def test_two_files_of_one_plane_are_both_named() -> None:
    name, record = image()
    with pytest.raises(DuplicatePlane, match=r"again\.tif"):
        plan_cellvoyager(measurement((name, record), ("again.tif", record.replace(name, "again.tif"))))


def test_a_record_that_leads_out_of_the_source_is_missing() -> None:
    name, record = image()
    _, out = image(field=2)
    folder = measurement((name, record), ("x.tif", re.sub(r">.*</", ">../../etc/passwd</", out)))
    (missing,) = only_plate(plan_cellvoyager(folder)).missing
    assert (missing.field, missing.file) == (2, "../../etc/passwd")


def test_a_record_without_its_field_is_damage() -> None:
    name, record = image()
    with pytest.raises(MetadataError, match=f"the record of '{name}' has no usable 'FieldIndex'"):
        plan_cellvoyager(measurement((name, record.replace('bts:FieldIndex="1"', ""))))


def test_some_other_softwares_file_of_that_name_is_left_alone() -> None:
    assert plan_cellvoyager(NamedFolder("a.tif", texts={"MeasurementData.mlf": "<x/>"})) == Plan()


RECORDS = f"<bts:MeasurementData {BTS}>{image()[1]}</bts:MeasurementData>".encode()


@given(st.integers(0, len(RECORDS) - 1))
def test_records_cut_anywhere_are_not_yet_complete(n_bytes: int) -> None:
    with pytest.raises(NotYetComplete, match=r"MeasurementData\.mlf is not closed"):
        plan_cellvoyager(NamedFolder(image()[0], texts={"MeasurementData.mlf": RECORDS[:n_bytes]}))


def test_a_number_that_nothing_is_counted_in_names_its_record() -> None:
    with pytest.raises(MetadataError, match=r"MeasurementData\.mlf: the record of '.*' has no usable number"):
        plan_cellvoyager(measurement(image(t=10**20)))
