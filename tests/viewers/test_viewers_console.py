"""The console's screen, driven by its keys against a mesh that notes what it is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from hcs_mesh.messages.compute import JobStatus, JobSummary, WellStatus
from hcs_mesh.messages.console import (
    ActorDetail,
    Hop,
    Incident,
    JournalLine,
    LogLine,
    LogTail,
    Statistic,
)
from hcs_mesh.messages.control import ActorRow, MeshStatus
from hcs_mesh.messages.imports import ImportOrder, ImportStatus
from hcs_mesh.transport import ActorUnknown, AskTimedOut, PeerGone, Principal
from hcs_mesh.viewers.console import snapshot, words
from hcs_mesh.viewers.console.application import Console
from hcs_mesh.viewers.console.listing import Listing
from hcs_mesh.viewers.console.opening import open_app
from hcs_mesh.viewers.errors import NotInControl

pytestmark = pytest.mark.anyio
ADMINISTRATOR = Principal(name="ada", role="administrator")


def row(name: str, parent: str = "mesh", **fields: Any) -> ActorRow:
    kind = fields.pop("kind", "actor")
    return ActorRow(name=name, parent=parent, kind=kind, pid=7, **{"state": "running", **fields})


class NotingMesh:
    """Answers as a mesh would, and notes what would have changed it."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.away = False
        self.asked = asyncio.Event()
        self.stuck = False
        self.unreachable: set[str] = set()
        self.rows = (
            row("mesh", "", kind="supervisor", memory_bytes=5 << 20, loop_lag_s=0.002),
            row("imports", mailbox=3, handled=100, handling_s=0.001, busy="import-0002 transferring"),
            row("executors", kind="supervisor"),
            row(
                "executor.cpu0",
                "executors",
                kind="process",
                busy="well B03 of plate Screen 7, job-0001",
                memory_bytes=80 << 20,
                restarts=2,
                last_error="killed\nmore",
            ),
        )

    async def status(self) -> MeshStatus:
        self.asked.set()
        if self.away:
            raise PeerGone("the connection broke", hint="wait")
        return MeshStatus(
            version="1",
            pid=7,
            data="/data/\x1b[31mred",
            endpoints=(),
            started_at_unix_s=time.time() - 3661,
            repository="local",
            n_actors=1,
            n_processes=1,
            n_restarts=2,
        )

    async def who_am_i(self) -> Principal:
        return Principal(name="eve", role="viewer")

    async def tree(self) -> tuple[ActorRow, ...]:
        return self.rows

    async def imports(self) -> tuple[ImportStatus, ...]:
        if self.stuck:
            raise AskTimedOut("no answer")
        return (
            ImportStatus(
                import_id="import-0002",
                order=ImportOrder(path="/b"),
                state="waiting",
                phase="settling",
                reason="still written to",
                n_bytes=200,
                n_bytes_done=50,
            ),
            ImportStatus(
                import_id="import-0001", order=ImportOrder(path="/a"), state="done", phase="done", plate_ids=(1,)
            ),
        )

    async def jobs(self) -> tuple[JobSummary, ...]:
        wells = (
            WellStatus(well="A01", state="done"),
            WellStatus(well="B03", state="running", executor="executor.cpu0"),
            WellStatus(well="B04", state="failed", error="no field"),
        )
        job = JobStatus(job="job-0001", plate_id=4, plate_name="Screen 7", pipeline="nuclei", owner="bo", wells=wells)
        return (job.listed(),)

    async def inspect(self, actor: str) -> ActorDetail:
        if actor in self.unreachable:
            raise ActorUnknown(f"the node of {actor} is away", hint="bring it back")
        found = next(one for one in self.rows if one.name == actor)
        incident = Incident(
            at_unix_s=1.0,
            occurrence="failed",
            child=actor,
            supervisor="mesh",
            error="ValueError: no",
            traceback="Traceback (most recent call last):\n  the line that failed",
        )
        return ActorDetail(row=found, statistics=(Statistic("journal_n_records", 1234),), incidents=(incident,))

    async def tail_log(self, actor: str, *, n_lines: int = 100, since: int = -1) -> LogTail:
        return LogTail(
            lines=(LogLine(at="2026-11-21T01:02:03.456Z", level="info", source=actor, text="all well"),), end=1
        )

    async def journals(self) -> tuple[str, ...]:
        return ("imports", "jobs", "outbox")

    async def tail_journal(self, journal: str, *, n_records: int = 100) -> tuple[JournalLine, ...]:
        return (JournalLine(sequence=9, tag=f"{journal}.submitted", text='{"owner": "bo"}'),)

    async def trace(self, message: str = "") -> tuple[Hop, ...]:
        hops = (
            Hop(
                trace="abc1", at_unix_s=1.0, node="hub", pid=7, actor="scheduler", sender="bo", message="compute.submit"
            ),
            Hop(
                trace="abc1",
                at_unix_s=2.0,
                node="executor.cpu0",
                pid=8,
                actor="executor.cpu0",
                sender="scheduler",
                message="compute.run_well",
                took_s=0.5,
                outcome="answered",
            ),
        )
        return hops if message else hops[:1]

    def __getattr__(self, name: str) -> Callable[[str], Any]:
        async def note(what: str) -> None:
            self.done.append((name, what))

        if name in ("restart", "pause", "resume", "retry_import", "cancel_import", "retry_job", "cancel_job"):
            return note
        raise AttributeError(name)


