"""Questions to the inspector, who dies over some: each is blamed for what it did itself, and for nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hcs_mesh.actors.errors import InspectorKeepsDying
from hcs_mesh.actors.inspection import Inspection
from hcs_mesh.actors.inspector_line import InspectorLine
from hcs_mesh.config import InspectorSettings
from hcs_mesh.messages.imports import PlanSource
from hcs_mesh.plates.planners import Plan
from hcs_mesh.transport import AskTimedOut, PeerGone

pytestmark = pytest.mark.anyio

LIMIT_S = 1.0


class Process:
    """An inspector's process: two threads, which one file can hold, and a death that takes all it was asked with it.

    A path says what reading it does: "/stalls" never ends, "/kills" ends the process, "/takes long" takes most of the
    time that there is.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.busy = asyncio.Event()
        self.n_at_once = 0
        self.most_at_once = 0
        self._reading = asyncio.Lock()
        self._free = asyncio.Event()
        self._free.set()
        self._died = asyncio.Event()

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def find(self, name: str) -> Process:
        assert name == "inspector"
        return self

    def end(self, why: str) -> None:
        """It is killed a moment later, as processes are."""
        asyncio.get_running_loop().call_later(0.05, self._die)

    def _die(self) -> None:
        self._died.set()
        self._died = asyncio.Event()
        self._free.set()

    async def ask(self, question: PlanSource, *, timeout_s: float) -> Plan:
        self.asked.append(question.path)
        self.busy.set()
        self.n_at_once += 1
        self.most_at_once = max(self.most_at_once, self.n_at_once)
        died = asyncio.create_task(self._died.wait())
        read = asyncio.create_task(self._read(question.path))
        try:
            await asyncio.wait({died, read}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if read.done():
                return read.result()
            if died.done():
                raise PeerGone("the inspector has gone")
            raise AskTimedOut(f"no answer within {timeout_s} s")
        finally:
            self.n_at_once -= 1
            died.cancel()
            read.cancel()

    async def _read(self, path: str) -> Plan:
        await self._free.wait()
        if path == "/stalls":
            self._free.clear()
            await asyncio.Event().wait()
        if path == "/kills":
            self._die()
            await asyncio.Event().wait()
        # No sleep of the test's: reading takes its time.
        async with self._reading:
            await asyncio.sleep(0.8 * LIMIT_S if path == "/takes long" else 0.0)
        return Plan(filesets=(), root=path)


class Lab:
    """Two who ask one inspector: imports and watches."""

    def __init__(self) -> None:
        self.process = Process()
        limits, line = InspectorSettings(time_limit_s=LIMIT_S, deaths_per_question=2), InspectorLine()
        process: Any = self.process
        self.imports, self.watches = (Inspection(process, process.end, limits, line) for _ in range(2))

    def ask(self, path: str, asker: str = "anna", *, of: Inspection | None = None) -> asyncio.Task[Plan]:
        say: Callable[[str], None] = lambda reason: None  # noqa: E731
        return asyncio.create_task((of or self.imports).plan(PlanSource(path=path), "import-1", say, asker=asker))


async def test_who_is_asked_while_another_question_stalls_the_inspector_is_answered() -> None:
    lab = Lab()
    evil = lab.ask("/stalls", "eve")
    others = [lab.ask("/plate", "anna"), lab.ask("/watched", "root", of=lab.watches)]
    with pytest.raises(InspectorKeepsDying, match="/stalls took longer than"):
        await evil
    assert [plan.root for plan in await asyncio.gather(*others)] == ["/plate", "/watched"]
    assert lab.process.most_at_once == 1


async def test_who_is_asked_while_another_question_kills_the_inspector_is_answered() -> None:
    lab = Lab()
    evil = [lab.ask("/kills", f"eve{n}") for n in range(3)]
    other = lab.ask("/takes long", "anna", of=lab.watches)
    told = await asyncio.gather(*evil, return_exceptions=True)
    assert [str(one) for one in told] == ["reading /kills ended the reading process 2 times"] * 3
    assert (await other).root == "/takes long"


async def test_the_time_of_a_question_runs_from_when_it_begins() -> None:
    lab = Lab()
    asked = [lab.ask("/takes long", f"user{n}") for n in range(3)]
    assert len(await asyncio.gather(*asked)) == 3


async def test_the_death_that_another_question_was_due_is_not_counted() -> None:
    lab = Lab()
    evil = [lab.ask("/stalls", f"eve{n}") for n in range(2)]
    kills = lab.ask("/kills", "anna")
    told = await asyncio.gather(*evil, kills, return_exceptions=True)
    assert {type(one) for one in told} == {InspectorKeepsDying}
    # Once as it went for the question before, and twice by itself.
    assert lab.process.asked.count("/kills") == 3


async def test_a_question_of_who_has_left_is_ended_before_the_next_begins() -> None:
    lab = Lab()
    left, never = lab.ask("/takes long", "eve"), lab.ask("/plate", "eve")
    other = lab.ask("/takes long", "anna")
    await lab.process.busy.wait()
    left.cancel()
    never.cancel()
    assert (await other).root == "/takes long"
    assert lab.process.most_at_once == 1
    assert lab.process.asked == ["/takes long", "/takes long"]


async def test_many_questions_of_one_are_in_nobodys_way() -> None:
    lab = Lab()
    many = [lab.ask(f"/eve{n}", "eve") for n in range(10)]
    await asyncio.sleep(0)
    other = lab.ask("/plate", "anna")
    await other
    assert lab.process.asked.index("/plate") <= 2
    await asyncio.gather(*many)
