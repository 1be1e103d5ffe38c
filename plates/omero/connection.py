"""One connection to an OMERO.server: opened for a session, used by one thread at a time, never passed on."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from .address import Credential, OmeroAddress, Password, SessionKey
from .errors import OmeroError, OmeroOnTheLoop
from .library import OmeroPy, omero_py
from .meanings import refusal
from .secret import Secret
from .translation import omero_errors

AGENT = "hcs-mesh"
ANY_GROUP = "-1"
# omero.client tries three times to connect where nobody answers.
_N_TRIES = 3

Row = list[Any]


class Connection:
    """What the mesh asks of a server, each call with a deadline and its errors translated."""

    def __init__(self, address: OmeroAddress, credential: Credential) -> None:
        """Log in, or join the session that is there.

        Raises:
            OmeroMissing: omero-py is not installed.
            OmeroLoginRefused, OmeroSessionEnded: the credential opens nothing.
            OmeroUnreachable, OmeroNotAnswering, OmeroNotTrusted: there is no way to the server.
            OmeroOnTheLoop: called where an event loop runs.
        """
        refuse_on_a_loop()
        self.address = address
        self._library = omero_py()
        self._credential = credential
        self._services: dict[str, Any] = {}
        self._store: Any = None
        self._managed: Any = None
        self._store_holds = 0
        with self._translated():
            self._client = _client(self._library, address)
            try:
                self._log_in(credential)
            except BaseException:
                self._client.closeSession()
                raise
        self.key = SessionKey(uuid=Secret(self._client.getSessionId()))

    @property
    def library(self) -> OmeroPy:
        """The modules that requests are built from."""
        return self._library

    @cached_property
    def user(self) -> str:
        """Whose session this is, as OMERO calls its users; asked once.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        return str(self.event_context().userName)

    def rows(self, hql: str, *, group: str = ANY_GROUP, **parameters: int | str | list[int]) -> list[Row]:
        """The rows of one query, as plain values.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        with self.calling():
            answer = self.service("QueryService").projection(hql, self._parameters(parameters), {"omero.group": group})
            unwrapped: list[Row] = self._library.rtypes.unwrap(answer)
            return unwrapped

    def event_context(self) -> Any:
        """Whose session this is, in which group, with which rights.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        with self.calling():
            return self.service("AdminService").getEventContext()

    def keep_alive(self) -> None:
        """Tell the server that the session is in use.

        Raises:
            OmeroSessionEnded: it is over.
            OmeroError: the server refuses or cannot be reached.
        """
        with self.calling():
            # The answer is about a service that could be named, and False where none is: that it comes is the news.
            self.session.keepAlive(None)

    @property
    def session(self) -> Any:
        """The session's own proxy. To be used inside ``calling``."""
        return self.in_time(self._client.getSession())

    def service(self, name: str) -> Any:
        """A stateless service, as in "QueryService". To be used inside ``calling``."""
        if name not in self._services:
            # Kept: to be told the way to a service takes two calls, as many as most questions.
            self._services[name] = getattr(self.session, f"get{name}")()
        return self.in_time(self._services[name])

    def raw_pixels(self, pixels_id: int, *, group: str) -> Any:
        """The connection's one store of raw pixels, set to these. To be used inside ``calling``."""
        if self._store is None:
            self._store = self.in_time(self.session.createRawPixelsStore())
        if self._store_holds != pixels_id:
            self._store_holds = 0
            self._store.setPixelsId(pixels_id, True, {"omero.group": group})  # noqa: FBT003 - as OMERO has it
            self._store_holds = pixels_id
        return self._store

    @property
    def managed_repository(self) -> Any:
        """Where the server keeps what is imported. To be used inside ``calling``."""
        if self._managed is None:
            self._managed = self._client.getManagedRepository()
        return self.in_time(self._managed)

    def context(self, said: Mapping[str, str]) -> dict[str, str]:
        """What to tell the managed repository with a call, beside what ``said`` tells it.

        It is nobody's own, and knows a caller by the session and the client in the call's context alone. Those come
        with each call that brings no context; one that does has them left out, unless it names them itself.
        """
        return {**self._client.getContext(), **said}

    def name_of(self, proxy: Any) -> Secret:
        """What ``named`` finds a proxy by, through another connection of the same session."""
        return Secret(self._client.getCommunicator().proxyToString(proxy))

    def named(self, name: Secret, kind: Any) -> Any:
        """What another connection of the same session was given, of this kind of proxy."""
        return kind.uncheckedCast(self._client.getCommunicator().stringToProxy(name.reveal()))

    def callback(self, handle: Any) -> Any:
        """What the server calls when the work behind a handle is done. To be used inside ``calling``."""
        return self._library.omero.callbacks.CmdCallbackI(self._client, handle)

    def in_time(self, proxy: Any, *, seconds: float = 0.0) -> Any:
        """A proxy whose calls fail with a time-out after ``seconds``, or the address's time for a call."""
        return proxy.ice_invocationTimeout(math.ceil(1000 * (seconds or self.address.call_s)))

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Where calls stand: not on an event loop's thread, and with their exceptions translated.

        Raises:
            OmeroError: what a call in the block fails with.
            OmeroOnTheLoop: called where an event loop runs.
        """
        refuse_on_a_loop()
        with self._translated():
            yield

    def carry_out(self, request: Any, *, group: str, seconds: float = 0.0) -> Any:
        """Have the server do a request that takes its time, for ``seconds`` or the address's time for a call at most.

        Raises:
            OmeroNotPermitted: the session's user may not do this.
            OmeroNotAnswering: it is not done in time, and goes on at the server.
            OmeroError: the server refuses or cannot be reached.
        """
        seconds = seconds or self.address.call_s
        with self.calling():
            handle = self.in_time(self.session.submit(request, {"omero.group": group}))
            callback = self._library.omero.callbacks.CmdCallbackI(self._client, handle)
            try:
                callback.loop(max(1, math.ceil(seconds)), 1000)
                answer = callback.getResponse()
            except self._library.omero.LockTimeout:
                raise self._library.ice.InvocationTimeoutException from None
            finally:
                callback.close(True)  # noqa: FBT003 - as OMERO has it
        if isinstance(answer, self._library.omero.cmd.ERR):
            raise refusal(answer, self.address)
        return answer

    def n_references(self) -> int:
        """How many hold the session: who made it, and each connection that has joined it.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        with self.calling():
            return int(self.service("SessionService").getReferenceCount(self.key.uuid.reveal()))

    def end_session(self) -> None:
        """Close the session itself at the server, for everybody that has joined it; then the connection.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        with self.calling():
            ended = self._library.omero.model.SessionI()
            ended.setUuid(self._library.rtypes.rstring(self.key.uuid.reveal()))
            try:
                # The answer is how many still hold it.
                while self.service("SessionService").closeSession(ended) > 0:
                    pass
            except self._library.omero.RemovedSessionException:
                pass
        self.close()

    def close(self) -> None:
        """Let go of the connection; its session stays, until it was idle for long enough.

        A server that does not answer is told, and then waited for, for the address's time to connect each.

        Raises:
            OmeroError: the server could not be told.
        """
        with self._translated():
            self._client.closeSession()

    def _log_in(self, credential: Credential) -> None:
        match credential:
            case Password(user=user, password=password):
                self._client.createSession(user, password.reveal())
            case SessionKey(uuid=uuid):
                self._client.joinSession(uuid.reveal())
        # Others may have joined, or come back to it: that we leave must not end it for them.
        self.session.detachOnDestroy()

    def _parameters(self, values: Mapping[str, int | str | list[int]]) -> Any:
        parameters = self._library.omero.sys.ParametersI()
        for name, value in values.items():
            match value:
                case int():
                    parameters.addLong(name, value)
                case str():
                    parameters.addString(name, value)
                case list():
                    parameters.addLongs(name, value)
        return parameters

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with omero_errors(self.address, self._credential):
            yield


def refuse_on_a_loop() -> None:
    """See to it that no event loop waits for a server.

    Raises:
        OmeroOnTheLoop: a loop runs in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise OmeroOnTheLoop(
        "A call to OMERO was made on the event loop, which would stand still until the server answers.",
        hint="Call it in a thread. This is a fault of the program: report it.",
    )


