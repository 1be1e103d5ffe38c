"""What an installation decides: settings, where they come from, the root of the errors, and logs."""

from .errors import ConfigError, MeshError
from .http_settings import HttpPlateSettings
from .import_settings import GuestSettings, ImportSettings, RootSettings
from .loading import check_settings, data_folder, load_settings
from .logging import get_logger, start_logging
from .notice_settings import MailSettings, NoticeKind, NoticeSettings, WebhookSettings
from .omero_settings import OmeroSettings
from .settings import (
    DataSettings,
    DeviceSettings,
    ExecutorSettings,
    FrontSettings,
    InspectorSettings,
    JobSettings,
    JournalSettings,
    LimitSettings,
    LoadedSettings,
    LogSettings,
    MetricsSettings,
    Settings,
    StreamSettings,
)
from .toml import to_toml
from .watch_settings import WatchSettings

__all__ = [
    "ConfigError",
    "DataSettings",
    "DeviceSettings",
    "ExecutorSettings",
    "FrontSettings",
    "GuestSettings",
    "HttpPlateSettings",
    "ImportSettings",
    "InspectorSettings",
    "JobSettings",
    "JournalSettings",
    "LimitSettings",
    "LoadedSettings",
    "LogSettings",
    "MailSettings",
    "MeshError",
    "MetricsSettings",
    "NoticeKind",
    "NoticeSettings",
    "OmeroSettings",
    "RootSettings",
    "Settings",
    "StreamSettings",
    "WatchSettings",
    "WebhookSettings",
    "check_settings",
    "data_folder",
    "get_logger",
    "load_settings",
    "start_logging",
    "to_toml",
]
