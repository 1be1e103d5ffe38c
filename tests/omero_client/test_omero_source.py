"""Plates in OMERO as a place of the mesh: each person is shown what that person may see there, by name."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omero_lab import address_of, login
from omero_plates import logged_in, save_plate

from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.messages.metadata import GetPlate
from hcs_mesh.plates.errors import PlaceAway, PlaceRefused
from hcs_mesh.plates.labels import UNLABELLED, Labels
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.model import Plate
from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.source import REREAD_S, OmeroSource
from hcs_mesh.plates.plate_source import PlateSource
from hcs_mesh.supervisors import Node
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio]


@pytest.fixture
def identities(omero: RunningServer) -> Iterator[Identities]:
    identities = Identities(address_of(omero))
    for user in ("ada", "grace"):
        own = Connection(address_of(omero), login(user))
        identities.logged_in(Person(user=user), own.key)
        own.close()
    yield identities
    identities.close()


def renamed(client: Any, plate_id: int, name: str) -> None:
    from omero.rtypes import rstring

    plate = client.getSession().getQueryService().get("Plate", plate_id)
    plate.setName(rstring(name))
    client.getSession().getUpdateService().saveObject(plate)


def of_plate(client: Any, plate_id: int, hql: str) -> Any:
    from omero.sys import ParametersI

    parameters = ParametersI()
    parameters.addLong("pid", plate_id)
    return client.getSession().getQueryService().findAllByQuery(hql, parameters, {"omero.group": "-1"})


def calibrated(client: Any, plate_id: int) -> None:
    """Say what a pixel measures, as people do who forgot it at the microscope."""
    import omero.model as model

    hql = "select p from Pixels p join p.image i join i.wellSamples ws join ws.well w where w.plate.id = :pid"
    for pixels in of_plate(client, plate_id, hql):
        pixels.setPhysicalSizeX(model.LengthI(0.325, model.enums.UnitsLength.MICROMETER))
        client.getSession().getUpdateService().saveObject(pixels)


def channels_renamed(client: Any, plate_id: int, name: str) -> None:
    from omero.rtypes import rstring

    hql = (
        "select lc from Pixels p join p.channels c join c.logicalChannel lc join p.image i join i.wellSamples ws "
        "join ws.well w where w.plate.id = :pid"
    )
    for known_as in of_plate(client, plate_id, hql):
        known_as.setName(rstring(name))
        group_id = known_as.getDetails().getGroup().getId().getValue()
        client.getSession().getUpdateService().saveObject(known_as, {"omero.group": str(group_id)})


def moved(client: Any, plate_id: int, group: str) -> int:
    """Move a plate to another group of its owner's, as OMERO's clients do; the group's number."""
    import omero
    from omero.callbacks import CmdCallbackI

    session = client.getSession()
    number = int(session.getAdminService().lookupGroup(group).getId().getValue())
    request = omero.cmd.Chgrp2(targetObjects={"Plate": [plate_id]}, groupId=number)
    callback = CmdCallbackI(client, session.submit(request, {"omero.group": "-1"}))
    callback.loop(100, 500)
    assert isinstance(callback.getResponse(), omero.cmd.Chgrp2Response)
    callback.close(True)
    return number


def cache_of(identities: Identities, now_s: list[float]) -> MetadataCache:
    def clock() -> float:
        return now_s[0]

    return MetadataCache(OmeroSource(identities, clock=clock), clock=clock)


def say(client: Any, plate_id: int) -> None:
    """Describe a plate, put it into a screen, and attach to it what people attach, and what programs do."""
    import omero.model as model
    from omero.rtypes import rstring

    save = client.getSession().getUpdateService().saveObject
    plate = client.getSession().getQueryService().get("Plate", plate_id)
    plate.setDescription(rstring("the second run"))
    save(plate)
    screen, into = model.ScreenI(), model.ScreenPlateLinkI()
    screen.setName(rstring("siRNA 7"))
    into.setParent(screen)
    into.setChild(model.PlateI(plate_id, False))
    save(into)

    def attach(annotation: Any, *, ns: str = "", text: str = "", pairs: tuple[tuple[str, str], ...] = ()) -> None:
        if ns:
            annotation.setNs(rstring(ns))
        if text:
            annotation.setTextValue(rstring(text))
        if pairs:
            annotation.setMapValue([model.NamedValue(*pair) for pair in pairs])
        link = model.PlateAnnotationLinkI()
        link.setParent(model.PlateI(plate_id, False))
        link.setChild(annotation)
        save(link)

    shown = "openmicroscopy.org/omero/client/mapAnnotation"
    attach(model.TagAnnotationI(), text="control")
    attach(model.TagAnnotationI(), text="day 2")
    attach(model.MapAnnotationI(), ns=shown, pairs=(("dye", "DAPI"), ("dose", "3 µM")))
    attach(model.MapAnnotationI(), ns="hcs-mesh/import", pairs=(("mark", "this-mesh/one"),))
    attach(model.MapAnnotationI(), ns="hcs-mesh/result", pairs=(("job", "job-1"),))
    attach(model.CommentAnnotationI(), text="a bubble in B02")
    attach(model.CommentAnnotationI(), ns="hcs-mesh/result", text="not people's")
    attach(model.CommentAnnotationI(), ns="hcs-mesh/comment", text="and one in C03")
    too_long = model.MapAnnotationI()
    too_long.setDescription(rstring("n" * 300))
    attach(too_long, ns="hcs-mesh/key-value", pairs=(("note", "n" * 254 + "…"),))


