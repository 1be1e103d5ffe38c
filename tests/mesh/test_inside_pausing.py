"""Whom a console may pause or restart: not those without whom nobody could look, resume or start again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from hcs_mesh.actors.console.control_desk import ControlDesk
from hcs_mesh.actors.console.errors import CannotPause, CannotRestart
from hcs_mesh.actors.nodes.joined_nodes import JoinedNodes
from hcs_mesh.inside import Incidents, MeshInside
from hcs_mesh.layout import DataLayout
from hcs_mesh.messages.control import GetTree
from hcs_mesh.processes import Processes
from hcs_mesh.supervisors import Actor, Node, Supervisor

pytestmark = pytest.mark.anyio


class Idle(Actor[GetTree]):
    """Does nothing."""

    async def receive(self, message: GetTree) -> None:
        """Answer with nothing."""


class Scene(NamedTuple):
    """A small mesh, and what reaches into it."""

    node: Node
    inside: MeshInside


@asynccontextmanager
async def small_mesh(folder: Path) -> AsyncIterator[Scene]:
    node = Node("hub")
    tree = Supervisor(
        "mesh",
        [
            node.actor("control", lambda: ControlDesk(lambda: None, tuple, lambda: None)),  # type: ignore[arg-type,return-value]
            node.actor("console", Idle),
            node.actor("metadata", Idle),
        ],
    )
    await tree.start()
    processes: Processes = None  # type: ignore[assignment]
    try:
        yield Scene(node, MeshInside(node, processes, DataLayout(folder), Incidents(), JoinedNodes(), lambda: tree))
    finally:
        await tree.stop()
        await node.close()


@pytest.mark.parametrize("name", ["control", "console", "mesh"])
async def test_who_is_needed_to_look_and_to_resume_cannot_be_paused(tmp_path: Path, name: str) -> None:
    async with small_mesh(tmp_path) as mesh:
        with pytest.raises(CannotPause, match=f"{name} cannot be paused: ") as refused:
            await mesh.inside.set_paused(name, paused=True)
        assert refused.value.hint
        assert await mesh.node.find("control").ask(GetTree()) == ()


async def test_others_are_paused_and_resumed(tmp_path: Path) -> None:
    async with small_mesh(tmp_path) as mesh:
        await mesh.inside.set_paused("metadata", paused=True)
        assert mesh.node.cells["metadata"].paused
        await mesh.inside.set_paused("metadata", paused=False)
        assert not mesh.node.cells["metadata"].paused


async def test_the_root_is_not_restarted_and_what_restarts_it_is_said(tmp_path: Path) -> None:
    async with small_mesh(tmp_path) as mesh:
        with pytest.raises(CannotRestart, match="mesh cannot be restarted: ") as refused:
            await mesh.inside.restart("mesh")
        assert "hcs-mesh down" in refused.value.hint
        life = mesh.node.cells["metadata"].life
        await mesh.inside.restart("metadata")
        assert mesh.node.cells["metadata"].life is not life
