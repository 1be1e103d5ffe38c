"""Harmony's index as its versions write it: one measurement, many layouts, one plate."""

from pathlib import Path

import pytest
from named_folder import NamedFolder

from hcs_mesh.plates import DuplicatePlane, Plan, Plate
from hcs_mesh.plates.folder import DiskFolder
from hcs_mesh.plates.planners.operetta import plan_operetta

V5 = "http://www.perkinelmer.com/PEHH/HarmonyV5"
V7 = "43B2A954-E3C3-47E1-B392-6635266B0DD3/HarmonyV7"
OF_CHANNEL = '<ChannelName>{name}</ChannelName><ImageResolutionX Unit="m">2.5E-07</ImageResolutionX>'
NAMES = {1: "Alexa 488", 4: "HOECHST"}


def image_name(row: int, column: int, field: int, plane: int, channel: int, time: int) -> str:
    return f"r{row:02d}c{column:02d}f{field:02d}p{plane:02d}-ch{channel}sk{time}fk1fl1.tiff"


MEASURED = [(3, 7, f, p, c, t) for f in (1, 2) for p in (1, 2) for c in NAMES for t in (1, 2)]
FILES = [image_name(*one) for one in MEASURED]


def index(version: str, *, url: str = "{name}", more: str = "") -> str:
    """The same measurement as version 5 or 7 describes it."""
    old = version == V5
    images = "".join(
        f"<Image Version='1'><id>0307K{t}F{f}P{p}R{c}</id><State>Ok</State>"
        f"<URL>{url.format(name=image_name(row, column, f, p, c, t))}</URL><Row>{row}</Row><Col>{column}</Col>"
        f"<FieldID>{f}</FieldID><PlaneID>{p}</PlaneID><TimepointID>{t - old}</TimepointID><ChannelID>{c}</ChannelID>"
        f"{OF_CHANNEL.format(name=NAMES[c]) if old else ''}</Image>"
        for row, column, f, p, c, t in MEASURED
    )
    entries = "".join(
        f'<Entry ChannelID="{c}">{"<FlatfieldProfile>x</FlatfieldProfile>" if old else OF_CHANNEL.format(name=name)}'
        "</Entry>"
        for c, name in NAMES.items()
    )
    return (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?><EvaluationInputData Version="1" xmlns="{version}">'
        "<Plates><Plate><PlateID>P</PlateID><PlateRows>16</PlateRows><PlateColumns>24</PlateColumns>"
        f'<Well id="0307"/></Plate></Plates><Wells><Well><id>0307</id><Row>3</Row><Col>7</Col></Well></Wells>'
        f"<Maps><Map>{entries}</Map></Maps><Images>{images}{more}</Images></EvaluationInputData>"
    )


def only_plate(found: Plan) -> Plate:
    (plate,) = found.plates
    return plate