def close_quietly(connection: Connection) -> None:
    """Close a connection that may be broken already."""
    try:
        connection.close()
    except OmeroError as error:
        logging.getLogger(__name__).debug("closing a connection to OMERO: %s", error)


def end_quietly(connection: Connection) -> None:
    """End a session that is not needed any more; one that cannot be told ends when it was idle for long enough."""
    try:
        connection.end_session()
    except OmeroError as error:
        logging.getLogger(__name__).debug("ending a session at OMERO: %s", error)
        close_quietly(connection)


def _client(library: OmeroPy, address: OmeroAddress) -> Any:
    properties = {
        "omero.host": address.host,
        "omero.port": str(address.port),
        "Ice.Override.ConnectTimeout": str(math.ceil(1000 * address.connect_s / _N_TRIES)),
        "Ice.Default.InvocationTimeout": str(math.ceil(1000 * address.connect_s)),
        # Else the other side is waited for by Ice's own minute, each time that a connection is closed.
        "Ice.Override.CloseTimeout": str(math.ceil(1000 * address.connect_s)),
    }
    if address.verify:
        properties |= {"IceSSL.VerifyPeer": "2", "IceSSL.CheckCertName": "1"}
        properties |= {"IceSSL.CAs": address.ca_file} if address.ca_file else {"IceSSL.UsePlatformCAs": "1"}
    root = logging.getLogger()
    handlers = list(root.handlers)
    client = library.omero.client(pmap=properties)
    # It sets up logging where nobody has, which is for the program to do.
    for added in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(added)
    client.setAgent(AGENT)
    return client
