"""What a client holds of its session, and the services that it hands out."""

from __future__ import annotations

from typing import Any

import omero
import omero.api
import omero.cmd
import omero.constants

from omero_server.administration import event_context
from omero_server.call import Call
from omero_server.dispatch import Servant, skeleton
from omero_server.refusals import Denied, NotKnown
from omero_server.sessions import Session


class ServiceFactory(Servant):
    """One client's end of a session."""

    interface = omero.api.ServiceFactory
    proxy = omero.api.ServiceFactoryPrx

    closes = True
    """Whether the session ends with this client, if it is the last one."""

    def leave(self) -> None:
        """This client has gone."""
        self.server.sessions.leave(self.session, closes=self.closes)

    def setCallback(self, call: Call, callback: Any) -> None:
        self.callback = callback

    def closeOnDestroy(self, call: Call) -> None:
        self.closes = True

    def detachOnDestroy(self, call: Call) -> None:
        self.closes = False

    def destroy(self, call: Call) -> None:
        self.leave()

    def keepAlive(self, call: Call, proxy: Any) -> bool:
        """Whether the session has the service; where none is named, False, although the session lives."""
        return proxy is not None and proxy.ice_getIdentity() in self.session.open

    def keepAllAlive(self, call: Call, proxies: list[Any]) -> int:
        """A bit set for every one that is no more; of no services at all, every bit."""
        gone = [
            at for at, one in enumerate(proxies) if one is not None and one.ice_getIdentity() not in self.session.open
        ]
        return sum(1 << at for at in gone) if proxies else -1

    def activeServices(self, call: Call) -> list[str]:
        open_ = list(self.session.open.items())
        return [identity.name for identity, servant in open_ if not isinstance(servant, ServiceFactory)]

    def getSecurityContexts(self, call: Call) -> list[Any]:
        raise NotKnown("ServiceFactory.getSecurityContexts is not implemented")

    def setSecurityContext(self, call: Call, to: Any) -> Any:
        """Work in another group from now on; the group of before."""
        if not isinstance(to, omero.model.ExperimenterGroup):
            raise NotKnown("ServiceFactory.setSecurityContext takes a group")
        if any(isinstance(one, Stateful) for one in self.session.open.values()):
            raise omero.SecurityViolation("", "", "A stateful service is open: its group cannot change under it")
        before = self.session.group
        group = self.graph.find("ExperimenterGroup", to._id.val)
        held = self.server.people.caller(self.session.user, None)
        if group is None or not (held.is_admin or group.id in held.member_of):
            raise Denied(f"User {self.session.user['omeName']} is not a member of group {to._id.val}")
        self.session.group = group
        return omero.model.ExperimenterGroupI(before.id, False)

    def submit(self, call: Call, request: Any) -> Any:
        return self.server.submit(call, request)

    def getByName(self, call: Call, name: str) -> Any:
        for getter, service in self.server.stateless.items():
            if name == _dotted(service):
                return getattr(self, getter)(call)
        for identity in list(self.session.open):
            if name == identity.name:
                return self.server.adapter.proxy(identity)
        raise NotKnown(f"the service {name} is not implemented")


class Stateful(Servant):
    """A service that one client opens for itself and closes."""

    def close(self, call: Call) -> None:
        self.session.open.pop(call.current.id, None)
        self.server.adapter.remove(call.current.id)
        self.release()

    def activate(self, call: Call) -> None:
        """Nothing: nobody is ever put aside here."""

    def passivate(self, call: Call) -> None:
        """Nothing: nobody is ever put aside here."""

    def getCurrentEventContext(self, call: Call) -> Any:
        return event_context(call)


def offer(getter: str, service: type[Servant]) -> None:
    """Have every ServiceFactory hand out a service: one per session, or, of a stateful one, one per call."""

    def stateless(self: ServiceFactory, call: Call) -> Any:
        name = _dotted(service)
        if name not in self.session.proxies:
            self.session.proxies[name] = opened(self.session, service(self.server, self.session), name)
        return self.session.proxies[name]

    def stateful(self: ServiceFactory, call: Call) -> Any:
        return opened(self.session, service(self.server, self.session))

    setattr(ServiceFactory, getter, stateful if issubclass(service, Stateful) else stateless)


def _dotted(service: type[Servant]) -> str:
    """The name that services are asked for by: ``omero.api.IQuery``."""
    name: str = service.interface.ice_staticId()
    return name.removeprefix("::").replace("::", ".")


def opened(session: Session, servant: Servant, name: str | None = None) -> Any:
    """A proxy that leads to the servant for as long as the session lives, or until it is closed."""
    proxy = servant.server.adapter.add(skeleton(servant), name, session.uuid)
    session.open[proxy.ice_getIdentity()] = servant
    return servant.proxy.uncheckedCast(proxy)
