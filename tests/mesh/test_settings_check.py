"""What `config check` finds beyond single values: words of other rooms, files, and folders of this computer."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hcs_mesh import Mesh
from hcs_mesh.__main__ import app
from hcs_mesh.config import ConfigError, Settings, WatchSettings


def check(folder: Path, text: str, command: str = "config check") -> tuple[int, str]:
    file = folder / "settings.toml"
    file.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, [*command.split(), "--config", str(file), "--data", str(folder / "data"), "--json"])
    return done.exit_code, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('exclude = ["/abs"]', "'/abs' excludes nothing of a source"),
        ('pattern = "{nix}"', "{nix} is no name that a pattern knows"),
        ('tags = ["DAPI\\nGFP"]', "a tag holds characters that would not show: 'DAPI\\\\nGFP'"),
    ],
)
def test_a_watched_folder_whose_orders_would_all_be_refused_is_refused(tmp_path: Path, setting: str, said: str) -> None:
    code, told = check(tmp_path, f'[[watch]]\npath = "/scope"\n{setting}\n')
    assert code != 0
    assert "nothing of the watched folder '/scope' could be imported" in told
    assert said in told


def test_the_mesh_does_not_start_with_such_a_watched_folder(tmp_path: Path) -> None:
    assert Mesh(Settings(watch=(WatchSettings(path="/scope", pattern="{well}_{_}.tif"),)), data=tmp_path)
    with pytest.raises(ConfigError, match="nothing of the watched folder '/scope' could be imported"):
        Mesh(Settings(watch=(WatchSettings(path="/scope", pattern="{nix}"),)), data=tmp_path)


def test_a_jar_that_is_not_there_is_no_good_setting(tmp_path: Path) -> None:
    jar = tmp_path / "bioformats_package.jar"
    text = f'[bioformats]\njar = "{jar}"\n'
    code, told = check(tmp_path, text)
    assert code != 0
    assert f"bioformats.jar is '{jar}', and there is no such file here" in told
    assert "there is no such file here" in check(tmp_path, text, "doctor")[1]
    jar.touch()
    assert check(tmp_path, text)[0] == 0


def test_two_roots_that_lead_to_one_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "scope").mkdir()
    text = "".join(f'[[imports.roots]]\npath = "{tmp_path / name}"\n' for name in ("scope", "link"))
    assert check(tmp_path, text)[0] == 0
    (tmp_path / "link").symlink_to("scope")
    code, told = check(tmp_path, text)
    assert code != 0
    assert f"are both '{tmp_path / 'scope'}'" in told
