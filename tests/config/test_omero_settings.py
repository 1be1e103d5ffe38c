"""Settings of an OMERO.server: what cannot be found from everywhere, or may do everything, is refused."""

import re
from pathlib import Path

import pytest

from hcs_mesh.config import ConfigError, OmeroSettings, load_settings, to_toml

WHOLE = """
[omero]
host = "omero.example.org"
ca_file = "/etc/omero.pem"
minter = "mesh-minter"
minter_secret_file = "/etc/minter-secret"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_section_there_is_no_omero(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, ""), environ={}).settings.omero == OmeroSettings(host="")


def test_the_section_survives_being_shown(tmp_path: Path) -> None:
    loaded = load_settings(written(tmp_path, WHOLE), environ={})
    assert loaded.settings.omero.minter == "mesh-minter"
    assert loaded.settings.omero.verify_certificate
    assert load_settings(written(tmp_path, to_toml(loaded)), environ={}).settings == loaded.settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WHOLE.replace("/etc/omero.pem", "omero.pem"), "omero.ca_file ('omero.pem') is no absolute path"),
        (WHOLE.replace("/etc/minter-secret", "secret"), "omero.minter_secret_file ('secret') is no absolute path"),
        (WHOLE + 'managed_repository = "ManagedRepository"\n', "omero.managed_repository"),
        (WHOLE.replace('minter_secret_file = "/etc/minter-secret"', ""), "names no file"),
        (WHOLE.replace("mesh-minter", "root"), "who may do everything"),
        (WHOLE + "port = 0\n", "omero.port is 0"),
    ],
)
def test_a_setting_of_omero_that_cannot_be_right_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_settings(written(tmp_path, text), environ={})
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{WHOLE}[[watch]]\npath = "/data"\n', "watch.owner of /data is empty, but OMERO at omero.example.org"),
        ('[[watch]]\npath = "/data"\ngroup = "lab"\n', "no groups without OMERO"),
    ],
)
def test_a_watched_folder_is_somebodys_at_omero_and_in_no_group_without(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_settings(written(tmp_path, text), environ={})
    fine = f'{WHOLE}[[watch]]\npath = "/data"\nowner = "ada"\ngroup = "lab"\n'
    assert load_settings(written(tmp_path, fine), environ={}).settings.watch[0].group == "lab"
