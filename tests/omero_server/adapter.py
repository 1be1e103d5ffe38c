"""The server's side of the wire: a communicator over TLS on loopback, and the servants in it."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

import Ice
import omero.all
import omero.ObjectFactoryRegistrar
import omero.rtypes

from omero_server.certificate import Certificate

ROUTER = "OMERO.Glacier2/router"
MESSAGE_KB = 250_000
"""OMERO's own bound; whoever sends more loses the connection."""


class Adapter:
    """Listens for clients once ``open`` was called, and knows the servants by identity."""

    def __init__(self, certificate: Certificate, port: int, *, message_kb: int = MESSAGE_KB) -> None:
        settings = {
            "Ice.ImplicitContext": "None",
            "Ice.Plugin.IceSSL": "IceSSL:createIceSSL",
            "IceSSL.CertFile": str(certificate.public),
            "IceSSL.KeyFile": str(certificate.private),
            "IceSSL.VerifyPeer": "0",
            "IceSSL.Protocols": "tls1_2",
            "Ice.MessageSizeMax": str(message_kb),
            # A call that waits at the door keeps its thread.
            "Ice.ThreadPool.Server.Size": "8",
            "Ice.ThreadPool.Server.SizeMax": "128",
            "Ice.ACM.Server.Close": "0",
            "Ice.Warn.Connections": "0",
            "Ice.Warn.Dispatch": "0",
            "Ice.CacheMessageBuffers": "0",
        }
        start = Ice.InitializationData()
        start.properties = Ice.createProperties([])
        for name, value in settings.items():
            start.properties.setProperty(name, value)
        self._ice = Ice.initialize(start)
        omero.ObjectFactoryRegistrar.registerObjectFactory(self._ice, None)
        for factory in omero.rtypes.ObjectFactories.values():
            factory.register(self._ice)
        named = f" -p {port}" if port else ""
        self._adapter = self._ice.createObjectAdapterWithEndpoints("Router", f"ssl -h 127.0.0.1{named}")
        self.port: int = self._adapter.getEndpoints()[0].getInfo().port

    def open(self) -> None:
        """From now on clients are answered."""
        self._adapter.activate()

    def close(self) -> None:
        self._ice.destroy()

    def add(self, servant: Ice.Object, name: str | None = None, category: str = "") -> Any:
        """Have the servant answer at an identity; the proxy that leads to it."""
        identity = Ice.Identity(name or str(uuid.uuid4()), category)
        return self._adapter.add(servant, identity)

    def add_router(self, servant: Ice.Object) -> None:
        self._adapter.add(servant, self._ice.stringToIdentity(ROUTER))

    def proxy(self, identity: Any) -> Any:
        """What leads to the servant at an identity."""
        return self._adapter.createProxy(identity)

    def remove(self, identity: Any) -> None:
        """Whoever calls it from now on is told that it does not exist."""
        with contextlib.suppress(Ice.NotRegisteredException, Ice.ObjectAdapterDeactivatedException):
            self._adapter.remove(identity)

    def nothing(self) -> Any:
        """A proxy that leads nowhere, where the protocol wants one."""
        return self._adapter.createProxy(Ice.Identity("nothing", ""))
