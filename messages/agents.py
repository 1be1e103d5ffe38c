"""The conversation with workstations: an agent offers folders, and the mesh asks it for what lies in them.

What the mesh asks has no audience: it is spoken over the connection that the agent has made itself, and the
agent alone decides which folder a path may lead into.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ..plates.certificate import Device
from ..plates.checksums import Algorithm
from ..plates.holding.guarantees import HeldFile, HeldSpace, Hold, Swept
from ..plates.planners import Plan
from ..plates.repository import SourceFile, StoredFile
from ..plates.served_folders import ServedFolder
from ..transport.messages import Event, Request, Role
from .imports import DecodedPlane
from .workstations import Workstation

CHUNK_BYTES = 1 << 20
"""The most bytes of a file in one message."""


class AgentOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent offers: its folders, and to whom; empty ``users`` are all who have a key."""

    folders: tuple[ServedFolder, ...]
    users: tuple[str, ...] = ()
    may_delete: bool = False
    limit_mib_s: float = 0.0
    host: str = ""
    place: str = ""
    """The folder in which it keeps its own things: what tells one agent of a host from another."""

    @property
    def workstation(self) -> Workstation:
        """Where it runs."""
        return Workstation(host=self.host, place=self.place)


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as people see it, also while it is away; ``key`` is the name of its key."""

    name: str
    key: str
    offer: AgentOffer
    here: bool = False
    away_because: str = ""
    seen_at_unix_s: float = 0.0


class AgentTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Under which name an agent is known, and how often it is to be heard of."""

    name: str
    beat_s: float


class OfferFolders(Request[AgentTerms], frozen=True, kw_only=True, tag="agents.offer"):
    """Offer folders, or come back after a break; ``label`` tells several agents with one key apart.

    With ``trial`` it is only asked whether they would be taken, and under which name.
    """

    audience: ClassVar[Role | None] = "agent"
    # Who is refused asks again and again: the traces of what people did are not to be forgotten over it.
    looks_only: ClassVar[bool] = True

    offer: AgentOffer
    label: str = ""
    trial: bool = False


class AgentBeat(Request[bool], frozen=True, kw_only=True, tag="agents.beat"):
    """The agent is there; False means that it must offer its folders again."""

    audience: ClassVar[Role | None] = "agent"
    looks_only: ClassVar[bool] = True

    name: str


class LeaveAgents(Request[None], frozen=True, kw_only=True, tag="agents.leave"):
    """The agent is about to stop, in order."""

    audience: ClassVar[Role | None] = "agent"

    name: str


class ListAgents(Request[tuple[AgentInfo, ...]], frozen=True, kw_only=True, tag="agents.list"):
    """Ask for every agent that this mesh has heard of, by name."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True


class LookForAgents(Event, frozen=True, kw_only=True, tag="agents.look"):
    """It is time to look which agents have not been heard of."""


class AgentLost(Event, frozen=True, kw_only=True, tag="agents.lost"):
    """The link to an agent has broken."""

    always_taken: ClassVar[bool] = True

    name: str
    reason: str


class LookAtSource(Request[str], frozen=True, kw_only=True, tag="agents.look_at"):
    """Ask where a path leads on the workstation; a failure where it leads nowhere, or out of what is served.

    With ``reads`` also where the workstation reads nothing at this hour.
    """

    path: str
    reads: bool = False


class ScannedFolder(msgspec.Struct, frozen=True, kw_only=True):
    """Every file of a source as it looks now, and their ctimes."""

    files: tuple[SourceFile, ...]
    came_ns: tuple[int, ...] = ()


class ScanFolder(Request[ScannedFolder], frozen=True, kw_only=True, tag="agents.scan"):
    """Ask for every file of a source as it looks now, or for those right in it that ``only`` names.

    What ``exclude`` leaves out is not looked at, nor what lies deeper than ``depth`` levels, where that is not 0.
    """

    path: str
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    depth: int = 0


class PlanFolder(Request[Plan], frozen=True, kw_only=True, tag="agents.plan"):
    """Ask which filesets and plates a source holds; answered by the workstation's own inspector."""

    import_id: str
    path: str
    pattern: str = ""
    name: str = ""
    as_files: bool = False
    depth: int = 0
    exclude: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


class ProbeFolder(Request[tuple[DecodedPlane, ...]], frozen=True, kw_only=True, tag="agents.probe"):
    """Ask that the first and last plane of every plate of a plan be opened."""

    import_id: str
    path: str
    plan: Plan


