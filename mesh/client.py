"""A running mesh as seen from outside: connect, ask, follow."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import zmq

from .commands import Commands
from .config.settings import LimitSettings
from .transport import (
    ASK_TIMEOUT_S,
    Dialer,
    Endpoint,
    Envelope,
    KeyPair,
    Link,
    MeshCard,
    NodeMissing,
    Request,
    ServerKey,
    load_pair,
)
from .transport.contexts import end_context
from .transport.whereabouts import find_mesh, owner_secret

R = TypeVar("R")

MESSAGE_BYTES = LimitSettings().message_bytes


class Client(Commands):
    """A connection to one mesh, for commands, scripts and other programs.

    >>> async with Client.at(Path("data")) as mesh:
    ...     print(await mesh.plates())
    """

    def __init__(
        self, endpoint: Endpoint, key: KeyPair, server: ServerKey, *, max_message_bytes: int = MESSAGE_BYTES
    ) -> None:
        """Prepare to dial; ``async with`` dials."""
        self._endpoint = endpoint
        self._key = key
        self._server = server
        self._max_message_bytes = max_message_bytes
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._dialer: Dialer | None = None

    @classmethod
    def at(cls, data: Path, *, key: Path | None = None, max_message_bytes: int = MESSAGE_BYTES) -> Self:
        """The client of the mesh that is up on a data folder of this host.

        Raises:
            NodeMissing: no mesh is up there.
            KeyFileError: the key cannot be read.
        """
        whereabouts = find_mesh(data)
        pair = load_pair(key if key is not None else owner_secret(data))
        server = ServerKey(public=whereabouts.public_key)
        return cls(whereabouts.endpoints[0], pair, server, max_message_bytes=max_message_bytes)

    @classmethod
    def to(cls, card: MeshCard, *, key: Path, max_message_bytes: int = MESSAGE_BYTES) -> Self:
        """The client of a mesh on another host.

        Raises:
            AddressError: the card's address is none.
            KeyFileError: the key cannot be read.
        """
        server = ServerKey(public=card.public)
        return cls(card.endpoint, load_pair(key), server, max_message_bytes=max_message_bytes)

    async def __aenter__(self) -> Self:
        self._context = zmq.Context()
        self._dialer = Dialer(
            self._context,
            self._endpoint,
            _refuse,
            name="client",
            key=self._key,
            server=self._server,
            max_message_bytes=self._max_message_bytes,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._dialer is not None:
            self._dialer.close()
        if self._context is not None:
            await end_context(self._context)

    async def ask(self, actor: str, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> R:
        """Ask an actor of the mesh.

        Raises:
            AskFailed: the actor's answer is a failure; its text and hint are for the user.
            AskTimedOut, PeerGone, KeyRefused, NotPermitted: there is no answer.
        """
        if self._dialer is None:
            raise NodeMissing("this client is not connected", hint="use it as `async with Client.at(data) as mesh:`")
        return await self._dialer.link.ask(actor, request, timeout_s=timeout_s)


def _refuse(link: Link, envelope: Envelope) -> None:
    """A client holds no actors: nothing is expected but answers."""
