"""The unit files: what systemd says of them, and what the command does and leaves alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hcs_mesh.command_line import service
from hcs_mesh.command_line.errors import CommandFailed
from hcs_mesh.command_line.unit_file import SYSTEM_DATA, Unit, unit_text

SYSTEM = Unit(python=sys.executable, data=SYSTEM_DATA, run_as="hcs-mesh", shutdown_s=20.0)
ODD = Unit(python=sys.executable, data='/da ta/%i/$HOME/"x"\\y', config="/etc/a b.toml")


@pytest.mark.needs("systemd")
@pytest.mark.parametrize("unit", [SYSTEM, ODD], ids=["system", "user, odd names"])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, unit: Unit) -> None:
    file = tmp_path / "hcs-mesh.service"
    file.write_text(unit_text(unit))
    verified = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", file], capture_output=True, text=True, timeout=30
    )
    # It also complains of units of this computer; of ours it must say nothing.
    assert [line for line in verified.stderr.splitlines() if "hcs-mesh" in line] == []
    assert verified.returncode == 0


def test_a_system_unit_is_told_of_readiness_watched_and_never_given_up() -> None:
    lines = unit_text(SYSTEM).splitlines()
    for line in (
        "Type=notify",
        "WatchdogSec=60",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "OOMPolicy=continue",
        "KillMode=mixed",
        "User=hcs-mesh",
        "StateDirectory=hcs-mesh",
        "LimitNOFILE=65536",
        "TimeoutStopSec=60",
        f"ExecStart={sys.executable} -P -m hcs_mesh up --data /var/lib/hcs-mesh",
    ):
        assert line in lines


def test_a_command_line_holds_whatever_a_path_may() -> None:
    (line,) = [line for line in unit_text(ODD).splitlines() if line.startswith("ExecStart=")]
    assert line.endswith(r'up --data "/da ta/%%i/$$HOME/\"x\"\\y" --config "/etc/a b.toml"')
    assert not any(line.startswith(("User=", "StateDirectory=", "Protect")) for line in unit_text(ODD).splitlines())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("HCS_MESH_DATA", raising=False)
    return tmp_path / "systemd" / "user" / "hcs-mesh.service"


def installed(capsys: pytest.CaptureFixture[str], *, dry_run: bool = False) -> dict[str, object]:
    service.install(Path("/data"), None, user=True, run_as="", dry_run=dry_run, as_json=True)
    told: dict[str, object] = json.loads(capsys.readouterr().out)
    return told


def test_a_dry_run_writes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert installed(capsys, dry_run=True)["written"] is False
    assert not home.exists()


def test_a_users_unit_is_written_again_removed_and_gone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = installed(capsys)
    assert told["as_root"] is False
    assert "systemctl --user enable --now hcs-mesh" in str(told["commands"])
    assert home.read_text() == told["unit"]
    installed(capsys)
    service.status(user=True, as_json=True)
    assert json.loads(capsys.readouterr().out)["installed"] is True
    service.remove(user=True, dry_run=True, as_json=True)
    assert home.exists()
    service.remove(user=True, dry_run=False, as_json=False)
    assert not home.exists()
    service.remove(user=True, dry_run=False, as_json=False)
    assert f"there is no {home}" in capsys.readouterr().out


def test_a_unit_that_somebody_else_wrote_is_left_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.parent.mkdir(parents=True)
    home.write_text("[Service]\n")
    with pytest.raises(CommandFailed, match="was not written by this command"):
        installed(capsys)
    with pytest.raises(CommandFailed, match="was not written by this command"):
        service.remove(user=True, dry_run=False, as_json=True)
    assert home.read_text() == "[Service]\n"


def test_what_takes_root_is_said_and_not_done(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service.install(None, None, user=False, run_as="imaging", dry_run=True, as_json=False)
    told = capsys.readouterr().out
    assert "then run, as root:" in told
    assert "useradd --system" in told
    assert "User=imaging" in told
    with pytest.raises(CommandFailed, match="no name of an account"):
        service.install(None, None, user=False, run_as="a; b", dry_run=True, as_json=False)