@pytest.fixture
def mesh() -> NotingMesh:
    return NotingMesh()


@asynccontextmanager
async def opened(mesh: NotingMesh, *, control: bool = True) -> AsyncIterator[Pilot[None]]:
    """The console on a screen in memory, left as its user leaves it."""
    app = Console(mesh, principal=ADMINISTRATOR, control=control, period_s=0.05)
    async with app.run_test(size=(160, 45)) as pilot:
        yield pilot
        await app.action_quit()


async def look(pilot: Pilot[None], n: int = 2) -> None:
    """Wait until the console has looked again, and shows it."""
    app = pilot.app
    assert isinstance(app, Console)
    mesh = app._mesh
    assert isinstance(mesh, NotingMesh)
    async with asyncio.timeout(40):
        for _ in range(n + 1):
            mesh.asked.clear()
            await mesh.asked.wait()
    await pilot.pause()


def shown(pilot: Pilot[None], where: str) -> str:
    return str(pilot.app.query_one(where, Static).content)


def cells(pilot: Pilot[None], where: str) -> list[list[str]]:
    table = pilot.app.query_one(where, Listing)
    return [[str(cell) for cell in table.get_row_at(number)] for number in range(table.row_count)]


async def test_the_tree_says_in_the_facilitys_words_who_is_at_what(mesh: NotingMesh) -> None:
    async with opened(mesh) as pilot:
        await look(pilot)
        told = {line[0].strip(): line for line in cells(pilot, "#tree")}
        assert "well B03 of plate Screen 7, job-0001" in told["executor.cpu0"]
        assert told["executor.cpu0"][0].startswith("    "), "it lies two levels below the root"
        assert told["executor.cpu0"][-1] == "killed"
        assert "3" in told["imports"]
        assert "80 MiB" in told["executor.cpu0"]
        assert "1:01:0" in shown(pilot, "#top")
        assert "CONTROL" in shown(pilot, "#top")


async def test_what_somebody_else_named_cannot_write_to_the_terminal(mesh: NotingMesh) -> None:
    async with opened(mesh) as pilot:
        await look(pilot)
        assert "\x1b" not in shown(pilot, "#top")
        assert "\\x1b[31mred" in shown(pilot, "#top")


async def test_the_cursor_stays_and_the_detail_follows_it(mesh: NotingMesh) -> None:
    async with opened(mesh) as pilot:
        await look(pilot)
        await pilot.press("down")
        await look(pilot)
        detail = shown(pilot, "#detail")
        assert detail.startswith("imports: actor under mesh")
        assert "1,234" in detail
        assert "the line that failed" in detail
        # The tree grows above the cursor, which stays on what it was on.
        mesh.rows = (mesh.rows[0], row("catalogue"), *mesh.rows[1:])
        await look(pilot)
        assert pilot.app.query_one("#tree", Listing).chosen == "imports"


async def test_rates_are_what_was_handled_between_two_looks() -> None:
    before = row("imports", handled=100)
    (line,) = words.tree_lines((row("imports", handled=150),), {"imports": before}, 2.0)
    assert "25.0/s" in line.cells


async def test_every_tab_shows_its_part(mesh: NotingMesh) -> None:
    async with opened(mesh) as pilot:
        await look(pilot)
        await pilot.press("2")
        await look(pilot)
        assert cells(pilot, "#imports")[0][:4] == ["import-0002", "waiting", "settling", "25 %"]
        assert "still written to" in cells(pilot, "#imports")[0]
        await pilot.press("3")
        await look(pilot)
        (job,) = cells(pilot, "#jobs")
        assert "B03 (executor.cpu0)" in job
        assert "1 of 3, 1 failed" in job
        assert "no field" in job
        await pilot.press("4")
        await look(pilot)
        assert "jobs.submitted" in shown(pilot, "#journals")
        assert "outbox.submitted" in shown(pilot, "#journals"), "whatever journal there is"
        await pilot.press("5")
        await look(pilot)
        assert "all well" in shown(pilot, "#log")
        await pilot.press("6")
        await look(pilot)
        assert len(cells(pilot, "#traces")) == 1
        await pilot.press("t")
        await look(pilot)
        assert [line[2] for line in cells(pilot, "#traces")] == ["scheduler", "executor.cpu0"]


