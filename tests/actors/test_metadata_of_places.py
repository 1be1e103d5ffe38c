"""The metadata cache of places that others write to, and of places where each person sees other plates."""

import os
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.messages.metadata import GetLabels, GetPlate, ListPlates, PlatesStored, SurveyPlates
from hcs_mesh.plates.errors import PlaceAway
from hcs_mesh.plates.labels import Labels
from hcs_mesh.plates.local.errors import no_plate
from hcs_mesh.plates.model import Image, Plate, PlateSummary, build_plate
from hcs_mesh.plates.plate_source import Freshness, Stamped
from hcs_mesh.plates.structure_shelf import Known, StructureShelf
from hcs_mesh.plates.survey import PlatesIncomplete, PlateSurvey, UnlistedPlace
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed, Dialer, KeyRing, Principal, ServerKey, ipc_endpoint, new_pair

pytestmark = pytest.mark.anyio

FRESH_S = 60.0
IMAGES = [Image("A01", field, 0, 0, 0, "plane", "a.tif", field - 1, 8, 8, "uint16") for field in (1, 2)]


class Place:
    """Plate 1, seen by some; every question is counted."""

    def __init__(self, *, is_private: bool) -> None:
        self.is_private = is_private
        self.seen_by = {"ada", "bob", ""}
        self.version = 1
        self.away = False
        self.asked: list[str] = []
        self.unlisted: tuple[UnlistedPlace, ...] = ()

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        self._ask("plates", requester, seen=True)
        seen = requester in self.seen_by
        found = (PlateSummary(id=1, name="P", n_wells=0, n_fields=0, n_images=0),) if seen else ()
        if self.unlisted:
            raise PlatesIncomplete(PlateSurvey(plates=found, unlisted=self.unlisted))
        return found

    def plate(self, plate_id: int, requester: str = "") -> Plate:
        self._ask("plate", requester)
        return build_plate(IMAGES, id=plate_id, name=f"version {self.version} for {requester}", root="shelf://1")

    def stamped(self, plate_id: int, requester: str = "") -> Stamped:
        stamp = self.stamp(plate_id, requester)
        return Stamped(self.plate(plate_id, requester), stamp)

    def labels(self, plate_id: int, requester: str = "") -> Labels:
        self._ask("labels", requester)
        return Labels(description=requester)

    def freshness(self, plate_id: int = 0) -> Freshness:
        return Freshness(FRESH_S, self.is_private)

    def stamp(self, plate_id: int, requester: str = "") -> str:
        self._ask("stamp", requester)
        return str(self.version)

    def _ask(self, what: str, requester: str, *, seen: bool = False) -> None:
        self.asked.append(what)
        if self.away:
            raise PlaceAway("nobody is there")
        if self.is_private and requester not in self.seen_by and not seen:
            raise no_plate(1)


