"""IScript of a server without scripts."""

from __future__ import annotations

from typing import Any

import omero.api

from omero_server.call import Call
from omero_server.dispatch import Servant


class Scripts(Servant):
    """There are none, which is what a web client asks first."""

    interface = omero.api.IScript
    proxy = omero.api.IScriptPrx

    def getScripts(self, call: Call) -> list[Any]:
        return []

    def getScriptsByMimetype(self, call: Call, mimetype: str) -> list[Any]:
        return []

    def getUserScripts(self, call: Call, accepted: list[Any]) -> list[Any]:
        return []

    def getScriptID(self, call: Call, path: str) -> int:
        """-1, which is: no such script."""
        return -1
