"""Every setting of a mesh, with its unit in its name and a default that works on two cores (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from .errors import ConfigError
from .format_settings import BioformatsSettings, check_java_memory
from .http_settings import HttpPlateSettings, check_http_plates
from .import_settings import GuestSettings, ImportSettings
from .notice_settings import MailSettings, NoticeSettings, WebhookSettings, check_webhooks
from .omero_settings import OmeroSettings
from .section import TEBIBYTE, YEAR_S, AtOnce, Count, Days, Seconds, Section, Times
from .watch_settings import WatchSettings, check_owners, check_watches

DATA_CHANNEL_OFFSET = 1000
"""The data channel's port lies this far above the control channel's; see docs/decisions."""

LEAST_MESSAGE_BYTES = 1024 * 1024
"""What a mesh says of itself has to fit in a message: the list of what runs takes half a KiB for each executor, 4 KiB
more for each that has failed, and as much again for those of each host that has joined."""

ControlPort = Annotated[int, Meta(ge=1, le=65_535 - DATA_CHANNEL_OFFSET)]


class DataSettings(Section, frozen=True, kw_only=True):
    """Where a mesh keeps what must survive."""

    folder: str = ""
    """The data folder; empty means the user's data folder on this system."""


class FrontSettings(Section, frozen=True, kw_only=True):
    """Where users, agents, other nodes and viewers reach the mesh."""

    tcp_host: str = ""
    """The address to listen on; empty means no TCP, only ipc beside the data."""
    tcp_port: ControlPort = 7777
    """The control channel's port; the data channel takes the one 1000 above."""
    silence_s: Annotated[float, Meta(ge=0.5, le=YEAR_S)] = 5.0
    """A node or a viewer of another host that says nothing for so long is away: it gets no new wells, no planes."""
    node_grace_s: Seconds = 60.0
    """How long the wells of a node that is away are waited for; after this they go to other executors."""

    @property
    def tcp_data_port(self) -> int:
        """The port of the data channel."""
        return self.tcp_port + DATA_CHANNEL_OFFSET


class DeviceSettings(Section, frozen=True, kw_only=True):
    """What computes: one executor process per CPU slot and per GPU."""

    cpu_slots: Annotated[int, Meta(ge=0, le=256)] | Literal["auto"] = "auto"
    """CPU executors; "auto" is one per core, and at most 8."""
    threads_per_slot: AtOnce = 1
    """Threads that one CPU executor may use."""
    gpu: Literal["auto", "off"] | tuple[Annotated[int, Meta(ge=0, le=1_023)], ...] = "auto"
    """CUDA devices by number; "auto" is every one that CuPy finds."""

    def n_cpu_slots(self, n_cores: int) -> int:
        """The CPU executors to start on a machine of ``n_cores``."""
        return min(max(n_cores, 1), 8) if self.cpu_slots == "auto" else self.cpu_slots


