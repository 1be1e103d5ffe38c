"""What a test can have the stand-in do: count, dawdle, fail, hold, drop, die."""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import Glacier2
import Ice
import omero
import pytest
from omero.gateway import BlitzGateway
from omero.rtypes import rstring
from omero_filesets import Upload, ome_tiff_plate, planes
from omero_people import login_of

from omero_server.faults import Asked, Door, Fault
from omero_server.running import RunningServer, Told

Connect = Callable[..., BlitzGateway]


def project(name: str) -> omero.model.ProjectI:
    made = omero.model.ProjectI()
    made.setName(rstring(name))
    return made


def names(connection: BlitzGateway, *wanted: str) -> list[str]:
    """Which of these projects are there."""
    rows = connection.getQueryService().projection("select p.name from Project p order by p.id", None)
    return [row[0].val for row in rows if row[0].val in wanted]


def test_every_call_and_query_is_counted(confused_server: RunningServer, connect: Connect) -> None:
    connection = connect("ada", server=confused_server)
    service = connection.c.sf.getQueryService()
    confused_server.control.tell("forget_counts")
    for _ in range(3):
        service.projection("select p.id\nfrom  Plate p", None)
    service.find("Plate", 1)
    counts = confused_server.control.counts()
    assert {name: n for name, n in counts.items() if name.startswith("IQuery")} == {
        "IQuery.projection": 3,
        "IQuery.find": 1,
    }
    assert confused_server.control.tell("counts")["queries"] == [["select p.id from Plate p", 3]]


def test_it_is_known_who_called_what_by_how_many_connections(confused_server: RunningServer, connect: Connect) -> None:
    ada, ben = connect("ada", server=confused_server), connect("ben", server=confused_server)
    confused_server.control.tell("forget_counts")
    second = connect("ada", server=confused_server)
    ada.c.sf.getQueryService().find("Plate", 1)
    ben.c.sf.getQueryService().findAll("Plate", None)
    second.close()
    people = confused_server.control.tell("counts")["people"]
    calls = {user: {name for name in did["calls"] if name.startswith("IQuery.find")} for user, did in people.items()}
    assert calls == {"ada": {"IQuery.find"}, "ben": {"IQuery.findAll"}}
    assert {user: did["most_connections"] for user, did in people.items()} == {"ada": 2, "ben": 0}


def test_a_slow_call_takes_its_time_as_often_as_was_asked_for(confused_server: RunningServer, connect: Connect) -> None:
    service = connect("ada", server=confused_server).c.sf.getQueryService()
    confused_server.control.tell("slow", operation="IQuery.find", seconds=0.5, times=1)
    began_s = time.monotonic()
    assert service.find("Plate", 1) is None
    assert time.monotonic() - began_s >= 0.5


def test_what_a_group_allows_changes_while_people_are_in_it(confused_server: RunningServer, connect: Connect) -> None:
    ada, ben = connect("ada", "writers"), connect("ben", "writers")
    made = ada.getUpdateService().saveAndReturnObject(project("shared"), ada.SERVICE_OPTS)
    assert ben.getObject("Project", made.id.val) is not None
    confused_server.control.tell("set_permissions", group="writers", permissions="rw----")
    try:
        assert ben.getObject("Project", made.id.val) is None
    finally:
        confused_server.control.tell("set_permissions", group="writers", permissions="rwrw--")


def test_many_at_once_save_and_read_and_nothing_gets_lost_or_seen(stand_in: RunningServer, connect: Connect) -> None:
    people = ["ada", "ben", "lea", "eve"] * 4
    connections = [connect(user, server=stand_in) for user in people]
    seen: list[list[str]] = [[] for _ in people]

    def work(n: int) -> None:
        service = connections[n].c.sf.getUpdateService()
        for k in range(5):
            service.saveObject(project(f"at once {people[n]} {n} {k}"))
        rows = connections[n].c.sf.getQueryService().projection("select p.name from Project p", None)
        seen[n] = [row[0].val for row in rows if row[0].val.startswith("at once")]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(people))]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    for n, user in enumerate(people):
        assert {f"at once {user} {n} {k}" for k in range(5)} <= set(seen[n])
        if user != "lea":  # who leads the lab sees all that is in it
            assert all(name.split()[2] == user for name in seen[n])


def test_a_call_fails_as_often_as_was_asked_for(confused_server: RunningServer, connect: Connect) -> None:
    service = connect("ada", server=confused_server).c.sf.getQueryService()
    confused_server.control.tell("fail", operation="IQuery.find", times=2, **{"with": "DatabaseBusyException"})
    for _ in range(2):
        with pytest.raises(omero.DatabaseBusyException):
            service.find("Plate", 1)
    assert service.find("Plate", 1) is None


def test_a_saving_whose_answer_gets_lost_is_kept(confused_server: RunningServer, connect: Connect) -> None:
    connection = connect("ada", server=confused_server)
    confused_server.control.tell(
        "fail", operation="IUpdate.saveObject", times=1, after=True, **{"with": "InternalException"}
    )
    with pytest.raises(omero.InternalException):
        connection.c.sf.getUpdateService().saveObject(project("kept"))
    assert names(connection, "kept") == ["kept"]


