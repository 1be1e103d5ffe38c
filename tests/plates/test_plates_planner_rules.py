"""What the planners decide, on folders that exist as names alone."""

import contextlib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from named_folder import NamedFolder

from hcs_mesh.plates import DuplicatePlane, MetadataError, NothingToImport, PatternError, Plate
from hcs_mesh.plates import planning as planning_module
from hcs_mesh.plates.planners import Folder, Plan, TiffHead, recognise
from hcs_mesh.plates.planners.imagexpress import plan_imagexpress
from hcs_mesh.plates.planners.metaxpress import parse_htd, plan_metaxpress
from hcs_mesh.plates.planners.ome_tiff import plan_ome_tiff
from hcs_mesh.plates.planners.operetta import plan_operetta
from hcs_mesh.plates.planners.pattern import compile_pattern, pattern_planner
from hcs_mesh.plates.planners.plain_tiff import image_axes


def guid(number: int) -> str:
    return f"{number:08X}-0000-4000-8000-00000000000A"


def only_plate(found: Plan) -> Plate:
    (plate,) = found.plates
    return plate


def places(plate: Plate) -> list[tuple[str, int, int, int, int, str]]:
    return [(one.well, one.field, one.c, one.z, one.t, one.kind) for one in plate.images()]


# ImageXpress


# name, wells, fields, channels, planes in z of a field and channel, projections of it, images
REAL_NAMES = [
    ("MIP-2P-2sub", ("C05", "C06"), 4, 2, 1, 0, 8),
    ("Z-stack-plus-MIP-4P-4sub", ("C05", "C06", "C07", "C08"), 16, 4, 10, 1, 704),
]


@pytest.mark.parametrize(("names", "wells", "n_fields", "n_c", "n_z", "n_projections", "n_images"), REAL_NAMES)
def test_real_imagexpress_names(
    shared_data: Path, names: str, wells: tuple[str, ...], n_fields: int, n_c: int, n_z: int, n_projections: int,
    n_images: int,
) -> None:  # fmt: skip
    lines = (shared_data / "imagexpress-name-lists" / f"{names}.names.txt").read_text().split()
    found = plan_imagexpress(NamedFolder(*lines))
    plate = only_plate(found)
    assert (plate.name, plate.wells, plate.n_fields, plate.n_images) == (names, wells, n_fields, n_images)
    assert found.pending == ()
    of_each: dict[tuple[str, int, int, str], set[int]] = {}
    for one in plate.images():
        of_each.setdefault((one.well, one.field, one.c, one.kind), set()).add(one.z)
    planes = [depth for (_, _, _, kind), depth in of_each.items() if kind == "plane"]
    assert planes == [set(range(n_z))] * (n_fields * n_c)
    assert len(of_each) - len(planes) == n_fields * n_c * n_projections
    assert len(found.left_out) == len(lines) - n_images == n_images


@pytest.mark.parametrize("names", [name for name, *_ in REAL_NAMES])
def test_a_plate_of_empty_files_is_read_by_its_names_and_refused_for_its_files(
    shared_data: Path, tmp_path: Path, names: str
) -> None:
    lines = (shared_data / "imagexpress-name-lists" / f"{names}.names.txt").read_text().split()
    for line in lines:
        file = tmp_path / line
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with pytest.raises(NothingToImport, match=f"not one image of plate {names} can be read"):
        planning_module.plan(tmp_path)


def test_a_file_beside_zstep_folders_is_a_projection_and_one_without_any_a_plane() -> None:
    stack = NamedFolder(f"d/p_A01_s1_w1{guid(1)}.tif", f"d/ZStep_1/p_A01_s1_w1{guid(2)}.tif")
    assert places(only_plate(plan_imagexpress(stack))) == [
        ("A01", 1, 0, 0, 0, "plane"),
        ("A01", 1, 0, 0, 0, "projection"),
    ]
    flat = NamedFolder(f"d/p_A01_s1_w1{guid(1)}.tif", f"e/q_A01{guid(2)}.tif")
    assert [places(plate) for plate in plan_imagexpress(flat).plates] == [[("A01", 1, 0, 0, 0, "plane")]] * 2


def test_a_wavelength_is_told_from_the_guid_that_follows_it() -> None:
    folder = NamedFolder(*(f"p_A01_s1_w{wave}{guid(0x17654C10)}.tif" for wave in (1, 2, 11)))
    assert only_plate(plan_imagexpress(folder)).channels == ("w1", "w2", "w11")


