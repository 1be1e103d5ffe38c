"""How a server comes to be ready, as a table: what is seen, and what is done about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates.omero.instance.life import (
    CertificateSought,
    ContainersSeen,
    ContainersUp,
    Do,
    Event,
    OutOfTime,
    Plan,
    Problem,
    Refused,
    Sight,
    Standing,
    StartedMeanwhile,
    after,
    begin,
    starting,
)

NOTHING, SOMETHING = Sight(reach="nothing", why="refused"), Sight(reach="something", why="no TLS")
SERVER, UNTRUSTED = Sight(reach="server", why="busy"), Sight(reach="untrusted", why="self-signed")
LOGIN = Sight(reach="login", version="5.6")
BROKEN = Problem("container-ended", "it ended", "mend it")


def plan(*, may_start: bool = False, ours: bool = False, fetches: bool = False) -> Plan:
    return Plan(address="here:4064", may_start=may_start, ours=ours, fetches_certificate=fetches, until_s=100.0)


def life(events: list[Event], what: Plan, *, now_s: float = 1.0) -> tuple[list[str], list[Do], Standing]:
    """The states, what was to be done, and where it ended."""
    standing, do = begin(0.0)
    states, done = [standing.state], [do]
    for event in events:
        if do is Do.START:
            standing = starting(standing, now_s)
        standing, do = after(standing, event, what, now_s=now_s)
        states.append(standing.state)
        done.append(do)
    return [str(state) for state in states], done, standing


def test_a_server_that_runs_is_ready_and_nothing_was_started() -> None:
    states, done, standing = life([LOGIN], plan(may_start=True))
    assert states == ["checking", "ready"]
    assert done == [Do.LOOK, Do.NOTHING]
    assert (standing.version, standing.started) == ("5.6", False)


def test_a_start_goes_through_containers_server_and_login() -> None:
    events: list[Event] = [
        NOTHING, ContainersUp(), NOTHING, ContainersSeen(), SOMETHING, ContainersSeen(), SERVER, ContainersSeen(),
        LOGIN,
    ]  # fmt: skip
    states, done, standing = life(events, plan(may_start=True))
    assert states == [
        "checking", "absent", "starting server", "starting server", "starting server", "starting server",
        "starting server", "starting login", "starting login", "ready",
    ]  # fmt: skip
    assert done[1:4] == [Do.START, Do.LOOK, Do.SEE_CONTAINERS]
    assert standing.started


@pytest.mark.parametrize(
    ("sight", "what", "kind"),
    [
        (NOTHING, plan(), "unreachable"),
        (SOMETHING, plan(), "taken"),
        (SOMETHING, plan(may_start=True), "taken"),
        (UNTRUSTED, plan(), "not-trusted"),
        (UNTRUSTED, plan(may_start=True, fetches=True), "not-trusted"),
    ],
)
def test_what_cannot_be_worked_with_is_told_before_anything_is_started(sight: Sight, what: Plan, kind: str) -> None:
    _, done, standing = life([sight], what)
    assert Do.START not in done
    assert standing.problem is not None
    assert standing.problem.kind == kind
    assert sight.why in standing.problem.reason
    assert standing.problem.hint


def test_a_port_that_our_own_containers_hold_is_not_somebody_elses() -> None:
    _, done, _ = life([SOMETHING], plan(may_start=True, ours=True))
    assert done[-1] is Do.START


def test_a_server_that_comes_up_by_itself_is_waited_for() -> None:
    states, done, standing = life([SERVER, SERVER, LOGIN], plan(may_start=True))
    assert states == ["checking", "reachable", "reachable", "ready"]
    assert done[1:3] == [Do.LOOK_LATER, Do.LOOK_LATER]
    assert not standing.started


def test_the_certificate_of_a_server_that_was_started_is_fetched_once() -> None:
    events: list[Event] = [NOTHING, ContainersUp(), UNTRUSTED, CertificateSought(found=False), ContainersSeen()]
    _, done, _ = life(events, plan(may_start=True, fetches=True))
    assert done[-3:] == [Do.FETCH_CERTIFICATE, Do.SEE_CONTAINERS, Do.LOOK_LATER]
    events += [UNTRUSTED, CertificateSought(found=True), UNTRUSTED]
    _, done, standing = life(events, plan(may_start=True, fetches=True))
    assert done[-3:] == [Do.FETCH_CERTIFICATE, Do.LOOK, Do.NOTHING]
    assert standing.problem is not None
    assert standing.problem.kind == "not-trusted"


def test_a_certificate_that_an_earlier_start_did_not_come_to_fetch_is_fetched_now() -> None:
    ours = plan(may_start=True, ours=True, fetches=True)
    states, done, standing = life([UNTRUSTED, CertificateSought(found=True), LOGIN], ours)
    assert done == [Do.LOOK, Do.FETCH_CERTIFICATE, Do.LOOK, Do.NOTHING]
    assert (states[-1], standing.started) == ("ready", False)
    _, _, standing = life([UNTRUSTED, CertificateSought(found=False)], ours)
    assert standing.problem is not None
    assert "self-signed" in standing.problem.reason


def test_a_certificate_that_somebody_has_named_is_not_replaced_by_the_servers_own() -> None:
    _, done, standing = life([NOTHING, ContainersUp(), UNTRUSTED], plan(may_start=True))
    assert Do.FETCH_CERTIFICATE not in done
    assert standing.state == "failed"


@pytest.mark.parametrize("event", [ContainersSeen(BROKEN), Refused(BROKEN)])
def test_a_container_that_ended_ends_the_waiting(event: Event) -> None:
    _, done, standing = life([NOTHING, ContainersUp(), NOTHING, event], plan(may_start=True))
    assert standing.problem == BROKEN
    assert done[-1] is Do.NOTHING


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([SERVER], "reachable"),
        ([NOTHING, ContainersUp(), NOTHING], "starting server"),
        ([NOTHING, ContainersUp(), SERVER], "starting login"),
    ],
)
def test_a_time_out_says_where_it_hung(events: list[Event], state: str) -> None:
    standing, _ = begin(0.0)
    for event in events:
        standing, _ = after(standing, event, plan(may_start=True), now_s=40.0)
    standing, do = after(standing, events[-1], plan(may_start=True), now_s=100.0)
    assert standing.problem is not None
    assert standing.problem.kind == "not-ready"
    assert f"'{state}' for 60 s" in standing.problem.reason
    assert do is Do.NOTHING


def test_docker_that_takes_too_long_is_a_time_out_too() -> None:
    standing, _ = after(begin(0.0)[0], NOTHING, plan(may_start=True), now_s=1.0)
    standing, _ = after(starting(standing, 1.0), OutOfTime(), plan(may_start=True), now_s=100.0)
    assert standing.problem is not None
    assert "'starting containers' for 99 s" in standing.problem.reason
    assert "omero down" in standing.problem.hint


EVENTS: st.SearchStrategy[Event] = st.sampled_from([
    NOTHING, SOMETHING, SERVER, UNTRUSTED, LOGIN, ContainersSeen(), ContainersSeen(BROKEN),
    CertificateSought(found=True), CertificateSought(found=False), Refused(BROKEN), OutOfTime(), ContainersUp(),
    StartedMeanwhile(),
])  # fmt: skip


@given(st.lists(EVENTS, max_size=12), st.booleans(), st.booleans(), st.booleans())
def test_whatever_happens_nothing_is_started_unasked_and_every_failure_says_what_to_do(
    events: list[Event], may_start: bool, ours: bool, fetches: bool
) -> None:
    _, done, standing = life(events, plan(may_start=may_start, ours=ours, fetches=fetches))
    assert may_start or not standing.started
    assert done.count(Do.START) <= 1 + events.count(StartedMeanwhile())
    assert (standing.problem is not None) == (standing.state == "failed")
    assert standing.is_settled == (done[-1] is Do.NOTHING)
    if standing.problem is not None:
        assert standing.problem.reason
        assert standing.problem.hint
