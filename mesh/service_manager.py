"""The service manager that started this process, if one did: it is told when we are up, alive, and on our way out.

The protocol is systemd's sd_notify(3): lines of text in one datagram to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Self

from .config import MeshError, get_logger
from .messages.control import MeshStatus

log = get_logger(__name__)

TELL_EVERY_S = 30.0
"""How often the status is told where no watchdog asks for more."""


class ServiceManager:
    """Whom to tell; without one nothing is told to nobody."""

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        """Tell ``address``; ``watchdog_s`` is the time of silence after which the manager ends this process."""
        self.watchdog_s = watchdog_s
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._in_trouble = False

    @classmethod
    def of_this_process(cls, environ: MutableMapping[str, str] | None = None) -> Self:
        """As the environment says, from which it is taken: no child of ours speaks for us."""
        environ = os.environ if environ is None else environ
        address = environ.pop("NOTIFY_SOCKET", "")
        within_us = environ.pop("WATCHDOG_USEC", "")
        meant = environ.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        return cls(address, int(within_us) / 1e6 if within_us.isdigit() and meant else 0.0)

    def tell(self, *lines: str) -> None:
        """Tell it something, such as ``READY=1``; that it does not listen is said once, in the log."""
        if sys.platform != "win32" and self._address:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                    to.settimeout(0)
                    to.sendto("\n".join(lines).encode(), self._address)
                self._in_trouble = False
            except OSError as error:
                if not self._in_trouble:
                    log.warning("the service manager cannot be told", address=self._address, reason=str(error))
                self._in_trouble = True

    async def watch(self, ask: Callable[[], Awaitable[MeshStatus]]) -> None:
        """Say that we are up, then again and again that we are alive, as long as ``ask`` is answered."""
        if not self._address:
            return
        every_s = self.watchdog_s / 2 or TELL_EVERY_S
        self.tell("READY=1")
        while True:
            try:
                async with asyncio.timeout(every_s):
                    status = await ask()
            except (MeshError, TimeoutError) as error:
                # A loop that turns while nothing is answered is no life: the watchdog is not fed.
                log.warning("the mesh does not answer itself", reason=str(error) or f"silent for {every_s:g} s")
                self.tell("STATUS=does not answer itself")
            else:
                told = f"{status.n_actors} actors, {status.n_processes} processes, {status.n_restarts} restarts"
                self.tell("WATCHDOG=1", f"STATUS=up: {told}")
            # Deliberate: the manager wants to hear from us by the clock.
            await asyncio.sleep(every_s)
