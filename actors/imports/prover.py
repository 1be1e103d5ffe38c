"""The prover: certifies what the local repository holds."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from ...config import ImportSettings
from ...plates.certificate import CertifiedPlane, Device
from ...plates.local.certifying import certificate_path, issue, store
from ...plates.local.errors import ImportedInPlace, NothingToCertify, SameDisk
from ...plates.local.signing import load_or_make_key, sign
from ...plates.repository import Repository
from ..errors import NoCertificate
from .life import ImportLife


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
                life.import_id,
                tuple(life.stored[file.path] for file in life.files),
                key,
                source=life.order.path,
                source_host=life.order.agent or socket.gethostname(),
                source_device=life.source_device or Device(),
                planes=tuple(
                    CertifiedPlane(
                        file=plane.file,
                        page=plane.page,
                        height=plane.height,
                        width=plane.width,
                        dtype=plane.dtype,
                        checksum=plane.checksum,
                    )
                    for plane in life.decoded
                ),
                owner=life.owner,
                held=life.held,
                started_at_unix_s=life.history[0].at_unix_s,
                verified_at_unix_s=life.verified_at_unix_s or time.time(),
                allow_same_disk=self._settings.certify_same_disk,
            )
        except (ImportedInPlace, SameDisk, NothingToCertify) as error:
            raise NoCertificate(str(error), hint=error.hint) from error
        store(self._data, sign(certificate, key))
        return str(certificate_path(self._data, life.import_id))
