"""An import in place that comes while another import deletes its source waits for that, and has nothing that goes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.imports import local_source, settling
from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.prover import LocalProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Accepted, Certified, Entered, Failed, Retried, SourceDeleted
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.certificate import SignedCertificate
from hcs_mesh.plates.holding.deletion import delete_source
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import SourceFile
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node

pytestmark = pytest.mark.anyio

WAITS = "import-0001 is deleting its source, and with it what this import would have in place"


class Gate:
    """Where a thread waits until it is let through."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def pass_through(self) -> None:
        self.reached.set()
        assert self.opened.wait(120.0)


class Lab:
    """A mesh whose deletions stop at a gate, as at a slow file server."""

    def __init__(self, folder: Path) -> None:
        self.scope, self.data = folder / "scope", folder / "data"
        self.journal = folder / "journal"
        self.settings = ImportSettings(
            settle_s=0.01,
            first_retry_s=0.01,
            longest_retry_s=0.1,
            certify_same_disk=True,
            roots=(RootSettings(path=str(self.scope), delete_source=True),),
        )
        self.deletion = Gate()
        self.repository = LocalRepository(self.data)
        self.node = Node("hub")
        self.imports = self.node.find("imports")

    async def start(self) -> None:
        self.life = await self.node.start_actor(
            "imports",
            lambda: ImportProxy(
                self.repository,
                self.journal,
                self.settings,
                places=ImportPlaces(self.data, self.settings),
                prover=LocalProver(self.repository, self.data, self.data / "keys", self.settings),
            ),
        )

    async def submit(self, path: Path, **order: Any) -> str:
        asked = SubmitImport(order=ImportOrder(path=str(path), forced=True, **order), key=f"{path} {order}")
        import_id: str = await self.imports.ask(asked)
        return import_id

    async def until(self, import_id: str, reason: str = "\0") -> ImportStatus:
        """An import that waits for this reason, or that has ended."""
        status: ImportStatus = await self.imports.ask(GetImport(import_id=import_id))
        while status.state in ("running", "waiting") and reason not in status.reason:
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        return status

    async def at(self, gate: Gate) -> None:
        await eventually(gate.reached.is_set, within_s=60.0, what="the gate to be reached")
        # DBG

    def links(self, import_id: str) -> list[Path]:
        return [path for path in self.repository.files_folder(import_id).rglob("*") if path.is_symlink()]


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    found = Lab(tmp_path)

    def delete(*given: Any, **named: Any) -> int:
        found.deletion.pass_through()
        return delete_source(*given, **named)

    monkeypatch.setattr(local_source, "delete_source", delete)
    inspector = await found.node.start_actor("inspector", Inspector)
    await found.start()
    yield found
    found.deletion.opened.set()
    for life in (found.life, inspector):
        await life.stop()
        await life.wait()
    await found.node.close()
    found.repository.close()


def plate_of_two(scope: Path) -> Path:
    """A folder that holds two plates."""
    for name in ("p1", "p2"):
        write_plate(scope / "both" / name, Recipe(name=name, n_rows=1, n_columns=1, n_fields=1, size_px=64))
    return scope / "both"


def second_names(folder: Path, elsewhere: Path) -> Path:
    """Other names of the same files, as another mount of their disk gives them."""
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = elsewhere / file.relative_to(folder)
        name.parent.mkdir(parents=True, exist_ok=True)
        name.hardlink_to(file)
    return elsewhere


@pytest.mark.parametrize("name", ["the source", "a folder in it", "a link to it"])
async def test_what_comes_while_its_source_is_deleted_waits_and_does_not_end_well(lab: Lab, name: str) -> None:
    source = plate_of_two(lab.scope)
    alias = lab.scope / "alias"
    alias.symlink_to(source)
    deleting = await lab.submit(source, delete_source=True, as_files=True)
    await lab.at(lab.deletion)
    path = {"the source": source, "a folder in it": source / "p2", "a link to it": alias}[name]
    linking = await lab.submit(path, mode="in-place", as_files=True)
    status = await lab.until(linking, "is deleting")
    assert (status.state, status.reason) == ("waiting", WAITS)
    lab.deletion.opened.set()
    assert (await lab.until(deleting)).source_deleted
    status = await lab.until(linking)
    assert (status.state, lab.links(linking)) == ("failed", [])
    assert str(path) in status.reason


async def test_what_is_left_of_a_folder_once_a_part_of_it_is_deleted_is_had_in_place(lab: Lab) -> None:
    source = plate_of_two(lab.scope)
    deleting = await lab.submit(source / "p2", delete_source=True, as_files=True)
    await lab.at(lab.deletion)
    linking = await lab.submit(source, mode="in-place", as_files=True)
    assert (await lab.until(linking, "is deleting")).reason == WAITS
    lab.deletion.opened.set()
    assert (await lab.until(deleting)).source_deleted
    status = await lab.until(linking)
    assert status.state == "done", status.reason
    assert lab.links(linking)
    assert all(path.resolve().is_relative_to(source / "p1") and path.exists() for path in lab.links(linking))


