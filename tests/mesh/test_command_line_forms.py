"""What machines and people read: ragged plates, images on no plate, jobs, trees."""

from __future__ import annotations

import json

import msgspec
import pytest

from hcs_mesh.command_line import import_text, machine_form, text_form
from hcs_mesh.command_line.failures import tell
from hcs_mesh.command_line.printing import print_json
from hcs_mesh.messages.compute import JobStatus, WellStatus
from hcs_mesh.messages.control import ActorRow
from hcs_mesh.messages.imports import ImportOrder, ImportStatus, PhaseEntry
from hcs_mesh.plates.labels import Labels
from hcs_mesh.plates.model import Image, ImageKind, Missing, Plate, PlateSummary, build_plate


def image(well: str, field: int, c: int, z: int = 0, t: int = 0, kind: ImageKind = "plane") -> Image:
    """One image of 8 x 8 pixels."""
    return Image(well, field, c, z, t, kind, f"{well}{field}{c}{z}{t}{kind}.tif", 0, 8, 8, "uint16")


RAGGED = build_plate(
    [image("B03", 1, 0, z) for z in range(3)]
    + [image("B03", 1, 1), image("B03", 1, 0, kind="projection"), image("B03", 7, 0)],
    id=4,
    name="ragged",
    root="/root",
    channels=("DAPI",),
    missing=(Missing(well="C01", field=1, c=0, z=0, t=0, file="lost.tif"),),
    notes=("one file is lost",),
)
ALONE = build_plate([image("", 1, 0), image("", 1, 0, t=1)], id=5, name="alone", kind="image")


def test_a_ragged_plate_is_told_as_it_is() -> None:
    told = machine_form.plate_form(RAGGED)
    assert (told["id"], told["name"], list(told["wells"])) == (4, "ragged", ["B03"])
    first, second = told["wells"]["B03"]["fields"]
    assert (first["field"], second["field"]) == (1, 7)
    assert first["channels"] == ["DAPI", "channel 1"]
    assert second["channels"] == ["DAPI"]
    assert [(one["c"], one["z"], one["kind"]) for one in first["images"]] == [
        (0, 0, "plane"),
        (0, 1, "plane"),
        (0, 2, "plane"),
        (1, 0, "plane"),
        (0, 0, "projection"),
    ]
    assert first["images"][1]["path"] == "/root/B031010plane.tif"
    assert first["images"][1]["virtual_path"] == "plate_4/B03/B03_s001_z001_c000.tif"
    assert first["images"][4]["virtual_path"] == "plate_4/B03/B03_s001_zproj_c000.tif"
    assert told["missing"][0]["file"] == "lost.tif"
    assert "fields" not in told


def test_an_image_on_no_plate_has_its_fields_at_the_top() -> None:
    told = machine_form.plate_form(ALONE)
    assert told["wells"] == {}
    assert told["kind"] == "image"
    (field,) = told["fields"]
    assert [one["virtual_path"] for one in field["images"]] == [
        "image_5/s001_z000_c000_t000.tif",
        "image_5/s001_z000_c000_t001.tif",
    ]


def test_missing_images_that_are_not_named_are_counted_at_their_wells(capsys: pytest.CaptureFixture[str]) -> None:
    plate = msgspec.structs.replace(RAGGED, more_missing=(("C01", 7), ("D01", 92)))
    assert machine_form.plate_form(plate)["n_missing"] == 100
    text_form.print_plate(plate)
    said = capsys.readouterr().out
    assert "... and 99 more missing images (--json lists 1 of them)" in said
    assert [line.split()[-1] for line in said.splitlines() if line.startswith(("C01", "D01"))] == ["8", "92"]


def test_a_job_is_told_by_well_with_whole_paths() -> None:
    done = WellStatus(
        well="B03", state="done", n_objects=3, measurements=(("ratio", 1.5),), folder="/r/B03", files=("a.csv",)
    )
    told = machine_form.job_form(JobStatus(job="job-0001", plate_id=4, state="running", wells=(done,)))
    assert (told["job"], told["state"], told["plate"]) == ("job-0001", "running", 4)
    assert told["wells"]["B03"]["files"] == ["/r/B03/a.csv"]
    assert told["wells"]["B03"]["measurements"] == {"ratio": 1.5}
    alone = machine_form.job_form(JobStatus(job="j", plate_id=5, wells=(WellStatus(well=""),)))
    assert list(alone["wells"]) == ["image"]


