"""Certificates of the local repository: issued after the proof, durable before they are seen, checked later."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from hcs_mesh.command_line.errors import CommandFailed
from hcs_mesh.command_line.verifying import verify
from hcs_mesh.plates.certificate import CertifiedFile, Device, ImportAccount, SignedCertificate, in_memory
from hcs_mesh.plates.devices import device_of
from hcs_mesh.plates.local import (
    CertificateForged,
    CertificateUnreadable,
    FolderReader,
    ImportedInPlace,
    LocalRepository,
    NothingToCertify,
    SameDisk,
    write_ome_tiff,
)
from hcs_mesh.plates.local.certificate_shelf import certificate_path, certified_ids, kept, load, store
from hcs_mesh.plates.local.certifying import decode_plane, issue, verify_certificate
from hcs_mesh.plates.local.errors import CertificateOfAnother
from hcs_mesh.plates.local.signing import check_signature, load_or_make_key, sign
from hcs_mesh.plates.repository import SourceFile, StoredFile, StoredFileset

ELSEWHERE = Device(host="scope", number=99, volume="UUID=other")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "notes.txt").write_bytes(b"seen")
    write_ome_tiff(folder / "a.tif", np.arange(64 * 48, dtype=np.uint16).reshape(48, 64))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def repository(data: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(data, checksum="sha256")
    yield repository
    repository.close()


def listed(source: Path) -> list[SourceFile]:
    return [
        SourceFile(path=path.relative_to(source).as_posix(), size=path.stat().st_size)
        for path in sorted(source.rglob("*"))
        if path.is_file()
    ]


def taken_over(repository: LocalRepository, source: Path, import_id: str = "import-0001") -> tuple[StoredFile, ...]:
    stored = repository.transfer(import_id, FolderReader(source), listed(source))
    repository.verify(import_id, stored)
    repository.register(import_id, [StoredFileset(planner="none", files=stored)])
    return stored


def certified(
    repository: LocalRepository,
    data: Path,
    stored: tuple[StoredFile, ...],
    import_id: str = "import-0001",
    *,
    owner: str = "ada",
    source_device: Device = ELSEWHERE,
    **more: Any,
) -> SignedCertificate:
    key = load_or_make_key(data / "keys")
    account = ImportAccount(
        import_id=import_id,
        owner=owner,
        source="/scope/plate",
        source_host="scope",
        source_device=source_device,
        held="linked",
        started_at_unix_s=1.0,
        verified_at_unix_s=2.0,
    )
    told: dict[str, Any] = {
        "planes": [decode_plane(repository.files_folder(import_id), "a.tif")],
        # Where tests have their folders in memory, there would be no certificate to look at.
        "allow_same_disk": in_memory(device_of(data)),
    }
    return store(data, sign(issue(repository, account, stored, key, **told | more), key))


def test_a_certificate_names_what_was_proved(repository: LocalRepository, data: Path, source: Path) -> None:
    stored = taken_over(repository, source)
    signed = certified(repository, data, stored)

    certificate = signed.certificate
    check_signature(signed, public_key=load_or_make_key(data / "keys").public)
    assert [(file.path, file.size, file.checksum, file.algorithm) for file in certificate.files] == [
        (file.path, file.size, file.checksum, "sha256") for file in stored
    ]
    assert (certificate.n_files, certificate.n_bytes) == (2, sum(file.size for file in stored))
    assert (certificate.planes[0].height, certificate.planes[0].width, certificate.planes[0].dtype) == (
        48,
        64,
        "uint16",
    )
    assert certificate.source_device == ELSEWHERE
    assert certificate.repository_device == device_of(repository.files_folder("import-0001"))
    assert load(certificate_path(data, "import-0001")) == signed
    assert sorted(path.name for path in (data / "certificates").iterdir()) == ["import-0001.json"]


def test_an_import_is_certified_once(repository: LocalRepository, data: Path, source: Path) -> None:
    stored = taken_over(repository, source)
    assert certified(repository, data, stored) == certified(repository, data, stored, owner="somebody else")


def test_a_certificate_is_no_other_imports_that_has_its_id(
    repository: LocalRepository, data: Path, source: Path
) -> None:
    stored = taken_over(repository, source)
    signed = certified(repository, data, stored)
    plate_ids = signed.certificate.plate_ids
    assert kept(data, "import-0001", stored, plate_ids)
    assert not kept(data, "import-0002", stored, plate_ids)
    assert certified_ids(data) == ("import-0001",)
    other = (replace(stored[0], checksum="0" * 64), *stored[1:])
    for files, plates in ((other, plate_ids), (stored, (17,)), (stored[1:], plate_ids)):
        with pytest.raises(CertificateOfAnother, match="of another import"):
            kept(data, "import-0001", files, plates)
        named = tuple(
            CertifiedFile(path=one.path, size=one.size, checksum=one.checksum, algorithm=one.algorithm) for one in files
        )
        with pytest.raises(CertificateOfAnother):
            store(data, replace(signed, certificate=replace(signed.certificate, files=named, plate_ids=plates)))
    assert load(certificate_path(data, "import-0001")) == signed


def test_an_import_in_place_is_never_certified(repository: LocalRepository, data: Path, source: Path) -> None:
    stored = repository.adopt("import-0001", source, listed(source))
    repository.register("import-0001", [StoredFileset(planner="none", files=stored)])
    with pytest.raises(ImportedInPlace, match="in place"):
        certified(repository, data, stored, allow_same_disk=True)
    assert not certificate_path(data, "import-0001").exists()


def test_one_disk_for_both_is_refused_unless_it_is_allowed(
    repository: LocalRepository, data: Path, source: Path
) -> None:
    stored = taken_over(repository, source)
    with pytest.raises(SameDisk, match=r"on one disk|lies in memory") as caught:
        certified(repository, data, stored, source_device=device_of(source), allow_same_disk=False)
    assert "certify_same_disk" in caught.value.hint
    with pytest.raises(SameDisk, match="is not known"):
        certified(repository, data, stored, source_device=Device(), allow_same_disk=False)
    certified(repository, data, stored, source_device=device_of(source), allow_same_disk=True)


@pytest.mark.skipif(sys.platform != "linux", reason="where memory is mounted is known of Linux alone")
def test_a_repository_in_memory_is_no_copy_that_outlives_its_host(source: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, closing(LocalRepository(Path(folder))) as repository:
        stored = taken_over(repository, source)
        for elsewhere in (ELSEWHERE, Device(host="scope", number=98, file_system="tmpfs")):
            with pytest.raises(SameDisk, match=r"lies in memory \(tmpfs\)"):
                certified(repository, Path(folder), stored, source_device=elsewhere, allow_same_disk=False)
        certified(repository, Path(folder), stored, allow_same_disk=True)


def test_an_import_that_is_not_finished_is_not_certified(repository: LocalRepository, data: Path, source: Path) -> None:
    stored = repository.transfer("import-0001", FolderReader(source), listed(source))
    with pytest.raises(NothingToCertify, match="not finished"):
        certified(repository, data, stored)
    repository.register("import-0001", [StoredFileset(planner="none", files=stored)])
    (repository.files_folder("import-0001") / "b" / "notes.txt").unlink()
    with pytest.raises(NothingToCertify, match="1 of its 2 files are not there"):
        certified(repository, data, stored)


def test_what_happened_to_the_repository_since_is_told_file_by_file(
    repository: LocalRepository, data: Path, source: Path
) -> None:
    certificate = certified(repository, data, taken_over(repository, source)).certificate
    assert verify_certificate(certificate, repository).good
    folder = repository.files_folder("import-0001")
    (folder / "a.tif").unlink()
    (folder / "b" / "notes.txt").write_bytes(b"SEEN")

    verdict = verify_certificate(certificate, repository)
    assert not verdict.good
    assert [(one.path, one.reason.split(" ")[:2]) for one in verdict.differences] == [
        ("a.tif", ["is", "missing"]),
        ("b/notes.txt", ["has", "SHA-256"]),
    ]


def test_a_link_in_the_place_of_a_certified_file_is_no_copy(
    repository: LocalRepository, data: Path, source: Path
) -> None:
    certificate = certified(repository, data, taken_over(repository, source)).certificate
    stored = repository.files_folder("import-0001") / "a.tif"
    stored.unlink()
    stored.symlink_to(source / "a.tif")

    (difference,) = verify_certificate(certificate, repository).differences
    assert difference.path == "a.tif"
    assert "link" in difference.reason


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b'{"certificate": 1}'])
def test_what_is_no_certificate_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "c.json").write_bytes(text)
    with pytest.raises(CertificateUnreadable, match=r"c\.json"):
        load(tmp_path / "c.json")
    with pytest.raises(CertificateUnreadable, match="no certificate"):
        load(tmp_path / "nothing.json")


CERTIFY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_repository_certificates as t
data, source = Path(sys.argv[2]), Path(sys.argv[3])
repository = t.LocalRepository(data)
t.certified(repository, data, t.taken_over(repository, source))
repository.close()
"""


