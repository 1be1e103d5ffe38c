"""What an actor author writes: a class with an inbox and one ``receive``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Hashable, Mapping
from types import UnionType
from typing import Any, ClassVar, Generic, Protocol, TypeVar, Union, get_args, get_origin

from ..transport import Link, Message, Principal, Ref
from .mailbox import MailboxLimits

Inbox = TypeVar("Inbox")
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Deferred(Generic[T]):
    """An answer that comes later: ``receive`` returns it, and the asker waits while other messages go on."""

    __slots__ = ("key", "only_waits", "work")

    def __init__(
        self, work: Callable[[], Coroutine[Any, Any, T]], key: Hashable = None, *, only_waits: bool = False
    ) -> None:
        self.work = work
        self.key = key
        self.only_waits = only_waits

    def drop(self) -> None:
        """Never begin the work."""
        self.work().close()


class Context(Protocol):
    """What an actor can do beyond its own state; given before ``started``."""

    @property
    def me(self) -> Ref:
        """The reference to this actor."""
        ...

    @property
    def principal(self) -> Principal:
        """Who sent the message that is being received, as the key says."""
        ...

    @property
    def caller(self) -> Link | None:
        """The link over which it came, to tell the sender more later; None from this process."""
        ...

    def find(self, name: str) -> Ref:
        """The reference to an actor of this node, by name."""
        ...

    def now(self) -> float:
        """Monotonic seconds of the node's clock."""
        ...

    def after(self, delay_s: float, message: Message) -> None:
        """Hand this actor a message later; forgotten when it stops."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a child task; when it fails the actor fails, when the actor ends it is cancelled."""
        ...


class Actor(ABC, Generic[Inbox]):
    """One piece of the mesh with a mailbox: state of its own, one message at a time.

    ``Inbox`` is the union of the messages it takes: the static type, the documentation and the decoder.
    A MeshError raised for a request is its answer; any other exception is a fault, and its asker is told.
    A fault in ``receive``, in a spawned task or in deferred work that nobody waits for ends the actor, and its
    supervisor decides. A fault in deferred work that has an asker is reported and the actor goes on: the work
    is a child task, which hands state changes back as messages, so the actor's state is not in question.
    """

    mailbox: ClassVar[MailboxLimits] = MailboxLimits()
    inbox: ClassVar[tuple[type[Message], ...]] = ()
    context: Context

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is Actor and not isinstance(get_args(base)[0], TypeVar):
                members = _members(get_args(base)[0])
                untagged = [member.__name__ for member in members if member.__struct_config__.tag is None]
                if untagged:
                    raise TypeError(f"{cls.__name__}: these messages of its inbox have no tag: {', '.join(untagged)}")
                cls.inbox = members

    @abstractmethod
    async def receive(self, message: Inbox) -> Any:
        """Handle one message; for a request return its answer, or ``defer`` it. Never wait long here."""

    async def started(self) -> None:
        """Called before the first message; what it raises is a failed start."""

    async def stopping(self) -> None:
        """Called after the last message when the actor is asked to stop; deferred work is still running."""

    async def ended(self) -> None:
        """Called last, however the actor ended: let go of what the next life needs, such as threads at work."""

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts of the actor's own, for console and metrics."""
        return {}

    def defer(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Answer when this work is done, and take other messages meanwhile; it goes on when its asker is gone.

        With ``mailbox.max_deferred`` at work the asker is refused, and the work never begins: what goes with it belongs
        into it.
        """
        return Deferred(lambda: work)

    def defer_wait(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """As ``defer``, for work without any effect of its own: it is cancelled once its asker waits no longer."""
        return Deferred(lambda: work, only_waits=True)

    def defer_once(self, key: K, work: Callable[[K], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """As ``defer``, for ``work(key)``; while that of the same key is running, its answer serves every asker.

        Whoever is gone, it is not cancelled: somebody else may want it, and come for it later.
        """
        return Deferred(lambda: work(key), key)


def _members(inbox: Any) -> tuple[type[Message], ...]:
    if isinstance(inbox, UnionType) or get_origin(inbox) is Union:
        return tuple(get_args(inbox))
    return (inbox,)
