"""Who there is, as setup.json says, at the first start and at later ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omero.gateway import BlitzGateway
from omero_people import SETUP, login_of

from omero_server.graph import Graph
from omero_server.people import BadSetup, People, read_setup
from omero_server.running import RunningServer, running_server
from omero_server.schema import schema

LAB: dict[str, Any] = {"name": "lab", "permissions": "rwr---"}
ADA: dict[str, Any] = {"name": "ada", "password": "first", "groups": ["lab"]}


def people(graph: Graph | None = None, **setup: Any) -> People:
    return People(graph or Graph(schema()), setup)


def test_the_people_of_every_server_are_there_under_their_ids() -> None:
    known = people()
    assert [(known.user(id)["omeName"], known.group(id)["name"]) for id in (0, 1)] == [
        ("root", "system"),
        ("guest", "user"),
    ]
    assert known.group(2)["name"] == "guest"
    root = known.caller(known.user(0), None)
    assert root.is_admin
    assert root.may("WriteOwned")


def test_the_first_group_is_the_default_one_and_everybody_is_a_user() -> None:
    known = people(groups=[LAB, {"name": "other"}], users=[ADA | {"groups": ["other", "lab"], "leads": ["lab"]}])
    ada = known.log_in("ada", "first")
    assert ada is not None
    assert known.default_group(ada)["name"] == "other"
    assert [one["parent"]["name"] for one in known.memberships(ada)] == ["other", "lab", "user"]
    assert known.caller(ada, None).leader_of == {known.group_named("lab").id}
    assert known.group_named("other").permissions == "rw----"


def test_a_wrong_password_is_nobodys_and_guests_need_none() -> None:
    known = people(groups=[LAB], users=[ADA])
    assert known.log_in("ada", "second") is None
    assert known.log_in("nobody", "first") is None
    assert known.log_in("guest", "whatever") is known.user(1)


def test_a_later_start_brings_up_to_date_who_is_there_and_removes_nobody() -> None:
    graph = Graph(schema())
    people(graph, groups=[LAB, {"name": "other"}], users=[ADA, ADA | {"name": "ben"}])
    later = ADA | {"password": "second", "groups": ["other"], "leads": ["other"]}
    known = people(graph, groups=[LAB | {"permissions": "rw----"}], users=[later])
    ada = known.log_in("ada", "second")
    assert ada is not None
    assert known.default_group(ada)["name"] == "other"
    assert known.group_named("lab").permissions == "rw----"
    assert graph.one("Experimenter", omeName="ben") is not None
    assert len(list(graph.all("Experimenter"))) == 4


@pytest.mark.parametrize(
    "setup",
    [
        {"groups": [{"name": "lab", "permissions": "rwxrwx"}]},
        {"groups": [LAB], "users": [ADA | {"groups": ["system"], "privileges": ["Dance"]}]},
        {"users": [ADA]},
        {"users": [{"name": "ada"}]},
    ],
)
def test_what_nobody_can_obey_is_refused(setup: dict[str, Any]) -> None:
    with pytest.raises((BadSetup, LookupError, TypeError)):
        people(**setup)


def test_a_key_that_means_nothing_is_refused(tmp_path: Path) -> None:
    assert [user["name"] for user in read_setup(tmp_path)["users"]] == ["user"]
    (tmp_path / "setup.json").write_text(json.dumps({"grops": []}))
    with pytest.raises(BadSetup, match="grops"):
        read_setup(tmp_path)


def test_a_server_may_list_no_imports_as_some_do(
    tmp_path: Path, connect: Callable[..., BlitzGateway], stand_in: RunningServer
) -> None:
    from omero_filesets import Upload, ome_tiff_plate, planes

    files = ome_tiff_plate(tmp_path / "in", planes(1, 1, 8, 9))
    Upload(connect("ada"), files)
    assert connect("ada").c.getManagedRepository().listImports()
    with running_server(tmp_path / "omero", SETUP | {"lists_imports": False}) as server:
        connection = login_of(server, "ada").connect()
        Upload(connection, files)
        assert connection.c.getManagedRepository().listImports() == []
        connection.close()