def test_an_import_is_told_under_the_keys_of_scripts() -> None:
    entry = PhaseEntry(at_unix_s=1.0, phase="accepted", state="running")
    told = machine_form.import_form(
        ImportStatus(
            import_id="import-0001",
            order=ImportOrder(path="/s"),
            plate_ids=(1, 2),
            n_files=3,
            n_bytes=4,
            history=(entry,),
        )
    )
    assert {"import", "state", "phase", "reason", "history", "plates", "n_files", "n_bytes"} <= set(told)
    assert json.loads(json.dumps(told["plates"])) == [1, 2]
    assert list(told["history"]) == [{"phase": "accepted", "state": "running", "note": "", "at": 1.0}]


def test_the_root_of_the_tree_has_no_parent() -> None:
    row = ActorRow(name="mesh", parent="", kind="supervisor", pid=1, state="running")
    told = machine_form.row_form(row)
    assert told["parent"] is None
    assert {"name", "parent", "kind", "pid", "state", "restarts", "mailbox", "last_error"} <= set(told)


@pytest.mark.parametrize("plate", [RAGGED, ALONE], ids=lambda plate: plate.name)
def test_people_see_every_well_and_what_is_missing(plate: Plate, capsys: pytest.CaptureFixture[str]) -> None:
    text_form.print_plate(plate)
    shown = capsys.readouterr().out
    if plate is RAGGED:
        assert "0-2" in shown
        assert "missing: C01 field 1 c 0 z 0 t 0 lost.tif" in shown
        assert "note: one file is lost" in shown
    else:
        assert "image" in shown


def test_names_that_look_like_markup_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    import_text.print_imports([ImportStatus(import_id="import-0001", order=ImportOrder(path="/data/[bold]plate[/]"))])
    assert "/data/[bold]plate[/]" in capsys.readouterr().out


EVIL = "a\nb\033[31mred\udcff\u202e\x9b"
TAMED = "a\\nb\\x1b[31mred\\xff\\u202e\\x9b"


def test_names_that_a_terminal_would_obey_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    plate = build_plate([image("A01", 1, 0)], id=1, name=EVIL, root=EVIL, channels=(EVIL,), notes=(EVIL,))
    text_form.print_plate(plate)
    text_form.print_plates([PlateSummary(id=1, name=EVIL, n_wells=1, n_fields=1, n_images=1)])
    import_text.print_imports([ImportStatus(import_id="import-0001", order=ImportOrder(path=EVIL))])
    import_text.print_import(
        ImportStatus(import_id="import-0001", order=ImportOrder(path=EVIL), reason=EVIL, hint=EVIL, notes=(EVIL,))
    )
    job = JobStatus(job="job-0001", plate_id=1, plate_name=EVIL, reason=EVIL, wells=(WellStatus(well="A01"),))
    text_form.print_jobs([job.listed()])
    text_form.print_job(job)
    tell(EVIL, EVIL, for_machine=False)
    said = "".join(capsys.readouterr())
    assert not set(said) & set("\033\udcff\u202e\x9b"), "nothing that a terminal would obey"
    assert said.count(TAMED) >= 6


def test_machines_get_every_name_in_an_encoding_that_can_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": EVIL})
    told = capsys.readouterr().out
    assert json.loads(told.encode("utf-8")) == {"name": EVIL}


def test_the_tree_shows_what_died_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    text_form.print_tree(
        [
            ActorRow(name="mesh", parent="", kind="supervisor", pid=1, state="running"),
            ActorRow(
                name="executor.cpu0",
                parent="mesh",
                kind="process",
                pid=77,
                state="running",
                restarts=2,
                last_error="killed by signal 9",
            ),
        ]
    )
    shown = capsys.readouterr().out
    assert "executor.cpu0  running  pid 77  restarts 2  killed by signal 9" in shown


LABELS = Labels(screen="Kinases", description=EVIL, tags=("dose",), key_values=(("dose", "5 uM"),))


def test_machines_read_where_a_plate_belongs_and_what_is_said_of_it() -> None:
    line = PlateSummary(id=1, name="P", n_wells=1, n_fields=1, n_images=1, labels=LABELS)
    for told in (machine_form.summary_form(line), machine_form.plate_form(RAGGED, LABELS)):
        assert (told["screen"], told["project"], told["dataset"]) == ("Kinases", "", "")
        assert [list(pair) for pair in told["key_values"]] == [["dose", "5 uM"]]
        assert list(told["tags"]) == ["dose"]
        assert told["description"] == EVIL
        assert "labels" not in told


def test_people_read_where_a_plate_belongs_without_its_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    text_form.print_plate(RAGGED, LABELS)
    told = capsys.readouterr().out
    assert "Kinases" in told
    assert "dose=5 uM" in told
    assert "\x1b" not in told


def test_who_finds_no_plates_is_told_what_makes_some_and_which_images_are_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text_form.print_plates(())
    said = capsys.readouterr().out
    assert "hcs-mesh import PATH" in said
    assert "images in OMERO that lie on no plate are not listed" in " ".join(said.split())