def test_files_and_folders_are_on_the_disk_before_a_certificate_s_name_appears(
    data: Path, source: Path, tmp_path: Path
) -> None:
    strace = shutil.which("strace")
    assert strace is not None, "strace is missing: install it (apt-get install strace), durability is tested with it"
    trace = tmp_path / "trace"
    options = ["-f", "-y", "-o", str(trace), "-e", "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2"]
    words = [sys.executable, "-c", CERTIFY, str(Path(__file__).parent), str(data), str(source)]
    subprocess.run([strace, *options, *words], check=True, timeout=60)

    calls = [line.partition(" ")[2].strip() for line in trace.read_text().splitlines()]
    at = next(n for n, call in enumerate(calls) if re.match(r"rename\w*\(", call) and 'import-0001.json"' in call)
    before, after = "\n".join(calls[:at]), "\n".join(calls[at:])
    files = data / "repository" / "imports" / "import-0001" / "files"
    named = max(n for n, call in enumerate(calls) if re.match(r"rename\w*\(", call) and f"{files}/" in call)
    synced = "\n".join(calls[named:at])
    # The names of the files, the folders that hold them, and those above up to the repository's.
    for folder in (files, files / "b", files.parent, files.parent.parent):
        assert re.search(rf"fsync\(\d+<{re.escape(str(folder))}>", synced), folder
    assert re.search(rf"syncfs\(\d+<{re.escape(str(files))}>", synced)
    assert re.search(r"fsync\(\d+<[^>]*import-0001\.json\.part>", before)
    assert re.search(rf"fsync\(\d+<{re.escape(str(data / 'certificates'))}>", after)


