"""Whether an acquisition has ended, by what its microscope wrote: each vendor's end marker, there and not there."""

import shutil
from pathlib import Path, PurePosixPath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from named_folder import NamedFolder

from hcs_mesh.plates import MetadataError, NothingToImport, Plan, plan
from hcs_mesh.plates.errors import BEGINNING, NOT_YET, NotBegun, NothingYet, NotYetComplete, StillOpen
from hcs_mesh.plates.folder import DiskFolder
from hcs_mesh.plates.planners import TiffHead, recognise
from hcs_mesh.plates.planners.folder import PartOfFolder
from hcs_mesh.plates.planners.metaxpress import plan_metaxpress
from hcs_mesh.plates.planners.ome_tiff import plan_ome_tiff
from hcs_mesh.plates.planners.operetta import plan_operetta
from hcs_mesh.plates.planning import BUILT_IN

INDEX = """\ufeff<?xml version="1.0"?><EvaluationInputData xmlns="http://x/HarmonyV5"><Plates><Plate><Name>P</Name>
<PlateRows>16</PlateRows></Plate></Plates><Wells><Well><id>0101</id>{listed}</Well></Wells><Images>{images}</Images>
</EvaluationInputData>
"""
IMAGE = (
    "<Image><id>0101K1F{f}P1R1</id><URL>{url}</URL><Row>1</Row><Col>1</Col><FieldID>{f}</FieldID><PlaneID>1</PlaneID>"
    "<TimepointID>0</TimepointID><ChannelID>1</ChannelID><ChannelName>DAPI</ChannelName></Image>"
)


def index(n_images: int, n_listed: int | None = None) -> str:
    listed = "".join(f'<Image id="0101K1F{f}P1R1" />' for f in range(1, (n_listed or n_images) + 1))
    images = "".join(IMAGE.format(f=f, url=f"r01c01f{f:02d}p01-ch1sk1fk1fl1.tiff") for f in range(1, n_images + 1))
    return INDEX.format(listed=listed, images=images)


def harmony_names(n: int) -> list[str]:
    return [f"m/Images/r01c01f{f:02d}p01-ch1sk1fk1fl1.tiff" for f in range(1, n + 1)]


@pytest.mark.parametrize(
    ("n_there", "n_described", "n_listed", "pending"),
    [
        (3, 3, 3, ()),
        (2, 3, 3, ("m/Images/Index.idx.xml declares 3 images and 2 are there",)),
        (1, 3, 3, ("m/Images/Index.idx.xml declares 3 images and 1 is there",)),
        (3, 3, 5, ("m/Images/Index.idx.xml declares 5 images and 3 are there",)),
    ],
)
def test_harmony_is_due_what_its_index_declares(
    n_there: int, n_described: int, n_listed: int, pending: tuple[str, ...]
) -> None:
    folder = NamedFolder(*harmony_names(n_there), texts={"m/Images/Index.idx.xml": index(n_described, n_listed)})
    found = plan_operetta(folder)
    assert found.pending == pending
    assert len(found.plates[0].missing) == n_described - n_there


def test_images_of_harmony_wait_for_their_index() -> None:
    with pytest.raises(NothingYet, match="m/Images holds 4 images of Harmony and neither") as caught:
        recognise(NamedFolder(*harmony_names(4)), (plan_operetta,))
    assert "--pattern" in caught.value.hint


def test_a_plate_that_is_complete_is_planned_beside_one_whose_index_is_not_there() -> None:
    others = [name.replace("m/", "other/") for name in harmony_names(2)]
    folder = NamedFolder(*harmony_names(3), *others, texts={"m/Images/Index.idx.xml": index(3)})
    found = recognise(folder, (plan_operetta,))
    assert found.pending == ("other/Images holds 2 images of Harmony and neither Index.idx.xml nor Index.xml yet",)
    assert (found.plates[0].n_images, [one.path for one in found.left_out]) == (3, others)


WHOLE = index(1).encode().rstrip()


@given(st.integers(0, len(WHOLE) - 1))
def test_an_index_cut_anywhere_is_not_yet_complete(n_bytes: int) -> None:
    folder = NamedFolder(*harmony_names(1), texts={"m/Images/Index.idx.xml": WHOLE[:n_bytes]})
    with pytest.raises(NotYetComplete, match=r"Index\.idx\.xml is not closed"):
        plan_operetta(folder)


