"""The safe-to-delete certificate of an import into OMERO: its files, the filesets they are, and their planes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..certificate import Certificate, CertifiedPlane, Device, ImportAccount
from ..devices import device_of
from ..local.certifying import certificate_of, refuse_incomplete, refuse_same_disk
from ..local.errors import SameDisk, repository_errors
from ..local.signing import SigningKey
from ..repository import StoredFile, StoredFileset
from ..this_host import may_be_this_host
from .address import OmeroAddress
from .errors import OmeroPlanesDiffer
from .import_into import OmeroImport
from .served_planes import ServedPlane


def issue(
    at: OmeroImport,
    account: ImportAccount,
    files: Sequence[StoredFile],
    filesets: Sequence[StoredFileset],
    key: SigningKey,
    *,
    address: OmeroAddress,
    managed: Path | None,
    decoded: Sequence[CertifiedPlane],
    allow_same_disk: bool = False,
) -> Certificate:
    """Put down what was proved about a finished import whose ``files`` were verified.

    ``decoded`` are the first and the last plane as the mesh itself decoded them; OMERO must give the same pixels.

    Raises:
        ImportedInPlace: the server has links and none of the bytes.
        SameDisk: source and managed repository share a disk, or nobody knows, and ``allow_same_disk`` is not given.
        NothingToCertify: the import is not finished, or some file of it is not there.
        OmeroPlanesDiffer: the server shows other pixels.
        OmeroError: the server refuses or cannot be reached.
    """
    standing = at.reconcile(account.import_id)
    refuse_incomplete(account.import_id, files, standing)
    repository_device = device_of_server(address, managed)
    repository = f"omero://{address}/" + "+".join(f"Fileset:{number}" for number in at.fileset_ids())
    if not allow_same_disk:
        if not repository_device.host:
            raise SameDisk(
                f"Import {account.import_id} gets no certificate: OMERO at {address.host} may be on this host, and "
                "what disk it has it on is not known.",
                hint="Mount its managed repository (omero.managed_repository), or set imports.certify_same_disk.",
            )
        refuse_same_disk(account, repository, repository_device)
    return certificate_of(
        account,
        files,
        key,
        standing,
        planes=agreed(at.served_planes(filesets), decoded),
        repository=repository,
        repository_device=repository_device,
    )


def agreed(served: Sequence[ServedPlane], decoded: Sequence[CertifiedPlane]) -> tuple[CertifiedPlane, ...]:
    """The planes that the server gives as the mesh has decoded them.

    Raises:
        OmeroPlanesDiffer: it gives one otherwise, or not at all.
    """
    ours = {(plane.file, plane.page): plane for plane in decoded}
    for image, plane in served:
        if plane is None:
            raise OmeroPlanesDiffer(
                f"OMERO shows nothing where {image.file} has plane {image.page} (well {image.well or 'none'}, field "
                f"{image.field}, c {image.c}, z {image.z}, t {image.t}).",
                hint="It reads the fileset in another way than was planned here; the files themselves are whole.",
            )
        if (image.file, image.page) in ours and ours[image.file, image.page] != plane:
            raise OmeroPlanesDiffer(
                f"OMERO shows other pixels than {image.file} holds in plane {image.page}.",
                hint="It reads the fileset in another way than was planned here; the files themselves are whole.",
            )
    return tuple(plane for _, plane in served if plane is not None)


def device_of_server(address: OmeroAddress, managed: Path | None) -> Device:
    """What the managed repository lies on; without a host where it may be on this one and nobody can look; blocks.

    Raises:
        RepositoryFailed: it is mounted, and cannot be looked at.
    """
    if managed is not None:
        with repository_errors(managed):
            return device_of(managed)
    return Device() if may_be_this_host(address.host) else Device(host=address.host)