class ListFiles(Request[tuple[SourceFile, ...]], frozen=True, kw_only=True, tag="agents.files"):
    """Ask how these files below a root look now, and whether all may be served."""

    root: str
    plan: Plan


class WhichDevice(Request[Device], frozen=True, kw_only=True, tag="agents.device"):
    """Ask what a folder lies on."""

    root: str


class HoldFiles(Request[Hold], frozen=True, kw_only=True, tag="agents.hold"):
    """Ask that files be kept from vanishing."""

    import_id: str
    root: str
    files: tuple[SourceFile, ...]


class AskHeldSpace(Request[HeldSpace], frozen=True, kw_only=True, tag="agents.held_space"):
    """Ask what a hold costs now."""

    hold: Hold


class AskFreeSpace(Request[int], frozen=True, kw_only=True, tag="agents.free"):
    """Ask how many bytes are free on the disk of a source, on which its links lie as well."""

    root: str


class AskUnwritten(Request[str], frozen=True, kw_only=True, tag="agents.unwritten"):
    """Ask what lies nowhere else but in links of which no hold was written down; empty if nothing does."""

    import_id: str
    root: str


class LetGoFiles(Request[Hold], frozen=True, kw_only=True, tag="agents.let_go"):
    """Ask that what can be read again from the source be held no longer."""

    hold: Hold


class ReleaseFiles(Request[None], frozen=True, kw_only=True, tag="agents.release"):
    """Ask that everything of a hold be let go."""

    hold: Hold
    """Without its files: the folder of its links is enough."""


class SweepHeld(Request[Swept], frozen=True, kw_only=True, tag="agents.sweep"):
    """Ask that what is held for these imports be let go; the answer names them, and for which others links stay."""

    over: tuple[str, ...]


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Some bytes of a file, with the CRC-32C that they had where they were read."""

    bulk: ClassVar[bool] = True

    data: bytes
    crc32c: int


class OpenedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the agent has opened: its handle, how it looks, and its first bytes where they were asked for."""

    bulk: ClassVar[bool] = True

    handle: int
    file: SourceFile
    chunk: Chunk | None = None


class OpenFile(Request[OpenedFile], frozen=True, kw_only=True, tag="agents.open"):
    """Ask that a file be opened for reading, and hashed with ``algorithm`` as long as it is read in order.

    ``held`` says which link of a hold is meant, ``n_bytes`` how many of its bytes come with the answer.
    """

    import_id: str
    root: str
    path: str
    staging: str = ""
    held: HeldFile | None = None
    n_bytes: int = 0
    algorithm: Algorithm = "sha1"


class ReadChunk(Request[Chunk], frozen=True, kw_only=True, tag="agents.read"):
    """Ask for bytes of an open file, at most CHUNK_BYTES; fewer than asked for only at its end."""

    handle: int
    offset: int
    n_bytes: int


class ChunkSum(msgspec.Struct, frozen=True, kw_only=True):
    """What bytes of a file are, without the bytes."""

    n_bytes: int
    sha256: str


class SumChunk(Request[ChunkSum], frozen=True, kw_only=True, tag="agents.sum"):
    """Ask for the SHA-256 of bytes of an open file: what the mesh has already need not travel again."""

    handle: int
    offset: int
    n_bytes: int


class LookAtFile(Request[SourceFile], frozen=True, kw_only=True, tag="agents.look_at_file"):
    """Ask how an open file looks now; a failure where it is not what was opened."""

    handle: int


class CloseFile(Event, frozen=True, kw_only=True, tag="agents.close"):
    """The file is not read any more."""

    handle: int


class CompareFiles(Request[tuple[str, ...]], frozen=True, kw_only=True, tag="agents.compare"):
    """Ask which of these files have another checksum where they were read than where they were stored.

    What the agent has not hashed itself from the first byte to the last is read again there.
    """

    import_id: str
    root: str
    files: tuple[StoredFile, ...]
    staging: str = ""
    held: tuple[HeldFile, ...] = ()


class FindChanged(Request[tuple[str, ...]], frozen=True, kw_only=True, tag="agents.changed"):
    """Ask which files of a hold have names that lead to other bytes by now than were stored; none that is gone.

    ``device`` is what the source lay on when it was held.
    """

    hold: Hold
    files: tuple[StoredFile, ...]
    device: Device = Device()


class DeleteFiles(Request[int], frozen=True, kw_only=True, tag="agents.delete"):
    """Ask that a certified source be deleted, as it was held; the answer is how many files were there.

    ``device`` is what it lay on then.
    """

    path: str
    root: str
    files: tuple[HeldFile, ...]
    device: Device = Device()