def test_time_points_are_counted_from_zero() -> None:
    folder = NamedFolder(*(f"d/TimePoint_{t}/ZStep_{z}/p_A01_w1{guid(t * z)}.tif" for t in (1, 2) for z in (1, 2)))
    assert [place[3:5] for place in places(only_plate(plan_imagexpress(folder)))] == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_two_files_of_one_plane_are_both_named() -> None:
    one, two = f"p_A01_s1_w1{guid(1)}.tif", f"p_A01_s1_w1{guid(2)}.tif"
    with pytest.raises(DuplicatePlane, match=f"{one} and {two}"):
        plan_imagexpress(NamedFolder(one, two))


def test_a_damaged_file_leaves_its_plane_missing_and_says_why() -> None:
    good, bad = f"p_A01_s1_w1{guid(1)}.tif", f"damaged_A02_s1_w1{guid(2)}.tif"
    found = plan_imagexpress(NamedFolder(f"a/{good}", f"a/{bad.replace('damaged', 'p')}"))
    assert only_plate(found).n_images == 2
    folder = NamedFolder(f"damaged/{good}", f"damaged/{good.replace('A01', 'A02')}")
    plate = only_plate(plan_imagexpress(folder))
    assert (plate.n_images, [one.well for one in plate.missing]) == (0, ["A01", "A02"])
    assert any("2 files cannot be read" in note and good in note for note in plate.notes)
    with pytest.raises(NothingToImport, match="not one image of plate p can be read"):
        recognise(folder, (plan_imagexpress,))


# MetaXpress

HTD = """"HTSInfoFile", Version 1.0
"Description", "two lines\r and a \xb5"
"TimePoints", {t}
"ZSeries", {stack}
"ZSteps", {z}
"XWells", 12
"YWells", 8
"WellsSelection1", TRUE, TRUE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE
"Sites", TRUE
"XSites", 2
"YSites", 1
"SiteSelection1", {sites}
"NWavelengths", 2
"WaveName1", "DAPI"
"WaveName2", "FITC"
"EndFile"
"""


def htd(t: int = 1, z: int = 1, sites: str = "TRUE, TRUE") -> bytes:
    return HTD.format(t=t, z=z, stack="TRUE" if z > 1 else "FALSE", sites=sites).encode("latin-1")


def test_what_an_htd_declares() -> None:
    declared = parse_htd(htd(t=3, z=4).decode("latin-1"))
    assert (declared.n_rows, declared.n_columns, declared.wells) == (8, 12, ("A01", "A02"))
    assert (declared.n_z, declared.n_t, declared.waves) == (4, 3, {1: "DAPI", 2: "FITC"})


@pytest.mark.parametrize(
    ("said", "misleads"),
    [
        ('"ZSteps", 1', False),
        ('"ZSteps", 0', True),
        ('"ZSteps", 3', True),
        ('"ZSteps", none', True),
        ('"ZSeries", TRUE\n"ZSteps", 3', False),
        ('"TimePoints", 0', True),
        ('"NWavelengths", 0', True),
    ],
)
def test_counts_over_which_other_readers_fail_are_known_and_no_planes_are_lost(said: str, misleads: bool) -> None:
    text = htd().replace(b'"EndFile"', said.encode() + b'\n"EndFile"')
    names = [f"x_{well}_s{s}_w{w}.TIF" for well in ("A01", "A02") for s in (1, 2) for w in (1, 2)]
    [fileset] = plan_metaxpress(NamedFolder(*names, texts={"x.HTD": text})).filesets
    assert (fileset.misleads, fileset.plates[0].n_images) == (misleads, 8)


def test_time_points_of_an_export_and_what_is_missing_of_it() -> None:
    names = [f"TimePoint_{t}/x_{well}_s{s}_w{w}.TIF" for t in (1, 2) for well in ("A01", "A02") for s in (1, 2) for w in (1, 2)]  # fmt: skip # noqa: E501
    folder = NamedFolder(*names[:-1], texts={"x.HTD": htd(t=2), "TimePoint_1/x.HTD": htd(t=2)})
    plate = only_plate(plan_metaxpress(folder))
    assert (plate.name, plate.n_images, plate.channels) == ("x", 15, ("DAPI", "FITC"))
    (missing,) = plate.missing
    assert (missing.well, missing.field, missing.c, missing.z, missing.t) == ("A02", 2, 1, 0, 1)
    assert missing.file == names[-1]


