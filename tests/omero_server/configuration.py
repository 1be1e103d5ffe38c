"""IConfig and ITypes: what the server is set to, and the values of its enumerations."""

from __future__ import annotations

import re
from typing import Any

import omero.api
from omero.rtypes import rtime

from omero_server.call import Call
from omero_server.dispatch import Servant
from omero_server.enumerations import VALUES
from omero_server.graph import NoSuchRow
from omero_server.refusals import Denied
from omero_server.wire import Wire

VERSION = "5.6.15"
"""The server that the facts were read of."""
DEFAULTS = {
    "omero.version": VERSION,
    "omero.router.insecure": "",
    "omero.pixeldata.max_plane_width": "3192",
    "omero.pixeldata.max_plane_height": "3192",
    "omero.client.viewer.roi_limit": "2000",
    "omero.client.download_as.max_size": "144000000",
    "omero.client.viewer.initial_zoom_level": "0",
    "omero.client.viewer.interpolate_pixels": "true",
    "omero.client.web.host": "",
    "omero.search.max_partition_size": "1000",
}


class Config(Servant):
    """Settings by name; only administrators change them."""

    interface = omero.api.IConfig
    proxy = omero.api.IConfigPrx

    def getVersion(self, call: Call) -> str:
        return VERSION

    def getConfigValue(self, call: Call, name: str) -> str:
        return self.server.config.get(name, "")

    def getConfigValues(self, call: Call, pattern: str) -> dict[str, str]:
        return {name: value for name, value in self.server.config.items() if re.match(pattern, name)}

    def getConfigDefaults(self, call: Call) -> dict[str, str]:
        return dict(DEFAULTS)

    def getClientConfigDefaults(self, call: Call) -> dict[str, str]:
        return {name: value for name, value in DEFAULTS.items() if name.startswith("omero.client.")}

    def getClientConfigValues(self, call: Call) -> dict[str, str]:
        return {name: value for name, value in self.server.config.items() if name.startswith("omero.client.")}

    def setConfigValue(self, call: Call, name: str, value: str) -> None:
        if not call.caller.may("ModifyUser"):
            raise Denied("Only administrators change the configuration")
        self.server.config[name] = value

    def getDatabaseUuid(self, call: Call) -> str:
        return self.server.uuid

    def getServerTime(self, call: Call) -> Any:
        return rtime(self.server.now_ms())

    getDatabaseTime = getServerTime


class Types(Servant):
    """Enumerations by name and value."""

    interface = omero.api.ITypes
    proxy = omero.api.ITypesPrx

    def allEnumerations(self, call: Call, of: str) -> list[Any]:
        return Wire(call).roots(list(self.graph.all(self.graph.schema.of(of).name)))

    def getEnumeration(self, call: Call, of: str, value: str) -> Any:
        found = self.graph.one(self.graph.schema.of(of).name, value=value)
        if found is None:
            raise NoSuchRow(f"{of} has no {value!r}")
        return Wire(call).root(found)

    def getEnumerationTypes(self, call: Call) -> list[str]:
        return sorted(VALUES)
