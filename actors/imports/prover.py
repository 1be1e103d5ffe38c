"""The provers: they certify what a repository holds, each of its kind."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from ...config import ImportSettings
from ...plates.certificate import CertifiedPlane, Device, ImportAccount, SignedCertificate
from ...plates.errors import ImageTooLarge, MetadataError
from ...plates.import_outline import ImportOutline
from ...plates.local.certificate_shelf import certificate_path, certified_ids, keep, kept, store
from ...plates.local.certifying import issue
from ...plates.local.errors import CertificateOfAnother, CertificateRefused, CertificateUnreadable
from ...plates.local.signing import load_or_make_key, sign
from ...plates.omero.address import OmeroAddress
from ...plates.omero.certifying import issue as certify_in_omero
from ...plates.omero.errors import OmeroPlanesDiffer
from ...plates.omero.import_into import OmeroImport
from ...plates.repository import Repository
from ..errors import NoCertificate
from .life import ImportLife
from .outline import filesets_of, outline_of


class LocalProver:
    """Signs with the key of the data folder; every call blocks."""

    def __init__(self, repository: Repository, data: Path, keys: Path, settings: ImportSettings) -> None:
        """Keep certificates in ``data`` and the signing key in ``keys``."""
        self._repository = repository
        self._data = data
        self._keys = keys
        self._settings = settings

    def import_ids(self) -> tuple[str, ...]:
        """The imports that have a certificate.

        Raises:
            MeshError: the disk refuses.
        """
        return certified_ids(self._data)

    def certified(self, life: ImportLife) -> str:
        """The path of the certificate that was written already; empty if there is none.

        Raises:
            NoCertificate: there is one of this id, of another import or of none.
            MeshError: the disk refuses.
        """
        return _kept(self._data, life)

    def issue(self, life: ImportLife) -> SignedCertificate:
        """Put down and sign what was proved of a registered import.

        Raises:
            NoCertificate: there can be none, and why.
            MeshError: the disk refuses.
        """
        if not self._settings.certify_same_disk:
            _refuse_other_disks(life)
        key = load_or_make_key(self._keys)
        try:
            certificate = issue(
                self._repository,
                account_of(life),
                tuple(life.stored[file.path] for file in life.files),
                key,
                planes=planes_of(life),
                allow_same_disk=self._settings.certify_same_disk,
            )
        except CertificateRefused as error:
            raise NoCertificate(str(error), hint=error.hint) from error
        return sign(certificate, key)

    def keep(self, signed: SignedCertificate) -> str:
        """Write a certificate, once, behind all that it vouches for, and return its path.

        Raises:
            NoCertificate: there is one of this id, of another import.
            MeshError: the disk refuses.
        """
        return _put(self._data, signed, store)


class OmeroProver:
    """Certifies what an OMERO.server holds, with the key of the data folder; every call blocks."""

    def __init__(
        self,
        of_import: Callable[[ImportOutline], OmeroImport],
        data: Path,
        keys: Path,
        settings: ImportSettings,
        *,
        address: OmeroAddress,
        managed: Path | None = None,
    ) -> None:
        """Keep certificates in ``data`` and the signing key in ``keys``; ``managed`` is the managed repository here."""
        self._of_import = of_import
        self._data = data
        self._keys = keys
        self._settings = settings
        self._address = address
        self._managed = managed

    def import_ids(self) -> tuple[str, ...]:
        """The imports that have a certificate.

        Raises:
            MeshError: the disk refuses.
        """
        return certified_ids(self._data)

    def certified(self, life: ImportLife) -> str:
        """The path of the certificate that was written already; empty if there is none.

        Raises:
            NoCertificate: there is one of this id, of another import or of none.
            MeshError: the disk refuses.
        """
        return _kept(self._data, life)

    def issue(self, life: ImportLife) -> SignedCertificate:
        """Put down and sign what was proved of a finished import.

        Raises:
            NoCertificate: there can be none, and why.
            MeshError: the disk or the server refuses.
        """
        if not self._settings.certify_same_disk:
            _refuse_other_disks(life)
        key = load_or_make_key(self._keys)
        try:
            certificate = certify_in_omero(
                self._of_import(outline_of(life)),
                account_of(life),
                tuple(life.stored[file.path] for file in life.files),
                filesets_of(life),
                key,
                address=self._address,
                managed=self._managed,
                decoded=planes_of(life),
                allow_same_disk=self._settings.certify_same_disk,
            )
        except (CertificateRefused, ImageTooLarge, MetadataError, OmeroPlanesDiffer) as error:
            raise NoCertificate(str(error), hint=error.hint) from error
        return sign(certificate, key)

    def keep(self, signed: SignedCertificate) -> str:
        """Write a certificate, once, and return its path.

        Raises:
            NoCertificate: there is one of this id, of another import.
            MeshError: the disk refuses.
        """
        return _put(self._data, signed, keep)


def _put(data: Path, signed: SignedCertificate, write: Callable[[Path, SignedCertificate], SignedCertificate]) -> str:
    try:
        write(data, signed)
    except (CertificateOfAnother, CertificateUnreadable) as error:
        raise NoCertificate(str(error), hint=error.hint) from error
    return str(certificate_path(data, signed.certificate.import_id))


def _kept(data: Path, life: ImportLife) -> str:
    if life.order.mode == "in-place":
        return ""
    files = tuple(life.stored[file.path] for file in life.files)
    try:
        there = kept(data, life.import_id, files, life.plate_ids)
    except (CertificateOfAnother, CertificateUnreadable) as error:
        raise NoCertificate(str(error), hint=error.hint) from error
    return str(certificate_path(data, life.import_id)) if there else ""


def _refuse_other_disks(life: ImportLife) -> None:
    """Promise that every file lay on the disk that the certificate names.

    Raises:
        NoCertificate: one lay on another, which is mounted below the source.
    """
    device, held = life.source_device, life.hold.files if life.hold is not None else ()
    for file in held:
        if device is not None and file.device not in (0, device.number):
            raise NoCertificate(
                f"{file.path} lies on another disk than {life.plan.root}, and only of that it is known which it is",
                hint="Import what is mounted there by itself, or set imports.certify_same_disk = true.",
            )


def account_of(life: ImportLife) -> ImportAccount:
    """What is told of an import beside what was proved."""
    return ImportAccount(
        import_id=life.import_id,
        owner=life.owner,
        source=life.order.path,
        source_host=life.order.agent or socket.gethostname(),
        source_device=life.source_device or Device(),
        held=life.held,
        started_at_unix_s=life.history[0].at_unix_s,
        verified_at_unix_s=life.verified_at_unix_s or time.time(),
    )


def planes_of(life: ImportLife) -> tuple[CertifiedPlane, ...]:
    """The planes that were decoded while it was verified."""
    return tuple(
        CertifiedPlane(
            file=plane.file,
            page=plane.page,
            height=plane.height,
            width=plane.width,
            dtype=plane.dtype,
            checksum=plane.checksum,
        )
        for plane in life.decoded
    )