LAYOUTS = {
    "version 5": ("Images/Index.idx.xml", "Images/{name}", V5, "{name}"),
    "version 7": ("Images/Index.xml", "Images/{name}", V7, "{name}"),
    "small letters": ("images/index.xml", "images/{name}", V7, "{name}"),
    "renamed folder": ("m/raw/Index.idx.xml", "m/raw/{name}", V5, "{name}"),
    "beside the index": ("m/Index.xml", "m/{name}", V7, "{name}"),
    "index above": ("m/Index.xml", "m/images/{name}", V7, "{name}"),
    "index above folders of wells": ("Index.idx.xml", "r03c07/{name}", V7, "{name}"),
    "URL with a folder": ("m/Index.xml", "m/images/r03c07/{name}", V7, "images\\r03c07\\{name}"),
    "URL of the microscope's own disk": ("Images/Index.idx.xml", "Images/{name}", V5, "D:\\data\\{name}"),
    "archive": ("m/index/2f0c.xml", "m/images/r03c07/{name}", V7, "r03c07/{name}"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_plate(layout: str) -> None:
    path, file, version, url = LAYOUTS[layout]
    files = [file.format(name=name) for name in FILES]
    found = plan_operetta(NamedFolder(*files, texts={path: index(version, url=url)}))
    plate = only_plate(found)
    assert (plate.name, plate.n_rows, plate.n_columns, plate.pixel_size_um) == ("P", 16, 24, 0.25)
    assert (plate.wells, plate.fields("C07"), plate.channels) == (("C07",), (1, 2), ("Alexa 488", "HOECHST"))
    assert (plate.missing, plate.notes, found.pending) == ((), (), ())
    placed = {(one.field, one.z + 1, (1, 4)[one.c], one.t + 1): one.file for one in plate.images()}
    assert placed == {one[2:]: name for one, name in zip(MEASURED, files, strict=True)}
    assert {one.path for one in found.filesets[0].files} == {path, *files}


def test_of_several_indexes_of_one_measurement_one_is_read_and_all_are_stored() -> None:
    texts = {f"Images/{name}": index(V5) for name in ("Index.ref.xml", "Index.idx.xml")}
    found = plan_operetta(NamedFolder(*(f"Images/{name}" for name in FILES), texts=texts))
    assert only_plate(found).n_images == len(FILES)
    assert found.n_files == len(FILES) + 2


def test_a_folder_called_index_without_images_beside_it_is_nobodys_archive() -> None:
    assert plan_operetta(NamedFolder("site/a.html", texts={"site/index/a.xml": "<damaged"})) == Plan()


def test_what_is_written_beside_the_images_goes_with_them() -> None:
    beside = ("m/Assaylayout/a.xml", "m/FFC_Profile/b.xml", "m/flatfieldcorrection/c.xml")
    folder = NamedFolder(
        *(f"m/Images/{name}" for name in FILES), *beside, "m/Evaluation1/x.csv", texts={"m/Images/Index.xml": index(V7)}
    )
    stored = {one.path for one in plan_operetta(folder).filesets[0].files}
    assert stored >= set(beside)
    assert "m/Evaluation1/x.csv" not in stored


def test_two_files_that_bear_the_name_of_one_image_are_both_named() -> None:
    files = [f"{folder}/{name}" for folder in ("a", "b") for name in FILES]
    with pytest.raises(DuplicatePlane, match="two files bear the name of one image of the index: a/"):
        plan_operetta(NamedFolder(*files, texts={"Index.xml": index(V7)}))


def test_images_that_were_not_recorded_are_missing_and_not_waited_for() -> None:
    empty = "<Image><id>x</id><URL/><Row>3</Row><Col>8</Col><FieldID>1</FieldID><ChannelID>1</ChannelID></Image>"
    found = plan_operetta(NamedFolder(*FILES, texts={"Index.xml": index(V7, more=empty)}))
    plate = only_plate(found)
    assert ([one.well for one in plate.missing], found.pending) == (["C08"], ())
    assert plate.notes == ("1 image of Index.xml was not recorded",)


@pytest.mark.parametrize(
    ("version", "name", "n_rows", "size_um", "channels"),
    [
        ("Version5", "BR00122249", 16, 0.598, 6),
        ("Version7", "240624_WES_Perturbs_n_densities_1.1", 8, 0.29669, 7),
    ],
)
def test_real_indexes(shared_data: Path, version: str, name: str, n_rows: int, size_um: float, channels: int) -> None:
    found = plan_operetta(DiskFolder(shared_data / "phenix-index-metadata-only" / version))
    plate = only_plate(found)
    assert (plate.name, plate.n_rows, len(plate.channels)) == (name, n_rows, channels)
    assert plate.pixel_size_um == pytest.approx(size_um, abs=1e-3)
    assert {(one.z, one.t) for one in plate.missing} == {(0, 0)}
    (pending,) = found.pending
    assert pending.endswith(f"declares {channels} images and 0 are there")
