"""The last look at a source may have to wait for hours in which it is read: these are no time that it was away."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.agents.folder_agent import FolderAgent
from hcs_mesh.actors.agents.guest_reading import GuestReading
from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.actors.imports import agent_source, last_look, local_source
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.prover import LocalProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.serving_agents import FOLDERS, ServingAgent, ServingAgents
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings, InspectorSettings
from hcs_mesh.config.import_settings import GuestSettings
from hcs_mesh.messages.agents import AgentOffer, LookAtSource
from hcs_mesh.messages.imports import GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.local.errors import SourceFailed
from hcs_mesh.plates.pace_reader import Pace
from hcs_mesh.plates.served_folders import ServedFolder, ServedFolders
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node

pytestmark = pytest.mark.anyio

SETTINGS = ImportSettings(
    settle_s=0.01, pending_patience_s=0.0, first_retry_s=0.01, longest_retry_s=0.05, certify_same_disk=True
)
PATIENCE_S = 0.3
N_LOOKS = 20
"""More looks than there are in that time."""


class Near:
    """A link to a workstation that is in the same process."""

    gone = False

    def __init__(self, node: Node) -> None:
        self._node = node
        self.before: Callable[[Any], None] = lambda request: None

    async def ask(self, target: str, request: Any, *, timeout_s: float) -> Any:
        self.before(request)
        return await self._node.find(target).ask(request, timeout_s=timeout_s)

    def tell(self, target: str, message: Any) -> None:
        self._node.find(target).tell(message)


class Lab:
    """A plate on a workstation and on this host, and hours in which both may be read."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plate = folder / "own" / "plate"
        write_plate(self.plate, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
        self.hub, self.workstation = Node("hub"), Node("workstation")
        self.link: Any = Near(self.workstation)
        self.repository = LocalRepository(folder / "mesh")
        self.is_open, self._folder, self._monkeypatch = True, folder, monkeypatch
        self._naps = threading.Event()
        folders = ServedFolders([ServedFolder(name="own", path=str(self.plate.parent))])
        self.served = ServedSource(folders, folder / "agent")
        self.served.guest = GuestReading(self.pace(folder / "agent"))
        self.agents = ServingAgents()
        self.agents.agents["scope"] = ServingAgent("scope", "scope", AgentOffer(folders=()), link=self.link)
        self.places = ImportPlaces(folder / "mesh", SETTINGS, agents=self.agents)
        self._lives: list[Any] = []

    def pace(self, folder: Path) -> Pace:
        """Open in six hours from now for one hour, in which the clock stands while it is open."""
        opens = datetime.now().astimezone() + timedelta(hours=6)

        def wall_clock() -> datetime:
            return datetime.now().astimezone() + timedelta(hours=6.5 if self.is_open else 0.0)

        hours = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"
        settings = GuestSettings(nice=0, io_class="none", back_off=False, hours=hours)
        return Pace(settings, folder, wall_clock=wall_clock, sleep=lambda wait_s: self._naps.wait(0.01) and None)

    async def up(self) -> None:
        data = self._folder / "mesh"
        prover = LocalProver(self.repository, data, data / "keys", SETTINGS)

        def imports() -> ImportProxy:
            return ImportProxy(self.repository, data / "journal", SETTINGS, places=self.places, prover=prover)

        def agent() -> FolderAgent:
            return FolderAgent(self.served, inspector=InspectorSettings(), end_inspector=lambda why: None)

        for node, name, actor in (
            (self.workstation, "inspector", Inspector),
            (self.workstation, FOLDERS, agent),
            (self.hub, "inspector", Inspector),
            (self.hub, "imports", imports),
        ):
            self._lives.append(await node.start_actor(name, actor))

    async def down(self) -> None:
        for life in reversed(self._lives):
            await life.stop()
            await life.wait()
        await self.hub.close()
        await self.workstation.close()
        self.repository.close()

    def once_it_is_proven(self, change: Callable[[], Any]) -> None:
        register = self.repository.register

        def register_late(*words: Any, **options: Any) -> Any:
            change()
            return register(*words, **options)

        self._monkeypatch.setattr(self.repository, "register", register_late)

    def close(self) -> None:
        """End the hours."""
        self.is_open = False

    def open(self) -> None:
        """Begin the hours, for as long as the last look takes."""
        self._monkeypatch.setattr(last_look, "PATIENCE_S", 3600.0)
        self._monkeypatch.setattr(agent_source, "READ_AGAIN_S", 3600.0)
        self.is_open = True

    def touch(self) -> None:
        """Have the source need another reading."""
        for file in self.plate.rglob("*.TIF"):
            file.chmod(0o600)

    async def hand_over(self, path: str, agent: str = "") -> str:
        order = ImportOrder(path=path, agent=agent)
        found: str = await self.hub.find("imports").ask(SubmitImport(order=order, key=os.urandom(4).hex()))
        return found

    async def until(self, import_id: str, reached: Callable[[ImportStatus], bool], what: str) -> ImportStatus:
        async def look() -> ImportStatus | None:
            status = await self.hub.find("imports").ask(GetImport(import_id=import_id))
            assert status.state != "failed", status.reason
            is_reached = reached(status)
            assert is_reached or status.state != "done", status.certificate_note
            return status if is_reached else None

        return await eventually(look, what=what)

    async def certified(self, import_id: str) -> None:
        status = await self.until(import_id, lambda status: status.state == "done", "the import's end")
        assert status.certificate, status.certificate_note


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.setattr(agent_source, "AGAIN_S", 0.05)
    monkeypatch.setattr(last_look, "PATIENCE_S", PATIENCE_S)
    lab = Lab(tmp_path, monkeypatch)
    await lab.up()
    yield lab
    lab.is_open = True
    await lab.down()


async def test_hours_in_which_a_workstation_reads_nothing_cost_no_certificate(lab: Lab) -> None:
    n_asked = 0

    def count(request: Any) -> None:
        nonlocal n_asked
        n_asked += isinstance(request, LookAtSource) and not lab.is_open

    lab.link.before = count
    lab.once_it_is_proven(lambda: (lab.touch(), lab.close()))
    import_id = await lab.hand_over("own/plate", "scope")
    status = await lab.until(import_id, lambda status: n_asked >= N_LOOKS, "that it is asked for its hours")
    assert "on the workstation sources are read again from" in status.reason
    lab.open()
    await lab.certified(import_id)


async def test_hours_that_end_within_the_reading_of_a_file_cost_no_certificate_either(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_source, "READ_AGAIN_S", 2.0)
    n_asked, look = 0, lab.served.changed

    def count(request: Any) -> None:
        nonlocal n_asked
        n_asked += isinstance(request, LookAtSource) and not lab.is_open

    def look_until_it_is_closed(*words: Any, **named: Any) -> tuple[str, ...]:
        # The reading waits where it stands, and who has asked for it hears nothing.
        lab.is_open = lab.is_open and not (named.get("reads") and n_asked == 0)
        return look(*words, **named)

    monkeypatch.setattr(lab.served, "changed", look_until_it_is_closed)
    lab.link.before = count
    lab.once_it_is_proven(lab.touch)
    import_id = await lab.hand_over("own/plate", "scope")
    status = await lab.until(import_id, lambda status: n_asked >= N_LOOKS, "that it is asked for its hours")
    assert "on the workstation sources are read again from" in status.reason
    lab.open()
    await lab.certified(import_id)


async def test_hours_in_which_this_host_reads_nothing_cost_no_certificate_when_its_disk_fails_then(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_looks, look = 0, local_source.changed_since_held

    def look_once_it_is_well(*words: Any) -> tuple[str, ...]:
        nonlocal n_looks
        n_looks += 1
        if n_looks < N_LOOKS:
            raise SourceFailed("the disk fails for a while")
        return look(*words)

    monkeypatch.setattr(local_source, "changed_since_held", look_once_it_is_well)
    lab.places._pace = lab.pace(lab.plate)
    lab.once_it_is_proven(lab.close)
    await lab.certified(await lab.hand_over(str(lab.plate)))
