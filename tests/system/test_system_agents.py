"""Workstations that serve folders to a mesh elsewhere: over TCP and CURVE, in processes of their own where one dies."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from free_ports import free_port
from waiting import eventually

from hcs_mesh import Client, Mesh, Settings
from hcs_mesh.actors.agents import served_file
from hcs_mesh.actors.agents.desk import AgentDesk
from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.actors.imports import agent_line, agent_reader
from hcs_mesh.config import ConfigError, DeviceSettings, GuestSettings, ImportSettings, MeshError
from hcs_mesh.config.settings import FrontSettings
from hcs_mesh.folder_node import FolderNode
from hcs_mesh.layout import DataLayout
from hcs_mesh.messages.agents import AgentInfo, Chunk, ListAgents, ScanFolder
from hcs_mesh.messages.imports import ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.holding import HeldFile, Hold
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.local.errors import BadName
from hcs_mesh.plates.served_folders import NotServed, ServedFolder, ServedFolders
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.transport import (
    AskFailed,
    KeyRing,
    MeshCard,
    PeerGone,
    Principal,
    load_or_create_pair,
    new_pair,
)

T = TypeVar("T")

MIB = 1 << 20
NO_DEVICES = DeviceSettings(cpu_slots=0, gpu="off")
QUICK = ImportSettings(settle_s=0.05, first_retry_s=0.05, certify_same_disk=True)
HELD = HeldFile(path="x", guarantee="hard link", size=1, mtime_ns=0, inode=0)
N_RATES = N_TRIES = 5
RECIPE = Recipe(name="Agents", n_rows=1, n_columns=2, n_fields=1, size_px=128)

pytestmark = pytest.mark.timeout(240)


class Place(NamedTuple):
    """A mesh that listens, and what a workstation needs to reach it."""

    mesh: Mesh
    card: MeshCard
    folder: Path

    def key(self, name: str, role: Any) -> Path:
        file = self.folder / f"{name}.secret"
        pair = load_or_create_pair(file)
        KeyRing(DataLayout(self.mesh.data).allowed_keys).allow(Principal(name=name, role=role), pair.public)
        return file

    def agent(self, name: str, **how: Any) -> FolderNode:
        served = ServedFolder(name="plates", path=str(self.folder / how.pop("serve", "served")))
        return FolderNode(
            Settings(devices=NO_DEVICES, guest=how.pop("guest", GuestSettings(back_off=False))),
            data=self.folder / how.pop("data", f"{name}-data"),
            card=self.card,
            key=self.key(name, how.pop("role", "agent")),
            serve=(served,),
            **how,
        )

    async def agents(self) -> dict[str, AgentInfo]:
        return {one.name: one for one in await self.mesh.ask("agents", ListAgents())}

    async def ended(self, order: ImportOrder) -> ImportStatus:
        import_id = await self.mesh.submit_order(order)
        async for status in self.mesh.follow_import(import_id):
            last = status
        return last

    def same(self, status: ImportStatus, source: Path) -> bool:
        stored = DataLayout(self.mesh.data).data / "repository" / "imports" / status.import_id / "files"
        return digests(stored) == digests(source)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    (folder / "served").mkdir()
    port = free_port()
    settings = Settings(
        devices=NO_DEVICES,
        front=FrontSettings(tcp_host="127.0.0.1", tcp_port=port),
        imports=QUICK,
        guest=GuestSettings(back_off=False),
    )
    async with Mesh(settings, data=folder / "mesh") as mesh:
        public = load_or_create_pair(DataLayout(mesh.data).mesh_secret).public
        yield Place(mesh, MeshCard(address=f"127.0.0.1:{port}", public=public), folder)


def test_an_agent_that_may_delete_no_more_keeps_the_source_and_the_import_is_done(tmp_path: Path) -> None:
    async def program() -> None:
        async with place(tmp_path) as there:
            source = tmp_path / "served" / "plate"
            write_plate(source, RECIPE)
            before = digests(source)
            async with there.agent("scope", may_delete=True):
                await eventually(lambda: _here(there, "scope"), what="the agent")
            # It is away, and believed for now.
            import_id = await there.mesh.submit_order(
                ImportOrder(path="plates/plate", agent="scope", delete_source=True)
            )
            async with there.agent("scope"):
                async for status in there.mesh.follow_import(import_id):
                    last = status
            assert (last.state, last.reason, last.source_deleted) == ("done", "", False)
            assert any("the source stays: this workstation's agent deletes nothing" in e.note for e in last.history)
            assert digests(source) == before

    asyncio.run(program())


def test_a_source_that_its_workstation_serves_no_more_stays_and_the_import_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifying, started_anew, verify = threading.Event(), threading.Event(), LocalRepository.verify

    def verify_late(*words: Any, **options: Any) -> None:
        verifying.set()
        assert started_anew.wait(60.0)
        verify(*words, **options)

    monkeypatch.setattr(LocalRepository, "verify", verify_late)

    async def program() -> None:
        async with place(tmp_path) as there:
            source = tmp_path / "served" / "plate"
            write_plate(source, RECIPE)
            before = digests(source)
            (tmp_path / "others").mkdir()
            async with there.agent("scope", may_delete=True):
                await eventually(lambda: _here(there, "scope"), within_s=30.0, what="the agent")
                import_id = await there.mesh.submit_order(
                    ImportOrder(path="plates/plate", agent="scope", delete_source=True)
                )
                await eventually(verifying.is_set, within_s=60.0, what="the verification")
            async with there.agent("scope", may_delete=True, serve="others"):
                await eventually(lambda: _here(there, "scope"), within_s=30.0, what="the agent")
                started_anew.set()
                async for status in there.mesh.follow_import(import_id):
                    last = status
            assert (last.state, last.reason, last.source_deleted) == ("done", "", False)
            # What nobody may look at any more may have changed since it was read.
            assert not last.certificate
            assert "is not known" in last.certificate_note
            assert "is not served by" in last.certificate_note
            assert "the source stays:" in last.deletion_note
            assert digests(source) == before

    asyncio.run(program())


def test_a_source_to_which_files_come_on_its_workstation_stays_and_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, verify = tmp_path / "served" / "plate", LocalRepository.verify

    def verify_late(*words: Any, **options: Any) -> None:
        (source / "late.TIF").write_bytes(b"late")
        verify(*words, **options)

    monkeypatch.setattr(LocalRepository, "verify", verify_late)

    async def program() -> None:
        async with place(tmp_path) as there:
            write_plate(source, RECIPE)
            before = digests(source)
            async with there.agent("scope", may_delete=True):
                await eventually(lambda: _here(there, "scope"), within_s=30.0, what="the agent")
                last = await there.ended(ImportOrder(path="plates/plate", agent="scope", delete_source=True))
            assert (last.state, last.reason, last.source_deleted) == ("done", "", False)
            assert last.certificate
            assert "the source stays: 1 file came or grew after it had settled: late.TIF" in last.deletion_note
            assert "--delete-source --agent scope plates/plate imports" in last.deletion_note
            assert before.items() < digests(source).items()

    asyncio.run(program())


def test_a_card_that_leads_to_no_mesh_binds_an_agent_to_none(tmp_path: Path) -> None:
    async def program() -> None:
        async with place(tmp_path) as there:
            mistyped = there._replace(card=MeshCard(address=there.card.address, public=new_pair().public))
            with pytest.raises(MeshError):
                await mistyped.agent("scope").__aenter__()
            async with there.agent("scope"):
                await eventually(lambda: _here(there, "scope"), within_s=30.0, what="the agent")
            with pytest.raises(ConfigError, match="an agent of another mesh"):
                await mistyped.agent("scope").__aenter__()

    asyncio.run(program())


def test_an_agent_lets_go_of_what_is_held_for_imports_that_are_over_and_for_no_others(tmp_path: Path) -> None:
    async def program() -> None:
        async with place(tmp_path) as there:
            plate = tmp_path / "served" / "plate"
            write_plate(plate, RECIPE)
            async with there.agent("scope"):
                await eventually(lambda: _here(there, "scope"), what="the agent")
                over = (await there.ended(ImportOrder(path="plates/plate", agent="scope"))).import_id
            agent = there.agent("scope")
            served = ServedFolders([ServedFolder(name="plates", path=str(tmp_path / "served"))])
            source = ServedSource(served, agent.data)
            # As where its disk was away at the end, and as a journal knew that was lost.
            held, unknown = (
                Path(source.hold(import_id, str(plate), source.scan("plates/plate").files).staging)
                for import_id in (over, "import-0099")
            )
            assert held.is_dir()
            async with agent:
                await eventually(lambda: _here(there, "scope"), what="the agent")
                assert not held.exists()
                assert unknown.is_dir()

    asyncio.run(program())


def test_a_plate_of_a_workstation_is_imported_byte_for_byte_and_certified(tmp_path: Path) -> None:
    async def program() -> None:
        async with place(tmp_path) as there:
            source = tmp_path / "served" / "one" / "plate"
            write_plate(source, RECIPE)
            async with there.agent("scope", users=("eva",)):
                await eventually(lambda: _here(there, "scope"), what="the agent")
                order = ImportOrder(path="plates/one/plate", agent="scope")
                preview = await there.mesh.preview_import(order)
                assert preview.plan.n_files == len(digests(source))
                status = await there.ended(order)
                assert (status.state, status.reason) == ("done", "")
                assert status.held == "hard link"
                assert there.same(status, source)
                assert '"scope"' in Path(status.certificate).read_text()  # noqa: ASYNC240
                held = list((tmp_path / "served").rglob(".hcs-mesh-held/*/import-*"))
                assert held == [], "nothing is held once it is done"

                for key, role, allowed in (("eva", "user", True), ("ida", "user", False)):
                    async with Client.to(there.card, key=there.key(key, role)) as client:
                        again = ImportOrder(path=str(source), agent="scope", forced=True)
                        if allowed:
                            assert await client.submit_order(again)
                        else:
                            with pytest.raises(MeshError, match="ida may not import from the workstation scope"):
                                await client.submit_order(again)
                for refused, why in (
                    (ImportOrder(path="plates/one/plate", agent="scope", delete_source=True), "deletes nothing"),
                    (ImportOrder(path="plates/one/plate", agent="scope", mode="in-place"), "in place"),
                    (ImportOrder(path="plates/one/plate", agent="nobody"), "no workstation 'nobody'"),
                ):
                    with pytest.raises(MeshError, match=why):
                        await there.mesh.submit_order(refused)
            assert (await there.agents())["scope"].away_because == "it was stopped"

    asyncio.run(program())


async def _here(there: Place, name: str) -> bool:
    known = await there.agents()
    return name in known and known[name].here


def test_what_lies_outside_of_the_served_folders_cannot_be_named(tmp_path: Path) -> None:
    async def program() -> None:
        async with place(tmp_path) as there:
            write_plate(tmp_path / "secret", RECIPE)
            served = tmp_path / "served"
            write_plate(served / "plate", RECIPE)
            (served / "way-out").symlink_to(tmp_path / "secret")
            image = next((served / "plate").rglob("*.TIF"))
            image.unlink()
            secret = next((tmp_path / "secret").rglob("*.TIF"))
            secret.write_bytes(secret.read_bytes() + b"secret")
            image.symlink_to(secret)
            with pytest.raises(MeshError, match="OfferFolders is not for eve"):
                await there.agent("eve", role="user").__aenter__()
            async with there.agent("scope"):
                await eventually(lambda: _here(there, "scope"), what="the agent")
                for path in (
                    str(tmp_path / "secret"),
                    "/etc/passwd",
                    "plates/../secret",
                    f"{served}/../secret",
                    "plates/way-out",
                    str(served / "way-out"),
                    "other/plate",
                    "../secret",
                    "",
                ):
                    with pytest.raises(MeshError, match="is not served by this workstation"):
                        await there.mesh.submit_order(ImportOrder(path=path, agent="scope"))
                status = await there.ended(ImportOrder(path="plates/plate", agent="scope", ended=True))
                stored = digests(DataLayout(there.mesh.data).data / "repository")
                assert digests(tmp_path / "secret")[str(secret.relative_to(tmp_path / "secret"))] not in stored.values()
                assert status.n_files < 5
                # What the agent answers is asked for over its own connection only.
                async with Client.to(there.card, key=there.key("ida", "administrator")) as client:
                    with pytest.raises(MeshError, match="no actor 'folders'"):
                        await client.ask("folders", ScanFolder(path="plates/plate"))
            source = ServedSource(ServedFolders([ServedFolder(name="plates", path=str(served))]), tmp_path / "data")
            named = str(image.relative_to(served))
            for open_it in (
                lambda: source.open("import-1", str(served), named, "", None),
                lambda: source.open("import-1", str(tmp_path / "secret"), secret.name, "", None),
                lambda: source.open("import-1", str(served), "../secret/x", "", None),
                lambda: source.open("import-1", str(served), "x", str(tmp_path / "secret"), HELD),
                lambda: source.release(Hold(import_id="secret", source=str(served), staging=str(tmp_path / "secret"))),
            ):
                with pytest.raises((NotServed, BadName)):
                    open_it()
            assert (tmp_path / "secret").exists()

    asyncio.run(program())


@pytest.mark.parametrize("limits", [{"exclude": ("scratch",)}, {"depth": 2}])
def test_what_is_excluded_or_too_deep_is_not_looked_at_on_a_workstation_either(
    tmp_path: Path, limits: dict[str, Any]
) -> None:
    plate = tmp_path / "served" / "plate"
    write_plate(tmp_path / "plate", RECIPE)
    scratch = tmp_path / "plate" / "scratch" / "deeper"
    scratch.mkdir(parents=True)
    Path(os.fsdecode(bytes(scratch) + b"/no text \xff.tmp")).touch()

    async def program() -> None:
        async with place(tmp_path) as there, there.agent("scope"):
            await eventually(lambda: _here(there, "scope"), what="the agent")
            shutil.move(tmp_path / "plate", plate)
            order = ImportOrder(path="plates/plate", agent="scope", ended=True, **limits)
            status = await there.ended(order)
            assert (status.state, status.reason) == ("done", "")
            shutil.rmtree(plate / "scratch")
            assert there.same(status, plate)

    asyncio.run(program())


def test_bytes_that_arrive_changed_are_found_by_their_chunk_or_by_their_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = served_file.ServedFile.read
    planted: list[str] = []

    def changed(data: bytes) -> bytes:
        return data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]

    def read(self: served_file.ServedFile, offset: int, n_bytes: int) -> Chunk:
        chunk = honest(self, offset, n_bytes)
        if offset == MIB and "chunk" not in planted:
            planted.append("chunk")
            return Chunk(data=changed(chunk.data), crc32c=chunk.crc32c)
        if offset == 2 * MIB and "seen" not in planted:
            # Asked for ahead, and dropped with the damaged one before it.
            planted.append("seen")
        elif offset == 2 * MIB and "whole" not in planted:
            planted.append("whole")
            wrong = changed(chunk.data)
            return Chunk(data=wrong, crc32c=served_file.google_crc32c.value(wrong))
        return chunk

    monkeypatch.setattr(served_file.ServedFile, "read", read)

    async def program() -> None:
        async with place(tmp_path) as there, there.agent("scope"):
            source = tmp_path / "served" / "big"
            source.mkdir()
            (source / "image.czi").write_bytes(os.urandom(3 * MIB + 4321))
            await eventually(lambda: _here(there, "scope"), what="the agent")
            status = await there.ended(ImportOrder(path="plates/big", agent="scope", as_files=True))
            assert status.state == "done"
            assert there.same(status, source)
            assert planted == ["chunk", "seen", "whole"]
            told = [entry.note for entry in status.history if "are not what the workstation has read" in entry.note]
            assert len(told) == 1, "the whole file's checksum found what its chunk's did not"

    asyncio.run(program())


def test_a_certified_source_is_deleted_by_an_agent_that_may(tmp_path: Path) -> None:
    async def program() -> None:
        async with place(tmp_path) as there, there.agent("scope", may_delete=True, label="left"):
            source = tmp_path / "served" / "plate"
            write_plate(source, RECIPE)
            await eventually(lambda: _here(there, "scope/left"), what="the agent")
            order = ImportOrder(path="plates/plate", agent="scope/left", delete_source=True)
            status = await there.ended(order)
            assert status.state == "done"
            assert status.source_deleted
            assert not source.exists()

    asyncio.run(program())


def test_an_import_waits_for_its_workstation_however_long_and_goes_on_at_its_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_line, "PATIENCE_S", 0.2)
    n_bytes = 6 * MIB + 55

    async def program() -> None:
        async with place(tmp_path) as there:
            source = tmp_path / "served" / "big"
            source.mkdir()
            (source / "image.czi").write_bytes(os.urandom(n_bytes))
            async with there.agent("scope", limit_mib_s=2.0):
                await eventually(lambda: _here(there, "scope"), what="the agent")
                order = ImportOrder(path="plates/big", agent="scope", as_files=True)
                import_id = await there.mesh.submit_order(order)
                part = there.mesh.data / "repository" / "imports" / import_id / "files" / "image.czi.part"
                await eventually(lambda: part.exists() and part.stat().st_size >= MIB, what="the first bytes")

            async def waits() -> bool:
                status = await there.mesh.get_import(import_id)
                return status.reason == "waiting: workstation scope is away (it was stopped)"

            await eventually(waits, what="the import's saying so")
            n_there = part.stat().st_size
            assert 0 < n_there < n_bytes
            async with there.agent("scope") as agent:
                async for status in there.mesh.follow_import(import_id):
                    last = status
                assert last.state == "done"
                assert there.same(last, source)
                told = await agent.inspect("folders")
                assert ("bytes_sent", n_bytes - n_there) in [(one.name, one.value) for one in told.statistics]

    asyncio.run(program())


def test_of_two_agents_that_come_at_once_one_is_taken_and_the_other_ends_and_gets_none_of_its_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, in_the_middle, both = AgentDesk._sweep, [], asyncio.Event()

    async def sweep(self: AgentDesk, agent: Any, link: Any) -> None:
        # Both have been found to be alone by now.
        in_the_middle.append(link)
        if len(in_the_middle) == 2:
            both.set()
        await both.wait()
        await honest(self, agent, link)

    monkeypatch.setattr(AgentDesk, "_sweep", sweep)

    async def program() -> None:
        for served in ("served1", "served2"):
            write_plate(tmp_path / served / "plate", Recipe(name=served, n_rows=1, n_columns=1, n_fields=1, size_px=64))
        async with place(tmp_path) as there:

            def made(number: int) -> FolderNode:
                return there.agent("scope", data=f"data{number}", serve=f"served{number}")

            agents = {number: made(number) for number in (1, 2)}
            await asyncio.gather(*(one.__aenter__() for one in agents.values()))
            ends = {number: asyncio.create_task(one.wait()) for number, one in agents.items()}
            await asyncio.wait(ends.values(), return_when=asyncio.FIRST_COMPLETED)
            (second,) = (number for number, end in ends.items() if end.done())
            first = 3 - second
            with pytest.raises(AskFailed, match="an agent scope is there already"):
                ends[second].result()
            await asyncio.gather(*(one.__aexit__(None, None, None) for one in agents.values()))
            ends[first].cancel()

            # Accepted for the one that is away: the other does not get it.
            import_id = await there.mesh.submit_order(ImportOrder(path="plates/plate", agent="scope"))
            with pytest.raises(AskFailed, match=f"imports wait for the agent scope as it was on .*: {import_id}"):
                await made(second).__aenter__()
            async with made(first):
                async for status in there.mesh.follow_import(import_id):
                    last = status
                assert last.state == "done"
                assert there.same(last, tmp_path / f"served{first}" / "plate")
            # Nothing waits for it any more.
            async with made(second):
                await eventually(lambda: _here(there, "scope"), what="the other agent")

    asyncio.run(program())


# -- in processes of their own, of which one is killed ------------------------------------------


class Program:
    """The command line in processes of its own; each is ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.started: list[subprocess.Popen[str]] = []
        self.n_orders = 0
        self.environment = {
            **os.environ,
            "HCS_MESH_DATA": str(folder / "mesh"),
            "HCS_MESH__DEVICES__CPU_SLOTS": "0",
            "HCS_MESH__DEVICES__GPU": '"off"',
            "HCS_MESH__IMPORTS__SETTLE_S": "0.05",
            "HCS_MESH__GUEST__BACK_OFF": "false",
        }

    def __call__(self, *words: object) -> Any:
        done = subprocess.run(self._argv(*words), env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1])

    def start(self, *words: object, told: str) -> subprocess.Popen[str]:
        """Start what runs until it is ended, and wait until it says so."""
        process = subprocess.Popen(
            self._argv(*words), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.started.append(process)
        assert process.stdout is not None
        assert any(told in line for line in process.stdout), f"{words[0]} has ended"
        return process

    def up(self) -> subprocess.Popen[str]:
        return self.start("up", "--quiet", "--listen", f"127.0.0.1:{self.port}", told='"actors"')

    def agent(self, limit_mib_s: float) -> subprocess.Popen[str]:
        return self.start(
            *("agent", "--quiet", "--mesh", self.folder / "card.toml", "--key", self.folder / "scope.secret"),
            *("--serve", f"plates={self.folder / 'served'}", "--data", self.folder / "agent"),
            *("--limit-mib-s", limit_mib_s),
            told='"folders"',
        )

    def ask(self, what: Callable[[Client], Awaitable[T]], folder: str = "mesh") -> T:
        """What may be asked again is asked until it is answered: who stood still for long is hung up on."""

        async def dialled() -> T:
            async with Client.at(self.folder / folder) as client:
                return await what(client)

        for _ in range(N_TRIES - 1):
            with suppress(PeerGone):
                return asyncio.run(dialled())
        return asyncio.run(dialled())

    def n_sent(self) -> int:
        told = self.ask(lambda agent: agent.inspect("folders"), "agent")
        return next(int(one.value) for one in told.statistics if one.name == "bytes_sent")

    def is_here(self) -> bool:
        # Before it has offered anything the mesh knows of none.
        return any(agent.here for agent in self.ask(lambda mesh: mesh.ask("agents", ListAgents())))

    def import_it(self) -> str:
        order = ImportOrder(path="plates/big", agent="scope", as_files=True, forced=True)
        self.n_orders += 1
        submit = SubmitImport(order=order, key=f"order {self.n_orders}")
        return self.ask(lambda mesh: mesh.ask("imports", submit))

    def done(self, import_id: str) -> bool:
        return self.status(import_id).state == "done"

    def status(self, import_id: str) -> ImportStatus:
        return self.ask(lambda mesh: mesh.get_import(import_id))

    def rate_mib_s(self, import_id: str, n_bytes: int) -> float:
        """At what rate the bytes of an import came."""
        at = {entry.phase: entry.at_unix_s for entry in reversed(self.status(import_id).history)}
        return n_bytes / MIB / (at["verifying"] - at["transferring"])

    def _argv(self, *words: object) -> list[str]:
        return [sys.executable, "-P", "-m", "hcs_mesh", *map(str, words), "--json"]


@contextmanager
def programs(folder: Path) -> Iterator[Program]:
    program = Program(folder)
    try:
        yield program
    finally:
        for process in reversed(program.started):
            process.terminate()
        for process in program.started:
            process.wait(60)
            assert process.stdout is not None
            process.stdout.close()


def until(condition: Callable[[], Any], within_s: float = 90.0) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s
        time.sleep(0.02)


def test_a_transfer_keeps_to_its_limit_and_outlives_agent_and_mesh_without_a_byte_sent_twice(tmp_path: Path) -> None:
    # So slow that there is time to kill somebody in the middle of it.
    limit_mib_s, n_bytes = 5.0, 20 * MIB + 777
    source = tmp_path / "served" / "big" / "image.czi"
    source.parent.mkdir(parents=True)
    source.write_bytes(os.urandom(n_bytes))
    with programs(tmp_path) as program:
        mesh = program.up()
        card = program("keys", "card")
        (tmp_path / "card.toml").write_text(f"address = '{card['address']}'\npublic = '{card['public']}'\n")
        program("keys", "new", "scope", "--role", "agent", "--out", tmp_path / "scope.secret")
        agent = program.agent(limit_mib_s)
        until(program.is_here)

        # Nobody dies: the limit holds, and is reached unless the computer stands still meanwhile.
        rates_mib_s: list[float] = []
        while max(rates_mib_s, default=0.0) <= 0.8 * limit_mib_s and len(rates_mib_s) < N_RATES:
            first = program.import_it()
            until(lambda first=first: program.done(first))  # type: ignore[misc]
            rates_mib_s.append(program.rate_mib_s(first, n_bytes))
            assert program.n_sent() == n_bytes * len(rates_mib_s)
        assert 0.8 * limit_mib_s < max(rates_mib_s) < 1.2 * limit_mib_s, rates_mib_s

        # The agent dies in the middle of the file.
        second = program.import_it()
        part = _stored(tmp_path, second).with_name("image.czi.part")
        until(lambda: part.exists() and part.stat().st_size > 4 * MIB)
        agent.send_signal(signal.SIGKILL)
        agent.wait(60)
        # Until then what had come may still be written.
        until(lambda: "workstation scope is away" in program.status(second).reason)
        there = part.stat().st_size
        assert there < n_bytes
        program.agent(limit_mib_s)
        until(lambda: program.done(second))
        assert program.n_sent() == n_bytes - there
        assert _stored(tmp_path, second).read_bytes() == source.read_bytes()

        # The mesh dies in the middle of the file.
        before = program.n_sent()
        third = program.import_it()
        part = _stored(tmp_path, third).with_name("image.czi.part")
        until(lambda: part.exists() and part.stat().st_size > 4 * MIB)
        mesh.send_signal(signal.SIGKILL)
        mesh.wait(60)
        program.up()
        until(lambda: program.done(third))
        sent_twice = program.n_sent() - before - n_bytes
        assert 0 <= sent_twice <= (agent_reader.N_AHEAD + 1) * MIB, "at most what was on its way"
        assert _stored(tmp_path, third).read_bytes() == source.read_bytes()


def _stored(folder: Path, import_id: str) -> Path:
    return folder / "mesh" / "repository" / "imports" / import_id / "files" / "image.czi"
