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

    ``decoded`` are the first and the last plane as the mesh itself decoded them; OMERO must give the same pixels. What
    the mesh could not decode is no proof, and is left out with a note.

    Raises:
        ImportedInPlace: the server has links and none of the bytes.
        SameDisk: source and managed repository share a disk, or nobody knows, and ``allow_same_disk`` is not given.
        NothingToCertify: the import is not finished, or some file of it is not there.
        OmeroPlanesDiffer: the server shows other pixels.
        MetadataError, ImageTooLarge: a plate claims more planes there, or larger ones, than are read.
        OmeroError: the server refuses or cannot be reached.
    """
    standing = at.reconcile(account.import_id)
    refuse_incomplete(account.import_id, files, standing)
    repository_device = device_of_server(address, managed)
    repository = f"omero://{address}/" + "+".join(f"Fileset:{number}" for number in at.fileset_ids())
    if not allow_same_disk:
        if managed is None:
            where = "is on another host" if repository_device.host else "may be on this host"
            raise SameDisk(
                f"Import {account.import_id} gets no certificate: OMERO at {address.host} {where}, and what disk it "
                "has it on is not known.",
                hint="Mount its managed repository (omero.managed_repository), or set imports.certify_same_disk.",
            )
        refuse_same_disk(account, repository, repository_device)
    served = at.served_planes(filesets)
    planes = agreed(served, decoded)
    return certificate_of(
        account,
        files,
        key,
        standing,
        planes=planes,
        planes_note=_note(len(served) - len(planes), len(served)),
        repository=repository,
        repository_device=repository_device,
    )


def agreed(served: Sequence[ServedPlane], decoded: Sequence[CertifiedPlane]) -> tuple[CertifiedPlane, ...]:
    """The planes that the server gives as the mesh has decoded them; of others there is nothing but the server's word.

    Raises:
        OmeroPlanesDiffer: it gives one otherwise, or not at all.
    """
    ours = {(plane.file, plane.page): plane for plane in decoded}
    same: list[CertifiedPlane] = []
    for image, plane in served:
        if plane is None:
            raise OmeroPlanesDiffer(
                f"OMERO shows nothing where {image.file} has plane {image.page} (well {image.well or 'none'}, field "
                f"{image.field}, c {image.c}, z {image.z}, t {image.t}).",
                hint="It reads the fileset in another way than was planned here; the files themselves are whole.",
            )
        known = ours.get((image.file, image.page))
        if known is not None and known != plane:
            raise OmeroPlanesDiffer(
                f"OMERO shows other pixels than {image.file} holds in plane {image.page}.",
                hint="It reads the fileset in another way than was planned here; the files themselves are whole.",
            )
        if known is not None:
            same.append(plane)
    return tuple(same)


def _note(n_left_out: int, n_planes: int) -> str:
    if not n_left_out:
        return ""
    return (
        f"{n_left_out} of the {n_planes} planes that are decoded as a rule were not: their source lies on another host "
        "or was away, and OMERO's own files could not be read by the mesh. The checksums of all files agree."
    )


def device_of_server(address: OmeroAddress, managed: Path | None) -> Device:
    """What the managed repository lies on; without a host where it may be on this one and nobody can look; blocks.

    Raises:
        RepositoryFailed: it is mounted, and cannot be looked at.
    """
    if managed is not None:
        with repository_errors(managed):
            return device_of(managed)
    return Device() if may_be_this_host(address.host) else Device(host=address.host)
