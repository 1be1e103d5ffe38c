"""The keys of orders: asking again under one gives the same import or job, to whoever asked first and nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import zmq
from waiting import eventually

from hcs_mesh.actors.analysis import job_records
from hcs_mesh.actors.analysis.job_book import JobBook
from hcs_mesh.actors.errors import KeyTaken
from hcs_mesh.actors.imports.book import ImportBook
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Accepted, Finished, Forgotten, Record, Summary
from hcs_mesh.actors.watching.book import WatchedUnit
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.compute import JobStatus
from hcs_mesh.messages.imports import GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed, Dialer, KeyRing, Principal, Ref, ServerKey, ipc_endpoint, new_pair
from hcs_mesh.transport.messages import Role

pytestmark = pytest.mark.anyio

MESH = new_pair()


class Doorkeeper(ImportPlaces):
    """Looks at an order of eve's folder for as long as it is told to."""

    def __init__(self, data: Path, settings: ImportSettings) -> None:
        super().__init__(data, settings)
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def check(self, order: ImportOrder, asker: Principal, owner: str) -> None:
        super().check(order, asker, owner)
        if order.path.endswith("eves"):
            self.entered.set()
            self.go_on.wait()


class Facility:
    """An import proxy, what a watcher would hand over to it, and people with keys of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unit = WatchedUnit(folder=str(folder / "watched"), unit="plate/", at_unix_s=1.0, step="handing over")
        for name in ("watched/plate", "eves"):
            (folder / name).mkdir(parents=True)
        self.repository = LocalRepository(folder / "data")
        self.node = Node("hub")
        self.imports: Ref = self.node.find("imports")
        self._endpoint = ipc_endpoint(folder, "front")
        self._ring = KeyRing(folder)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._dialers: list[Dialer] = []

    async def up(self) -> None:
        settings = ImportSettings(accounts="off", roots=(RootSettings(path=str(self.folder)),))
        self.places = Doorkeeper(self.folder / "data", settings)
        self.node.listen_front(self._endpoint, MESH, self._ring)
        self.life = await self.node.start_actor(
            "imports",
            lambda: ImportProxy(self.repository, self.folder / "journal", settings, places=self.places),
        )

    async def down(self) -> None:
        for dialer in self._dialers:
            dialer.close()
        await self.life.stop()
        await self.life.wait()
        await self.node.close()
        self._context.term()
        self.repository.close()

    def dial(self, name: str, role: Role) -> Dialer:
        key = new_pair()
        self._ring.allow(Principal(name=name, role=role), key.public)
        server = ServerKey(public=MESH.public)
        dialer = Dialer(self._context, self._endpoint, lambda link, envelope: None, name=name, key=key, server=server)
        self._dialers.append(dialer)
        return dialer

    def submit(self, name: str, key: str, on_behalf_of: str = "") -> SubmitImport:
        return SubmitImport(order=ImportOrder(path=str(self.folder / name)), key=key, on_behalf_of=on_behalf_of)

    async def status(self, import_id: str) -> ImportStatus:
        return await self.imports.ask(GetImport(import_id=import_id))


@pytest.fixture
async def facility(tmp_path: Path) -> AsyncIterator[Facility]:
    found = Facility(tmp_path)
    await found.up()
    yield found
    await found.down()


async def test_a_user_who_guesses_the_key_of_a_watched_unit_keeps_nothing_from_being_imported(
    facility: Facility,
) -> None:
    eve = facility.dial("eve", "user")
    hers = await eve.link.ask("imports", facility.submit("eves", facility.unit.key), timeout_s=30.0)
    handed_over = facility.submit("watched/plate", facility.unit.key, "ada")
    mine = await facility.imports.ask(handed_over)
    assert mine != hers
    status = await facility.status(mine)
    assert (status.owner, status.order.path) == ("ada", str(facility.folder / "watched/plate"))
    # Both may ask again, and each is told of the own one.
    assert await facility.imports.ask(handed_over) == mine
    assert await eve.link.ask("imports", facility.submit("eves", facility.unit.key), timeout_s=30.0) == hers


async def test_an_order_is_not_answered_with_another_asker_s_that_is_looked_at_under_the_same_key(
    facility: Facility,
) -> None:
    eve = facility.dial("eve", "user")
    facility.places.go_on.clear()
    hers = eve.link.ask("imports", facility.submit("eves", facility.unit.key), timeout_s=60.0)
    try:
        await eventually(facility.places.entered.is_set, within_s=60.0, what="her order")
        mine = await facility.imports.ask(facility.submit("watched/plate", facility.unit.key, "ada"), timeout_s=20.0)
    finally:
        facility.places.go_on.set()
    assert await hers != mine
    assert (await facility.status(mine)).owner == "ada"


async def test_two_orders_under_one_key_at_once_are_held_against_each_other(facility: Facility) -> None:
    facility.places.go_on.clear()
    first = asyncio.ensure_future(facility.imports.ask(facility.submit("eves", "k"), timeout_s=60.0))
    try:
        await eventually(facility.places.entered.is_set, within_s=60.0, what="the first order")
        others = [
            asyncio.ensure_future(facility.imports.ask(facility.submit(name, "k"), timeout_s=60.0))
            for name in ("watched/plate", "eves")
        ]
        await asyncio.sleep(0)
    finally:
        facility.places.go_on.set()
    assert await others[1] == await first
    with pytest.raises((KeyTaken, AskFailed), match=f"is that of {await first}"):
        await others[0]


@pytest.mark.parametrize(("name", "owner"), [("eves", "ada"), ("watched/plate", "eve")])
async def test_a_key_of_an_order_is_not_that_of_another_source_or_owner(
    facility: Facility, name: str, owner: str
) -> None:
    pc3 = facility.dial("pc3", "agent")
    first = await pc3.link.ask("imports", facility.submit("watched/plate", "k", "ada"), timeout_s=30.0)
    with pytest.raises(AskFailed, match=f"is that of {first}, which imports .*watched/plate for ada"):
        await pc3.link.ask("imports", facility.submit(name, "k", owner), timeout_s=30.0)


ORDER = ImportOrder(path="/plate")
DONE = ImportStatus(import_id="import-0001", order=ORDER, owner="ada", state="done")


def lived(by: str = "mesh") -> list[Record]:
    return [
        Accepted(import_id="import-0001", at_unix_s=1.0, key="k", order=ORDER, owner="ada", by=by),
        Finished(import_id="import-0001", at_unix_s=2.0, plate_ids=()),
    ]


def test_whose_key_it_was_outlives_the_end_a_checkpoint_and_being_forgotten() -> None:
    for records in (lived()[:1], lived(), [*lived(), Forgotten(import_id="import-0001", at_unix_s=3.0)]):
        book = ImportBook(records)
        for one in (book, ImportBook(book.compacted()), ImportBook(ImportBook(book.compacted()).compacted())):
            assert one.by_key("mesh", "k") == "import-0001"
            assert one.by_key("ada", "k") is one.by_key("", "k") is None


@pytest.mark.parametrize(
    ("record", "whose"),
    [
        (Accepted(import_id="import-0001", at_unix_s=1.0, key="k", order=ORDER, owner="ada"), "ada"),
        (Summary(import_id="import-0001", at_unix_s=1.0, key="k", status=msgspec.msgpack.encode(DONE)), "ada"),
        (Forgotten(import_id="import-0001", at_unix_s=1.0, key="k"), ""),
    ],
)
def test_a_record_from_before_askers_were_noted_is_its_owners_or_nobodys(record: Record, whose: str) -> None:
    old = {name: value for name, value in msgspec.to_builtins(record).items() if name not in ("asker", "by")}
    book = ImportBook([msgspec.convert(old, Record)])
    for one in (book, ImportBook(book.compacted())):
        assert [name for name in ("ada", "eve", "mesh", "") if one.by_key(name, "k")] == [whose] * bool(whose)
        assert one.new_id() == "import-0002"


def test_a_job_s_key_is_its_owner_s_alone() -> None:
    submitted = job_records.Submitted(
        job="job-0001",
        at_unix_s=1.0,
        key="k",
        plate_id=1,
        plate_name="p",
        pipeline="q",
        source="s",
        source_name="s.py",
        owner="ada",
        wells=(),
    )
    ended = job_records.Ended(job="job-0001", at_unix_s=2.0)
    forgotten = job_records.Forgotten(job="job-0001", at_unix_s=3.0)
    for records in ([submitted], [submitted, ended], [submitted, ended, forgotten]):
        book = _jobs(records)
        for one in (book, _jobs(list(book.compacted()))):
            assert (one.by_key("ada", "k"), one.by_key("eve", "k"), one.by_key("", "k")) == ("job-0001", None, None)


def test_a_forgotten_job_of_which_no_owner_was_noted_is_nobody_s() -> None:
    book = _jobs([job_records.Forgotten(job="job-0001", at_unix_s=3.0, key="k")])
    assert [book.by_key(name, "k") for name in ("ada", "mesh", "")] == [None] * 3
    assert book.new_id() == "job-0002"
    status = JobStatus(job="job-0001", plate_id=1, owner="ada", state="done")
    old = job_records.Summary(job="job-0001", at_unix_s=1.0, key="k", status=msgspec.msgpack.encode(status))
    assert (_jobs([old]).by_key("ada", "k"), _jobs([old]).by_key("eve", "k")) == ("job-0001", None)


def _jobs(records: list[job_records.Record]) -> JobBook:
    book = JobBook()
    for record in records:
        book.apply(record)
    return book