class InspectorSettings(Section, frozen=True, kw_only=True):
    """The bounds of the process that opens files which others wrote."""

    memory_mib: Annotated[int, Meta(ge=128, le=TEBIBYTE // 2**20)] = 2048
    """Memory above which the inspector is ended."""
    time_limit_s: Seconds = 120.0
    """Time for one question; a file that takes longer is reported as unreadable."""
    deaths_per_question: Times = 3
    """Deaths of the inspector over one question after which the source is held to be damaged."""


class ExecutorSettings(Section, frozen=True, kw_only=True):
    """What a failing analysis may cost."""

    attempts_per_well: Times = 3
    """Deaths or failures after which a well is set aside."""
    max_restarts: Annotated[int, Meta(ge=0, le=100_000)] = 5
    """Restarts of one executor within window_s before its branch is set aside."""
    window_s: Seconds = 300.0
    """The time over which restarts are counted: a CUDA process takes seconds to come up."""


class JobSettings(Section, frozen=True, kw_only=True):
    """How long jobs that have ended are remembered."""

    keep_days: Days = 365.0
    """Days for which an ended job stays on the list; its results stay in the repository for good."""
    keep_ended: Count = 1_000
    """Ended jobs that stay on the list at the most, beside those of the last hour."""
    keep_keys_days: Days = 30.0
    """Days for which the key of a job that was forgotten still gets its id, so that asking again does nothing twice."""


class JournalSettings(Section, frozen=True, kw_only=True):
    """How what must survive is written."""

    segment_bytes: Annotated[int, Meta(ge=64 * 1024, le=TEBIBYTE)] = 16 * 1024 * 1024
    """The size of one preallocated journal segment."""


class StreamSettings(Section, frozen=True, kw_only=True):
    """The shared memory through which planes reach viewers on this host."""

    ring_slots: Annotated[int, Meta(ge=2, le=65_536)] = 16
    """Slots of the ring; all of them are allocated at start."""
    slot_bytes: Annotated[int, Meta(ge=4096, le=TEBIBYTE)] = 16 * 1024 * 1024
    """The largest plane that one slot holds: 2048 x 2048 labels of four bytes by default."""
    credits_per_viewer: Annotated[int, Meta(ge=1, le=65_535)] = 4
    """Slots that one viewer may hold without acknowledging: fewer than its key's part of the ring, where that is more
    than one. Those of one key hold together as many as are left free."""

    def __post_init__(self) -> None:
        """Refuse credits that nobody can mean: the publisher gives out fewer where the ring is small.

        Raises:
            ConfigError: When a viewer's credits are not fewer than the ring's slots.
        """
        if self.credits_per_viewer >= self.ring_slots:
            raise ConfigError(
                f"streams.credits_per_viewer ({self.credits_per_viewer}) must be below streams.ring_slots "
                f"({self.ring_slots}), which all viewers share.",
                hint="Lower credits_per_viewer or raise ring_slots.",
            )


class LimitSettings(Section, frozen=True, kw_only=True):
    """What one sender may take."""

    message_bytes: Annotated[int, Meta(ge=LEAST_MESSAGE_BYTES, le=TEBIBYTE)] = 64 * 1024 * 1024
    """The largest encoded message; planes travel beside messages and are not counted."""
    frame_bytes: Annotated[int, Meta(ge=4096, le=TEBIBYTE)] = 256 * 1024 * 1024
    """The largest plane that a viewer takes from a mesh elsewhere; of a larger one it says so, and goes on."""


class MetricsSettings(Section, frozen=True, kw_only=True):
    """Where Prometheus finds the mesh's metrics."""

    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    """The port on this host alone (127.0.0.1); 0 serves no metrics."""


class LogSettings(Section, frozen=True, kw_only=True):
    """What a process of the mesh says, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe entry that is kept."""
    format: Literal["auto", "plain", "json"] = "auto"
    """The form on the terminal: "auto" is plain for people and JSON for a pipe; the file is always JSON."""


class Settings(Section, frozen=True, kw_only=True):
    """Everything that one installation decides."""

    data: DataSettings = DataSettings()
    front: FrontSettings = FrontSettings()
    devices: DeviceSettings = DeviceSettings()
    imports: ImportSettings = ImportSettings()
    guest: GuestSettings = GuestSettings()
    inspector: InspectorSettings = InspectorSettings()
    bioformats: BioformatsSettings = BioformatsSettings()
    omero: OmeroSettings = OmeroSettings()
    executors: ExecutorSettings = ExecutorSettings()
    jobs: JobSettings = JobSettings()
    journal: JournalSettings = JournalSettings()
    streams: StreamSettings = StreamSettings()
    limits: LimitSettings = LimitSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    notices: NoticeSettings = NoticeSettings()
    mail: MailSettings = MailSettings()
    webhook: tuple[WebhookSettings, ...] = ()
    """Where notices are sent as JSON: one table [[webhook]] each."""
    watch: tuple[WatchSettings, ...] = ()
    """The folders from which acquisitions are imported by themselves: one table [[watch]] each."""
    http_plates: tuple[HttpPlateSettings, ...] = ()
    """Plates that others serve by HTTP, seen and analysed here: one table [[http_plates]] each."""
    shutdown_s: Seconds = 20.0
    """Time for an ordered stop, after which what still runs is killed."""

    def __post_init__(self) -> None:
        """Refuse what would go astray.

        Raises:
            ConfigError: When two webhooks or plates have one name, watched folders overlap, lie outside of the roots or
                are nobody's at OMERO, or Java has no room.
        """
        check_webhooks(self.webhook)
        check_http_plates(self.http_plates)
        check_watches(self.watch, self.data.folder, self.imports.roots)
        check_java_memory(self.bioformats, self.inspector.memory_mib)
        check_owners(self.watch, self.omero)


class LoadedSettings(NamedTuple):
    """Settings, and for each dotted key the place that decided it ("default", a file, a variable, "--data")."""

    settings: Settings
    origins: Mapping[str, str]
