"""How an OMERO.server comes to be ready, or why it does not: what is seen goes in, what to do next comes out (pure)."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec

State = Literal[
    "unknown",
    "checking",
    "reachable",
    "absent",
    "starting containers",
    "starting server",
    "starting login",
    "ready",
    "failed",
]
Kind = Literal[
    "unreachable",
    "taken",
    "not-trusted",
    "not-ready",
    "container-ended",
    "docker-missing",
    "docker-down",
    "docker-denied",
    "docker-failed",
    "elsewhere",
    "in-use",
    "unusable",
]
Reach = Literal["nothing", "something", "server", "untrusted", "login"]
STAGES: tuple[State, ...] = ("checking", "starting containers", "starting server", "starting login", "ready")
"""What a start goes through, in this order."""

CERTIFICATE_HINT = "Name the certificate it is signed with in omero.ca_file; verify_certificate = false trusts anybody."
GIVING_UP = "hcs-mesh omero up goes on waiting, hcs-mesh omero down stops what was started."


class Problem(msgspec.Struct, frozen=True):
    """Why there is no server to work with, and what to do."""

    kind: Kind
    reason: str
    hint: str


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """How far one gets at an address: to nothing, to something that is no OMERO, to a server, to a login there."""

    reach: Reach
    why: str = ""
    """What stood in the way of more."""
    version: str = ""


class ContainersUp(msgspec.Struct, frozen=True):
    """Docker has started the containers."""


class Refused(msgspec.Struct, frozen=True):
    """What was to be done could not be done."""

    problem: Problem


class ContainersSeen(msgspec.Struct, frozen=True):
    """The containers were looked at; ``problem`` where one that is needed has ended."""

    problem: Problem | None = None


class CertificateSought(msgspec.Struct, frozen=True):
    """The server was asked, from the inside, for its certificate."""

    found: bool


class OutOfTime(msgspec.Struct, frozen=True):
    """What was asked for last was given up."""


class StartedMeanwhile(msgspec.Struct, frozen=True):
    """Another process has started or stopped it since it was looked at: what was seen holds no more."""


Event = Sight | ContainersUp | Refused | ContainersSeen | CertificateSought | OutOfTime | StartedMeanwhile


class Do(Enum):
    """What is to be done next."""

    LOOK = "look how far one gets at the address"
    LOOK_LATER = "look again after a pause"
    START = "start the containers"
    SEE_CONTAINERS = "see whether the containers run"
    FETCH_CERTIFICATE = "ask the container for the server's certificate"
    NOTHING = "it is settled"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    address: str
    may_start: bool = False
    ours: bool = False
    """Whether the containers of an earlier start from here are on record: what listens there may be theirs."""
    fetches_certificate: bool = False
    """Whether the certificate of a server that was started here has to be fetched from it."""
    until_s: float


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a server, and since when."""

    state: State = "unknown"
    since_s: float = 0.0
    detail: str = ""
    version: str = ""
    started: bool = False
    """Whether its containers were started in this life."""
    has_certificate: bool = False
    problem: Problem | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be done."""
        return self.state in ("ready", "failed")


Next = tuple[Standing, Do]


def begin(now_s: float) -> Next:
    """The first thing to do: to look, so that nothing is started that runs already."""
    return Standing(state="checking", since_s=now_s), Do.LOOK


def after(standing: Standing, event: Event, plan: Plan, *, now_s: float) -> Next:
    """What is known once something has happened, and what to do next."""
    if standing.is_settled:
        return standing, Do.NOTHING
    if isinstance(event, OutOfTime):
        return _out_of_time(standing, plan, now_s)
    known, do = _judged(standing, event, plan, now_s)
    if not known.is_settled and now_s >= plan.until_s:
        return _out_of_time(known, plan, now_s)
    return known, do


def _judged(standing: Standing, event: Event, plan: Plan, now_s: float) -> Next:
    match event:
        case Sight():
            if standing.state in ("checking", "reachable"):
                return _checked(standing, event, plan, now_s)
            return _watched(standing, event, plan, now_s)
        case StartedMeanwhile():
            return begin(now_s)
        case ContainersUp():
            return _now(standing, "starting server", now_s), Do.LOOK
        case ContainersSeen(problem=None):
            return standing, Do.LOOK_LATER
        case Refused(problem=problem) | ContainersSeen(problem=problem):
            assert problem is not None
            return _failed(standing, problem, now_s)
        case CertificateSought(found=found):
            known = msgspec.structs.replace(standing, has_certificate=found)
            if not found and standing.state == "checking":
                return _failed(standing, _not_trusted(standing.detail, plan), now_s)
            return known, Do.LOOK if found else Do.SEE_CONTAINERS
        case _:
            raise AssertionError(event)


def _checked(standing: Standing, sight: Sight, plan: Plan, now_s: float) -> Next:
    """What a look shows before anything was started."""
    match sight.reach:
        case "login":
            return _ready(standing, sight, now_s)
        case "untrusted" if plan.may_start and plan.ours and plan.fetches_certificate and not standing.has_certificate:
            # An earlier start was cut short before it had fetched it.
            return _now(standing, "checking", now_s, sight.why), Do.FETCH_CERTIFICATE
        case "untrusted":
            return _failed(standing, _not_trusted(sight.why, plan), now_s)
        case "server":
            # Somebody else's that comes up, or one that was started from here before.
            return _now(standing, "reachable", now_s, sight.why), Do.LOOK_LATER
        case "something" if not (plan.ours and plan.may_start):
            return _failed(standing, _taken(sight, plan), now_s)
        case _ if plan.may_start:
            absent = _now(standing, "absent", now_s, sight.why)
            return msgspec.structs.replace(absent, started=True), Do.START
        case _:
            return _failed(standing, _unreachable(sight, plan), now_s)


def _watched(standing: Standing, sight: Sight, plan: Plan, now_s: float) -> Next:
    """What a look shows once the containers were started."""
    match sight.reach:
        case "login":
            return _ready(standing, sight, now_s)
        case "untrusted" if plan.fetches_certificate and not standing.has_certificate:
            return _now(standing, "starting login", now_s, "its certificate is fetched"), Do.FETCH_CERTIFICATE
        case "untrusted":
            return _failed(standing, _not_trusted(sight.why, plan), now_s)
        case "server":
            return _now(standing, "starting login", now_s, sight.why), Do.SEE_CONTAINERS
        case _:
            # A port that docker holds open for a server that is not there yet is not somebody else's.
            return _now(standing, "starting server", now_s, sight.why), Do.SEE_CONTAINERS


def starting(standing: Standing, now_s: float) -> Standing:
    """What is known while docker is at it."""
    return _now(standing, "starting containers", now_s)


def _now(standing: Standing, state: State, now_s: float, detail: str = "") -> Standing:
    since_s = standing.since_s if standing.state == state else now_s
    return msgspec.structs.replace(standing, state=state, since_s=since_s, detail=detail)


def _ready(standing: Standing, sight: Sight, now_s: float) -> Next:
    known = _now(standing, "ready", now_s, sight.why)
    return msgspec.structs.replace(known, version=sight.version), Do.NOTHING


def _failed(standing: Standing, problem: Problem, now_s: float) -> Next:
    known = _now(standing, "failed", now_s)
    return msgspec.structs.replace(known, problem=problem), Do.NOTHING


def _out_of_time(standing: Standing, plan: Plan, now_s: float) -> Next:
    last = f"; the last that was seen: {standing.detail}" if standing.detail else ""
    waited_s = now_s - standing.since_s
    hint = GIVING_UP if standing.started else "Look at the server, or give it more time with --timeout."
    return _failed(
        standing,
        Problem(
            "not-ready",
            f"OMERO at {plan.address} is not ready: it stayed at '{standing.state}' for {waited_s:.0f} s{last}.",
            hint,
        ),
        now_s,
    )


def _not_trusted(why: str, plan: Plan) -> Problem:
    return Problem("not-trusted", f"OMERO at {plan.address} is not trusted ({why}).", CERTIFICATE_HINT)


def _taken(sight: Sight, plan: Plan) -> Problem:
    return Problem(
        "taken",
        f"What listens at {plan.address} is no OMERO.server that works ({sight.why}).",
        "Stop what listens there, or set another omero.port.",
    )


def _unreachable(sight: Sight, plan: Plan) -> Problem:
    return Problem(
        "unreachable",
        f"OMERO at {plan.address} cannot be reached ({sight.why}).",
        "Start the server, or check omero.host and omero.port; hcs-mesh omero up starts one on this computer.",
    )