@given(st.integers(0, len(WHOLE) - 1))
def test_an_index_whose_end_is_zeros_is_still_being_copied(n_bytes: int) -> None:
    half = WHOLE[:n_bytes] + bytes(len(WHOLE) - n_bytes)
    with pytest.raises(NotYetComplete):
        plan_operetta(NamedFolder(texts={"Index.idx.xml": half}))


def test_an_index_that_is_wrong_in_its_middle_is_damaged_and_not_waited_for() -> None:
    text = WHOLE.replace(b"<Col>", b"<Col", 1)
    with pytest.raises(MetadataError, match="is damaged XML") as caught:
        plan_operetta(NamedFolder(texts={"Index.idx.xml": text}))
    assert not isinstance(caught.value, NotYetComplete)


def test_what_may_be_waited_for_is_known_by_name_across_processes() -> None:
    assert {"StillOpen", "NotBegun"} == BEGINNING
    assert {"NotYetComplete", "NothingYet"} | BEGINNING == NOT_YET
    assert issubclass(NotBegun, NothingYet)
    assert issubclass(StillOpen, NotYetComplete)
    assert issubclass(NothingYet, NothingToImport)
    assert issubclass(NothingYet, NotYetComplete)
    assert issubclass(NotYetComplete, MetadataError)


HTD = """"HTSInfoFile", Version 1.0
"TimePoints", {t}
"XWells", 12
"YWells", 8
"WellsSelection1", TRUE, TRUE
"NWavelengths", 2
"WaveName1", "DAPI"
"WaveName2", "FITC"
"""
END = '"EndFile"\n'


def exported(n_t: int, waves: tuple[int, ...] = (1, 2)) -> list[str]:
    return [f"TimePoint_{t}/x_{well}_w{w}.TIF" for t in range(1, n_t + 1) for well in ("A01", "A02") for w in waves]


