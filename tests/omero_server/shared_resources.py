"""SharedResources: the repositories, and tables."""

from __future__ import annotations

from typing import Any

import omero.grid

from omero_server.call import Call
from omero_server.dispatch import Servant
from omero_server.managed_repository import ManagedRepository, described
from omero_server.service_factory import opened


class SharedResources(Servant):
    """What lies beside the database."""

    interface = omero.grid.SharedResources
    proxy = omero.grid.SharedResourcesPrx

    def repositories(self, call: Call) -> Any:
        return omero.grid.RepositoryMap([described(self.server)], [self._managed()])

    def getScriptRepository(self, call: Call) -> None:
        """None: there are no scripts."""

    def areTablesEnabled(self, call: Call) -> bool:
        return False

    def _managed(self) -> Any:
        if "repository" not in self.session.proxies:
            made = opened(self.session, ManagedRepository(self.server, self.session), "ManagedRepository")
            self.session.proxies["repository"] = made
        return self.session.proxies["repository"]