def test_a_call_that_is_held_waits_and_others_go_on(confused_server: RunningServer, connect: Connect) -> None:
    connection = connect("ada", server=confused_server)
    update = connection.c.sf.getUpdateService()
    confused_server.control.tell("hold", operation="IUpdate.saveObject")
    saving = threading.Thread(target=update.saveObject, args=(project("held"),))
    saving.start()
    while confused_server.control.tell("held")["held"] != {"IUpdate.saveObject": 1}:
        assert saving.is_alive()
    assert names(connection, "held") == []
    confused_server.control.tell("release", operation="IUpdate.saveObject")
    saving.join(30)
    assert names(connection, "held") == ["held"]


def test_a_dropped_connection_is_lost_and_another_one_joins_the_session(
    confused_server: RunningServer, connect: Connect
) -> None:
    connection = connect("ada", server=confused_server)
    uuid, service = connection.getEventContext().sessionUuid, connection.c.sf.getQueryService()
    confused_server.control.tell("fail", operation="IQuery.find", times=1, **{"with": "drop"})
    with pytest.raises(Ice.ConnectionLostException):
        service.find("Plate", 1)
    joined = BlitzGateway(host=confused_server.host, port=confused_server.port, secure=True)
    assert joined.connect(uuid)
    confused_server.control.tell("drop_connections")
    with pytest.raises(Ice.LocalException):
        joined.c.sf.getQueryService().find("Plate", 1)
    with pytest.raises(Ice.ObjectNotExistException):  # on the next connection nobody has joined anything
        joined.c.sf.getQueryService().find("Plate", 1)
    joined.close()


def test_a_request_that_the_control_does_not_know_is_an_error(confused_server: RunningServer) -> None:
    for request in (
        {"do": "frobnicate"},
        {"do": "slow", "operation": "IQuery.frobnicate", "seconds": 1},
        {"do": "fail", "operation": "IQuery.find", "with": "Nonsense"},
        {"do": "counts", "more": 1},
        {"do": "set_permissions", "group": "lab", "permissions": "rwxrwx"},
    ):
        with pytest.raises(Told):
            confused_server.control.tell(**request)


def test_what_was_acknowledged_survives_a_kill_and_what_was_not_is_not_there(
    own_server: RunningServer, connect: Connect, tmp_path: Path
) -> None:
    connection = connect("ada", server=own_server)
    pixels = planes(2, 1, 10, 12)
    response = Upload(connection, ome_tiff_plate(tmp_path / "in", pixels)).whole()
    update = connection.c.sf.getUpdateService()
    update.saveObject(project("acknowledged"))
    own_server.control.tell("kill_at", operation="IUpdate.saveObject", nth=2)
    update.saveObject(project("acknowledged too"))
    with pytest.raises(Ice.Exception):
        update.saveObject(project("never"))
    own_server.wait_until_dead()
    with pytest.raises(Ice.Exception):
        update.saveObject(project("never"))
    own_server.start()
    again = connect("ada", server=own_server)
    assert names(again, "acknowledged", "acknowledged too", "never") == ["acknowledged", "acknowledged too"]
    image = again.getObject("Image", response.objects[1].id.val)
    assert (image.getPrimaryPixels().getPlane(0, 0, 0) == pixels[0, 0]).all()


def test_a_session_does_not_survive_a_kill(own_server: RunningServer, connect: Connect) -> None:
    connection = connect("ada", server=own_server)
    uuid, service = connection.getEventContext().sessionUuid, connection.c.sf.getQueryService()
    port = own_server.port
    own_server.kill()
    with pytest.raises((Ice.ConnectionRefusedException, Ice.ConnectionLostException)):
        service.find("Plate", 1)
    own_server.start()
    assert own_server.port == port
    with pytest.raises(Ice.ObjectNotExistException):
        service.find("Plate", 1)
    with pytest.raises(Glacier2.PermissionDeniedException):
        login_of(own_server, "ada").client().joinSession(uuid)


def test_an_import_that_is_cut_leaves_a_fileset_without_images(
    own_server: RunningServer, connect: Connect, tmp_path: Path
) -> None:
    upload = Upload(connect("ada", server=own_server), ome_tiff_plate(tmp_path / "in", planes(1, 1, 10, 12)))
    upload.send(0)
    own_server.control.tell("kill_at", operation="ManagedRepository.import")
    with contextlib.suppress(Ice.LocalException):  # the answer may get away or not
        upload.process.verifyUpload(upload.hashes())
    own_server.wait_until_dead()
    own_server.start()
    again = connect("ada", server=own_server)
    assert again.c.getManagedRepository().listImports() == []
    query = "select size(f.usedFiles), size(f.images) from Fileset f"
    assert [[one.val for one in row] for row in again.getQueryService().projection(query, None)] == [[1, 0]]


def test_a_server_that_is_asked_to_stop_ends_well(own_server: RunningServer) -> None:
    assert own_server.stop() == 0


def test_faults_take_turns_as_they_were_told() -> None:
    door = Door()
    door.set("A", Fault(exception="ResourceError", passes=1, times=1))
    door.set("A", Fault(exception="DatabaseBusyException", after=True, times=1))
    seen = []
    for _ in range(3):
        for meet in (door.enter, door.leave):
            try:
                meet("A")
                seen.append("")
            except Asked as asked:
                seen.append(str(asked))
    assert seen == ["", "DatabaseBusyException", "ResourceError", "", "", ""]
    assert door.counts == {"A": 3}
