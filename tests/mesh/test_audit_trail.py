"""The audit trail: who asked for what is durable before it is done, how it ended behind it; and nobody waits for it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from held_disk import HeldDisk
from waiting import eventually

from hcs_mesh.actors.console.audit_trail import AuditTrail
from hcs_mesh.actors.console.auditor import Auditor
from hcs_mesh.actors.console.console_desk import ConsoleDesk
from hcs_mesh.actors.console.control_desk import ControlDesk
from hcs_mesh.actors.nodes.joined_nodes import JoinedNodes
from hcs_mesh.inside import Incidents, MeshInside
from hcs_mesh.layout import DataLayout
from hcs_mesh.messages.console import ListJournals, PauseActor, RestartActor, ResumeActor, TailJournal
from hcs_mesh.messages.control import GetTree, StopMesh
from hcs_mesh.processes import Processes
from hcs_mesh.supervisors import Actor, Node, Supervisor
from hcs_mesh.supervisors.journal import DISK, Disk, check, show
from hcs_mesh.transport import AskFailed, Dialer, KeyRing, Principal, Request, ServerKey, ipc_endpoint, new_pair

pytestmark = pytest.mark.anyio

MESH = new_pair()
SEGMENT_BYTES = 1 << 16
PATIENCE_S = 60.0
LACKING = "the audit trail may lack what was asked"
ENDLESS = "the audit trail may lack how it ended"


class Idle(Actor[GetTree]):
    """Does nothing, and counts its lives."""

    n_lives = 0

    async def started(self) -> None:
        type(self).n_lives += 1

    async def receive(self, message: GetTree) -> None:
        """Answer with nothing."""


class FullDisk(Disk):
    """Has no room while somebody says so."""

    is_full = False

    def write_at(self, descriptor: int, data: bytes, offset: int) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write_at(descriptor, data, offset)


class Hub(NamedTuple):
    """A small mesh with all that keeps its trail, and two administrators."""

    node: Node
    tree: Supervisor
    journal: Path
    people: dict[str, Dialer]
    stop_asked: asyncio.Event

    async def ask(self, actor: str, request: Request[Any], by: str = "ada") -> Any:
        return await self.people[by].link.ask(actor, request, timeout_s=PATIENCE_S)

    async def restart(self, actor: str = "metadata", by: str = "ada") -> None:
        await self.ask("console", RestartActor(actor=actor), by)

    def trail(self) -> list[tuple[Any, ...]]:
        """What the journal says, without the times: who asked for what, and how it ended."""
        return told(self.journal)


def told(journal: Path) -> list[tuple[Any, ...]]:
    lines = []
    for entry in show(journal):
        record = entry["record"]
        assert record["at_unix_s"] > 1.7e9
        names = ("by", "role", "what", "actor") if entry["tag"] == "audit.asked" else ("outcome", "error")
        lines.append((record["number"], *(record[name] for name in names)))
    return lines


@asynccontextmanager
async def small_mesh(
    folder: Path,
    *,
    data: Path | None = None,
    disk: Disk = DISK,
    n_kept: int = 1_000,
    idle: Callable[[], Actor[Any]] = Idle,
) -> AsyncIterator[Hub]:
    node, layout, stop_asked = Node("hub"), DataLayout(data or folder), asyncio.Event()
    trail, journal = AuditTrail(node.find), layout.journal("audit")

    def auditor() -> Auditor:
        return Auditor(journal, n_kept=n_kept, segment_bytes=SEGMENT_BYTES, disk=disk)

    def control() -> ControlDesk:
        return ControlDesk(lambda: None, tuple, stop_asked.set, trail=trail)  # type: ignore[arg-type,return-value]

    processes: Processes = None  # type: ignore[assignment]
    inside = MeshInside(node, processes, layout, Incidents(), JoinedNodes(), lambda: tree)
    tree = Supervisor(
        "mesh",
        [
            Supervisor("trail", [node.actor("audit", auditor, kind=Auditor)], on_exhausted="quarantine"),
            node.actor("control", control, kind=ControlDesk),
            node.actor("console", lambda: ConsoleDesk(inside, trail=trail), kind=ConsoleDesk),
            node.actor("metadata", idle, kind=Idle),
        ],
    )
    await tree.start()
    ring, endpoint = KeyRing(folder / "keys"), ipc_endpoint(folder, "front")
    node.listen_front(endpoint, MESH, ring)
    people: dict[str, Dialer] = {}
    for name in ("ada", "bob"):
        pair = new_pair()
        ring.allow(Principal(name=name, role="administrator"), pair.public)
        server = ServerKey(public=MESH.public)
        people[name] = Dialer(node.context, endpoint, lambda *_: None, name=name, key=pair, server=server)
    try:
        yield Hub(node, tree, journal, people, stop_asked)
    finally:
        for one in people.values():
            one.close()
        await tree.stop()
        await node.close()


async def test_who_asked_for_what_is_written_and_how_it_ended(tmp_path: Path) -> None:
    async with small_mesh(tmp_path) as hub:
        await hub.restart()
        await hub.ask("console", PauseActor(actor="metadata"), "bob")
        await hub.ask("console", ResumeActor(actor="metadata"))
        with pytest.raises(AskFailed, match="audit cannot be paused"):
            await hub.ask("console", PauseActor(actor="audit"))
        assert hub.trail()[:6] == [
            (1, "ada", "administrator", "restart", "metadata"),
            (1, "done", ""),
            (2, "bob", "administrator", "pause", "metadata"),
            (2, "done", ""),
            (3, "ada", "administrator", "resume", "metadata"),
            (3, "done", ""),
        ]
        assert hub.trail()[6] == (4, "ada", "administrator", "pause", "audit")
        number, outcome, error = hub.trail()[7]
        assert (number, outcome) == (4, "failed")
        assert error.startswith("CannotPause: audit cannot be paused")
        assert len(hub.trail()) == 8
        # It is listed and read as every journal is.
        assert await hub.ask("console", ListJournals()) == ("audit",)
        lines = await hub.ask("console", TailJournal(journal="audit", n_records=2))
        assert [one.tag for one in lines] == ["audit.asked", "audit.ended"]
        assert json.loads(lines[0].text)["by"] == "ada"


async def test_nothing_is_done_before_it_is_durable_that_it_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hcs_mesh.actors.console.audit_trail.NOTE_S", PATIENCE_S)
    disk = HeldDisk()
    async with small_mesh(tmp_path, disk=disk) as hub:
        before = Idle.n_lives
        disk.is_free.clear()
        try:
            restarting = asyncio.create_task(hub.restart())
            await eventually(disk.is_waited_for.is_set, what="the record on its way to the disk")
            # The desk answers others meanwhile, and does what only looks.
            assert await hub.ask("console", ListJournals(), "bob") == ("audit",)
            assert Idle.n_lives == before
        finally:
            disk.is_free.set()
        await restarting
        assert Idle.n_lives == before + 1
        assert [line[0] for line in hub.trail()] == [1, 1]


async def test_a_disk_that_does_not_answer_keeps_nobody_from_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hcs_mesh.actors.console.audit_trail.NOTE_S", 0.1)
    disk = HeldDisk()
    async with small_mesh(tmp_path, disk=disk) as hub:
        before = Idle.n_lives
        disk.is_free.clear()
        try:
            await hub.restart()
            await hub.ask("control", StopMesh())
        finally:
            disk.is_free.set()
        assert Idle.n_lives == before + 1
        await hub.stop_asked.wait()
        assert caplog.text.count(LACKING) == 2


async def test_an_act_that_did_not_wait_for_its_record_has_both_once_the_disk_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hcs_mesh.actors.console.audit_trail.NOTE_S", 0.1)
    disk, may_stop = HeldDisk(), asyncio.Event()

    class Slow(Idle):
        async def stopping(self) -> None:
            await may_stop.wait()

    async with small_mesh(tmp_path, disk=disk, idle=Slow) as hub:
        disk.is_free.clear()
        try:
            restarting = asyncio.create_task(hub.restart())
            await eventually(lambda: LACKING in caplog.text, what="the log's word that nobody waited")
            # From here on the disk may take as long as it likes: the end is told to whoever is still writing.
            monkeypatch.setattr("hcs_mesh.actors.console.audit_trail.NOTE_S", PATIENCE_S)
            may_stop.set()
            assert not restarting.done()
        finally:
            disk.is_free.set()
            may_stop.set()
        await restarting
        assert hub.trail() == [(1, "ada", "administrator", "restart", "metadata"), (1, "done", "")]
        assert ENDLESS not in caplog.text


async def test_acts_beside_restarts_of_whoever_keeps_the_trail_stand_in_it_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with small_mesh(tmp_path) as hub:
        for actor in ("audit", "trail") * 5:
            await asyncio.gather(
                *(hub.ask("console", ResumeActor(actor="metadata")) for _ in range(6)),
                hub.restart(actor, "bob"),
                *(hub.ask("console", ResumeActor(actor="metadata")) for _ in range(6)),
            )
        asked = [line[0] for line in hub.trail() if len(line) == 5]
        ended = [line[0] for line in hub.trail() if len(line) == 3]
        assert len(asked) == len(set(asked)) == 10 * 13
        assert sorted(ended) == sorted(asked)
        assert "may lack" not in caplog.text


async def test_a_full_disk_keeps_nobody_from_a_restart_and_the_log_says_what_the_trail_lacks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FullDisk()
    async with small_mesh(tmp_path, disk=disk) as hub:
        before = Idle.n_lives
        disk.is_full = True
        await hub.restart()
        assert Idle.n_lives == before + 1
        (lacking,) = [one for one in caplog.records if LACKING in one.getMessage()]
        assert lacking.levelname == "ERROR"
        fields = vars(lacking)["fields"]
        assert (fields["what"], fields["child"], fields["by"]) == ("restart", "metadata", "ada")
        assert "no room" in fields["reason"]
        disk.is_full = False
        await hub.restart(by="bob")
    assert [line[1:] for line in hub.trail()] == [("bob", "administrator", "restart", "metadata"), ("done", "")]
    assert check(hub.journal)["state"] == "clean"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.needs("root")
async def test_a_mesh_that_starts_on_a_full_disk_keeps_its_trail_as_soon_as_there_is_room(
    tmp_path: Path, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_000_000))
    async with small_mesh(tmp_path, data=small_disk) as hub:
        assert "the audit trail is not kept until there is room" in caplog.text
        before = Idle.n_lives
        await hub.restart()
        assert Idle.n_lives == before + 1
        assert LACKING in caplog.text
        filler.unlink()
        await asyncio.gather(
            hub.restart("metadata"), hub.ask("console", PauseActor(actor="control"), "bob"), return_exceptions=True
        )
        assert sorted(line[0] for line in hub.trail()) == [1, 1, 2, 2]


async def test_a_damaged_trail_keeps_neither_the_mesh_from_its_start_nor_anybody_from_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with small_mesh(tmp_path) as hub:
        await hub.restart()
    (segment,) = hub.journal.glob("*.log")
    segment.write_bytes(b"x" + segment.read_bytes()[1:])
    damaged = segment.read_bytes()
    # While its supervisor tries it again nobody answers; once it is given up who asks is told so at once.
    monkeypatch.setattr("hcs_mesh.actors.console.audit_trail.NOTE_S", 0.1)
    async with small_mesh(tmp_path) as hub:
        before = Idle.n_lives
        await hub.restart()
        assert Idle.n_lives == before + 1
        assert LACKING in caplog.text
    assert segment.read_bytes() == damaged, "it is never guessed over"


async def test_the_newest_records_are_kept_and_numbers_go_on(tmp_path: Path) -> None:
    n_kept = 10
    async with small_mesh(tmp_path, n_kept=n_kept) as hub:
        for _ in range(40):
            await hub.ask("console", ResumeActor(actor="metadata"))
        assert n_kept <= len(hub.trail()) <= 2 * n_kept + 2
        assert [line[0] for line in hub.trail()[-4:]] == [39, 39, 40, 40]
        assert hub.node.cells["audit"].statistics()["records"] == n_kept
    async with small_mesh(tmp_path, n_kept=n_kept) as hub:
        await hub.restart(by="bob")
        assert hub.trail()[-2:] == [(41, "bob", "administrator", "restart", "metadata"), (41, "done", "")]


async def test_of_two_who_ask_at_once_each_has_records_of_their_own(tmp_path: Path) -> None:
    async with small_mesh(tmp_path) as hub:
        asked = [
            (hub.ask("console", PauseActor(actor=actor), by), by)
            for actor, by in (("metadata", "ada"), ("control", "bob"))
        ]
        answers = await asyncio.gather(*(one for one, _ in asked), return_exceptions=True)
        assert answers[0] is None
        assert isinstance(answers[1], AskFailed)
        lines = hub.trail()
        by = {line[1]: line[0] for line in lines if len(line) == 5}
        ends = {line[0]: line[1] for line in lines if len(line) == 3}
        assert sorted(by.values()) == [1, 2]
        assert ends == {by["ada"]: "done", by["bob"]: "failed"}


@pytest.mark.parametrize("actor", ["console", "audit", "trail"])
async def test_the_restart_of_whoever_keeps_the_trail_stands_in_it(tmp_path: Path, actor: str) -> None:
    async with small_mesh(tmp_path) as hub:
        await hub.restart(actor)
        await eventually(
            lambda: hub.trail() == [(1, "ada", "administrator", "restart", actor), (1, "done", "")], what="its end"
        )


async def test_the_end_is_written_although_the_asker_and_the_desk_are_gone_by_then(tmp_path: Path) -> None:
    is_stopping, may_stop = asyncio.Event(), asyncio.Event()

    class Slow(Idle):
        async def stopping(self) -> None:
            is_stopping.set()
            await may_stop.wait()

    async with small_mesh(tmp_path, idle=Slow) as hub:
        restarting = asyncio.create_task(hub.restart())
        await is_stopping.wait()
        restarting.cancel()
        hub.people["ada"].close()
        await hub.restart("console", "bob")
        await eventually(lambda: (2, "done", "") in hub.trail(), what="the end of the desk's restart")
        assert hub.trail()[0] == (1, "ada", "administrator", "restart", "metadata")
        assert (1, "done", "") not in hub.trail()
        may_stop.set()
        await eventually(lambda: (1, "done", "") in hub.trail(), what="the end of what was asked before")


async def test_of_a_stop_of_the_mesh_it_is_written_that_it_was_begun(tmp_path: Path) -> None:
    begun = [(1, "ada", "administrator", "stop", ""), (1, "begun", "")]
    async with small_mesh(tmp_path) as hub:
        await hub.ask("control", StopMesh())
        await hub.stop_asked.wait()
        await eventually(lambda: hub.trail() == begun, what="that it has begun")
        # Whoever embeds the mesh may let it go on: no stop of the auditor alone says that the mesh has stopped.
        await hub.restart("audit", "bob")
        await hub.tree.stop()
        assert hub.trail() == [*begun, (2, "bob", "administrator", "restart", "audit"), (2, "done", "")]


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from hcs_mesh import Actor, Mesh, Request, Settings
from hcs_mesh.config import DeviceSettings
from hcs_mesh.messages.console import PauseActor, RestartActor

class Nothing(Request[None], frozen=True, kw_only=True, tag="audited.nothing"):
    pass

class Deadly(Actor[Nothing]):
    async def receive(self, message: Nothing) -> None:
        return None

    async def stopping(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

async def main() -> None:
    settings = Settings(devices=DeviceSettings(cpu_slots=0, gpu="off"))
    async with Mesh(settings, data=Path(sys.argv[1])).add("deadly", Deadly) as mesh:
        await mesh.ask("console", PauseActor(actor="deadly"))
        await mesh.ask("console", RestartActor(actor="deadly"), timeout_s=60.0)

asyncio.run(main())
"""


@pytest.mark.timeout(120)
def test_of_a_restart_in_which_the_hub_is_killed_it_is_known_that_it_was_asked(tmp_path: Path) -> None:
    hub = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert hub.returncode == -signal.SIGKILL
    assert told(tmp_path / "journal" / "audit") == [
        (1, "mesh", "node", "pause", "deadly"),
        (1, "done", ""),
        (2, "mesh", "node", "restart", "deadly"),
    ]
    words = [sys.executable, "-P", "-m", "hcs_mesh", "journal", "show", "audit", "--data", str(tmp_path)]
    shown = subprocess.run(words, capture_output=True, text=True, check=True)
    (*_, last) = (json.loads(line) for line in shown.stdout.splitlines())
    assert (last["journal"], last["tag"], last["record"]["actor"]) == ("audit", "audit.asked", "deadly")
