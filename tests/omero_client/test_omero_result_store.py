"""Results of everybody's jobs through one store: each written and read as its owner, or not before the next login."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omero_imports import secret
from omero_lab import address_of, login
from omero_plates import logged_in
from omero_results import SOURCE, job_of, make_plate, write_well

from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.numbers import HTTP, SPAN
from hcs_mesh.plates.omero.address import Person, SessionKey
from hcs_mesh.plates.omero.connection import Connection, close_quietly
from hcs_mesh.plates.omero.errors import OmeroAwaitsLogin, OmeroUnreachable
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.minter import Minter
from hcs_mesh.plates.omero.result_keys import RESULTS
from hcs_mesh.plates.omero.result_store import OmeroResultStore
from hcs_mesh.plates.repository import JobOrigin, StoredResult
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")
__all__ = ["secret"]

PAIRS = "select kv.name, kv.value from MapAnnotation a join a.mapValue kv where a.ns = :ns"
GROUPS = "select distinct a.details.group.name from MapAnnotation a where a.ns = :ns"


class Lab:
    """People, and the store of one mesh or another at the same server."""

    def __init__(self, server: RunningServer, folder: Path, minter: Path | None = None) -> None:
        self.server = server
        self.folder = folder
        address = address_of(server)
        self.identities = Identities(address, minter=Minter(address, "minter", minter) if minter is not None else None)
        self.store = self.store_of("mesh-a")
        self._own: list[Connection] = []

    def store_of(self, origin: str) -> OmeroResultStore:
        spool = self.folder / origin
        return OmeroResultStore(self.identities, spool, origin=origin, versions=(("hcs-mesh", "0.1.0"),))

    def log_in(self, name: str) -> None:
        self._own.append(Connection(address_of(self.server), login(name)))
        self.identities.logged_in(Person(user=name), self._own[-1].key)

    def own_key(self) -> SessionKey:
        return self._own[0].key

    def commit(self, store: OmeroResultStore, plate_id: int, name: str, *, well: str = "A01") -> StoredResult:
        job = job_of(plate_id)
        write_well(store.results_folder(plate_id, job, well, 1, requester=name), plate_id, well=well)
        return store.commit_well(plate_id, job, well, 1, requester=name)

    def rows(self, hql: str, name: str = "ada") -> list[Any]:
        from omero.rtypes import unwrap
        from omero.sys import ParametersI

        with logged_in(self.server, name) as client:
            parameters = ParametersI()
            parameters.addString("ns", RESULTS)
            found: list[Any] = unwrap(
                client.getSession().getQueryService().projection(hql, parameters, {"omero.group": "-1"})
            )
        return found

    def close(self) -> None:
        self.identities.close()
        for one in self._own:
            close_quietly(one)


@pytest.fixture
def lab(omero: RunningServer, tmp_path: Path) -> Iterator[Lab]:
    found = Lab(omero, tmp_path)
    yield found
    found.close()


def test_a_well_is_written_as_the_jobs_owner_with_what_it_comes_from(lab: Lab) -> None:
    lab.log_in("ada")
    plate_id = make_plate(lab.server)
    job = job_of(plate_id)
    lab.store.job_taken(JobOrigin(job=job, plate_id=plate_id, pipeline="nuclei", source=SOURCE, owner="ada"))
    stored = lab.commit(lab.store, plate_id, "ada")
    assert Path(stored.folder, "cells.csv").is_file()
    assert {(name, value) for name, value in lab.rows(PAIRS)} >= {
        ("job", job),
        ("mesh", "mesh-a"),
        ("plate", str(plate_id)),
        ("pipeline", "nuclei"),
        ("pipeline source", SOURCE),
        ("owner", "ada"),
        ("hcs-mesh version", "0.1.0"),
    }
    (found,) = lab.store.results(job, requester="ada")
    assert (found.well, found.n_objects) == ("A01", 4)
    # Another person of the same private group.
    lab.log_in("grace")
    assert lab.store.results(job, requester="grace") == ()
    with pytest.raises(PlateNotFound):
        lab.store.results_folder(plate_id, job, "A02", 1, requester="grace")


def test_results_go_into_the_group_of_the_plate(lab: Lab) -> None:
    lab.log_in("grace")
    lab.commit(lab.store, make_plate(lab.server, "grace", group="other"), "grace")
    assert lab.rows(GROUPS, "grace") == [["other"]]


def test_without_a_session_it_is_said_who_has_to_log_in(lab: Lab) -> None:
    plate_id = make_plate(lab.server)
    for call in (
        lambda: lab.store.results_folder(plate_id, "job-0001", "A01", 1, requester="ada"),
        lambda: lab.store.commit_well(plate_id, "job-0001", "A01", 1, requester="ada"),
        lambda: lab.store.results("job-0001", requester="ada"),
        lambda: lab.store.sweep("job-0001", requester="ada"),
    ):
        with pytest.raises(OmeroAwaitsLogin, match=r"may act for ada .* \(hcs-mesh omero login\): no minter is set"):
            call()
    assert "no minter is set" in lab.store.away("ada")
    lab.log_in("ada")
    assert lab.store.away("ada") == ""
    lab.commit(lab.store, plate_id, "ada")
    # Of one person's login nobody else has anything.
    assert "may act for grace" in lab.store.away("grace")


def test_a_session_that_is_over_in_between_gives_way_to_a_minted_one(
    omero: RunningServer, tmp_path: Path, secret: Path
) -> None:
    lab = Lab(omero, tmp_path, secret)
    lab.log_in("ada")
    plate_id = make_plate(omero)
    job = job_of(plate_id)
    write_well(lab.store.results_folder(plate_id, job, "A01", 1, requester="ada"), plate_id)
    omero.control.tell("expire", session=None, user="ada", reaped=True)
    lab.store.commit_well(plate_id, job, "A01", 1, requester="ada")
    assert len(lab.store.results(job, requester="ada")) == 1
    lab.close()


@pytest.mark.parametrize("with_minter", [False, True])
def test_a_connection_that_is_lost_on_the_way_costs_no_living_session(
    omero: RunningServer, tmp_path: Path, secret: Path, with_minter: bool
) -> None:
    lab = Lab(omero, tmp_path, secret if with_minter else None)
    lab.log_in("ada")
    plate_id = make_plate(omero)
    job = job_of(plate_id)
    write_well(lab.store.results_folder(plate_id, job, "A01", 1, requester="ada"), plate_id)
    # What a router says to a client that comes by another connection than before.
    omero.control.tell("fail", operation="IUpdate.saveAndReturnIds", times=1, **{"with": "ObjectNotExist"})
    assert lab.store.commit_well(plate_id, job, "A01", 1, requester="ada").n_objects == 4
    assert lab.identities.session_of(Person(user="ada")) == lab.own_key()
    lab.close()


def test_a_way_on_which_connections_are_always_lost_is_told_and_no_session_is_blamed(lab: Lab) -> None:
    lab.log_in("ada")
    plate_id = make_plate(lab.server)
    job = job_of(plate_id)
    write_well(lab.store.results_folder(plate_id, job, "A01", 1, requester="ada"), plate_id)
    lab.server.control.tell("fail", operation="IUpdate.saveAndReturnIds", times=None, **{"with": "ObjectNotExist"})
    with pytest.raises(OmeroUnreachable, match="was lost 3 times"):
        lab.store.commit_well(plate_id, job, "A01", 1, requester="ada")
    lab.server.control.tell("forget_faults")
    lab.store.commit_well(plate_id, job, "A01", 1, requester="ada")


def test_a_fellow_reads_what_the_jobs_owner_has(lab: Lab) -> None:
    lab.server.control.tell("set_permissions", group="lab", permissions="rwra--")
    for name in ("ada", "grace"):
        lab.log_in(name)
    plate_id = make_plate(lab.server)
    job = job_of(plate_id)
    lab.store.job_taken(JobOrigin(job=job, plate_id=plate_id, pipeline="nuclei", source=SOURCE, owner="ada"))
    lab.commit(lab.store, plate_id, "ada")
    (found,) = lab.store.results(job, requester="grace")
    assert found.n_objects == 4
    # Of a job of which it has not heard it knows no owner, and so no more than who asks has.
    assert lab.store_of("mesh-a").results(job, requester="grace") == ()
    lab.server.control.tell("set_permissions", group="lab", permissions="rw----")


def test_two_meshes_that_count_their_jobs_alike_keep_them_apart(lab: Lab) -> None:
    lab.log_in("ada")
    plate_id = make_plate(lab.server)
    job, other = job_of(plate_id), lab.store_of("mesh-b")
    lab.commit(lab.store, plate_id, "ada")
    assert other.results(job, requester="ada") == ()
    lab.commit(other, plate_id, "ada", well="A02")
    assert [one.well for one in lab.store.results(job, requester="ada")] == ["A01"]
    assert [one.well for one in other.results(job, requester="ada")] == ["A02"]


def test_of_a_job_on_a_plate_elsewhere_the_server_is_asked_nothing(lab: Lab) -> None:
    origin = JobOrigin(job="job-0007", plate_id=HTTP * SPAN + 1, pipeline="nuclei", source=SOURCE, owner="ada")
    lab.store.job_taken(origin)
    assert lab.store.results("job-0007", requester="ada") == ()
    assert lab.store.sweep("job-0007", requester="ada") == ()