class Lab:
    """A cache, its clock and its shelf, which outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = Place(is_private=False)
        self.now_s = 1_000_000.0
        self.node: Node | None = None

    async def start(self) -> None:
        if self.node is not None:
            await self.stop()
        self.node = Node("hub")
        self.life = await self.node.start_actor(
            "metadata", lambda: MetadataCache(self.place, shelf=StructureShelf(self.folder), clock=lambda: self.now_s)
        )
        self.metadata = self.node.find("metadata")

    async def stop(self) -> None:
        assert self.node is not None
        await self.life.stop()
        await self.life.wait()
        await self.node.close()

    async def name(self, requester: str = "") -> str:
        plate = await self.metadata.ask(GetPlate(plate_id=1, requester=requester))
        return str(plate.name)

    def questions(self) -> list[str]:
        asked, self.place.asked = self.place.asked, []
        return asked


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path / "structure")
    await lab.start()
    yield lab
    await lab.stop()


async def test_a_warm_start_asks_nothing(lab: Lab) -> None:
    assert await lab.name() == "version 1 for "
    assert lab.questions() == ["stamp", "plate"]
    await lab.start()
    assert await lab.name() == "version 1 for "
    assert lab.questions() == []


async def test_a_change_is_seen_within_the_stated_time_for_one_quick_question(lab: Lab) -> None:
    await lab.name()
    lab.questions()
    lab.now_s += FRESH_S - 1
    assert await lab.name() == "version 1 for "
    assert lab.questions() == []
    lab.now_s += 1
    await lab.name()
    assert lab.questions() == ["stamp"]
    lab.place.version = 2
    lab.now_s += FRESH_S
    assert await lab.name() == "version 2 for "
    assert lab.questions() == ["stamp", "plate"]
    lab.place.version = 3
    lab.now_s += FRESH_S
    # Also where a restart lies between.
    await lab.start()
    assert await lab.name() == "version 3 for "


async def test_nothing_is_told_that_may_be_older_than_stated(lab: Lab) -> None:
    await lab.name()
    lab.place.away = True
    lab.now_s += FRESH_S - 1
    await lab.name()
    lab.now_s += 1
    with pytest.raises(AskFailed, match="nobody is there") as caught:
        await lab.name()
    assert caught.value.failure.retry
    lab.place.away = False
    assert await lab.name() == "version 1 for "
    # A clock that was put back proves nothing.
    lab.questions()
    lab.now_s -= 10_000
    await lab.name()
    assert lab.questions() == ["stamp"]


async def test_what_one_person_was_told_is_told_to_nobody_else(lab: Lab) -> None:
    lab.place.is_private = True
    assert [await lab.name(who) for who in ("ada", "bob", "ada")] == [
        "version 1 for ada",
        "version 1 for bob",
        "version 1 for ada",
    ]
    assert lab.questions() == ["stamp", "plate"] * 2
    for _ in range(2):
        with pytest.raises(AskFailed, match="no plate"):
            await lab.name("eve")
        assert await lab.metadata.ask(ListPlates(requester="eve")) == ()
        await lab.start()
    assert (await lab.metadata.ask(GetLabels(plate_id=1, requester="bob"))).description == "bob"


async def test_who_comes_from_outside_speaks_for_nobody_else(lab: Lab, tmp_path: Path) -> None:
    lab.place.is_private = True
    await lab.name("ada")
    assert lab.node is not None
    mesh, eve, ring, context = new_pair(), new_pair(), KeyRing(tmp_path / "keys"), zmq.Context()
    ring.allow(Principal(name="eve", role="viewer"), eve.public)
    lab.node.listen_front(ipc_endpoint(tmp_path, "front"), mesh, ring)
    dialer = Dialer(
        context,
        ipc_endpoint(tmp_path, "front"),
        lambda link, envelope: None,
        name="eve",
        key=eve,
        server=ServerKey(public=mesh.public),
    )
    with pytest.raises(AskFailed, match="no plate"):
        await dialer.link.ask("metadata", GetPlate(plate_id=1, requester="ada"))
    assert await dialer.link.ask("metadata", ListPlates(requester="ada")) == ()
    lab.place.seen_by.add("eve")
    assert (await dialer.link.ask("metadata", GetPlate(plate_id=1, requester="ada"))).name == "version 1 for eve"
    dialer.close()
    context.term()


async def test_who_may_see_a_plate_no_longer_is_told_that_there_is_none(lab: Lab) -> None:
    lab.place.is_private = True
    await lab.name("ada")
    await lab.name("bob")
    (line,) = await lab.metadata.ask(ListPlates(requester="ada"))
    assert (line.n_wells, line.n_fields, line.n_images) == (1, 2, 2)
    assert len(list(lab.folder.iterdir())) == 2
    lab.place.seen_by.remove("ada")
    lab.now_s += FRESH_S
    with pytest.raises(AskFailed, match="no plate"):
        await lab.name("ada")
    assert await lab.metadata.ask(ListPlates(requester="ada")) == ()
    # Nor is anything left to be told after a restart.
    assert len(list(lab.folder.iterdir())) == 1
    assert await lab.name("bob") == "version 1 for bob"


async def test_a_survey_tells_what_is_listed_and_which_place_lists_nothing_until_it_does(lab: Lab) -> None:
    await lab.name("ada")
    lab.place.unlisted = (UnlistedPlace(place="far", error="nobody logged in", hint="log in"),)
    for _ in range(2):
        with pytest.raises(AskFailed, match="the plates of 'far' cannot be listed: nobody logged in"):
            await lab.metadata.ask(ListPlates(requester="ada"))
        survey = await lab.metadata.ask(SurveyPlates(requester="ada"))
        assert survey.unlisted == lab.place.unlisted
        # What is known of them is told as in a whole list.
        assert [(one.id, one.n_images) for one in survey.plates] == [(1, 2)]
    lab.place.unlisted = ()
    survey = await lab.metadata.ask(SurveyPlates(requester="ada"))
    assert ([one.id for one in survey.plates], survey.unlisted) == ([1], ())
    assert await lab.metadata.ask(ListPlates(requester="ada")) == survey.plates
    # A whole one is told from memory.
    lab.questions()
    assert await lab.metadata.ask(SurveyPlates(requester="ada")) == survey
    assert lab.questions() == []


async def test_a_plate_that_the_mesh_changed_is_asked_for_at_once(lab: Lab) -> None:
    await lab.name()
    lab.place.version = 2
    lab.metadata.tell(PlatesStored(plate_ids=(1,)))
    assert await lab.name() == "version 2 for "


async def test_a_damaged_file_is_asked_for_again(lab: Lab) -> None:
    await lab.name()
    (file,) = lab.folder.iterdir()
    content = file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    for damaged in (b"", content[:-1], content.replace(b"version 1", b"version 7")):
        file.write_bytes(damaged)
        lab.questions()
        await lab.start()
        assert await lab.name() == "version 1 for "
        assert lab.questions() == ["stamp", "plate"]


def test_the_shelf_has_a_bound(tmp_path: Path) -> None:
    def known(number: int, **more: Any) -> Known:
        plate = build_plate(IMAGES, id=number, name="P", root="x" * 10_000)
        return Known(plate=plate, stamp="1", checked_at_s=0.0, **more)

    shelf = StructureShelf(tmp_path, max_bytes=35_000)
    for number in range(1, 6):
        shelf.write(known(number, viewer="ada"))
        for file in tmp_path.glob(f"{number}-*"):
            # Some file systems tell times apart by milliseconds only.
            os.utime(file, (number, number))
    assert [number for number in range(1, 6) if shelf.read(number, "ada") is not None] == [3, 4, 5]
    assert shelf.read(5, "bob") is None
    shelf.forget(5)
    assert shelf.read(5, "ada") is None


async def test_small_plates_are_counted_with_all_that_they_are(tmp_path: Path) -> None:
    max_bytes = 1 << 20
    node = Node("hub")
    life = await node.start_actor("metadata", lambda: MetadataCache(Place(is_private=False), max_bytes=max_bytes))
    tracemalloc.start()
    try:
        for plate_id in range(1, 2001):
            await node.find("metadata").ask(GetPlate(plate_id=plate_id))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counts = life.statistics()
    await life.stop()
    await life.wait()
    await node.close()
    assert counts["plates"] > 100
    assert held < 1.5 * max_bytes
