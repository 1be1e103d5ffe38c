"""What a workstation is asked at the last look at its source, and how it looks."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.actors.agents import served_source
from hcs_mesh.actors.agents.folder_agent import FolderAgent
from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.actors.imports import agent_source
from hcs_mesh.actors.imports.agent_source import AgentSource
from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.outline import outline_of
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.records import Accepted
from hcs_mesh.actors.imports.serving_agents import FOLDERS, ServingAgent, ServingAgents
from hcs_mesh.config import ImportSettings, InspectorSettings
from hcs_mesh.messages.agents import AgentOffer, FindChanged
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.plates.certificate import Device
from hcs_mesh.plates.holding import Hold
from hcs_mesh.plates.local import FolderReader, LocalRepository, folder_reader
from hcs_mesh.plates.local.folder_reader import OpenFile
from hcs_mesh.plates.repository import StoredFile, never
from hcs_mesh.plates.served_folders import ServedFolder, ServedFolders
from hcs_mesh.supervisors import Node

pytestmark = pytest.mark.anyio

N_FILES = 5


class Near:
    """A link to a workstation that is in the same process, and what was asked over it."""

    gone = False

    def __init__(self, node: Node) -> None:
        self._node = node
        self.asked: list[FindChanged] = []

    async def ask(self, target: str, request: Any, *, timeout_s: float) -> Any:
        self.asked.append(request)
        return await self._node.find(target).ask(request, timeout_s=timeout_s)


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    folder = tmp_path / "own" / "plate"
    folder.mkdir(parents=True)
    for n in range(N_FILES):
        (folder / f"{n}.tif").write_bytes(os.urandom(4000))
    return folder


@pytest.fixture
def served(tmp_path: Path, plate: Path) -> ServedSource:
    return ServedSource(ServedFolders([ServedFolder(name="own", path=str(plate.parent))]), tmp_path / "agent")


@pytest.fixture
async def link(served: ServedSource) -> AsyncIterator[Near]:
    node = Node("workstation")
    life = await node.start_actor(
        FOLDERS, lambda: FolderAgent(served, inspector=InspectorSettings(), end_inspector=lambda why: None)
    )
    yield Near(node)
    await life.stop()
    await life.wait()
    await node.close()


def held_and_stored(served: ServedSource, plate: Path) -> tuple[Hold, tuple[StoredFile, ...]]:
    """A hold of the plate, and its files as they were stored."""
    held = served.hold("import-0001", "own/plate", served.scan("own/plate").files)
    stored = tuple(
        StoredFile(path=file.path, size=file.size, checksum=hashlib.sha1((plate / file.path).read_bytes()).hexdigest())
        for file in held.files
    )
    return held, stored


async def test_a_workstation_is_asked_after_no_more_files_at_once_than_fit_in_a_message(
    tmp_path: Path, plate: Path, served: ServedSource, link: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_source, "FILES_AT_ONCE", 2)
    held, stored = held_and_stored(served, plate)
    agents = ServingAgents()
    agents.agents["scope"] = ServingAgent("scope", "scope", AgentOffer(folders=()), link=link)
    order = ImportOrder(path="own/plate", agent="scope")
    life = ImportLife(Accepted(import_id=held.import_id, at_unix_s=1.0, key="k", order=order))
    repository = LocalRepository(tmp_path / "mesh")
    source = AgentSource(
        life,
        agents=agents,
        loop=asyncio.get_running_loop(),
        repository=repository.for_import(outline_of(life)),
        places=ImportPlaces(tmp_path / "mesh", ImportSettings(), agents=agents),
        algorithm="sha1",
    )
    others = {stored[0].path, stored[N_FILES - 1].path}
    for name in others:
        (plate / name).write_bytes(os.urandom(4000))
    assert set(await source.changed(held, stored, never, print)) == others
    assert [(len(one.files), len(one.hold.files)) for one in link.asked] == [(2, 2), (2, 2), (1, 1)]
    repository.close()


async def test_what_has_to_be_read_again_is_read_by_one_reader_into_one_buffer(
    plate: Path, served: ServedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, stored = held_and_stored(served, plate)
    readers, buffers = list[FolderReader](), list[memoryview]()

    class Reader(FolderReader):
        def __init__(self, *words: Any) -> None:
            readers.append(self)
            super().__init__(*words)

    class Opened(OpenFile):
        def read_into(self, buffer: memoryview) -> int:
            buffers.append(buffer)
            return super().read_into(buffer)

    monkeypatch.setattr(served_source, "FolderReader", Reader)
    monkeypatch.setattr(folder_reader, "OpenFile", Opened)
    for file in stored:
        (plate / file.path).chmod(0o600)
    assert served.changed(held, stored, Device()) == ()
    assert len(readers) == 1
    assert len(buffers) == 2 * N_FILES
    assert all(one is buffers[0] for one in buffers)
