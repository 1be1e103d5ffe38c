"""Planes go from files through the ring to a follower: snapshot, then tail, whatever happens to either side."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tifffile
import zmq

from hcs_mesh.actors.analysis import job_news
from hcs_mesh.actors.viewing.viewer_bridge import ViewerBridge
from hcs_mesh.messages.frames import (
    Fact,
    Frame,
    JobStateChanged,
    NewsMissed,
    PlanesCommitted,
    PlaneUnreadable,
    WellStateChanged,
)
from hcs_mesh.messages.planes import PlaneAddress, acquired_planes, result_planes
from hcs_mesh.messages.streaming import ListStreams, PlaneLoaded
from hcs_mesh.messages.viewing import Contents, ListViewers, Subject
from hcs_mesh.plates.repository import ResultFile, StoredResult
from hcs_mesh.transport import ActorGivenUp, AskFailed
from hcs_mesh.viewers.follower import Follower

SIDE = 64

pytestmark = pytest.mark.anyio


class Notebook:
    """A screen that writes everything down."""

    def __init__(self) -> None:
        self.contents: list[Contents] = []
        self.planes: dict[PlaneAddress, int] = {}
        self.sequences: list[int] = []
        self.facts: list[Fact] = []
        self.unread: list[PlaneUnreadable] = []
        self.states: list[str] = []

    def begin(self, contents: Contents) -> None:
        self.contents.append(contents)

    def plane(self, frame: Frame, pixels: Any) -> None:
        assert pixels.shape == (SIDE, SIDE)
        assert pixels.min() == pixels.max()
        self.planes[frame.header.address] = int(pixels[0, 0])
        self.sequences.append(frame.sequence)

    def unreadable(self, report: PlaneUnreadable) -> None:
        self.unread.append(report)

    def fact(self, fact: Fact, *, n_waiting: int) -> None:
        self.facts.append(fact)

    def state(self, text: str) -> None:
        self.states.append(text)


@asynccontextmanager
async def following(mesh: Any, subject: Subject, *, snapshot_bytes: int = 0, screen: Any = None) -> AsyncIterator[Any]:
    notebook = screen or Notebook()
    context: zmq.Context[Any] = zmq.Context()
    follower = Follower(
        functools.partial(mesh.dial, context), notebook, kind="recorder", subject=subject, snapshot_bytes=snapshot_bytes
    )
    task = asyncio.create_task(follower.run())
    try:
        yield notebook
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        context.term()


def labels_of(mesh: Any, job: str, well: str, value: int) -> StoredResult:
    folder = mesh.folder / f"{job}-{well}-{value}"
    folder.mkdir()
    tifffile.imwrite(folder / "nuclei.tif", np.full((SIDE, SIDE), value, np.uint8))
    file = ResultFile(path="nuclei.tif", kind="label", output="nuclei", field=1, height=SIDE, width=SIDE, dtype="uint8")
    return StoredResult(job=job, plate_id=1, well=well, attempt=1, n_objects=value, files=(file,), folder=str(folder))


def commit(mesh: Any, result: StoredResult) -> PlanesCommitted:
    mesh.stored.setdefault(result.job, []).append(result)
    planes = result_planes(result, mesh.plates[1])
    return PlanesCommitted(plate_id=1, job=result.job, planes=planes)


def tell(mesh: Any, news: Any) -> None:
    assert mesh.node is not None
    mesh.node.find("publisher").tell(news)


async def test_a_plate_is_shown_whole_from_its_files(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, Subject(plate_id=1)) as seen:
        await streaming.until(lambda: len(seen.planes) == 4)
        assert seen.planes[PlaneAddress(well="B02", field=1, channel="GFP")] == 1101
        assert seen.contents[0].n_planes == 4
        assert (seen.contents[0].wells, seen.contents[0].fields) == (("A01", "B02"), (1,))
        assert seen.sequences == [1, 2, 3, 4]
        await streaming.until(lambda: mesh.slots_held == 0)


async def test_a_job_is_shown_with_what_is_done_first_and_then_as_it_goes_on(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh:
        mesh.add_job("j1", 1)
        commit(mesh, labels_of(mesh, "j1", "B02", 29))
        async with following(mesh, Subject(job="j1")) as seen:
            await streaming.until(lambda: len(seen.planes) == 5)
            assert seen.planes[PlaneAddress(well="B02", field=1, step="nuclei")] == 29
            tell(mesh, commit(mesh, labels_of(mesh, "j1", "A01", 30)))
            tell(mesh, WellStateChanged(plate_id=1, job="j1", well="A01", state="done", n_objects=30))
            tell(mesh, JobStateChanged(plate_id=1, job="j1", state="done"))
            await streaming.until(lambda: len(seen.facts) == 3)
            assert seen.planes[PlaneAddress(well="A01", field=1, step="nuclei")] == 30
            assert [type(fact).__name__ for fact in seen.facts] == ["WellStateChanged"] * 2 + ["JobStateChanged"]


async def test_who_follows_the_latest_is_taken_to_the_next_job(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, Subject()) as seen:
        await streaming.until(lambda: len(seen.planes) == 4)
        mesh.add_plate(2, ("C03",))
        mesh.add_job("j2", 2)
        tell(mesh, JobStateChanged(plate_id=2, job="j2", state="running"))
        await streaming.until(lambda: PlaneAddress(well="C03", field=1, channel="GFP") in seen.planes)
        assert [(one.plate_id, one.job) for one in seen.contents] == [(1, ""), (2, "j2")]


@pytest.mark.parametrize("subject", [Subject(job="j1"), Subject()])
async def test_news_for_which_there_was_no_room_are_looked_up_once_there_is(
    tmp_path: Path, streaming: Any, monkeypatch: pytest.MonkeyPatch, subject: Subject
) -> None:
    monkeypatch.setattr(job_news, "AGAIN_S", 0.02)
    async with streaming.mesh(tmp_path) as mesh:
        mesh.add_job("j1", 1)
        publisher, works = mesh.node.cells["publisher"], []
        news = job_news.JobNews(mesh.node.find, lambda work: works.append(asyncio.create_task(work)))
        async with following(mesh, subject) as seen:
            await streaming.until(lambda: len(seen.planes) == 4 and mesh.slots_held == 0)
            publisher.pause()
            publisher.box.max_messages = 1
            asked = mesh.node.find("publisher").ask(ListStreams())
            for number, well in enumerate(("A01", "B02"), 1):
                news.tell(commit(mesh, labels_of(mesh, "j1", well, 29 + number)))
                assert news.n_unheard == number
            # However much is missed, one tries to say so, and again where it finds no room.
            await streaming.until(lambda: publisher.box.n_refused >= 4)
            assert len(works) == 1
            assert len(publisher.box) == 1
            publisher.resume()
            await asked
            await streaming.until(lambda: len(seen.planes) == 6)
            assert seen.planes[PlaneAddress(well="B02", field=1, step="nuclei")] == 31
            await works[0]
            assert len(seen.contents) == 2
            # What comes from then on is told as before.
            news.tell(JobStateChanged(plate_id=1, job="j1", state="done"))
            await streaming.until(lambda: "JobStateChanged" in [type(fact).__name__ for fact in seen.facts])
            assert (news.n_unheard, len(works), len(seen.contents)) == (2, 1, 2)


async def test_news_that_are_missed_while_a_snapshot_is_looked_up_have_it_looked_up_again(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path) as mesh:
        mesh.add_job("j1", 1)
        results, may_answer = mesh.results, threading.Event()
        is_asked = threading.Event()

        def slow(job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
            found = results(job, requester=requester)
            is_asked.set()
            assert may_answer.wait(60)
            return found

        mesh.results = slow
        async with following(mesh, Subject(job="j1")) as seen:
            await streaming.until(is_asked.is_set)
            # It is in the repository after that was read.
            commit(mesh, labels_of(mesh, "j1", "A01", 30))
            tell(mesh, NewsMissed())
            may_answer.set()
            await streaming.until(lambda: PlaneAddress(well="A01", field=1, step="nuclei") in seen.planes)


async def test_a_plane_that_cannot_be_read_is_reported_and_the_stream_goes_on(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh:
        (tmp_path / "plate1" / "A01_1.tif").write_bytes(b"II*\0 not a tiff")
        async with following(mesh, Subject(plate_id=1)) as seen:
            await streaming.until(lambda: len(seen.planes) == 3 and len(seen.unread) == 1)
            assert "A01_1.tif" in seen.unread[0].reason
            await streaming.until(lambda: mesh.slots_held == 0)


async def test_a_plane_larger_than_a_slot_is_reported(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, Subject(plate_id=1)) as seen:
        await streaming.until(lambda: len(seen.planes) == 4)
        record = acquired_planes(mesh.plates[1])[0]
        header = msgspec.structs.replace(record.header, height=4096, width=4096)
        tell(mesh, PlanesCommitted(plate_id=1, planes=(msgspec.structs.replace(record, header=header),)))
        await streaming.until(lambda: len(seen.unread) == 1)
        assert "slot" in seen.unread[0].reason


async def test_a_bounded_snapshot_holds_whole_wells(tmp_path: Path, streaming: Any) -> None:
    well_bytes = 2 * SIDE * SIDE * 2
    async with (
        streaming.mesh(tmp_path) as mesh,
        following(mesh, Subject(plate_id=1), snapshot_bytes=well_bytes) as seen,
    ):
        await streaming.until(lambda: len(seen.planes) == 2)
        assert {address.well for address in seen.planes} == {"A01"}
        assert (seen.contents[0].n_planes, seen.contents[0].n_left_out) == (2, 2)


async def test_a_publisher_that_was_started_anew_shows_everything_again(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, Subject(plate_id=1)) as seen:
        await streaming.until(lambda: len(seen.planes) == 4)
        seen.planes.clear()
        await mesh.restart_publisher()
        await streaming.until(lambda: len(seen.planes) == 4)
        assert mesh.statistics("viewers")["viewers"] == 1


async def test_several_viewers_share_a_small_ring_and_all_get_everything(tmp_path: Path, streaming: Any) -> None:
    async with (
        streaming.mesh(tmp_path, n_slots=3) as mesh,
        following(mesh, Subject(plate_id=1)) as one,
        following(mesh, Subject(plate_id=1)) as two,
        following(mesh, Subject()) as three,
    ):
        await streaming.until(lambda: all(len(seen.planes) == 4 for seen in (one, two, three)))
        assert mesh.node is not None
        viewers = await mesh.node.find("viewers").ask(ListViewers())
        assert [(one.kind, one.principal) for one in viewers] == [("recorder", "ada")] * 3


async def test_an_unknown_job_is_refused_with_what_the_scheduler_says(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh:
        context: zmq.Context[Any] = zmq.Context()
        follower = Follower(
            functools.partial(mesh.dial, context), Notebook(), kind="recorder", subject=Subject(job="nope")
        )
        with pytest.raises(AskFailed, match="no job nope"):
            await follower.run()
        context.term()


async def test_a_viewer_comes_back_by_itself_when_the_mesh_does(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, Subject(plate_id=1)) as seen:
        await streaming.until(lambda: len(seen.planes) == 4)
        await mesh.stop()
        await streaming.until(lambda: "the mesh is away" in seen.states)
        seen.planes.clear()
        await mesh.start()
        await streaming.until(lambda: len(seen.planes) == 4)
        assert seen.states[-1] == "following"


async def test_a_viewer_comes_back_by_itself_when_viewing_was_set_aside_and_is_started_again(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, Subject(plate_id=1)) as seen:
        await streaming.until(lambda: len(seen.planes) == 4)
        bridge = mesh.lives.pop()
        await bridge.stop()
        await bridge.wait()
        mesh.node.give_up("viewers", "viewing was set aside")
        await streaming.until(lambda: any("viewing was set aside" in state for state in seen.states), 30)
        seen.planes.clear()
        mesh.lives.append(await mesh.node.start_actor("viewers", ViewerBridge))
        await streaming.until(lambda: len(seen.planes) == 4, 30)
        assert seen.states[-1] == "following"


async def test_a_viewer_that_comes_while_viewing_is_set_aside_is_told_so(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh:
        mesh.node.give_up("viewers", "viewing was set aside")
        context: zmq.Context[Any] = zmq.Context()
        follower = Follower(
            functools.partial(mesh.dial, context), Notebook(), kind="recorder", subject=Subject(plate_id=1)
        )
        with pytest.raises(ActorGivenUp, match="viewing was set aside"):
            await follower.run()
        context.term()


class Slow(Notebook):
    """Is held for gone while it looks at its first plane, whose slot is used for another meanwhile."""

    def __init__(self, mesh: Any) -> None:
        super().__init__()
        self._mesh = mesh
        self.n_mixed = 0

    def plane(self, frame: Frame, pixels: Any) -> None:
        if not self.n_mixed:
            self.n_mixed += 1
            ring = self._mesh.keeper._ring
            ring.release_all(frame.viewer)
            taken = []
            while pixels[0, 0] != 7:
                taken.append(ring.put(np.full((SIDE, SIDE), 7, np.uint16)))
            for ref in taken:
                ring.let_go(ref)
        super().plane(frame, pixels)


async def test_a_plane_whose_slot_is_used_again_while_it_is_looked_at_is_shown_anew(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, Subject(plate_id=1), screen=Slow(mesh)) as seen:
        await streaming.until(lambda: len(seen.states) > 1 and len(seen.planes) == 4 and 7 not in seen.planes.values())
        assert seen.n_mixed == 1
        assert len(seen.contents) == 2
        assert mesh.statistics("viewers")["attached_ever"] == 2


async def test_leaving_gives_every_slot_back(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh:
        async with following(mesh, Subject(plate_id=1)) as seen:
            await streaming.until(lambda: len(seen.planes) >= 1)
        await streaming.until(lambda: mesh.statistics("viewers")["viewers"] == 0)
        await streaming.until(lambda: mesh.statistics("publisher")["streams"] == 0)
        # A plane that was being read gives its slot back once it has been.
        await streaming.until(lambda: mesh.slots_held == 0)


async def test_thousands_of_planes_that_fit_into_no_slot_are_all_reported(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, Subject(plate_id=1)) as seen:
        await streaming.until(lambda: len(seen.planes) == 4)
        record = acquired_planes(mesh.plates[1])[0]
        header = msgspec.structs.replace(record.header, height=4096, width=4096)
        large = [
            msgspec.structs.replace(
                record,
                header=msgspec.structs.replace(header, address=msgspec.structs.replace(header.address, z=z)),
            )
            for z in range(3000)
        ]
        tell(mesh, PlanesCommitted(plate_id=1, planes=tuple(large)))
        await streaming.until(lambda: len(seen.unread) == 3000, 30)


async def test_what_was_read_for_the_life_before_is_no_plane_of_this_one(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path) as mesh, following(mesh, Subject(plate_id=1)) as seen:
        await streaming.until(lambda: len(seen.planes) == 4)
        tell(mesh, PlaneLoaded(viewer="gone", ticket=0))
        tell(mesh, mesh.committed_anew(1))
        await streaming.until(lambda: len(seen.sequences) == 8)
        assert mesh.statistics("viewers")["attached_ever"] == 1
