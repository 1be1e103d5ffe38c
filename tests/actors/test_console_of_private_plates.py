"""What the console tells of a mesh whose plates are private: logs and journals are for administrators."""

from pathlib import Path
from typing import Any, cast

import pytest

from hcs_mesh.actors.analysis.job_records import Record
from hcs_mesh.actors.console.console_desk import ConsoleDesk, Inside
from hcs_mesh.messages.console import LogTail, TailJournal, TailLog
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.journal import Journal
from hcs_mesh.transport import AskFailed, Dialer, KeyRing, Principal, ServerKey, ipc_endpoint, new_pair
from hcs_mesh.transport.messages import Role

pytestmark = pytest.mark.anyio

MESH = new_pair()


class Here:
    """A mesh with one journal and an empty log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def elsewhere(self, actor: str) -> None:
        return None

    def journal(self, name: str) -> Path:
        return self._folder / name

    def logs_of(self, actor: str) -> tuple[tuple[Path, str], ...]:
        return ((self._folder / "imports.log", ""),)


async def told(folder: Path, role: Role, *, is_private: bool) -> list[Any]:
    """What a key of this role is answered about the log, the journal of jobs and the audit trail."""
    node, ring, endpoint, pair = Node("hub"), KeyRing(folder / "keys"), ipc_endpoint(folder, "front"), new_pair()
    ring.allow(Principal(name="grace", role=role), pair.public)
    node.listen_front(endpoint, MESH, ring)
    desk = cast(Inside, Here(folder))
    life = await node.start_actor("console", lambda: ConsoleDesk(desk, is_private=is_private))
    server = ServerKey(public=MESH.public)
    dialer = Dialer(node.context, endpoint, lambda *_: None, name="grace", key=pair, server=server)
    answers: list[Any] = []
    try:
        for request in (TailLog(actor="imports"), TailJournal(journal="jobs"), TailJournal(journal="audit")):
            try:
                answers.append(await dialer.link.ask("console", request, timeout_s=60.0))
            except AskFailed as refused:
                answers.append(str(refused))
    finally:
        dialer.close()
        await life.stop()
        await life.wait()
        await node.close()
    return answers


@pytest.mark.parametrize(("role", "is_private"), [("user", False), ("administrator", True)])
async def test_logs_and_journals_are_told(tmp_path: Path, role: Role, is_private: bool) -> None:
    for name in ("jobs", "audit"):
        journal: Journal[Record] = await Journal.open(tmp_path / name, record_type=Record)
        await journal.close()
    log, *journals = await told(tmp_path, role, is_private=is_private)
    assert isinstance(log, LogTail)
    assert journals == [(), ()]


@pytest.mark.parametrize("role", ["user", "agent"])
async def test_where_plates_are_private_logs_and_journals_are_for_administrators(tmp_path: Path, role: Role) -> None:
    for answer in await told(tmp_path, role, is_private=True):
        assert "grace may not read logs and journals" in answer
