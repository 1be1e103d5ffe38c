"""Certificates: what is signed, what breaks a signature, and which folders share a disk."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hcs_mesh.plates.certificate import (
    Certificate,
    CertifiedFile,
    CertifiedPlane,
    Device,
    SignedCertificate,
    canonical_bytes,
    share_a_disk,
)
from hcs_mesh.plates.devices import device_of, find_mount
from hcs_mesh.plates.local import CertificateForged, SigningKeyFailed
from hcs_mesh.plates.local.signing import SigningKey, check_signature, load_or_make_key, load_public_key, sign
from hcs_mesh.plates.this_host import may_be_one_host

DEVICE = Device(host="scope", number=7, mount_point="/data", file_system="ext4", volume="UUID=1", disks=("serial-1",))
CERTIFICATE = Certificate(
    certificate_id="c1",
    key_fingerprint="",
    import_id="import-0001",
    owner="ada",
    source="/data/plate µ",
    source_host="scope",
    started_at_unix_s=1.5,
    verified_at_unix_s=2.25,
    n_files=1,
    n_bytes=3,
    files=(CertifiedFile(path="a.tif", size=3, checksum="ab", algorithm="sha1"),),
    plate_ids=(1, 2),
    planes=(CertifiedPlane(file="a.tif", page=0, height=4, width=5, dtype="uint16", checksum="cd"),),
    source_device=DEVICE,
    repository="/repository/files",
    repository_device=msgspec.structs.replace(DEVICE, number=8, volume="UUID=2", disks=("serial-2",)),
    held="linked",
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return load_or_make_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed(key: SigningKey) -> SignedCertificate:
    return sign(msgspec.structs.replace(CERTIFICATE, key_fingerprint=key.fingerprint), key)


def leaves(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The places of every single value in a JSON document."""
    match value:
        case dict():
            return [place for name, one in value.items() for place in leaves(one, (*at, name))]
        case list():
            return [place for n, one in enumerate(value) for place in leaves(one, (*at, n))]
        case _:
            return [at]


def changed(value: Any) -> Any:
    match value:
        case str() if value in ("sha1", "sha256"):
            return "sha256" if value == "sha1" else "sha1"
        case str():
            return value[:-1] + ("0" if value[-1:] != "0" else "1")
        case _:
            return value + 1


INSIDE = [
    place
    for place in leaves(msgspec.json.decode(canonical_bytes(CERTIFICATE)))
    if place != ("version",)  # another version is refused before its signature is looked at
]


@pytest.mark.parametrize(
    "place", [("certificate", *place) for place in INSIDE] + [("signature",), ("public_key",)], ids=str
)
def test_every_value_that_is_changed_breaks_the_signature(
    signed: SignedCertificate, place: tuple[str | int, ...]
) -> None:
    document = msgspec.json.decode(msgspec.json.encode(signed))
    inside = document
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = changed(inside[place[-1]])
    forged = msgspec.convert(document, SignedCertificate)
    assert forged != signed
    with pytest.raises(CertificateForged):
        check_signature(forged)


@pytest.mark.parametrize("cut", ["files", "plate_ids", "planes"])
def test_what_is_left_out_breaks_the_signature(signed: SignedCertificate, cut: str) -> None:
    fields: dict[str, Any] = {cut: ()}
    shorter = msgspec.structs.replace(signed.certificate, **fields)
    with pytest.raises(CertificateForged):
        check_signature(msgspec.structs.replace(signed, certificate=shorter))


def test_what_is_added_is_refused(signed: SignedCertificate) -> None:
    document = msgspec.json.decode(msgspec.json.encode(signed))
    document["certificate"]["remark"] = "delete everything"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, SignedCertificate)


def test_a_signature_outlives_reading_and_writing(signed: SignedCertificate, key: SigningKey) -> None:
    read = msgspec.json.decode(msgspec.json.format(msgspec.json.encode(signed)), type=SignedCertificate)
    assert read == signed
    check_signature(read, public_key=key.public)


