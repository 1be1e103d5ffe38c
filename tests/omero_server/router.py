"""Where clients come in: Glacier2's router, as far as omero-py uses it."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import Glacier2
import omero

from omero_server.call import Call
from omero_server.dispatch import Servant, denied_login, peer, skeleton
from omero_server.graph import Row
from omero_server.service_factory import ServiceFactory
from omero_server.sessions import NoSession, Session

log = logging.getLogger("omero_server")


class Router(Servant):
    """Logs in by password, or joins a session whose uuid stands for both name and password."""

    interface = Glacier2.Router
    proxy = Glacier2.RouterPrx
    session: Any = None

    def createSession(self, call: Call, name: str, password: str) -> Any:
        session = self._join(name) if name == password else None
        if session is not None:
            session.n_references += 1
        else:
            session = self._log_in(name, password, call.current.ctx)
        client = call.current.ctx.get("omero.client.uuid") or str(uuid.uuid4())
        self.server.connections[peer(call.current)] = call.current.con
        factory = self.server.clients[client] = ServiceFactory(self.server, session)
        n_connections = sum(one.session.user is session.user for one in self.server.clients.values())
        self.server.door.connected(session.user["omeName"], n_connections)
        proxy = self.server.adapter.add(skeleton(factory), session.uuid, f"session-{client}")
        session.open[proxy.ice_getIdentity()] = factory
        return Glacier2.SessionPrx.uncheckedCast(proxy)

    def destroySession(self, call: Call) -> None:
        factory = self.server.clients.pop(call.current.ctx.get("omero.client.uuid", ""), None)
        if factory is None:
            raise Glacier2.SessionNotExistException
        factory.leave()

    def getClientProxy(self, call: Call) -> None:
        return None  # the client then uses the endpoints of the router itself

    def getServerProxy(self, call: Call) -> Any:
        return self.server.adapter.nothing()

    def getCategoryForClient(self, call: Call) -> str:
        return uuid.uuid4().hex

    def addProxies(self, call: Call, proxies: Any) -> list[Any]:
        return []

    def getSessionTimeout(self, call: Call) -> int:
        return int(self.server.sessions.idle_s)

    def getACMTimeout(self, call: Call) -> int:
        return 0

    def refreshSession(self, call: Call) -> None:
        factory = self.server.clients.get(call.current.ctx.get("omero.client.uuid", ""))
        if factory is None:
            raise Glacier2.SessionNotExistException
        self.server.sessions.touch(factory.session.uuid)

    def _join(self, name: str) -> Session | None:
        try:
            return self.server.sessions.touch(name)
        except NoSession as gone:
            log.info("%s cannot be joined: %s", name, gone)
            return None

    def _log_in(self, name: str, password: str, context: dict[str, str]) -> Session:
        user = self.server.people.log_in(name, password)
        if user is None:
            raise denied_login(f"Password check failed for '{name}'")
        group = self._group(user, context.get("omero.group", ""))
        return self.server.sessions.open(user, group, agent=context.get("omero.agent"))

    def _group(self, user: Row, said: str) -> Row:
        people = self.server.people
        if not said or said == "-1":
            return people.default_group(user)
        caller = people.caller(user, None)
        if not caller.is_admin and int(said) not in caller.member_of:
            reason = f"User {user['omeName']} is not a member of group {said}"
            raise omero.WrappedCreateSessionException(reason, False, 0, "ome.conditions.SecurityViolation")
        return people.group(int(said))
