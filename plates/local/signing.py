"""The key that signs certificates: made once below the data folder, and readable by its owner only."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ...config.logging import get_logger
from ..certificate import Certificate, SignedCertificate, canonical_bytes, fingerprint
from .disk import sync_file, sync_folder
from .errors import CertificateForged, SigningKeyFailed, repository_errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

log = get_logger(__name__)

# cryptography is loaded where it is needed: most commands sign nothing and should not wait for it.

KEY = "certificates.pem"
PUBLIC = "certificates.pub"
FORMER = "former"
"""The folder of the public halves of keys that signed here before, each in a file ``*.pub``."""


class SigningKey:
    """An Ed25519 key."""

    def __init__(self, secret: Ed25519PrivateKey) -> None:
        self._secret = secret
        self.public = secret.public_key().public_bytes_raw()
        self.fingerprint = fingerprint(self.public)

    def sign(self, text: bytes) -> bytes:
        """Return the signature of some bytes."""
        return self._secret.sign(text)


def load_or_make_key(folder: Path) -> SigningKey:
    """The signing key of a data folder's ``keys``, made on first use; its public half lies beside it.

    A public half that lies there and is another key's is kept among the former ones: what that has signed stays good.

    Raises:
        SigningKeyFailed: others may read it, it is no such key, or what lies beside it is no public half of any.
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: it cannot be made.
    """
    secret, public = folder / KEY, folder / PUBLIC
    with repository_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not secret.exists():
            _make(secret)
        key = _load(secret)
        if not public.exists():
            _write(public, _text_of(key.public), mode=0o644)
        elif (before := _read_public(public)) != key.public:
            _keep_former(folder, before)
            _write(public, _text_of(key.public), mode=0o644, replacing=True)
            log.warning(
                "another key signs certificates from now on; the former one's public half is kept",
                key=key.fingerprint,
                former=fingerprint(before),
            )
    return key


def load_public_key(folder: Path) -> bytes | None:
    """The public half of the key that signs below a data folder; None where none was made yet.

    Raises:
        SigningKeyFailed: the file holds no key.
        RepositoryFailed: the disk refuses.
    """
    path = folder / PUBLIC
    with repository_errors(path):
        return _read_public(path) if path.exists() else None


def load_former_keys(folder: Path) -> tuple[bytes, ...]:
    """The public halves of the keys that signed below a data folder before, by their files' names.

    Raises:
        SigningKeyFailed: a file holds no key.
        RepositoryFailed: the disk refuses.
    """
    with repository_errors(folder):
        return tuple(_read_public(path) for path in sorted((folder / FORMER).glob("*.pub")))


def _keep_former(folder: Path, public: bytes) -> None:
    former = folder / FORMER
    former.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder)
    _write(former / f"{public.hex()}.pub", _text_of(public), mode=0o644)


def _text_of(public: bytes) -> bytes:
    return f"{public.hex()}\n".encode()


def _read_public(path: Path) -> bytes:
    text = path.read_text(encoding="ascii", errors="replace").strip()
    try:
        public = bytes.fromhex(text)
    except ValueError:
        public = b""
    if len(public) != 32:
        raise SigningKeyFailed(
            f"{path} holds no public key.",
            hint="Restore it from a copy. Where there is none move it away: the key that signs writes its own anew.",
        )
    return public


def sign(certificate: Certificate, key: SigningKey) -> SignedCertificate:
    """Sign a certificate."""
    return SignedCertificate(
        certificate=certificate,
        public_key=key.public.hex(),
        signature=key.sign(canonical_bytes(certificate)).hex(),
    )


def check_signature(signed: SignedCertificate, *, public_key: bytes | None = None) -> None:
    """Accept a certificate whose every letter is as it was signed, by ``public_key`` where one is given.

    Raises:
        CertificateForged: something was changed, or another key has signed it.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    name = f"The certificate of {signed.certificate.import_id}"
    try:
        signer, signature = bytes.fromhex(signed.public_key), bytes.fromhex(signed.signature)
        Ed25519PublicKey.from_public_bytes(signer).verify(signature, canonical_bytes(signed.certificate))
    except (ValueError, InvalidSignature) as error:
        raise CertificateForged(
            f"{name} is not what was signed: something in it was changed.",
            hint="Delete nothing on its word; the mesh keeps its own copy in the data folder's 'certificates'.",
        ) from error
    for expected in (signed.certificate.key_fingerprint, None if public_key is None else fingerprint(public_key)):
        if expected is not None and fingerprint(signer) != expected:
            raise CertificateForged(
                f"{name} was signed by the key {fingerprint(signer)}, and {expected} is due.",
                hint="It comes from another mesh, or somebody made it up: name that mesh's data folder with --data, "
                "or with --fingerprint the key that its owner says is due.",
            )


def _make(path: Path) -> None:
    """Make a key under a name that nobody else takes at the same time, durably."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(path, text, mode=0o600)


def _write(path: Path, text: bytes, *, mode: int, replacing: bool = False) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    sync_file(new)
    if replacing:
        new.replace(path)
    else:
        # A link, not a rename: a key that another process has just made is never replaced, and that one counts.
        with suppress(FileExistsError):
            path.hardlink_to(new)
        new.unlink()
    sync_folder(path.parent)


def _load(path: Path) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise SigningKeyFailed(f"{path} can be read by others.", hint=f"chmod 600 {path}")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise SigningKeyFailed(f"{path} is no signing key.", hint="Restore it from a copy.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyFailed(f"{path} is no Ed25519 key.", hint="Restore it from a copy.")
    return SigningKey(key)
