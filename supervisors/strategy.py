"""The vocabulary of supervision, which is Erlang/OTP's, and the instructions that come of it (pure)."""

from dataclasses import dataclass
from enum import StrEnum


class Strategy(StrEnum):
    """Who is restarted when one child fails."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class Restart(StrEnum):
    """When a child that ended is started again."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    """Only after an abnormal end."""
    TEMPORARY = "temporary"
    """Never; it is forgotten once it ends."""


class OnExhausted(StrEnum):
    """What happens when the restart intensity is used up."""

    ESCALATE = "escalate"
    QUARANTINE = "quarantine"
    """The branch stays down and is shown so, while the rest of the tree goes on."""


class Phase(StrEnum):
    """Where a child is in its life."""

    WAITING = "waiting"
    """To be started once those before it are up."""
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FINISHED = "finished"
    STOPPED = "stopped"
    QUARANTINED = "quarantined"
    FAILED = "failed"


ALIVE = frozenset({Phase.STARTING, Phase.RUNNING, Phase.STOPPING})


@dataclass(frozen=True, slots=True)
class Start:
    """Start this child."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End this child, whether it is running or still starting."""

    name: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait before this child's restart; ``attempt`` 0 means not at all."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The intensity is exhausted by this child; the stops follow."""

    name: str


@dataclass(frozen=True, slots=True)
class Booted:
    """Every child has been started once."""


@dataclass(frozen=True, slots=True)
class Halted:
    """Nothing is left alive, and nothing will be started."""


Instruction = Start | Stop | Wait | GiveUp | Booted | Halted
