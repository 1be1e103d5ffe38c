"""An import in place is a guest as any other: both times that it reads the files it keeps to the hours."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import GuestSettings
from hcs_mesh.messages.imports import GetImport, ImportOrder, ImportPhase, ImportStatus, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.pace_reader import Pace
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import Ref

pytestmark = pytest.mark.anyio

HOURS = GuestSettings(nice=0, io_class="none", back_off=False, hours="18:00-07:00")


class PatientRepository(LocalRepository):
    """A repository that verifies when it is told to."""

    asked: threading.Event
    may_verify: threading.Event
    on_first_bytes: Callable[[], None] | None = None

    def verify(self, *given: Any, **named: Any) -> None:
        self.asked.set()
        assert self.may_verify.wait(60.0)
        on_bytes = named.pop("on_bytes")

        def told(n_bytes: int) -> None:
            if self.on_first_bytes is not None:
                self.on_first_bytes()
                self.on_first_bytes = None
            on_bytes(n_bytes)

        super().verify(*given, on_bytes=told, **named)


class Place:
    """A mesh that imports in place, at an hour that the test says."""

    hour = 12

    def __init__(self, folder: Path) -> None:
        self.source = folder / "plate"
        self.source.mkdir()
        for n in range(3):
            (self.source / f"{n}.bin").write_bytes(bytes(1 << 16))
        self.repository = PatientRepository(folder / "data")
        self.repository.asked, self.repository.may_verify = threading.Event(), threading.Event()
        self.places = ImportPlaces(folder / "data", ImportSettings())
        self.ended = threading.Event()
        self.places._pace = Pace(
            HOURS,
            folder / "data",
            wall_clock=lambda: datetime(2026, 11, 21, self.hour, tzinfo=UTC),
            sleep=self._nap,
        )
        self.node = Node("hub")
        self.imports: Ref = self.node.find("imports")

    def _nap(self, _: float) -> None:
        self.ended.wait(0.01)

    async def status(self) -> ImportStatus:
        status: ImportStatus = await self.imports.ask(GetImport(import_id="import-0001"))
        return status

    async def waits_for_its_hours(self, phase: ImportPhase) -> ImportStatus:
        async def waits() -> ImportStatus | None:
            status = await self.status()
            return status if status.phase == phase and "from 18:00" in status.reason else None

        found: ImportStatus = await eventually(waits, 60.0, what=f"an import that waits for its hours while {phase}")
        return found

    async def done(self) -> None:
        async def is_done() -> bool:
            return (await self.status()).state == "done"

        await eventually(is_done, 60.0, what="the import that is done")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    found = Place(tmp_path)
    await found.node.start_actor("inspector", Inspector)
    life = await found.node.start_actor(
        "imports",
        lambda: ImportProxy(found.repository, tmp_path / "journal", ImportSettings(settle_s=0.01), places=found.places),
    )
    yield found
    found.hour = 18
    found.repository.may_verify.set()
    await life.stop()
    await life.wait()
    await found.node.close()
    found.repository.close()


async def test_files_in_place_are_read_and_verified_in_the_hours_alone(place: Place) -> None:
    order = ImportOrder(path=str(place.source), as_files=True, mode="in-place")
    assert await place.imports.ask(SubmitImport(order=order, key="one")) == "import-0001"
    assert (await place.waits_for_its_hours("transferring")).n_bytes_done == 0
    assert not list((place.repository.files_folder("import-0001")).glob("*.bin"))

    place.hour = 18
    await eventually(place.repository.asked.is_set, 60.0, what="the verification")
    place.hour = 12
    place.repository.may_verify.set()
    assert (await place.waits_for_its_hours("verifying")).n_bytes_done == 0

    place.hour = 18
    await place.done()


async def test_a_large_file_in_place_is_not_verified_on_once_its_hours_are_over(place: Place) -> None:
    for n in range(3):
        (place.source / f"{n}.bin").unlink()
    (place.source / "large.bin").write_bytes(bytes(24 << 20))
    place.hour = 18
    place.repository.on_first_bytes = lambda: setattr(place, "hour", 12)
    place.repository.may_verify.set()
    order = ImportOrder(path=str(place.source), as_files=True, mode="in-place")
    assert await place.imports.ask(SubmitImport(order=order, key="one")) == "import-0001"
    status = await place.waits_for_its_hours("verifying")
    assert status.n_bytes_done < status.n_bytes
    place.hour = 18
    await place.done()
