"""The port through which a test tells the server how to misbehave, and asks what it was asked."""

from __future__ import annotations

import json
import socketserver
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from omero_server.faults import EXCEPTIONS, Fault

if TYPE_CHECKING:
    from omero_server.server import Server


class BadRequest(ValueError):
    """The control does not know what was asked of it."""


class Control:
    """One JSON object per line, answered by one."""

    def __init__(self, server: Server, port: int) -> None:
        self._server = server
        control = self

        class Lines(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    self.wfile.write(json.dumps(control.answer(line)).encode() + b"\n")

        class Listening(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._listening = Listening(("127.0.0.1", port), Lines)
        self.port: int = self._listening.server_address[1]
        threading.Thread(target=self._listening.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown()
        self._listening.server_close()

    def answer(self, line: bytes) -> dict[str, Any]:
        """What the request gives, or why it gives nothing."""
        try:
            request = json.loads(line)
            do = getattr(self, f"do_{request.pop('do')}", None)
            if do is None:
                raise BadRequest("the control does not know this request")
            return {"ok": True, **(do(**request) or {})}
        except (BadRequest, TypeError, KeyError, LookupError, ValueError) as wrong:
            return {"ok": False, "error": f"{type(wrong).__name__}: {wrong}"}

    def do_counts(self) -> dict[str, Any]:
        door = self._server.door
        return {
            "counts": dict(door.counts),
            "bytes": dict(door.bytes),
            "queries": list(door.queries.items()),
            "people": door.people_seen(),
        }

    def do_forget_counts(self) -> None:
        self._server.door.forget_counts()

    def do_forget_faults(self) -> None:
        self._server.door.forget_faults()

    def do_slow(self, operation: str, seconds: float, times: int | None = None) -> None:
        self._server.door.set(self._known(operation), Fault(seconds=seconds, times=times))

    def do_fail(self, operation: str, times: int | None = None, after: bool = False, **named: str) -> None:
        exception = named.pop("with")
        if named or exception not in EXCEPTIONS:
            raise BadRequest(f"no exception {exception!r} among {', '.join(sorted(EXCEPTIONS))}")
        self._server.door.set(self._known(operation), Fault(exception=exception, times=times, after=after))

    def do_kill_at(self, operation: str, nth: int = 1, after: bool = False) -> None:
        self._server.door.set(self._known(operation), Fault(kills=True, passes=nth - 1, after=after))

    def do_hold(self, operation: str) -> None:
        self._server.door.hold(self._known(operation))

    def do_release(self, operation: str) -> None:
        self._server.door.release(self._known(operation))

    def do_held(self) -> dict[str, Any]:
        return {"held": self._server.door.held()}

    def do_drop_connections(self) -> None:
        self._server.drop_connections()

    def do_expire(self, session: str | None = None, user: str | None = None, reaped: bool = True) -> dict[str, Any]:
        with self._server.lock:
            return {"expired": self._server.sessions.expire(session, user, reaped=reaped)}

    def do_sessions(self) -> dict[str, Any]:
        server = self._server
        joined = Counter(one.session.uuid for one in list(server.clients.values()))
        return {"sessions": [{**one, "connections": joined[one["uuid"]]} for one in server.sessions.described()]}

    def do_set_permissions(self, group: str, permissions: str) -> None:
        with self._server.lock:
            self._server.people.set_permissions(group, permissions)

    def _known(self, operation: str) -> str:
        if operation not in self._server.known_operations:
            raise BadRequest(f"no operation {operation!r}")
        return operation
