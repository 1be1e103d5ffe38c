"""What a supervisor knows of a child: how to start it, and what a started one can do."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from msgspec import Struct

from ..config.bounded_text import told, traced
from .backoff import Backoff
from .strategy import Restart

Kind = Literal["actor", "process", "supervisor"]
Reason = Literal["normal", "shutdown", "failed", "killed", "hung"]


class Exit(Struct, frozen=True, kw_only=True):
    """How a child ended."""

    reason: Reason
    error: str = ""
    traceback: str = ""
    exit_code: int | None = None
    signal: str = ""
    blame: str = "child"
    """Who pays: "child" counts against the restart intensity; "nobody" is restarted at once; any
    other text names what is charged instead, such as the well in flight."""

    @property
    def is_abnormal(self) -> bool:
        """Whether a transient child is restarted after it."""
        return self.reason not in ("normal", "shutdown")


class Running(Protocol):
    """A started child."""

    @property
    def kind(self) -> Kind:
        """What sort of thing it is."""
        ...

    @property
    def pid(self) -> int | None:
        """The OS process it lives in."""
        ...

    async def wait(self) -> Exit:
        """Return when it has ended, however that came about."""
        ...

    async def stop(self) -> None:
        """Ask it to end in order."""
        ...

    async def kill(self) -> None:
        """Make it end now."""
        ...

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return its counters: "mailbox" is the depth, "last_error" a text."""
        ...


class Specification(Protocol):
    """What a child or a nested supervisor says of itself."""

    @property
    def name(self) -> str:
        """Unique among its siblings."""
        ...

    @property
    def kind(self) -> Kind:
        """What sort of thing it is."""
        ...

    @property
    def restart(self) -> Restart:
        """When it is started again."""
        ...

    @property
    def shutdown_s(self) -> float:
        """How long it may take to stop; infinite for those who bound it themselves."""
        ...

    @property
    def backoff(self) -> Backoff:
        """How long to wait before its restarts."""
        ...

    @property
    def start(self) -> Callable[[], Awaitable[Running]]:
        """Starts it afresh."""
        ...

    @property
    def given_up(self) -> Callable[[str], None]:
        """Hears why it stays down until somebody starts it again."""
        ...


def _nobody_asks(why: str) -> None:
    """For children that are asked nothing."""


@dataclass(frozen=True, slots=True)
class Child:
    """How to start one child, and what to do when it ends."""

    name: str
    start: Callable[[], Awaitable[Running]]
    restart: Restart = Restart.PERMANENT
    shutdown_s: float = 5.0
    backoff: Backoff = field(default_factory=Backoff)
    kind: Kind = "actor"
    given_up: Callable[[str], None] = _nobody_asks


def exit_of(error: BaseException) -> Exit:
    """Return the exit that an uncaught exception stands for."""
    return Exit(reason="failed", error=told(error), traceback=traced(error))
