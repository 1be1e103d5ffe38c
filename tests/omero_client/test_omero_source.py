"""Plates in OMERO as a place of the mesh: each person is shown what that person may see there, by name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omero_lab import address_of, login
from omero_plates import logged_in, save_plate

from hcs_mesh.plates.errors import PlaceAway, PlaceRefused
from hcs_mesh.plates.labels import UNLABELLED, Labels
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.source import OmeroSource
from hcs_mesh.plates.plate_source import PlateSource
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")


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
    source = OmeroSource(identities)
    with logged_in(omero, "ada") as client:
        plate_id = save_plate(client, "before", n_rows=1, n_columns=1, n_fields=2)
        before = source.stamp(plate_id, "ada")
        omero.control.tell("forget_counts")
        assert source.stamp(plate_id, "ada") == before
        asked = {name: n for name, n in omero.control.counts().items() if name.startswith("IQuery.")}
        assert sum(asked.values()) == 1, asked
        renamed(client, plate_id, "after")
        assert source.stamp(plate_id, "ada") != before