async def test_what_shares_files_by_other_names_waits_once_its_files_are_known(lab: Lab) -> None:
    source = plate_of_two(lab.scope)
    elsewhere = second_names(source, lab.scope / "elsewhere")
    deleting = await lab.submit(source, delete_source=True, as_files=True)
    await lab.at(lab.deletion)
    linking = await lab.submit(elsewhere, mode="in-place", as_files=True)
    assert (await lab.until(linking, "is deleting")).reason == WAITS
    lab.deletion.opened.set()
    assert (await lab.until(deleting)).source_deleted
    status = await lab.until(linking)
    assert status.state == "done", status.reason
    assert any("import-0001 was deleting its source" in entry.note for entry in status.history)


@pytest.fixture
def last_look(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Stops the second import that has looked at its source for the last time, before its files are written down."""
    gate, n_looks = Gate(), 0
    digest_of = settling.manifest_digest

    def digest(files: tuple[SourceFile, ...]) -> str:
        nonlocal n_looks
        n_looks += 1
        if n_looks == 2:
            gate.pass_through()
        return digest_of(files)

    monkeypatch.setattr(settling, "manifest_digest", digest)
    yield gate
    gate.opened.set()


async def test_a_deletion_that_begins_between_the_last_look_and_its_record_is_waited_for(
    lab: Lab, last_look: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = plate_of_two(lab.scope)
    elsewhere = second_names(source, lab.scope / "elsewhere")
    certifying, issue = Gate(), LocalProver.issue

    def issue_late(prover: LocalProver, life: ImportLife) -> SignedCertificate:
        certifying.pass_through()
        return issue(prover, life)

    monkeypatch.setattr(LocalProver, "issue", issue_late)
    deleting = await lab.submit(source, delete_source=True, as_files=True)
    await lab.at(certifying)
    linking = await lab.submit(elsewhere, mode="in-place", as_files=True)
    await lab.at(last_look)
    certifying.opened.set()
    # It could not tell that this import has its files, and deletes them.
    await lab.at(lab.deletion)
    last_look.opened.set()
    assert (await lab.until(linking, "is deleting")).reason == WAITS
    lab.deletion.opened.set()
    assert (await lab.until(deleting)).source_deleted
    status = await lab.until(linking)
    assert status.state == "done", status.reason
    assert any("import-0001 was deleting its source" in entry.note for entry in status.history)


async def test_a_source_of_which_an_import_in_place_has_settled_is_not_deleted_and_nobody_waits_for_ever(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = plate_of_two(lab.scope)
    linked = Gate()
    adopt = lab.repository.adopt

    def adopt_late(*given: Any, **named: Any) -> Any:
        linked.pass_through()
        return adopt(*given, **named)

    monkeypatch.setattr(lab.repository, "adopt", adopt_late)
    linking = await lab.submit(source / "p2", mode="in-place", as_files=True)
    await lab.at(linked)
    deleting = await lab.submit(source, delete_source=True, as_files=True)
    status = await lab.until(deleting)
    assert (status.state, status.source_deleted) == ("done", False)
    assert status.deletion_note.startswith(f"the source stays: {linking} has it in place")
    linked.opened.set()
    status = await lab.until(linking)
    assert status.state == "done", status.reason
    assert lab.links(linking)
    assert all(path.exists() for path in lab.links(linking))


async def test_what_lies_beside_a_source_that_is_deleted_does_not_wait(lab: Lab) -> None:
    source = plate_of_two(lab.scope)
    await lab.submit(source / "p1", delete_source=True, as_files=True)
    await lab.at(lab.deletion)
    linking = await lab.submit(source / "p2", mode="in-place", as_files=True)
    status = await lab.until(linking, "is deleting")
    assert status.state == "done", status.reason


async def test_a_mesh_that_ends_while_an_import_waits_for_a_deletion_has_nothing_in_place_that_goes(lab: Lab) -> None:
    source = plate_of_two(lab.scope)
    deleting = await lab.submit(source, delete_source=True, as_files=True)
    await lab.at(lab.deletion)
    linking = await lab.submit(source / "p2", mode="in-place", as_files=True)
    await lab.until(linking, "is deleting")
    stopping = asyncio.gather(lab.life.stop(), lab.life.wait())
    lab.deletion.opened.set()
    await stopping
    await lab.start()
    status = await lab.until(deleting)
    assert status.state == "done"
    # Whether its record was written or not, no file is in place that is not there.
    await lab.until(linking)
    assert all(path.exists() for path in lab.links(linking))


def test_a_source_may_be_being_deleted_from_its_certificate_until_a_record_says_what_became_of_that() -> None:
    order = ImportOrder(path="/in/plate", delete_source=True)
    life = ImportLife(Accepted(import_id="import-0001", at_unix_s=0.0, key="k", order=order))
    told = []
    for record in (
        Entered(import_id="import-0001", at_unix_s=1.0, phase="annotating"),
        Certified(import_id="import-0001", at_unix_s=2.0, path="/repository/certificate.json"),
        Failed(import_id="import-0001", at_unix_s=3.0, reason="given up"),
        Retried(import_id="import-0001", at_unix_s=4.0, by="ada"),
        SourceDeleted(import_id="import-0001", at_unix_s=5.0, n_files=1),
    ):
        life.apply(record)
        told.append(life.may_be_deleting)
    assert told == [False, True, False, True, False]
    uncertified = ImportLife(Accepted(import_id="import-0001", at_unix_s=0.0, key="k", order=order))
    uncertified.apply(Certified(import_id="import-0001", at_unix_s=2.0, note="not certified: it shares a disk"))
    assert not uncertified.may_be_deleting
