"""Imports into a server: byte for byte, in the owner's name and group, continued where they stopped."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from omero_imports import (
    METAXPRESS,
    OME_TIFF,
    Importing,
    ask,
    counted,
    edit_mark,
    forge_mark,
    importable,
    importing,
    n_of,
    secret,
    wait_called,
    wait_held,
)
from omero_lab import SETUP, address_of, login
from omero_plates import logged_in, some_planes, write_ome_plate

from hcs_mesh.plates.local.errors import ChecksumMismatch, ImportRegistered, SourceChanged, TransferCancelled
from hcs_mesh.plates.omero import offered_checksums
from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import (
    OmeroAwaitsLogin,
    OmeroChecksumUnknown,
    OmeroImportFailed,
    OmeroNotPermitted,
    OmeroUploadLost,
)
from hcs_mesh.plates.omero.origin import origin_of
from omero_server.running import RunningServer, running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]
__all__ = ["secret"]


@pytest.fixture
def desk(omero: RunningServer) -> Iterator[Importing]:
    with importing(omero) as one:
        yield one


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """A plate of one file that takes several calls to send."""
    return write_ome_plate(tmp_path / "plate.ome.tiff", some_planes(2, 2, 2, 1024, 1024))


@pytest.mark.parametrize(("source", "n_plates"), [(OME_TIFF, 0), (METAXPRESS, 1)])
def test_a_planned_source_becomes_a_fileset_of_the_same_bytes(
    omero: RunningServer, desk: Importing, shared_data: Path, source: str, n_plates: int
) -> None:
    one = desk.of(f"import-{n_plates}", importable(shared_data / source) if n_plates else shared_data / source)
    assert one.reconcile().registered is False
    ids = one.whole()
    assert len(ids) == n_plates
    standing = one.reconcile()
    assert (standing.registered, standing.plate_ids, set(standing.complete)) == (True, ids, set(one.bytes_here()))
    assert one.bytes_at(omero) == one.bytes_here()
    with pytest.raises(ImportRegistered):
        one.transfer()
    with pytest.raises(ImportRegistered):
        one.discard()
    assert one.register() == ids


def test_another_import_of_the_same_files_is_another_fileset(
    omero: RunningServer, desk: Importing, plate: Path
) -> None:
    n_before = n_of(omero, "Plate")
    assert desk.of("twice-1", plate).whole() != desk.of("twice-2", plate).whole()
    assert n_of(omero, "Plate") == n_before + 2


def test_imports_of_two_people_and_of_two_meshes_under_one_id_are_different_ones(
    omero: RunningServer, plate: Path
) -> None:
    # So that each sees what the other has, and may say of it what she likes.
    omero.control.tell("set_permissions", group="lab", permissions="rwra--")
    with importing(omero, users=("ada", "grace")) as desk:
        desk.of("same-id", plate).whole()
        assert desk.of("same-id", plate).reconcile().registered
        assert not desk.of("same-id", plate, owner="grace").reconcile().registered
    with importing(omero, origin="another-mesh") as desk:
        assert not desk.of("same-id", plate).reconcile().registered
    omero.control.tell("set_permissions", group="lab", permissions="rw----")


def test_a_mark_that_somebody_else_has_made_is_none(omero: RunningServer, plate: Path) -> None:
    omero.control.tell("set_permissions", group="lab", permissions="rwra--")
    with importing(omero, users=("ada",)) as desk:
        desk.of("genuine", plate).whole()
        [fileset_id] = desk.of("genuine", plate).at.fileset_ids()
        with logged_in(omero, "grace") as client:
            forge_mark(client, fileset_id, "this-mesh/forged")
        assert desk.of("genuine", plate).reconcile().registered
        assert not desk.of("forged", plate).reconcile().registered
    omero.control.tell("set_permissions", group="lab", permissions="rw----")


@pytest.mark.parametrize(
    "said", ["x", "", "-1", " 0", "\N{ARABIC-INDIC DIGIT ZERO}", "9" * 30, None], ids=[*"abcdef", "none"]
)
def test_an_import_whose_mark_was_edited_goes_on_anew_or_is_given_up(
    omero: RunningServer, desk: Importing, plate: Path, said: str | None, request: pytest.FixtureRequest
) -> None:
    name = f"edited-{request.node.callspec.id}"
    for ending in ("goes-on", "given-up"):
        one = desk.of(f"{name}-{ending}", plate)
        one.transfer()
        key = f"this-mesh/{one.import_id}"
        with logged_in(omero, "ada") as client:
            edited = edit_mark(client, key, [("mark", key), *([] if said is None else [("fileset", said)])])
        assert one.reconcile().complete == ()
        if ending == "goes-on":
            assert len(one.driven()) == 1
            assert edited not in one.at.fileset_ids()
        else:
            one.discard()
        with logged_in(omero, "ada") as client:
            assert ask(client, "select f.id, f.id from Fileset f where f.id = :what", edited), "it is its owner's"


def test_a_plate_is_imported_in_the_group_that_was_asked_for(omero: RunningServer, plate: Path) -> None:
    with importing(omero, users=("grace",)) as desk:
        [plate_id] = desk.of("group-1", plate, owner="grace", group="other").whole()
        [usual_id] = desk.of("group-2", plate, owner="grace").whole()
        with pytest.raises(OmeroNotPermitted, match="in no group system"):
            desk.of("group-3", plate, owner="grace", group="system").whole()
    with logged_in(omero, "grace") as client:
        told = ask(client, "select p.id, p.details.group.name, p.details.owner.omeName from Plate p")
    assert {tuple(row) for row in told} >= {(plate_id, "other", "grace"), (usual_id, "lab", "grace")}


def test_without_a_session_an_import_waits_for_its_owner_to_log_in(omero: RunningServer, plate: Path) -> None:
    with importing(omero, users=()) as desk:
        one = desk.of("waits-1", plate)
        with pytest.raises(OmeroAwaitsLogin, match=r"waits for ada to log in.*omero\.minter"):
            one.transfer()
        own = Connection(address_of(omero), login("ada"))
        desk.identities.logged_in(Person(user="ada"), own.key)
        assert one.whole()
        own.close()


def test_an_upload_that_was_stopped_goes_on_at_the_byte(omero: RunningServer, desk: Importing, plate: Path) -> None:
    one = desk.of("stopped", plate)
    seen: list[int] = []
    with pytest.raises(TransferCancelled):
        one.transfer(on_bytes=seen.append, cancelled=lambda: sum(seen) > 6_000_000)
    assert one.reconcile().registered is False
    # As after a death of the client: whoever comes next has its session and the journal, and nothing else.
    desk.imports.close()
    one = one.again()
    one.whole()
    assert counted(omero, "RawFileStore.write") == plate.stat().st_size
    assert one.bytes_at(omero) == one.bytes_here()


@pytest.mark.parametrize("with_an_error", [False, True])
def test_an_upload_of_several_files_whose_connection_broke_is_sent_again_and_imported_once(
    omero: RunningServer, shared_data: Path, tmp_path: Path, with_an_error: bool
) -> None:
    # Under a name of its own, by which its files are told from those of other tests.
    source = shutil.copytree((shared_data / OME_TIFF).parent, tmp_path / "source") / Path(OME_TIFF).name
    n_before = n_of(omero, "Fileset")
    with importing(omero, n_threads=1) as desk:
        one = desk.of(f"broken-connection-{with_an_error}", source)
        seen: list[int] = []
        with pytest.raises(TransferCancelled):
            one.transfer(on_bytes=seen.append, cancelled=lambda: len(seen) > 1)
        # The session lives, and with it what the server holds of the upload; more files it does not open for it.
        desk.imports.under_way(one.outline).let_go()
        if with_an_error:
            # As older releases say it.
            operation = "ImportProcess.getUploader"
            omero.control.tell("fail", operation=operation, times=1, **{"with": "InternalException"})
        with pytest.raises(OmeroUploadLost, match="the server opens no more files"):
            one.transfer()
        one.driven()
        assert one.reconcile().registered
        assert one.bytes_at(omero) == one.bytes_here()
    assert n_of(omero, "Fileset") == n_before + 1


def test_where_the_server_lists_no_imports_it_is_sent_again_and_imported_once(tmp_path: Path, plate: Path) -> None:
    with running_server(tmp_path / "omero", setup={**SETUP, "lists_imports": False}) as server:
        with importing(server) as desk:
            one = desk.of("unlisted", plate)
            one.transfer()
            desk.imports.close()
            one = one.again()
            with pytest.raises(OmeroUploadLost):
                one.verify()
            one.driven()
        assert (n_of(server, "Fileset"), n_of(server, "Plate")) == (1, 1)
        assert counted(server, "RawFileStore.write") == 2 * plate.stat().st_size


@pytest.mark.parametrize("step", ["ManagedRepository.importFileset", "ImportProcess.verifyUpload", "IUpdate.saveArray"])
def test_an_answer_that_is_lost_is_not_taken_for_a_refusal(
    omero: RunningServer, desk: Importing, step: str, plate: Path
) -> None:
    kinds = ("Fileset", "Plate", "PlateAnnotationLink")
    n_before = [n_of(omero, kind) for kind in kinds]
    one = desk.of(f"lost-{step}", plate)
    omero.control.tell("fail", operation=step, times=1, after=True, **{"with": "drop"})
    ids = one.driven()
    assert len(ids) == 1
    assert [n_of(omero, kind) for kind in kinds] == [n + 1 for n in n_before]


def test_images_that_are_being_made_are_waited_for_and_not_made_again(
    omero: RunningServer, desk: Importing, plate: Path
) -> None:
    n_before = n_of(omero, "Fileset"), n_of(omero, "Plate")
    one = desk.of("being-made", plate)
    omero.control.tell("fail", operation="ImportProcess.verifyUpload", times=1, after=True, **{"with": "drop"})
    omero.control.tell("hold", operation="ManagedRepository.import")
    work = threading.Thread(target=one.driven)
    work.start()
    wait_called(omero, "Handle.addCallback")
    omero.control.tell("release", operation="ManagedRepository.import")
    work.join()
    assert one.reconcile().registered
    assert (n_of(omero, "Fileset"), n_of(omero, "Plate")) == tuple(n + 1 for n in n_before)


def test_a_session_that_ends_in_the_midst_of_an_upload_is_followed_by_another(
    omero: RunningServer, secret: Path, plate: Path
) -> None:
    n_before = n_of(omero, "Fileset")
    with importing(omero, minter=secret) as desk:
        one = desk.of("expires", plate)
        omero.control.tell("hold", operation="RawFileStore.write")
        ids: list[tuple[int, ...]] = []
        work = threading.Thread(target=lambda: ids.append(one.driven()))
        work.start()
        wait_held(omero, "RawFileStore.write")
        omero.control.tell("expire", user="ada")
        omero.control.tell("release", operation="RawFileStore.write")
        work.join()
        assert [len(some) for some in ids] == [1]
        assert n_of(omero, "Fileset") == n_before + 1
        assert one.bytes_at(omero) == one.bytes_here()


def test_a_session_that_was_over_before_is_followed_by_another_at_once(
    omero: RunningServer, secret: Path, plate: Path
) -> None:
    with importing(omero, minter=secret) as desk:
        omero.control.tell("expire", user="ada")
        assert desk.of("expired-before", plate).whole()


def test_a_source_that_changes_is_not_taken_over(desk: Importing, plate: Path) -> None:
    one = desk.of("changes", plate)
    with plate.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChanged):
        one.transfer()


def test_what_the_servers_disk_lost_is_found_before_anything_is_made_of_it(
    omero: RunningServer, desk: Importing, plate: Path
) -> None:
    n_before = n_of(omero, "Plate")
    one = desk.of("rotten", plate)
    one.transfer()
    path = max(omero.managed.rglob(plate.name), key=lambda path: path.stat().st_mtime_ns)
    path.write_bytes(bytes(1) + path.read_bytes()[1:])
    with pytest.raises(ChecksumMismatch, match="its disk holds something else") as error:
        one.verify()
    assert error.value.files == (plate.name,)
    one.discard()
    assert n_of(omero, "Plate") == n_before


def test_a_server_that_has_other_checksums_makes_no_plate(omero: RunningServer, desk: Importing, plate: Path) -> None:
    n_before = n_of(omero, "Plate")
    one = desk.of("other-hash", plate)
    one.transfer()
    desk.imports.under_way(one.outline).uploads[0].hashes[plate.name] = "0" * 40
    with pytest.raises(ChecksumMismatch, match="SHA1-160") as error:
        one.register()
    assert error.value.files == (plate.name,)
    assert n_of(omero, "Plate") == n_before


@pytest.mark.parametrize("checksum", ["MD5-128", "CRC-32", "Adler-32", "File-Size-64"])
def test_a_server_gets_the_checksum_it_wants(
    omero: RunningServer, desk: Importing, plate: Path, checksum: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hcs_mesh.plates.omero.upload_process.COMPUTED", {checksum: offered_checksums.COMPUTED[checksum]}
    )
    one = desk.of(f"wants-{checksum}", plate)
    one.whole()
    assert [file.algorithm for file in one.stored.values()] == ["sha1"]
    assert one.bytes_at(omero) == one.bytes_here()


def test_a_server_that_wants_a_checksum_nobody_knows_here_is_told_so(
    desk: Importing, plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hcs_mesh.plates.omero.upload_process.COMPUTED", {})
    with pytest.raises(OmeroChecksumUnknown, match="SHA1-160"):
        desk.of("unknown-hash", plate).transfer()


def test_what_no_reader_of_the_server_knows_fails_with_its_reason_and_can_be_tried_again(
    omero: RunningServer, desk: Importing, tmp_path: Path
) -> None:
    n_before = n_of(omero, "Fileset")
    (tmp_path / "scan.lif").write_bytes(b"no pixels")
    one = desk.of("no-reader", tmp_path / "scan.lif")
    assert [fileset.planner for fileset in one.outline.filesets] == [""]
    for _ in range(2):
        with pytest.raises(OmeroImportFailed, match=r"cannot import scan\.lif: no reader knows scan\.lif"):
            one.whole()
    assert n_of(omero, "Fileset") == n_before + 1
    one.discard()
    assert n_of(omero, "Fileset") == n_before
    assert not one.reconcile().complete


def test_an_import_of_which_nothing_is_settled_is_asked_of_nobody(omero: RunningServer) -> None:
    with importing(omero, users=()) as desk:
        one = desk.empty("new")
        assert one.reconcile().registered is False
        one.discard()


def test_a_data_folder_names_its_imports_once_and_for_all(tmp_path: Path) -> None:
    origins = {origin_of(tmp_path / "a"), origin_of(tmp_path / "a"), origin_of(tmp_path / "b")}
    assert len(origins) == 2
