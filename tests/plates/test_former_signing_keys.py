"""Signing keys that were lost or replaced: what they have signed stays good, and nothing else does."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from hcs_mesh.command_line.errors import CommandFailed
from hcs_mesh.command_line.verifying import verify
from hcs_mesh.plates.certificate import Certificate, Device, SignedCertificate
from hcs_mesh.plates.local import CertificateForged, SigningKeyFailed
from hcs_mesh.plates.local.certificate_shelf import certificate_path, keep
from hcs_mesh.plates.local.signing import load_former_keys, load_or_make_key, load_public_key, sign

CERTIFICATE = Certificate(
    certificate_id="c1",
    key_fingerprint="",
    import_id="",
    owner="ada",
    source="/scope/plate",
    source_host="scope",
    started_at_unix_s=1.0,
    verified_at_unix_s=2.0,
    n_files=0,
    n_bytes=0,
    files=(),
    plate_ids=(),
    planes=(),
    source_device=Device(),
    repository="/repository",
    repository_device=Device(),
    held="linked",
)


def certified(data: Path, import_id: str) -> SignedCertificate:
    """What the key that the data folder has by now says of an import."""
    key = load_or_make_key(data / "keys")
    return keep(data, sign(replace(CERTIFICATE, import_id=import_id, key_fingerprint=key.fingerprint), key))


def signer_known(data: Path, import_id: str, capsys: pytest.CaptureFixture[str]) -> tuple[bool, bool]:
    """Whether ``verify`` knows the key that has signed, and whether it is a former one."""
    verify(data, import_id, signature_only=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    return told["known_key"], told["former_key"]


@pytest.mark.parametrize("lost", ["certificates.pem", "certificates.pub"])
def test_nothing_is_signed_under_the_public_half_of_another_key(tmp_path: Path, lost: str) -> None:
    folder, elsewhere = tmp_path / "keys", tmp_path / "elsewhere"
    first, second = load_or_make_key(folder), load_or_make_key(elsewhere)
    if lost == "certificates.pem":
        (folder / lost).unlink()
    else:
        # A secret that was restored from a copy, without what belongs to it.
        (elsewhere / "certificates.pem").replace(folder / "certificates.pem")
    key = load_or_make_key(folder)
    assert key.public != first.public
    assert (key.public == second.public) == (lost == "certificates.pub")
    assert load_public_key(folder) == key.public
    assert load_former_keys(folder) == (first.public,)
    assert load_or_make_key(folder).public == key.public
    assert load_former_keys(folder) == (first.public,)
    assert sorted(path.name for path in folder.iterdir()) == ["certificates.pem", "certificates.pub", "former"]


def test_a_public_half_that_holds_no_key_is_named_and_not_written_over(tmp_path: Path) -> None:
    load_or_make_key(tmp_path)
    (tmp_path / "certificates.pub").write_bytes(b"nonsense")
    with pytest.raises(SigningKeyFailed, match=r"certificates\.pub holds no public key") as told:
        load_or_make_key(tmp_path)
    assert "move it away" in told.value.hint
    assert (tmp_path / "certificates.pub").read_bytes() == b"nonsense"
    (tmp_path / "former").mkdir()
    (tmp_path / "former" / "x.pub").write_bytes(b"nonsense")
    with pytest.raises(SigningKeyFailed, match=r"x\.pub holds no public key"):
        load_former_keys(tmp_path)


def test_what_a_lost_key_has_signed_verifies_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = certified(tmp_path, "import-0001")
    (tmp_path / "keys" / "certificates.pem").unlink()
    assert signer_known(tmp_path, "1", capsys) == (True, False)
    assert certified(tmp_path, "import-0002").public_key != old.public_key
    assert signer_known(tmp_path, "1", capsys) == (True, True)
    assert signer_known(tmp_path, "2", capsys) == (True, False)
    verify(tmp_path, "1", signature_only=True, as_json=False)
    assert f"signed by a former key of this mesh, {old.certificate.key_fingerprint}" in capsys.readouterr().out
    # One that is damaged is in nobody's way but its own certificates'.
    next((tmp_path / "keys" / "former").iterdir()).write_bytes(b"nonsense")
    assert signer_known(tmp_path, "2", capsys) == (True, False)


def test_a_key_of_which_nothing_was_left_is_known_again_once_a_person_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = certified(tmp_path, "import-0001")
    keys = tmp_path / "keys"
    keys.rename(tmp_path / "moved away")
    certified(tmp_path, "import-0002")
    due = old.certificate.key_fingerprint
    with pytest.raises(CertificateForged, match=f"was signed by the key {due}, and ") as told:
        verify(tmp_path, "1", signature_only=True, as_json=True)
    assert "--fingerprint" in told.value.hint
    # A person's word counts before the key that lies here, for a certificate and against it.
    verify(tmp_path, "1", signature_only=True, as_json=True, fingerprint=due)
    with pytest.raises(CommandFailed, match=f"and {due} is due"):
        verify(tmp_path, "2", signature_only=True, as_json=True, fingerprint=due)
    capsys.readouterr()
    (keys / "former").mkdir()
    shutil.copy(tmp_path / "moved away" / "certificates.pub", keys / "former" / "of last year.pub")
    assert signer_known(tmp_path, "1", capsys) == (True, True)


def test_no_certificate_is_believed_for_the_key_that_it_brings_along(tmp_path: Path) -> None:
    old = certified(tmp_path, "import-0001")
    (tmp_path / "keys" / "certificates.pem").unlink()
    certified(tmp_path, "import-0002")
    stranger = load_or_make_key(tmp_path / "stranger")
    made_up = sign(replace(old.certificate, key_fingerprint=stranger.fingerprint), stranger)
    under_ours = sign(old.certificate, stranger)
    for forged, said in (
        (made_up, "was signed by the key"),
        (under_ours, "was signed by the key"),
        (replace(under_ours, public_key=old.public_key), "something in it was changed"),
        (replace(old, certificate=replace(old.certificate, owner="eve")), "something in it was changed"),
    ):
        certificate_path(tmp_path, "import-0001").write_bytes(msgspec.json.encode(forged))
        for named in ("", old.certificate.key_fingerprint):
            with pytest.raises((CertificateForged, CommandFailed), match=f"{said}|is due"):
                verify(tmp_path, "1", signature_only=True, as_json=True, fingerprint=named)
