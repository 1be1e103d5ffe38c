"""Everything that a session can be asked for, by the operation that hands it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omero_server.administration import Admin
from omero_server.call import Call
from omero_server.configuration import Config, Types
from omero_server.dispatch import Servant
from omero_server.service_factory import offer
from omero_server.session_service import SessionService

SERVICES: dict[str, type[Servant]] = {
    "getAdminService": Admin,
    "getConfigService": Config,
    "getSessionService": SessionService,
    "getTypesService": Types,
}
REQUESTS: dict[str, Callable[[Call, Any], Any]] = {}

for getter, service in SERVICES.items():
    offer(getter, service)