def test_each_person_is_shown_what_that_person_may_see(omero: RunningServer, identities: Identities) -> None:
    source: PlateSource = OmeroSource(identities)
    with logged_in(omero, "ada") as client:
        hers = save_plate(client, "ada's own", n_rows=1, n_columns=2, n_fields=1)
    assert source.plate(hers, "ada").wells == ("A01", "A02")
    assert hers in {one.id for one in source.plates("ada")}
    assert hers not in {one.id for one in source.plates("grace")}
    for ask in (source.plate, source.stamp, source.labels):
        with pytest.raises(PlateNotFound):
            ask(hers, "grace")
        with pytest.raises(PlaceRefused, match="nobody's name"):
            ask(hers)
        with pytest.raises(PlaceAway, match="nobody may act for eve"):
            ask(hers, "eve")


def test_labels_are_what_any_program_said_of_a_plate_in_two_questions(
    omero: RunningServer, identities: Identities
) -> None:
    source = OmeroSource(identities)
    with logged_in(omero, "ada") as client:
        plate_id = save_plate(client, "labelled", n_rows=1, n_columns=1, n_fields=1)
        assert source.labels(plate_id, "ada") == UNLABELLED
        say(client, plate_id)
    omero.control.tell("forget_counts")
    assert source.labels(plate_id, "ada") == Labels(
        screen="siRNA 7",
        description="the second run",
        tags=("control", "day 2"),
        key_values=(("dye", "DAPI"), ("dose", "3 µM"), ("note", "n" * 300)),
        comment="a bubble in B02\nand one in C03",
    )
    asked = {name: n for name, n in omero.control.counts().items() if name.startswith("IQuery.")}
    assert sum(asked.values()) == 2, asked
    with pytest.raises(PlateNotFound):
        source.labels(plate_id, "grace")


def test_the_stamp_is_one_question_and_another_once_the_plate_is(
    omero: RunningServer, identities: Identities, tmp_path: Path
) -> None:
    source = OmeroSource(identities, clock=lambda: 0.0)
    with logged_in(omero, "ada") as client:
        plate_id = save_plate(client, "before", n_rows=1, n_columns=1, n_fields=2)
        before = source.stamp(plate_id, "ada")
        omero.control.tell("forget_counts")
        assert source.stamp(plate_id, "ada") == before
        asked = {name: n for name, n in omero.control.counts().items() if name.startswith("IQuery.")}
        assert sum(asked.values()) == 1, asked
        renamed(client, plate_id, "after")
        later = source.stamp(plate_id, "ada")
        assert later != before
        calibrated(client, plate_id)
        assert source.stamp(plate_id, "ada") != later


@pytest.mark.parametrize(("n_rows", "n_columns", "n_fields"), [(0, 0, 0), (1, 2, 2)])
def test_a_plate_comes_with_the_stamp_that_is_asked_for_later(
    omero: RunningServer, identities: Identities, n_rows: int, n_columns: int, n_fields: int
) -> None:
    source = OmeroSource(identities, clock=lambda: 0.0)
    with logged_in(omero, "ada") as client:
        plate_id = save_plate(client, "stamped", n_rows=n_rows, n_columns=n_columns, n_fields=n_fields)
    plate, stamp = source.stamped(plate_id, "ada")
    assert (plate, stamp) == (source.plate(plate_id, "ada"), source.stamp(plate_id, "ada"))


async def test_who_asks_the_mesh_for_a_plate_first_waits_for_two_calls_and_a_minute_later_for_one(
    omero: RunningServer, identities: Identities
) -> None:
    def saved() -> int:
        with logged_in(omero, "ada") as client:
            plate_id = save_plate(client, "asked for", n_rows=2, n_columns=3, n_fields=2)
        # Which opens a connection: a login is no call for a plate.
        identities.read(Person(user="ada"), Connection.event_context)
        return plate_id

    plate_id, now_s = await asyncio.to_thread(saved), [0.0]
    node = Node("hub")
    life = await node.start_actor("metadata", lambda: cache_of(identities, now_s))

    async def n_calls() -> int:
        omero.control.tell("forget_counts")
        plate = await node.find("metadata").ask(GetPlate(plate_id=plate_id, requester="ada"))
        assert len(plate.wells) == 6
        return sum(n for name, n in omero.control.counts().items() if name.startswith("I"))

    assert await n_calls() == 2
    assert await n_calls() == 0
    now_s[0] = 61.0
    assert await n_calls() == 1
    await life.stop()
    await life.wait()
    await node.close()


async def test_the_mesh_follows_a_plate_to_another_group_and_to_other_names_of_its_channels(
    omero: RunningServer, identities: Identities
) -> None:
    def saved() -> int:
        with logged_in(omero, "grace") as client:
            return save_plate(client, "followed", n_rows=1, n_columns=1, n_fields=1)

    def changed(how: Callable[..., Any], to: str) -> Any:
        with logged_in(omero, "grace") as client:
            return how(client, plate_id, to)

    plate_id, now_s = await asyncio.to_thread(saved), [0.0]
    node = Node("hub")
    life = await node.start_actor("metadata", lambda: cache_of(identities, now_s))

    async def told() -> Plate:
        plate: Plate = await node.find("metadata").ask(GetPlate(plate_id=plate_id, requester="grace"))
        return plate

    assert (await told()).channels[0] == "channel 0"
    group_id = await asyncio.to_thread(changed, moved, "other")
    await asyncio.to_thread(changed, channels_renamed, "DAPI")
    now_s[0] = 61.0
    plate = await told()
    # By this group its planes are read.
    assert f"?group={group_id}&" in plate.image(0).file
    assert plate.channels[0] == "DAPI"
    await asyncio.to_thread(changed, channels_renamed, "Hoechst")
    now_s[0] += REREAD_S + 61.0
    assert (await told()).channels[0] == "Hoechst"
    await life.stop()
    await life.wait()
    await node.close()
