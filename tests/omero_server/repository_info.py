"""IRepositoryInfo: how full the server's disk is."""

from __future__ import annotations

import shutil

import omero.api

from omero_server.call import Call
from omero_server.dispatch import Servant

KIB = 1024


class RepositoryInfo(Servant):
    """The disk that holds the folder."""

    interface = omero.api.IRepositoryInfo
    proxy = omero.api.IRepositoryInfoPrx

    def getUsedSpaceInKilobytes(self, call: Call) -> int:
        return shutil.disk_usage(self.server.folder).used // KIB

    def getFreeSpaceInKilobytes(self, call: Call) -> int:
        return shutil.disk_usage(self.server.folder).free // KIB

    def getUsageFraction(self, call: Call) -> float:
        usage = shutil.disk_usage(self.server.folder)
        return usage.used / usage.total

    def sanityCheckRepository(self, call: Call) -> None:
        """Nothing: a full disk speaks for itself."""
