"""The shelf of certificates below a data folder: each is kept once, and never taken for another import's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..certificate import CertifiedFile, SignedCertificate
from ..repository import StoredFile
from .disk import make_folders, sync_file, sync_files, sync_folder, sync_folders
from .errors import CertificateOfAnother, CertificateUnreadable, repository_errors
from .names import PART, checked_id

CERTIFICATES = "certificates"
"""The folder of certificates below a data folder."""


def certificate_path(data: Path, import_id: str) -> Path:
    """Where the certificate of an import lies, whether there is one yet or not.

    Raises:
        BadName: the id cannot be a file's name.
    """
    return data / CERTIFICATES / f"{checked_id(import_id)}.json"


def store(data: Path, signed: SignedCertificate) -> SignedCertificate:
    """Keep a certificate and return it once it is durable; the first one of an import stays and is returned.

    What it vouches for is on the disk before its name appears: files, folders, and the certificate itself.

    Raises:
        CertificateUnreadable: there is one of this id, and it is damaged.
        CertificateOfAnother: there is one of this id, of another import.
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
    """
    path = certificate_path(data, signed.certificate.import_id)
    with repository_errors(path):
        if path.exists():
            return _same(path, signed.certificate.files, signed.certificate.plate_ids)
        folder = Path(signed.certificate.repository)
        # Strings, not paths: an import may have a hundred thousand files.
        below = {f"{folder}/{above}" for above in {file.path.rpartition("/")[0] for file in signed.certificate.files}}
        sync_files(folder, (f"{folder}/{file.path}" for file in signed.certificate.files))
        sync_folders(folder, below | {str(folder), str(folder.parent), str(folder.parent.parent)})
    return keep(data, signed)


def keep(data: Path, signed: SignedCertificate) -> SignedCertificate:
    """Keep a certificate of what lies elsewhere, as ``store`` does.

    Raises:
        CertificateUnreadable: there is one of this id, and it is damaged.
        CertificateOfAnother: there is one of this id, of another import.
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
    """
    path = certificate_path(data, signed.certificate.import_id)
    with repository_errors(path):
        if path.exists():
            return _same(path, signed.certificate.files, signed.certificate.plate_ids)
        make_folders(path.parent)
        new = path.with_name(path.name + PART)
        with new.open("wb") as file:
            # The line's end by itself: of a hundred thousand files the text is 20 MB, and is not copied for it.
            file.write(msgspec.json.format(msgspec.json.encode(signed), indent=1))
            file.write(b"\n")
        sync_file(new)
        new.replace(path)
        sync_folder(path.parent)
    return signed


def kept(data: Path, import_id: str, files: Sequence[StoredFile], plate_ids: Sequence[int]) -> bool:
    """Whether there is the certificate of the import that has these files and plates.

    Raises:
        CertificateUnreadable: there is one of this id, and it is damaged.
        CertificateOfAnother: there is one of this id, of another import.
    """
    path = certificate_path(data, import_id)
    with repository_errors(path):
        there = path.exists()
    if there:
        _same(path, files, plate_ids)
    return there


def certified_ids(data: Path) -> tuple[str, ...]:
    """The ids of the imports that have a certificate.

    Raises:
        RepositoryFailed: the disk refuses.
    """
    folder = data / CERTIFICATES
    with repository_errors(folder):
        return tuple(path.stem for path in folder.glob("*.json"))


def _same(path: Path, files: Sequence[StoredFile | CertifiedFile], plate_ids: Sequence[int]) -> SignedCertificate:
    found = load(path)
    same_plates = sorted(found.certificate.plate_ids) == sorted(plate_ids)
    if same_plates and _by_path(found.certificate.files) == _by_path(files):
        return found
    raise CertificateOfAnother(
        f"There is a certificate {path} already, of another import.",
        hint="It is from before the journal was lost. Keep it elsewhere, and import the folder anew to get one for it.",
    )


def _by_path(files: Sequence[StoredFile | CertifiedFile]) -> dict[str, tuple[int, str, str]]:
    return {file.path: (file.size, file.checksum, file.algorithm) for file in files}


def load(path: Path) -> SignedCertificate:
    """Read a certificate; its signature is not checked by this.

    Raises:
        CertificateUnreadable: there is none, or it has another form.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=SignedCertificate)
    except FileNotFoundError as error:
        raise CertificateUnreadable(
            f"There is no certificate {path}.",
            hint="Name the file, or an import that has one; 'hcs-mesh imports ID' says why an import has none.",
        ) from error
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CertificateUnreadable(
            f"{path} cannot be read as a certificate: {reason}.",
            hint="The mesh keeps its own copy in the data folder's 'certificates'.",
        ) from error
