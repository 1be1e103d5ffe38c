"""What is proved of an import into a server: its planes are the source's own, and a certificate says so."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omero_imports import METAXPRESS, OME_TIFF, Import, Importing, importable, importing
from omero_lab import address_of
from omero_plates import some_planes, write_ome_plate

from hcs_mesh.plates.certificate import Certificate, CertifiedPlane, Device, ImportAccount, canonical_bytes
from hcs_mesh.plates.local.certifying import decode_plane
from hcs_mesh.plates.local.errors import ImportedInPlace, NothingToCertify, SameDisk
from hcs_mesh.plates.local.signing import load_or_make_key
from hcs_mesh.plates.omero.address import OmeroAddress
from hcs_mesh.plates.omero.certifying import agreed, issue
from hcs_mesh.plates.omero.errors import OmeroPlanesDiffer
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")


SCOPE = Device(host="microscope", number=1)


@pytest.fixture
def desk(omero: RunningServer) -> Iterator[Importing]:
    with importing(omero, managed=omero.managed) as one:
        yield one


def decoded(one: Import) -> list[CertifiedPlane]:
    """The same planes, decoded from the source by the mesh itself."""
    served = one.at.served_planes(one.filesets())
    return [decode_plane(one.root, image.file, image.page, follow_links=True) for image, _ in served]


def certificate(
    one: Import, server: RunningServer, folder: Path, *, source_device: Device = SCOPE, **changes: Any
) -> Certificate:
    account = ImportAccount(
        import_id=one.import_id,
        owner="ada",
        source=str(one.root),
        source_host="microscope",
        source_device=source_device,
        held="linked",
        started_at_unix_s=1.0,
        verified_at_unix_s=2.0,
    )
    said: dict[str, Any] = {
        "address": address_of(server),
        "managed": None,
        "decoded": decoded(one),
        "allow_same_disk": True,
    }
    key = load_or_make_key(folder / "keys")
    return issue(one.at, account, tuple(one.stored.values()), one.filesets(), key, **(said | changes))


@pytest.mark.parametrize("source", [METAXPRESS, OME_TIFF])
def test_the_first_and_the_last_plane_are_those_of_the_source(desk: Importing, shared_data: Path, source: str) -> None:
    one = desk.of(
        "planes-" + source[:3], importable(shared_data / source) if source == METAXPRESS else shared_data / source
    )
    one.whole()
    served = one.at.served_planes(one.filesets())
    assert [plane for _, plane in served] == decoded(one)
    assert len(served) == (1 if source == METAXPRESS else 2)


def test_of_several_wells_fields_and_channels_the_last_plane_is_the_last(desk: Importing, tmp_path: Path) -> None:
    one = desk.of("planes-of-many", write_ome_plate(tmp_path / "many.ome.tiff", some_planes(2, 3, 2, 16, 16)))
    one.whole()
    served = one.at.served_planes(one.filesets())
    assert [(image.well, image.field, image.c, image.page) for image, _ in served] == [
        ("A01", served[0].image.field, 0, 0),
        ("A02", served[1].image.field, 1, 11),
    ]
    assert [plane for _, plane in served] == decoded(one)


def test_a_certificate_names_the_server_the_fileset_and_the_files_hashes(
    omero: RunningServer, desk: Importing, tmp_path: Path, shared_data: Path
) -> None:
    one = desk.of("certified", importable(shared_data / METAXPRESS))
    ids = one.whole()
    told = certificate(one, omero, tmp_path)
    assert told.plate_ids == ids
    [fileset_id] = one.at.fileset_ids()
    assert told.repository == f"omero://127.0.0.1:{omero.port}/Fileset:{fileset_id}"
    assert {file.path: file.checksum for file in told.files} == {
        path: hashlib.sha1(content).hexdigest() for path, content in one.bytes_here().items()
    }
    assert told.planes == tuple(decoded(one))


def test_a_plate_whose_pixels_have_no_length_is_certified_like_another(
    omero: RunningServer, desk: Importing, tmp_path: Path
) -> None:
    source = write_ome_plate(
        tmp_path / "frame.ome.tiff", some_planes(1, 2, 1, 16, 16), pixel_size=(1.0, "reference frame")
    )
    one = desk.of("no-length", source)
    one.whole()
    told = certificate(one, omero, tmp_path)
    assert len(told.planes) == 2
    assert b"planes_note" not in canonical_bytes(told)


def test_what_the_server_alone_has_decoded_is_no_proof_and_the_certificate_says_so(
    omero: RunningServer, desk: Importing, tmp_path: Path
) -> None:
    one = desk.of("server-alone", write_ome_plate(tmp_path / "alone.ome.tiff", some_planes(1, 2, 1, 16, 16)))
    one.whole()
    whole = certificate(one, omero, tmp_path)
    # Signed are the same bytes as before there were such notes.
    assert b"planes_note" not in canonical_bytes(whole)
    assert len(whole.planes) == 2
    first = decoded(one)[:1]
    told = certificate(one, omero, tmp_path, decoded=first)
    assert told.planes == tuple(first)
    assert str(told.planes_note).startswith("1 of the 2 planes")
    told = certificate(one, omero, tmp_path, decoded=[])
    assert told.planes == ()
    assert str(told.planes_note).startswith("2 of the 2 planes")


def test_other_pixels_than_the_sources_are_an_alarm(
    omero: RunningServer, desk: Importing, tmp_path: Path, shared_data: Path
) -> None:
    one = desk.of("other-pixels", importable(shared_data / METAXPRESS))
    one.whole()
    [right] = decoded(one)
    wrong = msgspec.structs.replace(right, checksum="0" * 40)
    with pytest.raises(OmeroPlanesDiffer, match="other pixels"):
        certificate(one, omero, tmp_path, decoded=[wrong])
    [(image, plane)] = one.at.served_planes(one.filesets())
    assert agreed([(image, plane)], [right]) == (right,)  # type: ignore[list-item]
    with pytest.raises(OmeroPlanesDiffer, match="shows nothing"):
        agreed([(image, None)], [])  # type: ignore[list-item]


def test_what_is_in_place_unfinished_or_on_one_disk_gets_no_certificate(
    omero: RunningServer, desk: Importing, tmp_path: Path, shared_data: Path
) -> None:
    one = desk.of("no-certificate", importable(shared_data / METAXPRESS))
    one.transfer()
    with pytest.raises(NothingToCertify, match="not finished"):
        certificate(one, omero, tmp_path, decoded=[])
    one.verify()
    one.register()
    with pytest.raises(SameDisk, match=r"OMERO at 127\.0\.0\.1 may be on this host"):
        certificate(one, omero, tmp_path, allow_same_disk=False)
    with pytest.raises(SameDisk, match=r"OMERO at 127\.0\.1\.1 may be on this host"):
        certificate(one, omero, tmp_path, allow_same_disk=False, address=OmeroAddress(host="127.0.1.1"))
    # Nobody has this address: a server elsewhere may have its disks from anywhere.
    with pytest.raises(SameDisk, match=r"OMERO at 192\.0\.2\.1 is on another host"):
        certificate(one, omero, tmp_path, allow_same_disk=False, address=OmeroAddress(host="192.0.2.1"))
    linked = desk.of("in-place-certificate", importable(shared_data / METAXPRESS))
    linked.adopt()
    linked.register()
    with pytest.raises(ImportedInPlace):
        certificate(linked, omero, tmp_path)
