"""Certificates of the local repository: issued after the proof, kept below the data folder, checked later."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import msgspec

from ..certificate import (
    Certificate,
    CertifiedFile,
    CertifiedPlane,
    Device,
    Difference,
    ImportAccount,
    Verdict,
    in_memory,
    is_told,
    server_of,
    share_a_disk,
)
from ..devices import device_of
from ..pixels import read_plane
from ..reach import EVERYTHING, Reach
from ..repository import ImportStanding, Repository, StoredFile, ignore_bytes, never
from ..this_host import may_be_one_host
from .errors import (
    ImportedInPlace,
    NothingToCertify,
    SameDisk,
    repository_errors,
)
from .signing import SigningKey
from .verification import examine


def decode_plane(
    root: Path, file: str, page: int = 0, *, follow_links: bool = False, reach: Reach = EVERYTHING
) -> CertifiedPlane:
    """Decode one plane of the imported copy, as a certificate names it.

    ``follow_links`` where it is the source, of which nothing beyond ``reach`` is opened.

    Raises:
        NoLongerAsImported: it was imported in place, and the file is another one by now, or has changed.
        UnreadableImage: the file is damaged, cut short, absent or of an unsupported kind.
    """
    plane = read_plane(root, file, page, follow_links=follow_links, reach=reach)
    pixels = plane.astype(plane.dtype.newbyteorder("<"), copy=False)
    return CertifiedPlane(
        file=file,
        page=page,
        height=plane.shape[0],
        width=plane.shape[1],
        dtype=plane.dtype.name,
        checksum=hashlib.sha1(pixels.data, usedforsecurity=False).hexdigest(),
    )


def issue(
    repository: Repository,
    account: ImportAccount,
    files: Sequence[StoredFile],
    key: SigningKey,
    *,
    planes: Sequence[CertifiedPlane],
    allow_same_disk: bool = False,
) -> Certificate:
    """Put down what was proved about a registered import whose ``files`` were verified.

    ``planes`` are the first and the last plane, decoded from the repository; a fileset without images has none.

    Raises:
        ImportedInPlace: the repository holds links and none of the bytes.
        SameDisk: source and repository share a disk, or nobody knows, or the repository lies on none, and
            ``allow_same_disk`` is not given.
        NothingToCertify: the import is not registered, or some file of it is not complete.
        RepositoryFailed: the disk refuses.
    """
    standing = repository.reconcile(account.import_id)
    refuse_incomplete(account.import_id, files, standing)
    folder = repository.files_folder(account.import_id)
    with repository_errors(folder):
        repository_device = device_of(folder)
    if not allow_same_disk:
        refuse_same_disk(account, str(folder), repository_device)
    return certificate_of(
        account, files, key, standing, planes=planes, repository=str(folder), repository_device=repository_device
    )


def certificate_of(
    account: ImportAccount,
    files: Sequence[StoredFile],
    key: SigningKey,
    standing: ImportStanding,
    *,
    planes: Sequence[CertifiedPlane],
    planes_note: str = "",
    repository: str,
    repository_device: Device,
) -> Certificate:
    """A new certificate, to be signed with ``key``, of what was proved before."""
    return Certificate(
        certificate_id=uuid4().hex,
        key_fingerprint=key.fingerprint,
        **msgspec.structs.asdict(account),
        n_files=len(files),
        n_bytes=sum(file.size for file in files),
        files=tuple(
            CertifiedFile(path=file.path, size=file.size, checksum=file.checksum, algorithm=file.algorithm)
            for file in files
        ),
        plate_ids=standing.plate_ids,
        planes=tuple(planes),
        planes_note=planes_note or msgspec.UNSET,
        repository=repository,
        repository_device=repository_device,
    )


def refuse_incomplete(import_id: str, files: Sequence[StoredFile], standing: ImportStanding) -> None:
    """Promise that a repository holds every byte of an import.

    Raises:
        ImportedInPlace: it holds links and none of the bytes.
        NothingToCertify: the import is not registered, or some file of it is not complete.
    """
    links = [file for file in files if file.links_to]
    if links:
        raise ImportedInPlace(
            f"Import {import_id} is in place: {len(links)} of its {len(files)} files lie at their source alone, "
            f"first {links[0].links_to}.",
            hint="It gets no certificate, and its source must stay. Import it as a copy to get one.",
        )
    complete = frozenset(standing.complete)
    n_absent = sum(file.path not in complete for file in files)
    if not standing.registered or n_absent or not files:
        raise NothingToCertify(
            f"Import {import_id} cannot be certified: "
            + (f"{n_absent} of its {len(files)} files are not there" if n_absent else "it is not finished")
            + ".",
            hint="It is certified when it is done; 'hcs-mesh imports' shows how far it is.",
        )


def refuse_same_disk(account: ImportAccount, repository: str, repository_device: Device) -> None:
    """Promise that no broken disk takes source and repository together, as far as anybody knows.

    Raises:
        SameDisk: one does, or nobody knows, or the repository lies on none.
    """
    import_id, source, source_device = account.import_id, account.source, account.source_device
    if not source_device.host:
        raise SameDisk(
            f"Import {import_id} gets no certificate: what disk {source} lay on is not known.",
            hint="It could be the repository's. Set imports.certify_same_disk = true if that is no matter.",
        )
    if in_memory(repository_device):
        raise SameDisk(
            f"Import {import_id} gets no certificate: the repository {repository} lies in memory "
            f"({repository_device.file_system}), and on no disk.",
            hint="It is gone when its host stops. Set imports.certify_same_disk = true if that is no matter.",
        )
    if share_a_disk(source_device, repository_device, may_be_one=may_be_one_host):
        for what, device in ((source, source_device), (repository, repository_device)):
            if not is_told(device):
                raise SameDisk(
                    f"Import {import_id} gets no certificate: what disk {what} lies on is not told"
                    f" ({device.file_system or 'by this system'}).",
                    hint="One disk could hold both. Set imports.certify_same_disk = true if that is no matter.",
                )
        servers = [server_of(device) or device.host for device in (source_device, repository_device)]
        if source_device.volume != repository_device.volume and servers != [source_device.host] * 2:
            raise SameDisk(
                f"Import {import_id} gets no certificate: {source} lies with the host {servers[0]} and the repository "
                f"{repository} with {servers[1]}, which is the same host, or may be.",
                hint="One disk there could hold both. Set imports.certify_same_disk = true if that is no matter.",
            )
        raise SameDisk(
            f"Import {import_id} gets no certificate: {source} and the repository {repository} lie on one disk"
            f" ({', '.join(repository_device.disks) or repository_device.mount_point or repository_device.number}).",
            hint="A disk that breaks would take both. Set imports.certify_same_disk = true if that is wanted.",
        )


def verify_certificate(
    certificate: Certificate,
    repository: Repository,
    *,
    on_bytes: Callable[[int], None] = ignore_bytes,
    cancelled: Callable[[], bool] = never,
) -> Verdict:
    """Read every file of a certificate again, past the page cache, and say file by file what differs.

    Raises:
        TransferCancelled: ``cancelled`` answered True.
        RepositoryFailed: the disk does not hand a file out.
    """
    files = [
        StoredFile(path=file.path, size=file.size, checksum=file.checksum, algorithm=file.algorithm)
        for file in certificate.files
    ]
    wrong = examine(repository.files_folder(certificate.import_id), files, on_bytes=on_bytes, cancelled=cancelled)
    return Verdict(
        n_files=len(files),
        n_bytes=sum(file.size for file in files),
        differences=tuple(Difference(path=path, reason=reason) for path, reason in wrong),
    )
