"""From the settings to planes in a person's name, as a program that has only the settings would go."""

from pathlib import Path

import numpy as np
import pytest
from omero_lab import login
from omero_plates import import_files, logged_in, some_planes, write_ome_plate

from hcs_mesh.config import OmeroSettings
from hcs_mesh.plates.omero import AwaitLogin, OmeroPixels, OmeroPlates, Person, open_identities
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")


def test_planes_are_read_in_the_name_of_a_person_who_is_away(omero: RunningServer, tmp_path: Path) -> None:
    planes = some_planes(1, 1, 2, 32, 32)
    with logged_in(omero, "ada") as client:
        path = write_ome_plate(tmp_path / "plate.ome.tiff", planes)
        plate_id = next(number for kind, number in import_files(client, [path], tmp_path) if kind == "Plate")
    secret = tmp_path / "minter-secret"
    secret.touch(mode=0o600)
    secret.write_text(login("minter").password.reveal())
    settings = OmeroSettings(
        host=omero.host,
        port=omero.port,
        ca_file=str(omero.certificate),
        minter="minter",
        minter_secret_file=str(secret),
        managed_repository=str(omero.managed),
    )
    with open_identities(settings) as identities:
        pool = identities.pool(Person(user="ada", group="lab"))
        assert not isinstance(pool, AwaitLogin)
        found = OmeroPlates(pool).with_places(plate_id)
        pixels = OmeroPixels(pool, managed=Path(settings.managed_repository))
        for image in found.plate.images():
            np.testing.assert_array_equal(pixels.read(found, image), planes[0, 0, image.c])
        assert pixels.statistics().n_local == 2
        pixels.close()
