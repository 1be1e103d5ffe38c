"""``hcs-mesh verify``: whether the repository still holds what a certificate says, with or without a running mesh."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..config.written_out import shown
from ..plates.local.certificate_shelf import certificate_path, load
from ..plates.local.certifying import verify_certificate
from ..plates.local.repository import LocalRepository
from ..plates.local.signing import check_signature, load_former_keys, load_public_key
from .errors import CommandFailed
from .following import progress_bar
from .options import folder_of, full_id
from .printing import bytes_text, print_json

if TYPE_CHECKING:
    from ..plates.certificate import Certificate, SignedCertificate, Verdict

Signer = Literal["due", "own", "former", "unknown"]
"""Whose key has signed a certificate, by what is known of it here."""

SHOWN = 20
"""Differences that people are shown; --json lists them all."""


def verify(data: Path | None, given: str, *, signature_only: bool, as_json: bool, fingerprint: str = "") -> None:
    """Check a certificate's signature, then read the files that it names again.

    Raises:
        CommandFailed: a file is not what the certificate says, or nobody says whose key has signed it.
        CertificateForged: the certificate is not what was signed, or not by a key that this data folder has or had.
        CertificateUnreadable, RepositoryFailed: it cannot be read, or the repository cannot.
    """
    folder = folder_of(data)
    path = Path(given)
    by_id = not path.exists() and path.name == given and path.suffix != ".json"
    if by_id:
        _check_data(folder)
        path = certificate_path(folder, full_id("import", given))
    signed = load(path)
    key = _check_signer(signed, folder / "keys", fingerprint)
    certificate = signed.certificate
    verdict, duration_s = None, 0.0
    if not signature_only:
        _must_lie_here(certificate)
        _check_data(folder, "repository")
        start = time.perf_counter()
        verdict = _read_again(folder, certificate, for_machine=as_json)
        duration_s = time.perf_counter() - start
    if as_json:
        print_json(_machine_form(certificate, verdict, duration_s, key=key))
    else:
        _print(certificate, verdict, duration_s, key=key)
    if verdict is not None and not verdict.good:
        raise CommandFailed(
            f"{len(verdict.differences)} of {verdict.n_files} files are not what the certificate says",
            hint="keep the source: it may be the only good copy; import it again, and check the repository's disk",
        )
    if key == "unknown":
        raise CommandFailed(
            "the signature is good, and nothing here says whose key it is: anybody could have made it",
            hint=f"ask the mesh's owner for the fingerprint and give it: --fingerprint {certificate.key_fingerprint}",
        )


def _check_signer(signed: SignedCertificate, keys: Path, due: str) -> Signer:
    """Whose key has signed: the one that is due, this data folder's own, or a former one of it.

    Raises:
        CommandFailed: it is not the key that a person says is due.
        CertificateForged: the certificate is not what was signed, or by none of those keys.
    """
    if due:
        # A person's word counts, whatever lies here: keys get lost, and the certificates of others are looked at too.
        check_signature(signed)
        if due != signed.certificate.key_fingerprint:
            raise CommandFailed(
                f"the certificate was signed by the key {signed.certificate.key_fingerprint}, and {due} is due",
                hint="delete nothing on its word, and ask the mesh's owner whose key that is",
            )
        return "due"
    # Never what the certificate brings along itself: only what lies among this mesh's own keys.
    ours = load_public_key(keys)
    if ours is not None and ours.hex() == signed.public_key:
        check_signature(signed, public_key=ours)
        return "own"
    former = load_former_keys(keys)
    for one in former:
        if one.hex() == signed.public_key:
            check_signature(signed, public_key=one)
            return "former"
    # None of them: it says so where there is one to compare with.
    check_signature(signed, public_key=ours or next(iter(former), None))
    return "unknown"


def _check_data(folder: Path, part: str = "") -> None:
    """Promise that there is a data folder: of one that is missing, the catalogue is not damaged.

    Raises:
        CommandFailed: there is none, or it has no such part.
    """
    if (folder / part).is_dir():
        return
    raise CommandFailed(
        f"{folder} is no data folder: it has no {part}" if folder.is_dir() else f"there is no data folder {folder}",
        hint="name the folder that the mesh keeps its data in: --data FOLDER",
    )


def _must_lie_here(certificate: Certificate) -> None:
    """Promise that the files are to be looked for in a data folder.

    Raises:
        CommandFailed: they lie in an OMERO.server, and that they are not here says nothing of them.
    """
    if certificate.repository.startswith("omero://"):
        raise CommandFailed(
            f"the files of {certificate.import_id} lie in OMERO ({shown(certificate.repository)}), and not here",
            hint="--signature-only checks the signature; what the server holds was compared when it was issued",
        )


def _read_again(data: Path, certificate: Certificate, *, for_machine: bool) -> Verdict:
    repository = LocalRepository(data, read_only=True)
    done, lock = 0, threading.Lock()
    try:
        with progress_bar(in_bytes=True, for_machine=for_machine) as bar:

            def on_bytes(n: int) -> None:
                nonlocal done
                with lock:
                    done += n
                    bar.show(f"verifying {certificate.import_id}", done, certificate.n_bytes)

            return verify_certificate(certificate, repository, on_bytes=on_bytes)
    finally:
        repository.close()


def _machine_form(
    certificate: Certificate, verdict: Verdict | None, duration_s: float, *, key: Signer
) -> dict[str, object]:
    return {
        "certificate": certificate.certificate_id,
        "import": certificate.import_id,
        "signature": "good",
        "key": certificate.key_fingerprint,
        "known_key": key != "unknown",
        "former_key": key == "former",
        "verified": None if verdict is None else verdict.good,
        "n_files": certificate.n_files,
        "n_bytes": certificate.n_bytes,
        "duration_s": duration_s,
        "differences": [] if verdict is None else [[one.path, one.reason] for one in verdict.differences],
    }


def _print(certificate: Certificate, verdict: Verdict | None, duration_s: float, *, key: Signer) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(certificate.verified_at_unix_s))
    # Anybody can sign a certificate with a key of his own: nothing that it says is printed as it is.
    print(shown(f"certificate {certificate.certificate_id} of {certificate.import_id}: the signature is good"))
    if key == "former":
        print(shown(f"signed by a former key of this mesh, {certificate.key_fingerprint}"))
    if key == "unknown":
        told = f"this data folder has no key to compare with: ask the mesh's owner for {certificate.key_fingerprint}"
        print(shown(told))
    print(shown(f"source: {certificate.source_host}:{certificate.source}, verified {when}, {certificate.held}"))
    if verdict is None:
        return
    if verdict.good:
        size = bytes_text(verdict.n_bytes)
        print(f"{verdict.n_files} files, {size}: all are what the certificate says ({duration_s:.1f} s)")
    for one in verdict.differences[:SHOWN]:
        print(shown(f"{one.path} {one.reason}"))
    if len(verdict.differences) > SHOWN:
        print(f"... and {len(verdict.differences) - SHOWN} more (--json lists them all)")
