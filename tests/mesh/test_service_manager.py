"""What the service manager is told, and when it is not."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import eventually

from hcs_mesh.config import MeshError
from hcs_mesh.messages.control import MeshStatus
from hcs_mesh.service_manager import ServiceManager

pytestmark = pytest.mark.anyio

STATUS = MeshStatus(
    version="1",
    pid=1,
    data="/d",
    endpoints=(),
    started_at_unix_s=1.0,
    repository="local",
    n_actors=3,
    n_processes=2,
    n_restarts=0,
)


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._told: list[str] = []

    @property
    def told(self) -> list[str]:
        while True:
            try:
                self._told += self.socket.recv(65_536).decode().split("\n")
            except BlockingIOError:
                return self._told


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@hcs-mesh-test-{os.getpid()}"


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    found = Manager(address)
    yield found
    found.socket.close()


async def test_it_hears_that_we_are_up_and_then_that_we_live(manager: Manager, address: str) -> None:
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    ours = ServiceManager.of_this_process(environment)
    assert environment == {"HOME": "/"}
    assert ours.watchdog_s == 0.04
    answers = True

    async def ask() -> MeshStatus:
        if not answers:
            raise MeshError("nobody is in")
        return STATUS

    watching = asyncio.create_task(ours.watch(ask))
    await eventually(lambda: manager.told.count("WATCHDOG=1") >= 3)
    assert manager.told[0] == "READY=1"
    assert "STATUS=up: 3 actors, 2 processes, 0 restarts" in manager.told
    answers = False
    await eventually(lambda: manager.told[-2:] == ["STATUS=does not answer itself"] * 2)
    n_fed = manager.told.count("WATCHDOG=1")
    answers = True
    await eventually(lambda: manager.told.count("WATCHDOG=1") > n_fed)
    watching.cancel()


async def test_a_mesh_that_is_silent_does_not_feed_the_watchdog(manager: Manager, address: str) -> None:
    ours = ServiceManager(address, watchdog_s=0.04)

    async def ask() -> MeshStatus:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    watching = asyncio.create_task(ours.watch(ask))
    await eventually(lambda: manager.told.count("STATUS=does not answer itself") >= 2)
    assert "WATCHDOG=1" not in manager.told
    watching.cancel()


def test_a_watchdog_that_is_meant_for_another_process_is_none_of_ours(address: str) -> None:
    assert ServiceManager.of_this_process({"WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}).watchdog_s == 0
    assert ServiceManager.of_this_process({"WATCHDOG_USEC": "40000"}).watchdog_s == 0.04


async def test_a_manager_that_is_gone_or_was_never_there_harms_nobody(tmp_path: Path) -> None:
    ServiceManager(str(tmp_path / "nobody")).tell("READY=1")
    ServiceManager().tell("READY=1")

    async def ask() -> MeshStatus:
        raise AssertionError("nobody asks")

    await ServiceManager().watch(ask)