def test_a_channel_that_is_no_stack_lacks_no_planes() -> None:
    names = [f"TimePoint_1/ZStep_{z}/x_{w}_s{s}_w1.TIF" for z in (1, 2) for w in ("A01", "A02") for s in (1, 2)]
    flat = [f"TimePoint_1/ZStep_1/x_{w}_s{s}_w2.TIF" for w in ("A01", "A02") for s in (1, 2)]
    assert only_plate(plan_metaxpress(NamedFolder(*names, *flat, texts={"x.HTD": htd(z=2)}))).missing == ()


@pytest.mark.parametrize("site", [1, 2])
def test_selected_sites_are_found_whichever_way_they_are_counted(site: int) -> None:
    names = [f"TimePoint_1/x_{well}_s{site}_w{w}.TIF" for well in ("A01", "A02") for w in (1, 2)]
    plate = only_plate(plan_metaxpress(NamedFolder(*names, texts={"x.HTD": htd(sites="FALSE, TRUE")})))
    assert (plate.n_images, plate.missing) == (4, ())


@pytest.mark.parametrize(
    "text", ["", "hello", '"HTSInfoFile", 1\n"XWells", x\n"YWells", 8\n', '"HTSInfoFile"\n"XWells"']
)
def test_an_htd_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(MetadataError, match=r"x\.HTD (is not a MetaXpress \.HTD file|ends before its line)"):
        plan_metaxpress(NamedFolder("x_A01.TIF", texts={"x.HTD": text}))


# Opera Phenix and Operetta

INDEX = """\ufeff<?xml version="1.0"?>{doctype}<EvaluationInputData xmlns="http://x/HarmonyV5"><Plates><Plate><Name>P</Name>
<PlateRows>16</PlateRows><PlateColumns>24</PlateColumns></Plate></Plates><Images>{images}</Images></EvaluationInputData>
"""


def harmony_image(row: int, column: int, url: str, *, plane: int = 1, t: int = 0, channel: int = 1) -> str:
    return (
        f"<Image><id>x</id><URL>{url}</URL><Row>{row}</Row><Col>{column}</Col><FieldID>1</FieldID>"
        f"<PlaneID>{plane}</PlaneID><TimepointID>{t}</TimepointID><ChannelID>{channel}</ChannelID>"
        f"<ChannelName>ch {channel}</ChannelName></Image>"
    )


def index(*images: str, doctype: str = "") -> str:
    return INDEX.format(images="".join(images), doctype=doctype)


def test_an_index_with_absent_files_and_one_that_leads_out() -> None:
    images = (
        harmony_image(3, 3, "a.tiff", plane=2),
        harmony_image(3, 4, "b.tiff", plane=3, channel=4),
        harmony_image(3, 5, "../../../etc/passwd", plane=2),
    )
    folder = NamedFolder("m/Images/a.tiff", "m/other.txt", texts={"m/Images/Index.idx.xml": index(*images)})
    plate = only_plate(plan_operetta(folder))
    assert places(plate) == [("C03", 1, 0, 0, 0, "plane")]
    assert plate.channels == ("ch 1", "ch 4")
    assert [(one.well, one.c, one.z, one.file) for one in plate.missing] == [
        ("C04", 1, 1, "m/Images/b.tiff"),
        ("C05", 0, 0, "../../../etc/passwd"),
    ]


def test_a_document_type_is_refused_before_any_entity_is_read() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    folder = NamedFolder(texts={"Index.idx.xml": index(harmony_image(1, 1, "&b;"), doctype=bomb)})
    with pytest.raises(MetadataError, match="declares a document type"):
        plan_operetta(folder)


@given(st.integers(0, len(index(harmony_image(1, 1, "a.tiff")).encode()) - 20))
def test_an_index_cut_anywhere_is_damaged(n_bytes: int) -> None:
    text = index(harmony_image(1, 1, "a.tiff")).encode()[:n_bytes]
    with pytest.raises(MetadataError, match=r"Index\.idx\.xml"):
        plan_operetta(NamedFolder("a.tiff", texts={"Index.idx.xml": text}))


def test_an_index_without_a_row_names_the_image() -> None:
    text = index(harmony_image(1, 1, "a.tiff").replace("<Row>1</Row>", ""))
    with pytest.raises(MetadataError, match="Image x has no usable 'Row'"):
        plan_operetta(NamedFolder("a.tiff", texts={"Index.idx.xml": text}))


