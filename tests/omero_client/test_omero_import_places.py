"""Imports of one person share the connections of a session, and wait for each other without holding anything."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from omero_imports import Import, Importing, importing, n_of
from omero_plates import some_planes, write_ome_plate

from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroPlacesTaken
from hcs_mesh.plates.omero.import_store import OmeroImportStore
from hcs_mesh.plates.omero.imports import GIVES_WAY_S
from hcs_mesh.plates.omero.source import OmeroSource
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")

NOW_S = [0.0]


@pytest.fixture
def desk(omero: RunningServer, tmp_path: Path) -> Iterator[Importing]:
    NOW_S[0] = 0.0
    with importing(omero, origin=tmp_path.name, n_connections=3, clock=lambda: NOW_S[0]) as one:
        yield one


@pytest.fixture
def ones(desk: Importing, tmp_path: Path) -> Iterator[list[Import]]:
    """Four imports of one person."""
    found = []
    for n in range(4):
        folder = tmp_path / str(n)
        folder.mkdir()
        found.append(
            desk.of(f"import-{n}", write_ome_plate(folder / "p.ome.tiff", some_planes(1, 1, 1, 16, 16, seed=n)))
        )
    yield found
    for one in found:
        if not one.reconcile().registered:
            one.discard()


def away(desk: Importing, one: Import | None = None) -> str:
    """Why nothing can be done for ada, or no files of one import be sent."""
    sends = one.import_id if one is not None else ""
    return OmeroImportStore(desk.imports, OmeroSource(desk.identities)).away("ada", sends=sends)


def test_imports_under_way_have_places_of_the_pool_and_leave_one(
    omero: RunningServer, desk: Importing, ones: list[Import]
) -> None:
    first, second, third, fourth = ones
    first.transfer()
    second.transfer()
    for late in (third, fourth):
        with pytest.raises(OmeroPlacesTaken, match="2 of the 3 connections"):
            late.transfer()
    assert "2 of the 3 connections" in away(desk, third)
    # Those that have a place need none, and what asks the server questions waits for none.
    assert (away(desk, first), away(desk, second), away(desk)) == ("", "", "")
    # What is soon over goes on, for an import as for all else.
    assert not third.reconcile().registered
    assert desk.identities.read(Person(user="ada"), Connection.event_context)
    # With the one by which the test has logged in.
    assert omero.control.tell("counts")["people"]["ada"]["most_connections"] <= 4
    first.verify()
    first.register()
    assert away(desk, third) == ""
    third.whole()
    second.verify()
    second.register()
    fourth.whole()


def test_an_import_at_which_nothing_happens_gives_way_and_ends_once_it_is_gone_on_with(
    omero: RunningServer, desk: Importing, ones: list[Import]
) -> None:
    n_before = n_of(omero, "Fileset")
    idle, other, waiting, _ = ones
    idle.transfer()
    NOW_S[0] = 1.0
    other.transfer()
    NOW_S[0] = GIVES_WAY_S
    # To look is to take nothing away.
    for _ in range(2):
        assert away(desk, waiting) == ""
    waiting.transfer()
    # One has gone, and no more: the other was used a second later.
    assert "2 of the 3 connections" in away(desk, idle)
    for one in (other, waiting):
        one.verify()
        one.register()
    idle.driven()
    assert n_of(omero, "Fileset") == n_before + 3


def test_an_import_that_has_failed_gives_way_at_once_and_before_one_that_waits(
    omero: RunningServer, desk: Importing, ones: list[Import]
) -> None:
    waits, failed, third, fourth = ones
    waits.transfer()
    NOW_S[0] = 2 * GIVES_WAY_S
    failed.transfer()
    failed.at.rest(failed.import_id)
    third.transfer()
    # What the one that waits has sent is of use yet, though it has waited for so long.
    waits.verify()
    assert "2 of the 3 connections" in away(desk, fourth)
    for one in (waits, third):
        one.register()
    failed.driven()


def test_an_import_that_has_lost_its_place_keeps_none_for_a_question(desk: Importing, ones: list[Import]) -> None:
    failed, second, third, _ = ones
    failed.transfer()
    failed.at.rest(failed.import_id)
    second.transfer()
    third.transfer()
    assert not failed.reconcile().registered
    # The place that is left is there for what is soon over.
    assert desk.identities.read(Person(user="ada"), Connection.event_context)


def test_an_import_that_is_tried_again_goes_on_where_it_was_if_nobody_needed_its_place(
    omero: RunningServer, desk: Importing, ones: list[Import]
) -> None:
    failed, other = ones[:2]
    failed.transfer()
    failed.at.rest(failed.import_id)
    other.whole()
    failed.verify()
    other_still, third = ones[2:]
    other_still.transfer()
    # It is at work again: nobody has its place.
    with pytest.raises(OmeroPlacesTaken):
        third.transfer()
    failed.register()
