"""SharedResources: the repositories, and tables."""

from __future__ import annotations

from typing import Any

import omero.grid

from omero_server.call import Call
from omero_server.dispatch import Servant
from omero_server.managed_repository import ManagedRepository, described
from omero_server.refusals import BadUse
from omero_server.service_factory import opened
from omero_server.tables import MIMETYPE, Table, new_table_file


class SharedResources(Servant):
    """What lies beside the database."""

    interface = omero.grid.SharedResources
    proxy = omero.grid.SharedResourcesPrx

    def repositories(self, call: Call) -> Any:
        return omero.grid.RepositoryMap([described(self.server)], [self._managed()])

    def getScriptRepository(self, call: Call) -> None:
        """None: there are no scripts."""

    def areTablesEnabled(self, call: Call) -> bool:
        return self.server.has_tables

    def newTable(self, call: Call, repository: int, path: str) -> Any:
        file = new_table_file(call, path)
        # The file is there before anybody looks for a service that could open it.
        return opened(self.session, Table(self.server, self.session, file)) if self.server.has_tables else None

    def openTable(self, call: Call, sent: Any) -> Any:
        file = call.get("OriginalFile", sent._id.val)
        if file["mimetype"] != MIMETYPE:
            raise BadUse(f"{file} is no table but {file['mimetype']}")
        return opened(self.session, Table(self.server, self.session, file))

    def _managed(self) -> Any:
        if "repository" not in self.session.proxies:
            made = opened(self.session, ManagedRepository(self.server, self.session), "ManagedRepository")
            self.session.proxies["repository"] = made
        return self.session.proxies["repository"]
