"""From a class with plain methods to an Ice servant that answers every operation of its interface."""

from __future__ import annotations

import contextlib
import functools
import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import Glacier2
import Ice
import omero

from omero_server.call import Call
from omero_server.checksums import NoSuchAlgorithm
from omero_server.enumerations import NoSuchValue
from omero_server.faults import Asked
from omero_server.graph import NoSuchRow
from omero_server.hql_functions import OutOfRange
from omero_server.hql_tokens import HqlError
from omero_server.refusals import BadData, BadUse, Denied, MixedGroups, NotKnown, Stale
from omero_server.schema import UnknownName
from omero_server.sessions import BadTimeouts, NoSession, Session, TimedOut
from omero_server.slices import Operation, operations
from omero_server.table_file import BadCondition, BadTable

if TYPE_CHECKING:
    from omero_server.server import Server

log = logging.getLogger("omero_server")


TRANSLATED: tuple[tuple[type[Exception], str], ...] = (
    (MixedGroups, "GroupSecurityViolation"),
    (Denied, "SecurityViolation"),
    (BadTimeouts, "SecurityViolation"),
    (NoSuchRow, "ValidationException"),
    (BadData, "ValidationException"),
    (OutOfRange, "ValidationException"),
    (Stale, "OptimisticLockException"),
    (TimedOut, "SessionTimeoutException"),
    (NoSession, "RemovedSessionException"),
    (HqlError, "QueryException"),
    (UnknownName, "ApiUsageException"),
    (NotKnown, "ApiUsageException"),
    (BadUse, "ApiUsageException"),
    (NoSuchValue, "ApiUsageException"),
    (NoSuchAlgorithm, "ApiUsageException"),
    (BadTable, "ApiUsageException"),
    (BadCondition, "ApiUsageException"),
)
"""What each reason of ours is called on the wire; the first that fits."""


class Servant:
    """What implements an interface: methods that take a Call, then the operation's own arguments."""

    interface: type
    proxy: Any

    def __init__(self, server: Server, session: Session) -> None:
        self.server = server
        self.session = session
        self.graph = server.graph

    def release(self) -> None:
        """Give back what is held open; called once, whoever ends it."""


def interface_name(servant: type[Servant]) -> str:
    return servant.interface.__name__


def unlocked(method: Any) -> Any:
    """Have calls of it run beside others: it reads or writes files, and locks the graph itself where it must."""
    method.is_unlocked = True
    return method


def skeleton(servant: Servant) -> Ice.Object:
    """The Ice servant in front of it."""
    return _skeleton(type(servant))(servant)


@functools.cache
def _skeleton(servant: type[Servant]) -> Any:
    """A skeleton with every operation filled in: ours where there is a method, else an error that names it."""

    def hold(self: Any, servant: Servant) -> None:
        self.servant = servant

    body: dict[str, Any] = {"__init__": hold}
    for operation in operations(servant.interface):
        method = getattr(servant, operation.name, None)
        run = functools.partial(_run, method, f"{interface_name(servant)}.{operation.name}")
        body[operation.name + "_async" * operation.is_asynchronous] = _answering(operation, run)
    return type(f"{interface_name(servant)}Servant", (servant.interface,), body)


def _answering(operation: Operation, run: Callable[..., Any]) -> Callable[..., Any]:
    def answer(self: Any, *arguments: Any) -> Any:
        *given, current = arguments
        return run(self.servant, current, given)

    def answer_later(self: Any, callback: Any, *arguments: Any) -> None:
        *given, current = arguments
        try:
            result = run(self.servant, current, given)
        except Exception as wrong:  # noqa: BLE001 - Ice takes it to the caller
            callback.ice_exception(wrong)
        else:
            callback.ice_response() if operation.is_void else callback.ice_response(result)

    return answer_later if operation.is_asynchronous else answer


def _run(method: Any, name: str, servant: Servant, current: Any, given: list[Any]) -> Any:
    door = servant.server.door
    try:
        # As with Glacier2: who comes by another connection has no session there. A call that has come in goes on,
        # whatever becomes of its caller.
        is_known = servant.session is None or peer(current) in servant.server.connections
        door.enter(name, servant.session.user["omeName"] if servant.session is not None else "")
        if method is None:
            raise NotKnown(f"{name} is not implemented")
        with contextlib.nullcontext() if getattr(method, "is_unlocked", False) else servant.server.lock:
            if servant.session is not None:  # the router's is yet to come
                if not is_known:
                    raise Ice.ObjectNotExistException
                servant.server.sessions.touch(servant.session.uuid)
            call = Call(servant.server, servant.session, current)
            if servant.session is not None:
                call.must_belong()
            result = method(servant, call, *given)
        door.leave(name)
    except Asked as asked:
        raise asked_for(str(asked), current) from None
    except (Ice.UserException, Ice.LocalException) as wrong:
        log.info("%s: %r", name, wrong)
        raise
    except Exception as wrong:  # noqa: BLE001 - whatever it is, the client gets an exception of OMERO's
        raise translated(wrong, name) from None
    return result


def translated(wrong: Exception, name: str) -> Exception:
    """An exception of ours as the client knows it."""
    for kind, wire_name in TRANSLATED:
        if isinstance(wrong, kind):
            log.info("%s: %s", name, wrong)
            said = f"stand-in: {wrong}" if kind is NotKnown else str(wrong)
            made: Exception = getattr(omero, wire_name)("", f"ome.conditions.{wire_name}", said)
            return made
    trace = "".join(traceback.format_exception(wrong))
    log.error("%s: %s", name, trace)
    return omero.InternalException(trace, "stand-in", f"{name}: {wrong!r}")


def asked_for(name: str, current: Any) -> Exception:
    """The exception of that name, or a connection that is no more."""
    said = "asked for by a test"
    if name == "drop":
        with contextlib.suppress(Ice.LocalException):
            current.con.close(True)
        return Ice.UnknownException(said)
    if name == "ObjectNotExist":
        return Ice.ObjectNotExistException()
    if name == "not asked":
        # Of Ice's SessionRouterI.cpp: all that a router says while it cannot ask the server behind it.
        return denied_login("internal server error")
    if name == "UnknownLocalException":
        return Ice.UnknownLocalException(said)
    kind = getattr(omero, {"ServerError": "InternalException"}.get(name, name))
    return kind("", name, said)


def peer(current: Any) -> tuple[str, int]:
    """The client's end of the connection that a call came by."""
    info = current.con.getInfo()
    return info.remoteAddress, info.remotePort


def denied_login(said: str) -> Exception:
    return Glacier2.PermissionDeniedException(said)