def test_the_bytes_that_are_signed_are_canonical() -> None:
    text = canonical_bytes(CERTIFICATE)
    assert text.startswith(b'{"certificate_id":"c1","files":[{"algorithm":"sha1","checksum":"ab","path"')
    assert "µ".encode() in text
    assert canonical_bytes(msgspec.json.decode(text, type=Certificate)) == text


def test_a_certificate_of_another_mesh_is_told_from_ours(signed: SignedCertificate, tmp_path: Path) -> None:
    other = load_or_make_key(tmp_path)
    with pytest.raises(CertificateForged, match="was signed by the key"):
        check_signature(signed, public_key=other.public)
    # Signed anew by somebody else: the certificate names whose it is.
    with pytest.raises(CertificateForged, match="was signed by the key"):
        check_signature(sign(signed.certificate, other))


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert load_public_key(folder) is None
    key = load_or_make_key(folder)
    assert load_or_make_key(folder).public == key.public == load_public_key(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["certificates.pem", "certificates.pub"]
    assert (folder / "certificates.pem").stat().st_mode & 0o777 == 0o600
    (folder / "certificates.pem").chmod(0o640)
    with pytest.raises(SigningKeyFailed, match="read by others"):
        load_or_make_key(folder)


@pytest.mark.parametrize("name", ["certificates.pem", "certificates.pub"])
def test_a_damaged_key_is_named(tmp_path: Path, name: str) -> None:
    load_or_make_key(tmp_path)
    (tmp_path / name).write_bytes(b"nonsense")
    read: Callable[[Path], object] = load_or_make_key if name.endswith("pem") else load_public_key
    with pytest.raises(SigningKeyFailed, match=name):
        read(tmp_path)


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (DEVICE, True),
        (Device(host="scope", number=7), True),
        (Device(host="scope", number=8, disks=("serial-1", "serial-9")), True),
        (Device(host="scope", number=8, volume="UUID=2", disks=("serial-2",)), False),
        (Device(host="server", number=7, disks=("serial-1",)), False),
        (Device(host="server", number=9, volume="UUID=1"), True),
        (Device(host="scope", number=8), True),
        (Device(host="scope", number=8, file_system="overlay"), True),
        (Device(host="scope", number=8, file_system="zfs", volume="zfs tank"), False),
        (Device(host="server", number=8), True),
        (Device(host="server", number=8, volume="nas:/scope"), False),
        (Device(host="server", number=8, volume="scope:/data"), True),
        (Device(host="server", number=8, volume="SCOPE:/other"), True),
        (Device(host="server", number=8, volume="//scope/other"), True),
        (Device(host="scope", number=8, volume="localhost:/data"), True),
        (Device(host="server", number=8, volume="127.0.0.1:/data"), False),
        (Device(host="scope", number=8, file_system="tmpfs"), False),
    ],
)
def test_one_broken_disk_takes_both_folders_or_one(other: Device, shared: bool) -> None:
    assert share_a_disk(DEVICE, other) is share_a_disk(other, DEVICE) is shared


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("nas:/scope", "nas:/repository", True),
        ("//nas/scope", "//NAS/repository", True),
        ("nas:/scope", "ada@nas:/repository", True),
        ("nas:/scope", "archive:/repository", False),
        ("[fd00::1]:/scope", "[fd00::1]:/repository", True),
        # Another export of the host that both are mounted on.
        ("localhost:/scope", "hub:/repository", True),
    ],
)
def test_of_one_server_nobody_tells_the_disks(one: str, other: str, shared: bool) -> None:
    devices = [Device(host="hub", number=n, file_system="nfs4", volume=volume) for n, volume in enumerate((one, other))]
    assert share_a_disk(*devices) is share_a_disk(*reversed(devices)) is shared