@pytest.mark.parametrize("n_there", range(1, 13))
def test_a_time_series_is_due_all_its_time_points(n_there: int) -> None:
    folder = NamedFolder(*exported(3)[:n_there], texts={"x.HTD": HTD.format(t=3) + END})
    found = plan_metaxpress(folder)
    (plate,) = found.plates
    assert {one.t for one in plate.images()} == set(range((n_there + 3) // 4))
    are = "is" if n_there == 1 else "are"
    assert found.pending == (() if n_there == 12 else (f"x.HTD declares 12 images and {n_there} {are} there",))
    assert (plate.n_images, len(plate.missing)) == (n_there, 12 - n_there)


def test_a_channel_of_the_first_time_point_alone_is_noted_and_not_waited_for() -> None:
    names = [*exported(3, (1,)), *exported(1, (2,))]
    found = plan_metaxpress(NamedFolder(*names, texts={"x.HTD": HTD.format(t=3) + END}))
    assert (found.pending, found.plates[0].missing) == ((), ())
    assert found.plates[0].notes == ("w2 FITC was taken at the first of 3 time points alone",)


def test_an_htd_without_its_last_line_is_pending_and_one_that_says_too_little_is_not_yet_complete() -> None:
    names = exported(1)
    assert plan_metaxpress(NamedFolder(*names, texts={"x.HTD": HTD.format(t=1)})).pending == (
        'x.HTD has no line "EndFile" yet',
    )
    found = recognise(NamedFolder(*names, texts={"x.HTD": HTD.format(t=1)}), BUILT_IN)
    assert found.unended == found.pending == ('x.HTD has no line "EndFile" yet',)
    assert 'the microscope had not written that it ended: x.HTD has no line "EndFile" yet' in found.plates[0].notes
    whole = recognise(NamedFolder(*names, texts={"x.HTD": HTD.format(t=1) + END}), BUILT_IN)
    assert (whole.unended, whole.pending, whole.plates[0].notes) == ((), (), ())
    for text in ("", '"HTSInfoFile", Version 1.0\n"XWel', "\0\0\0\0"):
        with pytest.raises(NotYetComplete, match="ends before its line"):
            plan_metaxpress(NamedFolder(*names, texts={"x.HTD": text}))
    with pytest.raises(MetadataError) as caught:
        plan_metaxpress(NamedFolder(*names, texts={"x.HTD": "hello"}))
    assert not isinstance(caught.value, NotYetComplete)


@pytest.mark.parametrize("count", ["TimePoints", "NWavelengths", "ZSteps", "YSites"])
@pytest.mark.parametrize("value", [3_000_000, 10**20])
def test_numbers_that_no_plate_has_are_damage_and_cost_nothing(count: str, value: int) -> None:
    text = HTD.format(t=1) + f'"ZSeries", TRUE\n"{count}", {value}\n' + END
    with pytest.raises(MetadataError, match=f"{count} is {value}, which is not possible"):
        plan_metaxpress(NamedFolder(*exported(1), texts={"x.HTD": text}))
    text = HTD.format(t=9000) + f'"ZSeries", TRUE\n"ZSteps", 9000\n{END}'
    with pytest.raises(MetadataError, match="9000 z steps and 9000 time points of 2 wells are 324,000,000 images"):
        plan_metaxpress(NamedFolder(*exported(1), texts={"x.HTD": text}))


def test_a_declared_plate_of_which_nothing_is_there_may_still_come() -> None:
    with pytest.raises(NothingYet, match="plate x declares 4 images and none of their files is there"):
        recognise(NamedFolder(texts={"x.HTD": HTD.format(t=1) + END}), (plan_metaxpress,))


def test_a_companion_is_due_the_files_that_it_names(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "ome-tiff-companion"
    for file in source.glob("multifile*"):
        shutil.copy(file, tmp_path)
    assert plan(tmp_path).pending == ()
    (tmp_path / "multifile-Z5.ome.tiff").unlink()
    assert plan(tmp_path).pending == ("multifile.companion.ome declares 5 files and 4 are there",)
    (tmp_path / "multifile.companion.ome").unlink()
    with pytest.raises(NothingYet, match=r"multifile\.companion\.ome is not there yet: 4 files of its set wait"):
        plan(tmp_path)


@pytest.mark.parametrize("name", ["c3_z33", "20241003_experiment_488_7_640_3_1"])
def test_real_companions_whose_files_have_not_come(shared_data: Path, tmp_path: Path, name: str) -> None:
    companion = shared_data / "ome-xml-samples" / "faim-companion" / f"{name}.companion.ome"
    text = companion.read_bytes()
    whole = tmp_path / companion.name
    whole.write_bytes(text)
    with pytest.raises(NothingYet, match="none of their files is there"):
        plan(tmp_path)
    whole.write_bytes(text[: len(text) // 2])
    with pytest.raises(NotYetComplete, match=r"\.companion\.ome is not closed"):
        plan(tmp_path)


def test_a_member_of_a_set_waits_for_its_companion_beside_what_is_complete() -> None:
    member = TiffHead(
        width=8, height=6, dtype="uint8", ome_xml='<OME><BinaryOnly MetadataFile="m.companion.ome"/></OME>'
    )
    names = ("s/a.ome.tif", "s/b.ome.tif")
    found = plan_ome_tiff(NamedFolder(*names, heads=dict.fromkeys(names, member)))
    assert found.pending == ("s/m.companion.ome is not there yet: 2 files of its set wait",)


def test_a_plan_that_waits_travels() -> None:
    found = plan_metaxpress(NamedFolder(*exported(1), texts={"x.HTD": HTD.format(t=2) + END}))
    assert found.pending
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Plan) == found


REAL_PLATES = [
    ("metaxpress-htd-9987/9987_Plate_3433", "*.TIF", 1),
    ("yokogawa-cv8000-minimal", "*_T0001F*.tif", 12),
    ("yokogawa-cv8000-minimal", "Measurement*", 1),
    ("operetta-ball", "*.tiff", 1),
    ("operetta-ball", "Index.idx.xml", 1),
    ("ome-tiff-companion", "multifile*", 1),
]


@pytest.mark.parametrize(("source", "pattern", "every"), REAL_PLATES)
def test_a_real_plate_that_lacks_any_one_file_has_not_ended(
    shared_data: Path, source: str, pattern: str, every: int
) -> None:
    folder = DiskFolder(shared_data / source)
    assert recognise(folder, BUILT_IN).pending == ()
    files = [path for path in folder.files if PurePosixPath(path).match(pattern)]
    assert files
    for path in files[::every]:
        try:
            pending = recognise(PartOfFolder(folder, set(folder.files) - {path}), BUILT_IN).pending
        except NotYetComplete as error:
            pending = (str(error),)
        assert pending, f"nothing is said of {path}"
