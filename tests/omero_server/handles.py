"""Handles: work that goes on after the call that started it, and tells those who called back."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import Ice
import omero
import omero.cmd

from omero_server.call import Call
from omero_server.service_factory import Stateful, opened
from omero_server.sessions import Session

if TYPE_CHECKING:
    from omero_server.server import Server

log = logging.getLogger("omero_server")


class Handle(Stateful):
    """One piece of work: how far it is, and its response once there is one."""

    interface = omero.cmd.Handle
    proxy = omero.cmd.HandlePrx

    def __init__(self, server: Server, session: Session, request: Any, n_steps: int) -> None:
        super().__init__(server, session)
        self._request = request
        self._response: Any = None
        self._callbacks: list[Any] = []
        self._told = threading.Lock()
        self._status = omero.cmd.Status(
            flags=[], steps=n_steps, currentStep=0, startTime=server.now_ms(), parameters={}, stepStartTimes=[],
            stepStopTimes=[],
        )  # fmt: skip

    def addCallback(self, call: Call, callback: Any) -> None:
        # A router would forward; here it goes straight down the connection that the client came in by.
        back = call.current.con.createProxy(callback.ice_getIdentity())
        with self._told:
            self._callbacks.append(omero.cmd.CmdCallbackPrx.uncheckedCast(back))

    def removeCallback(self, call: Call, callback: Any) -> None:
        gone = callback.ice_getIdentity()
        with self._told:
            self._callbacks = [one for one in self._callbacks if one.ice_getIdentity() != gone]

    def getRequest(self, call: Call) -> Any:
        return self._request

    def getResponse(self, call: Call) -> Any:
        return self._response

    def getStatus(self, call: Call) -> Any:
        return self._status

    def cancel(self, call: Call) -> bool:
        """No: the work has begun when anybody can ask."""
        return False

    def step(self, n: int) -> None:
        """So far it is."""
        self._status.currentStep = n
        self._tell(lambda callback: callback.step(n, self._status.steps))

    def run(self, work: Callable[[Handle], Any]) -> None:
        """Do the work, and tell what came of it."""
        try:
            response = work(self)
        except Exception as wrong:  # noqa: BLE001 - it becomes the response, as on the server
            log.info("request failed: %s", "".join(traceback.format_exception(wrong)))
            said = {"message": str(wrong), "stacktrace": "".join(traceback.format_exception(wrong))}
            response = omero.cmd.ERR("::omero::cmd::ERR", type(wrong).__name__, said)
            self._status.flags = [omero.cmd.State.FAILURE]
        else:
            self._status.flags = [omero.cmd.State.SUCCESS]
        self._status.stopTime = self.server.now_ms()
        self._response = response
        self._tell(lambda callback: callback.finished(response, self._status))

    def _tell(self, tell: Callable[[Any], None]) -> None:
        with self._told:
            callbacks = list(self._callbacks)
        for callback in callbacks:
            try:
                tell(callback)
            except Ice.Exception as gone:
                log.info("a callback is gone: %r", gone)


def start(call: Call, request: Any, work: Callable[[Handle], Any], n_steps: int = 1) -> Any:
    """Begin the work in a thread of its own; the proxy of its handle."""
    handle = Handle(call.server, call.session, request, n_steps)
    proxy = opened(call.session, handle)
    threading.Thread(target=handle.run, args=(work,), daemon=True).start()
    return proxy