@pytest.mark.parametrize("number", ["1000000000000", "9" * 5000])
def test_a_size_that_no_plate_has_is_refused_and_its_file_named(number: str) -> None:
    text = index(harmony_image(1, 1, "a.tiff")).replace("<PlateRows>16<", f"<PlateRows>{number}<")
    with pytest.raises(MetadataError, match=r"Index\.idx\.xml: Plate .*has no usable number '"):
        recognise(NamedFolder("a.tiff", texts={"Index.idx.xml": text}), (plan_operetta,))


def test_a_plate_of_more_rows_than_there_are_letters_is_refused() -> None:
    text = index(harmony_image(1, 1, "a.tiff")).replace("<PlateRows>16<", "<PlateRows>703<")
    with pytest.raises(MetadataError, match="plate P would have 703 rows, which no plate has"):
        recognise(NamedFolder("a.tiff", texts={"Index.idx.xml": text}), (plan_operetta,))


def test_a_plate_that_is_smaller_than_its_wells_is_as_large_as_they_say() -> None:
    text = index(harmony_image(3, 5, "a.tiff")).replace("<PlateRows>16<", "<PlateRows>1<")
    plate = only_plate(recognise(NamedFolder("a.tiff", texts={"Index.idx.xml": text}), (plan_operetta,)))
    assert (plate.n_rows, plate.n_columns) == (3, 24)
    assert any("1 x 24 wells are declared" in note for note in plate.notes)


@pytest.mark.parametrize("size", ["1e999", "nan", "-inf"])
def test_the_width_of_a_pixel_is_a_number(size: str) -> None:
    image = harmony_image(1, 1, "a.tiff").replace("</Image>", f"<ImageResolutionX>{size}</ImageResolutionX></Image>")
    with pytest.raises(MetadataError, match=f"Image x has no usable measure '{size}'"):
        plan_operetta(NamedFolder("a.tiff", texts={"Index.idx.xml": index(image)}))


def test_the_index_of_some_other_software_is_left_alone() -> None:
    assert plan_operetta(NamedFolder(texts={"index.xml": "<html/>"})) == Plan()


# Patterns


def test_a_pattern_with_a_folder_matches_the_tail_of_a_path() -> None:
    folder = NamedFolder("x/A01/f1_c2.tif", "x/B02/f1_c2.tif", "x/B02/other.tif")
    found = pattern_planner("{well}/f{field}_c{channel}.tif")(folder)
    assert places(only_plate(found)) == [("A01", 1, 0, 0, 0, "plane"), ("B02", 1, 0, 0, 0, "plane")]
    assert [one.path for one in found.left_out] == ["x/B02/other.tif"]


def test_values_of_z_and_t_are_numbered_in_their_order_and_channels_keep_their_names() -> None:
    folder = NamedFolder(*(f"b7_z{z}_t{t}_{c}.tif" for z in (5, 10) for t in (0, 30) for c in ("DAPI", "ch10", "ch9")))
    plate = only_plate(pattern_planner("{well}_z{z}_t{t}_{channel}.tif")(folder))
    assert plate.channels == ("DAPI", "ch9", "ch10")
    assert {(one.z, one.t) for one in plate.images()} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert plate.wells == ("B07",)


def test_rows_may_be_numbers_and_plates_may_be_named() -> None:
    plates = pattern_planner("{plate}_{row}_{column}.tif")(NamedFolder("p1_3_4.tif", "p2_AA_48.tif")).plates
    assert [(plate.name, plate.wells) for plate in plates] == [("p1", ("C04",)), ("p2", ("AA48",))]


def test_pages_are_planes_where_the_pattern_names_no_z() -> None:
    heads = {"A01.tif": TiffHead(width=8, height=6, dtype="uint8", n_pages=3)}
    folder = NamedFolder("A01.tif", heads=heads)
    assert [(one.z, one.page) for one in only_plate(pattern_planner("{well}.tif")(folder)).images()] == [
        (0, 0),
        (1, 1),
        (2, 2),
    ]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("{wel}.tif", "{wel} is no name"),
        ("{}.tif", "{} is no name"),
        ("{well:3}.tif", "{well} is no name"),
        ("{well.tif", "a brace is not closed"),
        ("well}.tif", "a brace is not closed"),
        ("{well}_{well}.tif", "{well} stands twice"),
        ("{field}.tif", "does not say where the well is written"),
        ("{row}.tif", "does not say where the well is written"),
        ("", "does not say where the well is written"),
        ("{well}_{row}.tif", "names the well twice"),
    ],
)
def test_a_bad_pattern_says_what_is_wrong_and_which_names_there_are(pattern: str, reason: str) -> None:
    with pytest.raises(PatternError) as caught:
        pattern_planner(pattern)
    assert reason in str(caught.value)
    assert "well}" in caught.value.hint