def test_a_server_that_may_go_by_another_name_is_asked_for() -> None:
    nas, archive = (Device(host="hub", number=n, volume=f"{name}:/x") for n, name in enumerate(("nas", "archive")))
    assert share_a_disk(nas, archive, may_be_one=lambda server, host: (server, host) == ("archive", "nas"))
    assert share_a_disk(nas, DEVICE, may_be_one=lambda server, host: (server, host) == ("nas", "scope"))
    # With disks of their own on both sides nobody is asked.
    there = Device(host="server", number=9, volume="UUID=2", disks=("serial-2",))
    assert not share_a_disk(there, DEVICE, may_be_one=lambda server, host: True)


def test_a_server_is_known_by_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"nas": "192.0.2.1", "storage.example.org": "192.0.2.1", "archive": "192.0.2.2"}

    def resolve(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if name not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (names[name], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert may_be_one_host("nas", "storage.example.org")
    assert not may_be_one_host("nas", "archive")
    assert not may_be_one_host("nas", "scope-3")
    assert may_be_one_host("nobody-knows", "archive")


def test_a_share_of_this_host_is_this_hosts() -> None:
    assert may_be_one_host("localhost", socket.gethostname())
    assert may_be_one_host(socket.gethostname(), socket.gethostname())


def test_what_lies_in_the_memory_of_one_host_is_lost_together() -> None:
    one, other = (Device(host="scope", number=n, file_system=name) for n, name in ((1, "tmpfs"), (2, "ramfs")))
    assert share_a_disk(one, other)
    assert not share_a_disk(one, msgspec.structs.replace(other, host="server"))
    assert not share_a_disk(one, msgspec.structs.replace(other, file_system="ext4"))


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:45 /sub /mnt/a\\040b rw shared:9 - btrfs /dev/sdb rw
31 22 0:50 / /mnt/nas rw - nfs4 nas:/export/hcs rw
32 31 0:50 / /mnt/nas/again rw - nfs4 nas:/export/hcs rw
"""


@pytest.mark.parametrize(
    ("path", "number", "source", "file_system"),
    [
        ("/home/ada", os.makedev(8, 1), "/dev/sda1", "ext4"),
        ("/mnt/a b/plate", os.makedev(0, 99), "/dev/sdb", "btrfs"),
        ("/mnt/nas/x", os.makedev(0, 50), "nas:/export/hcs", "nfs4"),
    ],
)
def test_a_folder_s_mount_is_found(path: str, number: int, source: str, file_system: str) -> None:
    mount = find_mount(Path(path), number, MOUNTS)
    assert mount is not None
    assert (mount.source, mount.file_system) == (source, file_system)


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts by the mount command, undone at the end."""
    made: list[Path] = []

    def mount(name: str, *words: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run(["mount", *words, str(folder)], check=True)
        made.append(folder)
        return folder

    yield mount
    for folder in reversed(made):
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.needs("root")
def test_the_disk_of_a_file_that_is_mounted_is_the_one_that_the_file_lies_on(
    tmp_path: Path, mounts: Callable[..., Path]
) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    assert share_a_disk(device_of(mounts("loop", "-o", "loop", str(image))), device_of(tmp_path))


@pytest.mark.needs("root")
def test_the_layers_of_an_overlay_lie_on_their_disks(tmp_path: Path, mounts: Callable[..., Path]) -> None:
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    layers = ",".join(f"{what}dir={tmp_path / what}" for what in ("lower", "upper", "work"))
    overlay = mounts("overlay", "-t", "overlay", "-o", layers, "overlay")
    assert share_a_disk(device_of(overlay), device_of(tmp_path))
    assert device_of(overlay).disks == device_of(tmp_path).disks


def test_a_real_folder_lies_on_a_device(tmp_path: Path) -> None:
    device = device_of(tmp_path)
    assert device.number == tmp_path.stat().st_dev
    assert device.host
    assert tmp_path.is_relative_to(device.mount_point)
    assert share_a_disk(device, device_of(tmp_path.parent))


def test_two_first_certificates_at_once_are_signed_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: load_or_make_key(tmp_path / "keys"), range(32)))
    assert len({key.public for key in keys}) == 1
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["certificates.pem", "certificates.pub"]
