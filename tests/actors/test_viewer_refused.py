"""A viewer that has followed outlasts refusals of its key; one that is refused to begin with ends in words."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from hcs_mesh.messages.frames import Fact, Frame, PlaneUnreadable
from hcs_mesh.messages.viewing import Contents, Subject
from hcs_mesh.transport import KeyPair, KeyRefused, Principal, new_pair
from hcs_mesh.viewers import follower
from hcs_mesh.viewers.follower import Follower

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "REFUSED_EVERY_S", 0.2)


class Notes:
    """A screen that keeps how often it began, and what was said of the mesh."""

    def __init__(self) -> None:
        self.n_begun = 0
        self.states: list[str] = []

    def begin(self, contents: Contents) -> None:
        self.n_begun += 1

    def plane(self, frame: Frame, pixels: Any) -> None: ...

    def unreadable(self, report: PlaneUnreadable) -> None: ...

    def fact(self, fact: Fact, *, n_waiting: int) -> None: ...

    def state(self, text: str) -> None:
        self.states.append(text)

    def said(self, what: str) -> bool:
        return any(what in state for state in self.states)


@asynccontextmanager
async def following(mesh: Any, key: KeyPair) -> AsyncIterator[tuple[Notes, asyncio.Task[None]]]:
    notes, context = Notes(), zmq.Context()
    dial = functools.partial(mesh.dial, context, key=key)
    task = asyncio.create_task(Follower(dial, notes, kind="recorder", subject=Subject(plate_id=1)).run())
    try:
        yield notes, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        context.term()


async def test_a_viewer_whose_key_is_shut_out_follows_again_afterwards(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh:
        anna = mesh.let_in("anna")
        async with following(mesh, anna) as (notes, _):
            await streaming.until(lambda: notes.n_begun == 1, 30)
            mesh.ring.shut_out(anna.public)
            await streaming.until(lambda: notes.said("for a while"), 30)
            mesh.ring.let_in_again(anna.public)
            await streaming.until(lambda: notes.n_begun == 2, 30)


async def test_a_viewer_that_is_held_off_from_the_beginning_follows_as_soon_as_it_is_let_in(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path) as mesh:
        anna = mesh.let_in("anna")
        mesh.ring.shut_out(anna.public)
        async with following(mesh, anna) as (notes, _):
            await streaming.until(lambda: notes.said("for a while"), 30)
            mesh.ring.let_in_again(anna.public)
            await streaming.until(lambda: notes.n_begun == 1, 30)


async def test_a_viewer_whose_key_was_taken_away_follows_again_when_it_is_given_back(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path) as mesh:
        anna = mesh.let_in("anna")
        async with following(mesh, anna) as (notes, _):
            await streaming.until(lambda: notes.n_begun == 1, 30)
            mesh.ring.revoke("anna")
            await streaming.until(lambda: notes.said("refused the handshake"), 30)
            mesh.ring.allow(Principal(name="anna", role="viewer"), anna.public)
            await streaming.until(lambda: notes.n_begun == 2, 30)


async def test_a_viewer_whose_key_is_on_no_list_ends_at_once(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, new_pair()) as (_, task):
        with pytest.raises(KeyRefused, match="do not match"):
            await asyncio.wait_for(task, 30)