def test_the_command_checks_a_certificate_beside_whoever_writes(
    repository: LocalRepository, data: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certified(repository, data, taken_over(repository, source))
    path = certificate_path(data, "import-0001")

    verify(data, "1", signature_only=False, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["verified"], told["known_key"], told["differences"]) == (True, True, [])

    (repository.files_folder("import-0001") / "a.tif").write_bytes(b"another")
    with pytest.raises(CommandFailed, match="1 of 2 files"):
        verify(data, str(path), signature_only=False, as_json=False)
    assert "a.tif has 7 bytes instead of" in capsys.readouterr().out
    verify(data, str(path), signature_only=True, as_json=True)
    assert json.loads(capsys.readouterr().out)["verified"] is None

    path.write_text(path.read_text().replace('"owner": "ada"', '"owner": "eve"'))
    with pytest.raises(CertificateForged, match="something in it was changed"):
        verify(data, str(path), signature_only=True, as_json=False)


def test_a_certificate_of_an_unknown_key_is_good_only_for_who_names_the_key(
    repository: LocalRepository, data: Path, source: Path, tmp_path: Path
) -> None:
    certified(repository, data, taken_over(repository, source))
    path = str(certificate_path(data, "import-0001"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(CommandFailed, match="nothing here says whose key it is"):
        verify(elsewhere, path, signature_only=True, as_json=True)
    due = load(Path(path)).certificate.key_fingerprint
    verify(elsewhere, path, signature_only=True, as_json=True, fingerprint=due)
    with pytest.raises(CommandFailed, match="and 0000 is due"):
        verify(data, path, signature_only=True, as_json=True, fingerprint="0000")


def test_a_data_folder_that_is_not_there_is_said_and_not_its_catalogue(
    repository: LocalRepository, data: Path, source: Path, tmp_path: Path
) -> None:
    due = certified(repository, data, taken_over(repository, source)).certificate.key_fingerprint
    path, absent = str(certificate_path(data, "import-0001")), tmp_path / "absent"
    for given in (path, "1"):
        with pytest.raises(CommandFailed, match=f"there is no data folder {absent}") as caught:
            verify(absent, given, signature_only=False, as_json=True)
        assert "--data" in caught.value.hint
    verify(absent, path, signature_only=True, as_json=True, fingerprint=due)
    with pytest.raises(CommandFailed, match="is no data folder: it has no repository"):
        verify(source, path, signature_only=False, as_json=True)
