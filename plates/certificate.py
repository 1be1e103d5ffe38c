"""The safe-to-delete certificate: what was proved about an import, in bytes that can be signed (pure).

Who holds one may delete the source: every file lies in the repository, was read again past the page
cache, and lies on another disk than the source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

import msgspec

from .checksums import Algorithm


class CertifiedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of the import; ``path`` is relative to the source and to the import's files alike."""

    path: str
    size: int
    checksum: str
    algorithm: Algorithm


class CertifiedPlane(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plane that was decoded from the repository; ``checksum`` is the SHA-1 of its pixels, little-endian."""

    file: str
    page: int
    height: int
    width: int
    dtype: str
    checksum: str


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a folder lies on, as far as its host tells; an empty text means that it does not.

    ``number`` is the st_dev, ``volume`` what stays the same over a reboot: the file system's UUID, or
    the server and path of a network drive. ``disks`` names the disks beneath, by serial where they have one.
    """

    host: str = ""
    number: int = 0
    mount_point: str = ""
    file_system: str = ""
    volume: str = ""
    disks: tuple[str, ...] = ()


class Certificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was proved about one import, when and by which mesh; ``held`` says how the source was guarded meanwhile."""

    version: Literal[1] = 1
    certificate_id: str
    key_fingerprint: str
    import_id: str
    owner: str
    source: str
    source_host: str
    started_at_unix_s: float
    verified_at_unix_s: float
    n_files: int
    n_bytes: int
    files: tuple[CertifiedFile, ...]
    plate_ids: tuple[int, ...]
    planes: tuple[CertifiedPlane, ...]
    planes_note: str | msgspec.UnsetType = msgspec.UNSET
    """Which planes are not among those that were decoded, and why; where there is nothing to say it is not there."""
    source_device: Device
    repository: str
    repository_device: Device
    held: str


class ImportAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate tells of an import beside what was proved: whose it was, from where, how guarded, and when."""

    import_id: str
    owner: str
    source: str
    source_host: str
    source_device: Device
    held: str
    started_at_unix_s: float
    verified_at_unix_s: float


class SignedCertificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate, the Ed25519 key that signed it, and its signature over ``canonical_bytes``, both in hex."""

    certificate: Certificate
    public_key: str
    signature: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the repository that is not what its certificate says."""

    path: str
    reason: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What reading all files of a certificate again has found."""

    n_files: int
    n_bytes: int
    differences: tuple[Difference, ...] = ()

    @property
    def good(self) -> bool:
        """Whether every file is what the certificate says."""
        return not self.differences


def canonical_bytes(certificate: Certificate) -> bytes:
    """What is signed: JSON in UTF-8, keys in order, nothing between the tokens."""
    return msgspec.json.encode(certificate, order="sorted")


def fingerprint(public_key: bytes) -> str:
    """How people tell a signing key from another."""
    return "sha256:" + hashlib.sha256(public_key).hexdigest()


IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs", "rootfs"})
"""The file systems that lie on no disk: all of a host's are gone with its power."""


def in_memory(device: Device) -> bool:
    """Whether what lies there is gone when its host stops."""
    return device.file_system in IN_MEMORY


def is_told(device: Device) -> bool:
    """Whether a host tells what lies beneath: disks, a volume with a name of its own, or its memory."""
    return bool(device.disks or device.volume) or in_memory(device)


def server_of(device: Device) -> str:
    """The host whose disks a network drive lies on, by the name that it is mounted with; empty for any other."""
    if device.volume.startswith("//"):
        name = device.volume[2:].partition("/")[0]
    else:
        name, _, path = device.volume.partition(":/")
        if not path and not device.volume.endswith(":/"):
            return ""
    name = name.rpartition("@")[2].strip("[]").casefold()
    # What a host mounts from itself.
    return device.host if name in _LOOPBACK or name.startswith("127.") else name


_LOOPBACK = frozenset({"localhost", "localhost.localdomain", "::1"})


def same_name(one: str, other: str) -> bool:
    """Whether two hosts are called alike."""
    return one.casefold() == other.casefold()


def share_a_disk(one: Device, other: Device, *, may_be_one: Callable[[str, str], bool] = same_name) -> bool:
    """Whether one broken disk, or the end of one host, could take both folders with it; what is not told could.

    ``may_be_one`` says whether a server may be another server, or a host that has its own disks: of a server nobody
    tells which of its disks it is.
    """
    if one.volume and one.volume == other.volume:
        return True
    if in_memory(one) or in_memory(other):
        # Each has a number of its own, and all of a host's one memory.
        together = (in_memory(one) and in_memory(other)) or one.number == other.number
        return one.host == other.host and together
    if not (is_told(one) and is_told(other)):
        return True
    servers = server_of(one), server_of(other)
    if any(servers):
        hosts = servers[0] or one.host, servers[1] or other.host
        either = (servers[0] and may_be_one(servers[0], hosts[1])) or (servers[1] and may_be_one(servers[1], hosts[0]))
        return bool(either)
    return one.host == other.host and (one.number == other.number or bool({*one.disks} & {*other.disks}))
