"""An agent is a guest on its workstation: it keeps its hours and its limit, stands back, and makes way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.actors.agents.folder_agent import FolderAgent
from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.actors.errors import OutOfHours
from hcs_mesh.actors.imports.agent_line import AgentLine
from hcs_mesh.actors.imports.agent_reader import AgentReader
from hcs_mesh.actors.imports.serving_agents import FOLDERS, ServingAgent
from hcs_mesh.config import InspectorSettings
from hcs_mesh.config.import_settings import GuestSettings
from hcs_mesh.messages.agents import AgentOffer, CompareFiles, FindChanged, LookAtSource, OpenFile, ReadChunk, SumChunk
from hcs_mesh.plates.certificate import Device
from hcs_mesh.plates.holding import Hold
from hcs_mesh.plates.local import folder_reader
from hcs_mesh.plates.pace import MIB, Traffic
from hcs_mesh.plates.pace_reader import Pace
from hcs_mesh.plates.pace_traffic import TrafficWatch
from hcs_mesh.plates.repository import StoredFile, never
from hcs_mesh.plates.served_folders import ServedFolder, ServedFolders
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed

pytestmark = pytest.mark.anyio

N_BYTES = 12 * MIB
"""More than is asked for ahead of what is wanted."""
HOURS = GuestSettings(nice=0, io_class="none", back_off=False, hours="18:00-07:00")


class Workstation:
    """A folder with one file, a clock that goes on only while somebody waits, and who else writes there."""

    def __init__(self, folder: Path) -> None:
        self.plate = folder / "own" / "plate"
        self.plate.mkdir(parents=True)
        self.file = self.plate / "A01.tif"
        self.file.write_bytes(os.urandom(N_BYTES))
        self.agent_folder = folder / "agent"
        self.agent_folder.mkdir()
        self.now_s = 100.0
        self.today = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.foreign_rate = 0.0

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s
        self.today += timedelta(seconds=wait_s)

    def served(self, settings: GuestSettings) -> ServedSource:
        station = self

        class Watch(TrafficWatch):
            def look(self, duration_s: float, own_bytes: int) -> Traffic:
                return Traffic(duration_s, station.foreign_rate * duration_s, own_bytes, 5.0)

        pace = Pace(
            settings,
            self.agent_folder,
            clock=lambda: self.now_s,
            wall_clock=lambda: self.today,
            sleep=self.sleep,
            watch=Watch,
            kept=self.agent_folder / "guest-rate",
        )
        folders = ServedFolders([ServedFolder(name="own", path=str(self.plate.parent))])
        return ServedSource(folders, self.agent_folder, pace)

    @asynccontextmanager
    async def agent(self, settings: GuestSettings) -> AsyncIterator[tuple[Node, ServedSource]]:
        node, served = Node("workstation"), self.served(settings)
        life = await node.start_actor(
            FOLDERS, lambda: FolderAgent(served, inspector=InspectorSettings(), end_inspector=lambda why: None)
        )
        try:
            yield node, served
        finally:
            await life.stop()
            await life.wait()
            await node.close()

    def held_and_stored(self, served: ServedSource) -> tuple[Hold, StoredFile]:
        held = served.hold("import-0001", "own/plate", served.scan("own/plate").files)
        checksum = hashlib.sha1(self.file.read_bytes()).hexdigest()
        return held, StoredFile(path="A01.tif", size=N_BYTES, checksum=checksum)

    def question(self) -> OpenFile:
        return OpenFile(
            import_id="import-0001",
            root=str(self.plate),
            path="A01.tif",
            staging="",
            held=None,
            n_bytes=0,
            algorithm="sha1",
        )


class Near:
    """A link to a workstation that is in the same process."""

    gone = False

    def __init__(self, node: Node) -> None:
        self._node = node

    async def ask(self, target: str, request: Any, *, timeout_s: float) -> Any:
        return await self._node.find(target).ask(request, timeout_s=timeout_s)

    def tell(self, target: str, message: Any) -> None:
        self._node.find(target).tell(message)


@pytest.fixture
def station(tmp_path: Path) -> Workstation:
    return Workstation(tmp_path)


async def apart(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def test_outside_a_workstations_hours_an_import_reads_nothing_and_keeps_nobody_waiting(
    station: Workstation,
) -> None:
    async with station.agent(HOURS) as (node, _):
        agent: Any = ServingAgent("scope", "scope", AgentOffer(folders=()), link=Near(node))  # type: ignore[arg-type]
        line = AgentLine(agent, asyncio.get_running_loop())
        reader = AgentReader(
            line,
            import_id="import-0001",
            root=str(station.plate),
            held=None,
            algorithm="sha1",
            begun=lambda path: station.agent_folder / "none",
            cancelled=never,
        )
        with pytest.raises(OutOfHours, match="from 18:00 on"):
            await apart(lambda: reader.open("A01.tif"))
        station.today = station.today.replace(hour=18)
        opened = await apart(lambda: reader.open("A01.tif"))
        buffer = memoryview(bytearray(MIB))
        n_read = await apart(lambda: opened.read_into(buffer))

        def read() -> None:
            nonlocal n_read
            while more := opened.read_into(buffer):
                n_read += more

        station.today += timedelta(hours=14)
        with pytest.raises(OutOfHours, match="from 18:00 on"):
            await apart(read)
        assert n_read < N_BYTES
        station.today += timedelta(hours=10)
        with closing(opened):
            await apart(read)
        assert n_read == N_BYTES


async def test_who_asks_whether_a_workstation_reads_is_told_its_hours_and_who_only_looks_is_not(
    station: Workstation,
) -> None:
    async with station.agent(HOURS) as (node, _):
        folders = node.find(FOLDERS)
        assert await folders.ask(LookAtSource(path="own/plate")) == str(station.plate)
        with pytest.raises(AskFailed, match="from 18:00 on"):
            await folders.ask(LookAtSource(path="own/plate", reads=True))
        station.today = station.today.replace(hour=18)
        assert await folders.ask(LookAtSource(path="own/plate", reads=True)) == str(station.plate)


async def test_all_that_an_agent_reads_keeps_to_its_limit(station: Workstation) -> None:
    limit = GuestSettings(nice=0, io_class="none", back_off=False, limit_mib_s=2.0)
    async with station.agent(limit) as (node, served):
        folders = node.find(FOLDERS)
        opened = await folders.ask(station.question())
        began_s = station.now_s
        for offset in range(0, N_BYTES, MIB):
            await folders.ask(SumChunk(handle=opened.handle, offset=offset, n_bytes=MIB))
        assert station.now_s - began_s == pytest.approx(N_BYTES / MIB / 2.0, rel=0.1)

        held, stored = station.held_and_stored(served)
        compare = CompareFiles(import_id="import-0002", root=str(station.plate), files=(stored,), staging="", held=())
        began_s = station.now_s
        assert await folders.ask(compare) == ()
        assert station.now_s - began_s == pytest.approx(N_BYTES / MIB / 2.0, rel=0.1)

        station.file.chmod(0o600)
        began_s = station.now_s
        assert await folders.ask(FindChanged(hold=held, files=(stored,), device=Device())) == ()
        assert station.now_s - began_s == pytest.approx(N_BYTES / MIB / 2.0, rel=0.1)


async def test_what_is_to_be_read_again_outside_the_hours_is_refused_with_them(station: Workstation) -> None:
    async with station.agent(HOURS) as (node, served):
        held, stored = station.held_and_stored(served)
        station.file.chmod(0o600)
        with pytest.raises(AskFailed, match="from 18:00 on") as told:
            await node.find(FOLDERS).ask(FindChanged(hold=held, files=(stored,), device=Device()))
        assert told.value.failure.kind == "OutOfHours"


async def test_an_agent_makes_way_for_who_writes_to_the_disk_it_serves_and_says_so(station: Workstation) -> None:
    station.foreign_rate = 80.0 * MIB
    async with station.agent(GuestSettings(nice=0, io_class="none")) as (node, _):
        folders = node.find(FOLDERS)
        opened = await folders.ask(station.question())
        for _ in range(4):
            station.now_s += 0.5
            await folders.ask(SumChunk(handle=opened.handle, offset=0, n_bytes=MIB))
        assert str(node.cells[FOLDERS].statistics()["slow"]).startswith("making way for somebody else who writes")


async def test_an_agent_learns_how_fast_it_sends_with_nobody_else_writing_and_its_next_life_knows_it(
    station: Workstation,
) -> None:
    guest = GuestSettings(nice=0, io_class="none", least_share=0.25)

    async def slow(n_chunks: int) -> str:
        async with station.agent(guest) as (node, _):
            folders = node.find(FOLDERS)
            opened = await folders.ask(station.question())
            for n in range(n_chunks):
                # Two MiB in half a second; what it sums up for itself is not sent, and could be read from memory.
                station.now_s += 0.25
                await folders.ask(ReadChunk(handle=opened.handle, offset=n % 12 * MIB, n_bytes=MIB))
                await folders.ask(SumChunk(handle=opened.handle, offset=0, n_bytes=MIB))
            station.foreign_rate = 80.0 * MIB
            for _ in range(2):
                station.now_s += 0.5
                await folders.ask(SumChunk(handle=opened.handle, offset=0, n_bytes=MIB))
            station.foreign_rate = 0.0
            return str(node.cells[FOLDERS].statistics()["slow"])

    assert await slow(0) == "making way for somebody else who writes: reading 33 MiB/s"
    station.now_s += 60.0
    assert await slow(80) == "making way for somebody else who writes: reading 1 MiB/s"
    assert await slow(0) == "making way for somebody else who writes: reading 1 MiB/s"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="priorities belong to threads on Linux alone")
async def test_the_threads_that_read_for_an_agent_stand_back(
    station: Workstation, monkeypatch: pytest.MonkeyPatch
) -> None:
    nice: list[int] = []

    class Opened(folder_reader.OpenFile):
        def read_into(self, buffer: memoryview) -> int:
            nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return super().read_into(buffer)

    monkeypatch.setattr(folder_reader, "OpenFile", Opened)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    async with station.agent(GuestSettings(nice=19, io_class="none", back_off=False)) as (node, _):
        opened = await node.find(FOLDERS).ask(station.question())
        await node.find(FOLDERS).ask(SumChunk(handle=opened.handle, offset=0, n_bytes=MIB))
    assert set(nice) == {19}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
