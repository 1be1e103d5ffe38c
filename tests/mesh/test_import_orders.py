"""Orders for imports as people write them: options, and lists with a line for each."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from hcs_mesh.__main__ import app
from hcs_mesh.command_line.errors import CommandFailed
from hcs_mesh.command_line.import_text import print_import, print_imports
from hcs_mesh.command_line.orders import Wish, key_values_of, read_list
from hcs_mesh.command_line.preview_form import preview_machine_form, print_preview
from hcs_mesh.command_line.text_form import print_jobs
from hcs_mesh.messages.imports import ImportOrder, ImportPreview, ImportStatus
from hcs_mesh.plates.model import Image, Missing, build_plate
from hcs_mesh.plates.planners import Fileset, LeftOut, Plan, PlannedFile

USUAL = Wish(ImportOrder(path="", screen="usual", tags=("all",)), "ada")


def listed(folder: Path, *lines: str, usual: Wish = USUAL) -> tuple[Wish, ...]:
    file = folder / "list.tsv"
    file.write_bytes("\r\n".join(line.replace("|", "\t") for line in lines).encode("utf-8-sig"))
    return read_list(file, usual)


def test_a_line_holds_every_option(tmp_path: Path) -> None:
    wish, unread = listed(
        tmp_path,
        "path|plate|pattern|screen|project|dataset|description|comment|tag|key-value|mail|mode|priority|depth|exclude"
        "|as-files|ended|force|delete-source|agent|for",
        'D:\\P|p1|{well}.tif|s|pr|d|"a ""word"""|c|a; b|k=v;x=y=z|a@b.org|upload|high|2|*.db;t/*|no|x|1|no|pc3|eva',
        "b|||||||||||in-place||||yes|||||",
    )
    assert (unread.order.path, unread.order.as_files, wish.order.as_files) == (str(tmp_path / "b"), True, False)
    assert unread.order.mode == "in-place"
    assert wish == Wish(
        ImportOrder(
            path="D:\\P",
            name="p1",
            pattern="{well}.tif",
            screen="s",
            project="pr",
            dataset="d",
            description='a "word"',
            comment="c",
            tags=("a", "b"),
            key_values=(("k", "v"), ("x", "y=z")),
            mail="a@b.org",
            priority="high",
            depth=2,
            exclude=("*.db", "t/*"),
            ended=True,
            forced=True,
            agent="pc3",
        ),
        "eva",
        "list.tsv line 2",
    )


def test_what_a_line_leaves_empty_is_as_the_command_says(tmp_path: Path) -> None:
    first, second = listed(tmp_path, "PATH|--Tag|for", "a", "", "/b|x|eva")
    assert (first.order.path, first.order.tags, first.on_behalf_of) == (str(tmp_path / "a"), ("all",), "ada")
    assert (second.order.path, second.order.tags, second.on_behalf_of) == ("/b", ("x",), "eva")
    assert second.place == "list.tsv line 4"
    assert first.order.screen == "usual"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("path|mail", "a|nobody", "b|x@y.org", "c|@"), ("line 2: 'nobody' is no mail", "line 4: '@' is no mail")),
        (("path|mode", "a|copy"), ("line 2: mode is 'copy', and must be one of upload, in-place",)),
        (("path|priority", "a|urgent"), ("line 2: priority is 'urgent'",)),
        (("path|depth", "a|-1"), ("line 2: depth is '-1'",)),
        (("path|depth", "a|1001"), ("line 2: the depth is 1001",)),
        (("path|pattern", "a|{well}.tif", "b|{nix}"), ("line 3: pattern '{nix}': {nix} is no name",)),
        (("path|exclude", "a|/abs"), ("line 2: '/abs' excludes nothing",)),
        (("path|pattern|as-files", "a|{well}.tif|yes"), ("line 2: what is stored as files is not read",)),
        (("path|name", f"a|{'x' * 256}"), ("line 2: the name has 256 characters",)),
        (("path|mode|delete-source", "a|upload|yes", "b|in-place|yes"), ("line 3: what is imported in place is not",)),
        (("path|mode|agent", "a|in-place|pc3"), ("line 2: what lies on a workstation cannot be imported in place",)),
        (("path|mail|pattern", "a|nobody|{nix}"), ("'nobody' is no mail", "; pattern '{nix}'")),
        (("path|mail|mode|depth", "a|nobody|copy|-1"), ("'nobody' is no", "; mode is", "; depth is '-1'")),
        (("path|force", "a|perhaps"), ("line 2: force is 'perhaps'",)),
        (("path|key-value", "a|cells"), ("line 2: 'cells' is no key and value",)),
        (("path|name|plate", "a|x|y"), ("line 2: name and plate mean the same",)),
        (("path|name", "a|x\x1b[0m"), ("line 2: name holds control characters",)),
        (("path", "a", "b", "./a"), ("line 4:", "is in list.tsv line 2 already")),
        (("path|name", "|x"), ("line 2: it names no path",)),
        (("path", "a|b"), ("line 2 has 2 columns, and 1 are named",)),
        (("name", "a"), ("line 1: no column is called path",)),
        (("path|colour", "a|b"), ("line 1: no column may be called 'colour'",)),
        (("path|path", "a|b"), ("line 1: the column path is there twice",)),
        (("path", '"a'), ("line 2: unexpected end of data",)),
        (("path",), ("names no path",)),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else None,
)
def test_a_wrong_line_is_named(tmp_path: Path, lines: tuple[str, ...], said: tuple[str, ...]) -> None:
    with pytest.raises(CommandFailed) as told:
        listed(tmp_path, *lines)
    assert [part for part in said if part not in str(told.value)] == []
    assert told.value.hint


def test_absent_paths_are_told_with_all_else_that_is_wrong_before_any_mesh_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "list.tsv"
    lines = (
        *("path|mail|mode|delete-source|agent", "a|a@b.org|upload|no|", "b||||", "c|nobody|||", "d||in-place|yes|"),
        *("a/../e||||", "far||||pc3", "g||||\x1bpc3"),
    )
    file.write_text("\n".join(lines).replace("|", "\t"))
    done = CliRunner().invoke(app, ["import", "--bulk", str(file), "--data", str(tmp_path / "no-mesh"), "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stderr)
    deleted = "what is imported in place is not deleted: the repository has nothing but links to it"
    assert told["error"].splitlines() == [
        f"list.tsv line 3: there is nothing at {tmp_path / 'b'}",
        f"list.tsv line 4: 'nobody' is no mail address, such as ada@example.org; there is nothing at {tmp_path / 'c'}",
        f"list.tsv line 5: there is nothing at {tmp_path / 'd'}; {deleted}",
        f"list.tsv line 6: there is nothing at {tmp_path / 'a/../e'}",
        "list.tsv line 8: agent holds control characters: '\\x1bpc3'",
    ]
    assert "nothing was handed over" in told["hint"]


def test_of_several_paths_those_that_are_absent_are_told_before_any_mesh_is_asked(tmp_path: Path) -> None:
    words = [*map(str, (tmp_path, tmp_path / "b", tmp_path / "c")), "--data", str(tmp_path / "no-mesh"), "--json"]
    done = CliRunner().invoke(app, ["import", *words])
    assert done.exit_code == 1
    said = json.loads(done.stderr)["error"].splitlines()
    assert said == [f"import: there is nothing at {tmp_path / name}" for name in ("b", "c")]


def test_a_list_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "list.tsv"
    with pytest.raises(CommandFailed, match="cannot be read"):
        read_list(file, USUAL)
    file.write_bytes("path\n".encode("utf-16"))
    with pytest.raises(CommandFailed, match="not text in UTF-8"):
        read_list(file, USUAL)


def test_keys_may_hold_spaces_and_values_equals_signs() -> None:
    assert key_values_of(("cell line = HeLa", "f=a=b")) == (("cell line", "HeLa"), ("f", "a=b"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "PATH"),
        (("a", "--bulk", "list.tsv"), "not both"),
        (("a", "b", "--name", "x"), "--bulk names each"),
        (("a", "--name", "x", "--plate", "y"), "mean the same"),
        (("a", "--mail", "nobody"), "no mail address"),
        (("a", "--key-value", "k"), "no key and value"),
        (("a", "--dry-run", "--wait"), "nothing to wait for"),
        (("a", "--priority", "urgent"), "urgent"),
        (("a", "--depth", "-1"), "--depth"),
        (("a", "--tag", "\x1b[0m"), "control characters"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_options_are_told_before_any_mesh_is_asked(words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["import", *words, "--json"])
    assert done.exit_code == 2
    assert said in json.loads(done.stderr)["error"]


PLATE = build_plate(
    [Image(well, 1, c, z, 0, "plane", f"{well}{c}{z}", 0, 8, 8, "uint16") for well in ("A01", "B02") for c in (0, 1)
     for z in (0, 1, 2)],
    id=0,
    name="its own",
    channels=("DAPI", "GFP"),
    missing=(Missing(well="C01", field=1, c=0, z=0, t=0, file="lost.tif"),),
)  # fmt: skip
PREVIEW = ImportPreview(
    plan=Plan(
        root="/s",
        filesets=(
            Fileset(planner="ome_tiff", root="", files=(PlannedFile("a.tif", 2048),), plates=(PLATE,)),
            Fileset(planner="plain", root="x", files=(PlannedFile("x/b.czi", 1),), plates=()),
        ),
        left_out=(LeftOut("t.db", "no image"),),
    ),
    pending=("2 of 9 images are there",),
    same_as="import-0001",
    estimated_s=61.0,
)


def test_a_preview_says_what_would_become_of_a_source(capsys: pytest.CaptureFixture[str]) -> None:
    told = preview_machine_form(ImportOrder(path="/s", name="new"), PREVIEW)
    (plate,) = told["plates"]
    counts = {"n_wells": 2, "n_fields": 2, "n_channels": 2, "n_z": 3, "n_t": 1, "n_images": 12}
    assert counts.items() <= plate.items()
    assert (plate["name"], plate["missing"][0]["file"]) == ("new", "lost.tif")
    assert (told["n_files"], told["n_bytes"], told["same_as"], told["estimated_s"]) == (2, 2049, "import-0001", 61.0)
    assert json.loads(json.dumps(told)) == told
    print_preview(ImportOrder(path="/s"), PREVIEW)
    said = capsys.readouterr().out
    parts = ("2.0 KiB", "1 min 01 s", "its own", "lost.tif", "t.db: no image", "2 of 9", "import-0001", "not read")
    assert [part for part in parts if part not in said] == []
    print_preview(ImportOrder(path="/s"), msgspec.structs.replace(PREVIEW, estimated_s=0.0))
    assert "how long is not known yet" in capsys.readouterr().out


def test_an_import_says_whose_it_is_and_what_is_proven(capsys: pytest.CaptureFixture[str]) -> None:
    order = ImportOrder(path="/s", agent="pc3", screen="S", project="P", tags=("t",), mail="a@b.org", mode="in-place")
    one = ImportStatus(
        import_id="import-0001", order=order, owner="ada", state="waiting", reason="images are missing",
        held="hard link", n_bytes_held=2048, certificate_note="not certified: in place", digest="0123456789abcdef0123",
    )  # fmt: skip
    print_import(one)
    said = capsys.readouterr().out
    parts = (
        "pc3:/s", "owner: ada", "screen S, project P", "held: hard link", "2.0 KiB", "not certified",
        "digest: 0123456789abcdef\n", "in place", "images are missing",
    )  # fmt: skip
    assert [part for part in parts if part not in said] == []
    print_imports([one])
    assert "images are missing" in capsys.readouterr().out


def test_an_import_shows_every_option_of_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    # What is not the default of an option must be seen, and so must one that is added later.
    order = ImportOrder(
        path="/the/path", agent="the-agent", only=("a", "b"), name="the name", pattern="{well}.tif", as_files=True,
        depth=3, exclude=("*.db",), mode="in-place", priority="high", screen="the screen", project="the project",
        dataset="the dataset", group="the group", description="the description",
        tags=("the tag",), key_values=(("a key", "a value"),),
        comment="the comment", mail="a@b.org", ended=True, forced=True, delete_source=True,
    )  # fmt: skip
    shown_as = {
        "path": "the-agent:/the/path", "agent": "the-agent:", "only": "2 files alone", "name": "name the name",
        "pattern": "by the pattern {well}.tif", "as_files": "as files, unread", "depth": "3 levels deep",
        "exclude": "without *.db", "mode": "in place", "priority": "high priority", "screen": "screen the screen",
        "project": "project the project", "dataset": "dataset the dataset", "group": "group the group",
        "description": "the description",
        "tags": "the tag", "key_values": "a key=a value", "comment": "comment: the comment", "mail": "a@b.org",
        "ended": "taken as it is", "forced": "though it was imported before", "delete_source": "is to be deleted",
    }  # fmt: skip
    assert set(shown_as) == set(ImportOrder.__struct_fields__)
    print_import(ImportStatus(import_id="import-0001", order=order))
    said = capsys.readouterr().out
    assert [name for name, told in shown_as.items() if told not in said] == []
    print_import(ImportStatus(import_id="import-0001", order=ImportOrder(path="/s")))
    plain = capsys.readouterr().out
    assert [name for name, told in shown_as.items() if told in plain] == []


def test_a_deletion_that_was_refused_is_not_still_to_come(capsys: pytest.CaptureFixture[str]) -> None:
    order = ImportOrder(path="/s", delete_source=True)
    note = "the source stays: 1 of 5 files is not what was stored"
    one = ImportStatus(import_id="import-0001", order=order, state="done", phase="done", deletion_note=note)
    print_import(one)
    said = capsys.readouterr().out
    assert "source: stays: 1 of 5 files is not what was stored" in said
    assert "to be deleted" not in said
    print_import(msgspec.structs.replace(one, state="cancelled", phase="held", deletion_note=""))
    assert "to be deleted" not in capsys.readouterr().out


def test_none_in_a_state_is_not_none_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    print_imports([], "waiting")
    print_jobs([], "failed")
    said = capsys.readouterr().out
    assert "no import is waiting: hcs-mesh imports lists the others" in said
    assert "no job is failed: hcs-mesh jobs lists the others" in said
    assert "yet" not in said


def test_a_preview_counts_the_missing_images_that_are_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    plate = msgspec.structs.replace(PLATE, more_missing=(("C01", 70), ("D01", 29)))
    fileset = msgspec.structs.replace(PREVIEW.plan.filesets[0], plates=(plate,))
    preview = msgspec.structs.replace(PREVIEW, plan=msgspec.structs.replace(PREVIEW.plan, filesets=(fileset,)))
    (told,) = preview_machine_form(ImportOrder(path="/s"), preview)["plates"]
    assert (told["n_missing"], len(told["missing"])) == (100, 1)
    print_preview(ImportOrder(path="/s"), preview)
    assert "... and 99 more missing images (--json lists 1 of them)" in capsys.readouterr().out