@pytest.mark.parametrize(
    ("keys", "done"),
    [
        (("down", "r", "y"), ("restart", "imports")),
        (("down", "p", "y"), ("pause", "imports")),
        (("2", "y", "y"), ("retry_import", "import-0002")),
        (("2", "x", "y"), ("cancel_import", "import-0002")),
        (("3", "y", "y"), ("retry_job", "job-0001")),
        (("3", "x", "y"), ("cancel_job", "job-0001")),
    ],
    ids=["restart", "pause", "retry-import", "cancel-import", "retry-job", "cancel-job"],
)
async def test_a_key_does_its_deed_once_it_is_confirmed(
    mesh: NotingMesh, keys: tuple[str, ...], done: tuple[str, str]
) -> None:
    async with opened(mesh) as pilot:
        await look(pilot)
        for key in keys[:-1]:
            await pilot.press(key)
            await pilot.pause()
        assert mesh.done == [], "nothing happens before it is confirmed"
        await pilot.press(keys[-1])
        await look(pilot)
        assert mesh.done == [done]


async def test_a_paused_actor_is_resumed_by_the_same_key(mesh: NotingMesh) -> None:
    mesh.rows = (row("mesh", "", kind="supervisor"), row("imports", state="paused"))
    async with opened(mesh) as pilot:
        await look(pilot)
        await pilot.press("down", "p", "y")
        await look(pilot)
        assert mesh.done == [("resume", "imports")]


@pytest.mark.parametrize("answer", ["n", "escape", "q"])
async def test_whoever_does_not_say_yes_changes_nothing(mesh: NotingMesh, answer: str) -> None:
    async with opened(mesh) as pilot:
        await look(pilot)
        await pilot.press("down", "r", answer)
        await look(pilot)
        assert mesh.done == []


async def test_without_control_the_keys_change_nothing(mesh: NotingMesh) -> None:
    async with opened(mesh, control=False) as pilot:
        await look(pilot)
        assert "read-only" in shown(pilot, "#top")
        await pilot.press("down", "r", "y", "p", "y", "2", "x", "y", "y")
        await look(pilot)
        assert mesh.done == []


async def test_a_mesh_that_goes_away_is_told_and_found_again(mesh: NotingMesh) -> None:
    async with opened(mesh) as pilot:
        await look(pilot)
        mesh.away = True
        await look(pilot)
        assert "does not answer: the connection broke" in shown(pilot, "#top")
        mesh.away = False
        await look(pilot)
        assert "CONTROL" in shown(pilot, "#top")


async def test_what_cannot_be_told_of_one_actor_is_no_trouble_of_the_mesh(mesh: NotingMesh) -> None:
    mesh.rows = (*mesh.rows, row("node@gpu7", kind="supervisor", state="away", last_error="nothing was heard of it"))
    mesh.unreachable = {"node@gpu7"}
    async with opened(mesh) as pilot:
        await look(pilot)
        await pilot.press(*["down"] * (len(mesh.rows) - 1))
        await look(pilot)
        assert "is away" in shown(pilot, "#detail")
        assert "does not answer" not in shown(pilot, "#top")
        assert cells(pilot, "#tree")[-1][1] == "away"


def test_journals_share_the_lines_and_one_with_little_to_say_leaves_its_own_to_the_others() -> None:
    def journal(name: str, n: int) -> tuple[JournalLine, ...]:
        return tuple(JournalLine(sequence=number, tag=f"{name}.written", text="") for number in range(n))

    told = words.journal_text({one: journal(one, n) for one, n in (("a", 9), ("b", 1), ("c", 9))}, n_records=9)
    assert [told.count(f"{one}.written") for one in "abc"] == [4, 1, 4]
    assert told.splitlines()[1].split()[0] == "8", "the last first"


async def test_what_happened_is_told_with_its_time(mesh: NotingMesh) -> None:
    assert words.clock_text(1.0) in words.detail_text(await mesh.inspect("imports"))


async def test_an_actor_that_does_not_answer_hides_nothing_of_the_others(mesh: NotingMesh) -> None:
    mesh.stuck = True
    seen = await snapshot(mesh)
    assert seen.silent == ("imports",)
    assert seen.imports == ()
    assert len(seen.jobs) == 1


async def test_control_is_refused_to_a_key_that_may_not(mesh: NotingMesh) -> None:
    with pytest.raises(NotInControl, match="eve is viewer"):
        await open_app(mesh, control=True)
