"""Who starts a mesh in a process of its own: one that has said what it is is up, and a lasting refusal is told."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.actors.console.control_desk import ControlDesk
from hcs_mesh.command_line import background
from hcs_mesh.command_line.background import Started
from hcs_mesh.command_line.errors import CommandFailed
from hcs_mesh.config import MeshError
from hcs_mesh.messages.control import ActorRow, MeshStatus
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import (
    ActorGivenUp,
    AskTimedOut,
    KeyRing,
    Principal,
    ServerKey,
    ipc_endpoint,
    load_or_create_pair,
    new_pair,
)
from hcs_mesh.transport.whereabouts import OWNER, DataLock, Whereabouts, owner_secret, publish

pytestmark = pytest.mark.anyio

BOUND = 65_536
STATUS = MeshStatus(
    version="0",
    pid=os.getpid(),
    data="",
    endpoints=(),
    started_at_unix_s=0.0,
    repository="",
    n_actors=1,
    n_processes=0,
    n_restarts=0,
)
ROW = ActorRow(name="control", parent="", kind="actor", pid=None, state="running")


class Process:
    """The process that was started: this one."""

    def __init__(self) -> None:
        self.pid, self.returncode, self.is_ended = os.getpid(), 0, False

    def poll(self) -> None:
        """Say that it has not ended."""

    def terminate(self) -> None:
        self.is_ended = True


def given(answer: Any) -> Callable[[], Any]:
    """What gives this, or raises it."""

    def give() -> Any:
        if isinstance(answer, MeshError):
            raise answer
        return answer

    return give


@asynccontextmanager
async def up(data: Path, status: Any, rows: Any) -> AsyncIterator[None]:
    """A mesh that answers with these, and whose messages hold no more than ``BOUND``."""
    lock = DataLock(data)
    owner, server = load_or_create_pair(owner_secret(data)), new_pair()
    ring = KeyRing(data / "allowed")
    ring.allow(Principal(name=OWNER, role="administrator"), owner.public)
    front = ipc_endpoint(data, "front")
    node = Node("hub")
    life = await node.start_actor("control", lambda: ControlDesk(given(status), given(rows), lambda: None))
    node.listen_front(front, server, ring, max_message_bytes=BOUND)
    public = ServerKey(public=server.public).public
    publish(data, Whereabouts(pid=os.getpid(), endpoints=(front,), public_key=public))
    try:
        yield
    finally:
        await life.stop()
        await life.wait()
        await node.close()
        lock.release()


async def answering(process: Process, data: Path) -> Started:
    return await background._answering(process, data, io.BytesIO(), data / "hub.out")  # type: ignore[arg-type]


async def test_a_mesh_that_answers_is_told_with_what_runs_in_it(tmp_path: Path) -> None:
    async with up(tmp_path, STATUS, (ROW,)):
        assert await answering(Process(), tmp_path) == Started(STATUS, (ROW,))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ((ROW,) * (BOUND // 100), "a message holds at most"),
        (AskTimedOut("no answer in time"), "no answer in time"),
        (ActorGivenUp("it was set aside"), "it was set aside"),
    ],
    ids=["too large", "no answer", "given up"],
)
async def test_a_mesh_that_cannot_say_what_runs_in_it_is_up_all_the_same(tmp_path: Path, rows: Any, why: str) -> None:
    process = Process()
    async with up(tmp_path, STATUS, rows):
        started = await answering(process, tmp_path)
    assert (started.status, started.rows) == (STATUS, ())
    assert why in started.untold
    assert not process.is_ended


async def test_a_mesh_that_will_never_say_what_it_is_is_stopped_at_once_and_its_reason_told(tmp_path: Path) -> None:
    process = Process()
    refusal = ActorGivenUp("control was set aside", hint="hcs-mesh restart control")
    async with up(tmp_path, refusal, (ROW,)):
        with pytest.raises(CommandFailed, match="was stopped: control was set aside") as told:
            await answering(process, tmp_path)
    assert told.value.hint == refusal.hint
    assert process.is_ended


async def test_who_was_waited_for_in_vain_is_stopped_with_what_it_said_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process()
    monkeypatch.setattr(background, "START_S", 0.0)
    async with up(tmp_path, AskTimedOut("GetStatus to control: no answer in time"), ()):
        with pytest.raises(CommandFailed, match="was stopped: GetStatus to control: no answer in time"):
            await answering(process, tmp_path)
    assert process.is_ended
