"""However long the words of a peer are: whoever asks is answered, and what is told of a failure stays short."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from waiting import eventually

from hcs_mesh.config.bounded_text import LONGEST_KEPT, LONGEST_TOLD, LONGEST_TRACEBACK, bounded, traced
from hcs_mesh.config.errors import MeshError
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.supervisors.life import Life
from hcs_mesh.transport import (
    ActorUnknown,
    AskFailed,
    BadMessage,
    Event,
    Failure,
    Link,
    PeerGone,
    Ping,
    Request,
    Role,
    ipc_endpoint,
)
from hcs_mesh.transport.codec import encode
from hcs_mesh.transport.failures import exception_of, failure_of

pytestmark = pytest.mark.anyio

SMALLEST = 4_096
"""The smallest bound on a message that settings allow."""
BOUND = 200_000


class Look(Request[str], frozen=True, kw_only=True, tag="long_words.look"):
    """Be told that there is no such name."""

    audience: ClassVar[Role | None] = "viewer"
    name: str
    later: bool = False


class Tell(Request[str], frozen=True, kw_only=True, tag="long_words.tell"):
    """Be told a name so often."""

    times: int
    later: bool = False


class Break(Request[None], frozen=True, kw_only=True, tag="long_words.break"):
    """Meet a fault that repeats the name."""

    name: str
    later: bool = False


class Pointed(Event, frozen=True, kw_only=True, tag="long_words.pointed"):
    """Said, and wants no answer."""


class Catalogue(Actor[Look | Tell | Break | Pointed]):
    """Repeats what it is asked."""

    async def receive(self, message: Look | Tell | Break | Pointed) -> Any:
        match message:
            case Look(name=name, later=later):
                return self.defer(self._look(name)) if later else await self._look(name)
            case Tell(times=times, later=later):
                return self.defer(self._tell(times)) if later else await self._tell(times)
            case Break(name=name, later=later):
                return self.defer(self._break(name)) if later else await self._break(name)
        return None

    async def _look(self, name: str) -> str:
        raise MeshError(f"there is nothing named {name}", hint=f"ask for something that is not {name}")

    async def _tell(self, times: int) -> str:
        return "x" * times

    async def _break(self, name: str) -> None:
        try:
            raise KeyError(name)
        except KeyError as error:
            raise ZeroDivisionError(f"divided by {name}") from error


@asynccontextmanager
async def asking(folder: Path, bound: int) -> AsyncIterator[tuple[Link, Life, Node]]:
    """A link to a node with a catalogue, its life, and the node."""
    endpoint = ipc_endpoint(folder, "inner")
    hub, child = Node("hub"), Node("child")
    hub.listen_inner(endpoint, max_message_bytes=bound)
    life = await hub.start_actor("catalogue", Catalogue)
    try:
        yield child.dial_parent(endpoint, max_message_bytes=bound).link, life, hub
    finally:
        await life.stop()
        await life.wait()
        await child.close()
        await hub.close()


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("bound", [SMALLEST, BOUND])
async def test_a_refusal_that_repeats_what_fills_a_message_is_told_and_ends_nobody(
    tmp_path: Path, bound: int, later: bool
) -> None:
    async with asking(tmp_path, bound) as (link, life, hub):
        with pytest.raises(AskFailed, match="there is nothing named xxx") as refused:
            await link.ask("catalogue", Look(name="x" * (bound - 200), later=later), timeout_s=20.0)
        assert len(str(refused.value)) <= LONGEST_TOLD
        assert len(refused.value.hint) <= LONGEST_TOLD
        assert hub.cells["catalogue"].life is life


@pytest.mark.parametrize("later", [False, True])
async def test_an_answer_that_cannot_travel_is_told_and_ends_nobody(tmp_path: Path, later: bool) -> None:
    async with asking(tmp_path, SMALLEST) as (link, life, hub):
        with pytest.raises(BadMessage, match="a message holds at most"):
            await link.ask("catalogue", Tell(times=SMALLEST, later=later), timeout_s=20.0)
        assert await link.ask("catalogue", Tell(times=3), timeout_s=20.0) == "xxx"
        assert hub.cells["catalogue"].life is life


@pytest.mark.parametrize("later", [False, True])
async def test_what_is_no_text_is_told_written_out(tmp_path: Path, later: bool) -> None:
    # As the name of a file whose bytes are none; it comes from a disk, and not over a link.
    async with asking(tmp_path, BOUND) as (link, life, hub):
        cell = hub.cells["catalogue"]
        with pytest.raises(AskFailed, match=r"divided by \\udcff") as refused:
            await hub.find("catalogue").ask(Break(name="\udcff", later=True), timeout_s=20.0)
        assert "\\udcff" in refused.value.failure.traceback
        # It says itself how it is, and what went wrong last.
        assert "divided by \\udcff" in (await link.ask("catalogue", Ping(), timeout_s=20.0)).last_error
        assert cell.life is life


async def test_what_is_kept_of_a_fault_is_short_whatever_it_repeats(tmp_path: Path) -> None:
    async with asking(tmp_path, BOUND) as (link, life, hub):
        cell = hub.cells["catalogue"]
        with pytest.raises(AskFailed, match="divided by xxx") as deferred:
            await link.ask("catalogue", Break(name="x" * (BOUND - 500), later=True), timeout_s=20.0)
        assert len(deferred.value.failure.traceback) <= LONGEST_TRACEBACK
        assert len(cell.last_error) <= LONGEST_KEPT
        assert cell.life is life
        with pytest.raises(AskFailed, match="divided by xxx"):
            await link.ask("catalogue", Break(name="x" * (BOUND - 500)), timeout_s=20.0)
        ended = await life.wait()
        assert ended.error.startswith("ZeroDivisionError: divided by xxx")
        assert len(ended.error) <= LONGEST_KEPT
        # Where both happened is told all the same.
        assert ended.traceback.count("in _break") == 2
        assert "KeyError: 'xxx" in ended.traceback
        assert len(ended.traceback) <= LONGEST_TRACEBACK
        assert len(cell.last_error) <= LONGEST_KEPT


async def test_a_name_that_fills_a_message_and_that_nobody_has_is_told_to_be_unknown(tmp_path: Path) -> None:
    async with asking(tmp_path, BOUND) as (link, _life, _hub):
        with pytest.raises(ActorUnknown, match="no actor 'xxx"):
            await link.ask("x" * (BOUND - 200), Tell(times=1), timeout_s=20.0)
        link.tell("x" * (BOUND - 200), Pointed())
        await eventually(lambda: link.n_refused == 1, what="the refusal of what was told")


def test_a_failure_that_a_peer_made_itself_is_cut_where_it_is_heard() -> None:
    endless = "x" * 1_000_000
    failure = Failure(kind=endless, message=endless, hint=endless, where=endless, traceback=endless)
    heard = exception_of(failure)
    assert isinstance(heard, AskFailed)
    assert len(str(heard)) <= LONGEST_TOLD
    assert len(encode(heard.failure)) < 4 * LONGEST_TOLD
    # And where it is passed on, if nobody heard it.
    assert len(encode(failure_of(AskFailed(failure), where=endless))) < 4 * LONGEST_TOLD
    assert len(str(exception_of(failure_of(PeerGone(endless), where=endless)))) <= LONGEST_TOLD


def test_of_a_text_that_is_cut_its_beginning_and_its_end_are_left() -> None:
    text = "b" * 500 + "m" * 10_000 + "e" * 200
    told = bounded(text, 1_000)
    assert len(told) <= 1_000
    assert told.startswith("b" * 500)
    assert told.endswith("e" * 200)
    head, _, rest = told.partition("… (")
    n_left_out, _, tail = rest.partition(" characters left out) …")
    assert len(head) + int(n_left_out) + len(tail) == len(text)
    assert bounded("short", 1_000) == "short"
    assert len(bounded("\udcff" * 1_000, 1_000).encode()) <= 1_000 + 4


def test_a_chain_of_a_hundred_long_errors_has_a_short_traceback() -> None:
    error = ValueError("x" * 100_000)
    for _ in range(100):
        following = ValueError("x" * 100_000)
        following.__cause__, error = error, following
    assert len(traced(error)) <= LONGEST_TRACEBACK