def test_a_pattern_that_matches_nothing_shows_a_file() -> None:
    with pytest.raises(PatternError, match=r"matches none of the 2 files in plate, for example b\.tif"):
        pattern_planner("{well}.tif")(NamedFolder("a.txt", "b.tif"))


def test_two_matches_of_one_plane_are_both_named() -> None:
    with pytest.raises(DuplicatePlane, match=r"A01_x\.tif and A01_y\.tif"):
        pattern_planner("{well}_{_}.tif")(NamedFolder("A01_x.tif", "A01_y.tif"))


def test_a_well_that_is_none_names_its_file() -> None:
    with pytest.raises(PatternError, match=r"A00\.tif"):
        pattern_planner("{well}.tif")(NamedFolder("A00.tif"))


@given(st.text(alphabet=st.sampled_from("{}w_ab.*+?()[]\\/-:!"), max_size=20) | st.text(max_size=20))
def test_any_pattern_compiles_or_is_refused(pattern: str) -> None:
    with contextlib.suppress(PatternError):
        compile_pattern(pattern).match("a/b.tif")


# Recognition


def test_layouts_with_metadata_go_before_names() -> None:
    folder = NamedFolder(f"x_A01_s1_w1{guid(1)}.tif", "left.txt", texts={"x.HTD": htd()})
    found = recognise(folder, planning_module.BUILT_IN)
    assert [fileset.planner for fileset in found.filesets] == ["metaxpress"]
    assert [(one.path, one.reason) for one in found.left_out] == [("left.txt", "belonging to no plate")]


def test_several_filesets_of_several_kinds_are_all_found() -> None:
    folder = NamedFolder(
        "h/Images/a.tiff",
        f"i/p_A01{guid(1)}.tif",
        "plain.tif",
        texts={"h/Images/Index.xml": index(harmony_image(1, 1, "a.tiff"))},
    )
    found = recognise(folder, planning_module.BUILT_IN)
    assert [(fileset.planner, fileset.root) for fileset in found.filesets] == [("operetta", "h"), ("imagexpress", "i")]
    assert [one.reason for one in found.left_out] == ["a TIFF of no known layout: a --pattern would describe it"]


def test_a_member_without_its_companion_says_so() -> None:
    xml = '<OME><BinaryOnly MetadataFile="m.companion.ome"/></OME>'
    head = TiffHead(width=8, height=6, dtype="uint8", ome_xml=xml)
    with pytest.raises(NothingToImport, match=r"m\.companion\.ome is not there yet: 1 file of its set waits"):
        recognise(NamedFolder("a.ome.tif", heads={"a.ome.tif": head}), (plan_ome_tiff,))


def test_a_facility_brings_its_own_planner_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    own = EntryPoint("mine", f"{__name__}:plan_nothing", planning_module.ENTRY_POINTS)
    monkeypatch.setattr(EntryPoint, "load", lambda self: plan_nothing)
    monkeypatch.setattr(planning_module, "entry_points", lambda group: [own])
    assert planning_module.planners() == (plan_nothing, *planning_module.BUILT_IN)


def test_a_planner_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    own = EntryPoint("mine", "no_such_module_anywhere:plan", planning_module.ENTRY_POINTS)
    monkeypatch.setattr(planning_module, "entry_points", lambda group: [own])
    with pytest.raises(ValueError, match="the planner 'mine'"):
        planning_module.planners()


def plan_nothing(folder: Folder) -> Plan:
    return Plan()


@pytest.mark.parametrize(
    ("axes", "meanings"),
    [
        ("YX", ""),
        ("TZCYX", "tzc"),
        ("ZYXS", "zc"),
        ("QYX", "z"),
        ("IYX", "z"),
        ("ZQYX", "zt"),
        ("CYXS", "cc"),
        ("ZTQCYX", "ztcc"),
    ],
)
def test_axes_of_plain_tiffs(axes: str, meanings: str) -> None:
    assert "".join(image_axes(axes)) == meanings
