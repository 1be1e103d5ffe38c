"""The provers: they certify what a repository holds, each of its kind."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from ...config import ImportSettings
from ...plates.certificate import CertifiedPlane, Device, ImportAccount
from ...plates.import_outline import ImportOutline
from ...plates.local.certifying import certificate_path, issue, keep, store
from ...plates.local.errors import ImportedInPlace, NothingToCertify, SameDisk
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

    def certify(self, life: ImportLife) -> str:
        """Write the certificate of a registered import, once, and return its path.

        Raises:
            NoCertificate: there can be none, and why.
            MeshError: the disk refuses.
        """
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
        except (ImportedInPlace, SameDisk, NothingToCertify) as error:
            raise NoCertificate(str(error), hint=error.hint) from error
        store(self._data, sign(certificate, key))
        return str(certificate_path(self._data, life.import_id))


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

    def certify(self, life: ImportLife) -> str:
        """Write the certificate of a finished import, once, and return its path.

        Raises:
            NoCertificate: there can be none, and why.
            MeshError: the disk or the server refuses.
        """
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
        except (ImportedInPlace, SameDisk, NothingToCertify, OmeroPlanesDiffer) as error:
            raise NoCertificate(str(error), hint=error.hint) from error
        keep(self._data, sign(certificate, key))
        return str(certificate_path(self._data, life.import_id))


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
