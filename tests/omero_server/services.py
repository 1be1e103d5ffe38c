"""Everything that a session can be asked for, by the operation that hands it out."""

from __future__ import annotations

from omero_server.administration import Admin
from omero_server.annotations import Metadata
from omero_server.configuration import Config, Types
from omero_server.containers import Containers, PixelsService
from omero_server.dispatch import Servant
from omero_server.handles import Handle
from omero_server.import_process import ImportProcess
from omero_server.managed_repository import ManagedRepository
from omero_server.querying import QueryService
from omero_server.raw_files import RawFiles
from omero_server.raw_pixels import RawPixels
from omero_server.repository_info import RepositoryInfo
from omero_server.rois import Rois
from omero_server.scripts import Scripts
from omero_server.service_factory import offer
from omero_server.session_service import SessionService
from omero_server.shared_resources import SharedResources
from omero_server.tables import Table
from omero_server.thumbnails import Thumbnails
from omero_server.updating import UpdateService

SERVICES: dict[str, type[Servant]] = {
    "createRawFileStore": RawFiles,
    "createRawPixelsStore": RawPixels,
    "createThumbnailStore": Thumbnails,
    "getAdminService": Admin,
    "getConfigService": Config,
    "getContainerService": Containers,
    "getMetadataService": Metadata,
    "getPixelsService": PixelsService,
    "getQueryService": QueryService,
    "getRepositoryInfoService": RepositoryInfo,
    "getRoiService": Rois,
    "getScriptService": Scripts,
    "getSessionService": SessionService,
    "getTypesService": Types,
    "getUpdateService": UpdateService,
    "sharedResources": SharedResources,
}
BEHIND: tuple[type[Servant], ...] = (ManagedRepository, ImportProcess, Handle, Table)
"""What clients reach by way of the services."""

for getter, service in SERVICES.items():
    offer(getter, service)
