"""What an author writes who has read nothing but the example of how an actor looks, and nothing else.

Its names are a sketch. Here an actor's place in the tree is ``node.actor(name, make)``, which gives it its mailbox and
its address, and ``Child`` is whatever else a supervisor starts: a coroutine function that returns what runs.
"""

import asyncio
from typing import Any, Protocol, assert_never

import msgspec
import pytest

from hcs_mesh.supervisors import Actor, Child, Deferred, Exit, Node, RestartIntensity, Strategy, Supervisor
from hcs_mesh.transport import Event, Request

pytestmark = pytest.mark.anyio


class Plate(msgspec.Struct, frozen=True):
    """What stands for a plate."""

    id: int
    name: str


class PlateSource(Protocol):
    """What holds the plates."""

    async def plate(self, plate_id: int) -> Plate: ...


class GetPlate(Request[Plate], frozen=True, kw_only=True, tag="sketch.get_plate"):
    """Ask what a plate holds, without its pixels."""

    plate_id: int


class PlateLoaded(Event, frozen=True, kw_only=True, tag="sketch.plate_loaded"):
    """A plate has come from the repository."""

    plate: Plate


class ForgetPlate(Event, frozen=True, kw_only=True, tag="sketch.forget_plate"):
    """A plate is not what it was."""

    plate_id: int


Inbox = GetPlate | PlateLoaded | ForgetPlate


class MetadataCache(Actor[Inbox]):
    """Answers for plate structure, asking the repository once per plate."""

    def __init__(self, repository: PlateSource) -> None:
        self._repository = repository
        self._plates: dict[int, Plate] = {}

    async def receive(self, message: Inbox) -> Plate | Deferred[Plate] | None:
        match message:
            case GetPlate(plate_id=plate_id):
                # A query takes seconds: deferred, so that nobody else waits behind it.
                return self._plates.get(plate_id) or self.defer_once(plate_id, self._load)
            case PlateLoaded(plate=plate):
                self._plates[plate.id] = plate
            case ForgetPlate(plate_id=plate_id):
                self._plates.pop(plate_id, None)
            case _:
                assert_never(message)
        return None

    async def _load(self, plate_id: int) -> Plate:
        plate = await self._repository.plate(plate_id)
        self.context.me.tell(PlateLoaded(plate=plate))
        return plate


class Repository:
    """Answers once it may, and counts."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.may_answer = asyncio.Event()

    async def plate(self, plate_id: int) -> Plate:
        self.asked.append(plate_id)
        await self.may_answer.wait()
        return Plate(plate_id, f"plate {plate_id}")


class Executor:
    """What stands for a process: a child is whatever starts something that can be waited for and stopped."""

    kind = "process"
    pid = 4711

    def __init__(self) -> None:
        self.over: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def wait(self) -> Exit:
        return await asyncio.shield(self.over)

    async def stop(self) -> None:
        self.over.set_result(Exit(reason="shutdown"))

    async def kill(self) -> None:
        self.over.set_result(Exit(reason="killed"))

    def statistics(self) -> dict[str, Any]:
        return {}


async def executor() -> Executor:
    return Executor()


def gpu_host(node: Node, repository: PlateSource) -> Supervisor:
    """What runs beside the data. Branches fail alone: a bad analysis never stops an import."""
    return Supervisor(
        name="host",
        strategy=Strategy.ONE_FOR_ONE,
        children=[
            node.actor("metadata", lambda: MetadataCache(repository)),
            # A running import cannot be cut short without leaving half a plate.
            Supervisor(name="imports", children=[Child("proxy", executor, shutdown_s=120.0)]),
            Supervisor(
                name="executors",
                # A CUDA process takes seconds to come up: count its deaths over minutes.
                intensity=RestartIntensity(max_restarts=5, window_s=300.0),
                children=[Child(f"executor.cuda{n}", executor, kind="process") for n in range(2)],
            ),
        ],
    )


async def test_what_the_example_shows_is_all_that_an_author_needs() -> None:
    repository, node = Repository(), Node("host")
    host = gpu_host(node, repository)
    await host.start()
    metadata = node.find("metadata")
    asking = [asyncio.ensure_future(metadata.ask(GetPlate(plate_id=7))) for _ in range(3)]
    other = asyncio.ensure_future(metadata.ask(GetPlate(plate_id=8)))
    await asyncio.sleep(0)
    repository.may_answer.set()
    assert await asyncio.gather(*asking) == [Plate(7, "plate 7")] * 3
    assert await other == Plate(8, "plate 8")
    assert repository.asked == [7, 8], "the repository is asked once per plate"
    metadata.tell(ForgetPlate(plate_id=7))
    assert await metadata.ask(GetPlate(plate_id=7)) == Plate(7, "plate 7")
    assert await metadata.ask(GetPlate(plate_id=8)) == Plate(8, "plate 8")
    assert repository.asked == [7, 8, 7]
    await host.stop()
    await node.close()
