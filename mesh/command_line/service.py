"""Commands about the service: its unit file, and what systemd says of it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from ..config import Settings, data_folder, load_settings
from .errors import CommandFailed
from .printing import print_json
from .unit_file import MARK, NAME, SYSTEM_DATA, Unit, unit_text

SYSTEM_FOLDER = Path("/etc/systemd/system")
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
SHOWN = ("LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts", "StatusText", "FragmentPath")
SYSTEMCTL_S = 20.0


def install(data: Path | None, config: Path | None, *, user: bool, run_as: str, dry_run: bool, as_json: bool) -> None:
    """Write the unit, and print the commands that follow; of a system unit that takes root, those too.

    Raises:
        ConfigError: a setting is wrong.
        CommandFailed: there is no systemd here, the account cannot be one, or a unit that is not ours is there.
    """
    _need_systemd()
    if not user and not ACCOUNT.fullmatch(run_as):
        raise CommandFailed(f"'{run_as}' is no name of an account", hint="--run-as takes letters, digits, - and _")
    config = config.absolute() if config is not None else None
    settings = load_settings(config, data=data).settings
    unit = Unit(
        python=str(Path(sys.executable).absolute()),
        data=str(_data(settings, user=user)),
        config=str(config or ""),
        run_as="" if user else run_as,
        shutdown_s=settings.shutdown_s,
    )
    text = unit_text(unit)
    file, by_hand = _target(user=user)
    _check_ours(file)
    _check_ours(_home(user=user) / NAME)
    commands = _after_install(unit, file, by_hand=by_hand)
    if not dry_run:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandFailed(
                f"{file} cannot be written: {error.strerror}", hint="choose a folder that you may write to"
            ) from error
    if as_json:
        print_json({"file": str(file), "written": not dry_run, "unit": text, "as_root": not user, "commands": commands})
        return
    if dry_run:
        print(text)
    print(f"{file} would be written" if dry_run else f"{file} is written")
    _print_commands(commands, as_root=not user)


def remove(*, user: bool, dry_run: bool, as_json: bool) -> None:
    """Take the unit away.

    Raises:
        CommandFailed: it runs, is not ours, or only root may remove it.
    """
    _need_systemd()
    file = _home(user=user) / NAME
    systemctl = "systemctl --user" if user else "systemctl"
    there = file.is_file()
    _check_ours(file)
    if there and _show(user=user).get("ActiveState") in ("active", "activating", "reloading"):
        raise CommandFailed(
            f"{NAME} runs", hint=f"{systemctl} disable --now hcs-mesh stops it in order; then once more"
        )
    if there and not dry_run:
        try:
            file.unlink()
        except PermissionError as error:
            raise CommandFailed(
                f"only root may remove {file}",
                hint=f"as root: systemctl disable --now hcs-mesh; rm {file}; systemctl daemon-reload",
            ) from error
    if as_json:
        print_json({"file": str(file), "removed": there and not dry_run, "was_there": there})
        return
    if not there:
        print(f"there is no {file}")
        return
    print(f"{file} would be removed" if dry_run else f"{file} is removed; data, settings and keys are where they were")
    _print_commands([f"{systemctl} daemon-reload"], as_root=not user)


def status(*, user: bool, as_json: bool) -> None:
    """Say whether the unit is there, and what systemd knows of it.

    Raises:
        CommandFailed: there is no systemd here.
    """
    _need_systemd()
    file = _home(user=user) / NAME
    shown = _show(user=user)
    if as_json:
        print_json({"file": str(file), "installed": file.is_file(), **{name: shown.get(name, "") for name in SHOWN}})
        return
    print(f"{file} is {'there' if file.is_file() else 'not there: hcs-mesh service install writes it'}")
    if not shown:
        print("systemd does not answer: is it what runs this computer?")
    for name in SHOWN:
        if shown.get(name):
            print(f"{name:<14} {shown[name]}")


def _need_systemd() -> None:
    if not sys.platform.startswith("linux"):
        raise CommandFailed(
            "this command writes units for systemd, which is Linux's",
            hint="docs/service.md says how Windows and macOS start a mesh by themselves",
        )


def _data(settings: Settings, *, user: bool) -> Path:
    """Where the service keeps its data: a system unit has a folder of its own unless one is set."""
    return data_folder(settings) if user or settings.data.folder else Path(SYSTEM_DATA)


def _home(*, user: bool) -> Path:
    """The folder from which systemd reads such units."""
    if not user:
        return SYSTEM_FOLDER
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _target(*, user: bool) -> tuple[Path, bool]:
    """The file to write, and whether root has to bring it home."""
    if user or (sys.platform != "win32" and os.geteuid() == 0):
        return _home(user=user) / NAME, False
    return Path.cwd() / NAME, True


def _check_ours(file: Path) -> None:
    try:
        if file.is_file() and not file.read_text(encoding="utf-8", errors="replace").startswith(MARK):
            raise CommandFailed(
                f"{file} is there and was not written by this command", hint="move it away, or change it by hand"
            )
    except OSError as error:
        raise CommandFailed(
            f"{file} cannot be read: {error.strerror}", hint="ask who administrates this host"
        ) from error


def _after_install(unit: Unit, file: Path, *, by_hand: bool) -> list[str]:
    if not unit.run_as:
        return [
            "systemctl --user daemon-reload",
            "systemctl --user enable --now hcs-mesh",
            "loginctl enable-linger  # it goes on when you log out; some hosts let only root allow that",
        ]
    account = (
        f"id {unit.run_as} || useradd --system --home-dir {SYSTEM_DATA} --no-create-home "
        f"--shell /usr/sbin/nologin {unit.run_as}"
    )
    folder = f"install -d -o {unit.run_as} -m 750 {shlex.quote(unit.data)}"
    return [
        account,
        *([folder] if unit.data != SYSTEM_DATA else []),
        *([f"install -m 644 {shlex.quote(str(file))} {SYSTEM_FOLDER / NAME}"] if by_hand else []),
        "systemctl daemon-reload",
        "systemctl enable --now hcs-mesh",
    ]


def _print_commands(commands: list[str], *, as_root: bool) -> None:
    print("then run, as root:" if as_root else "then run:")
    for command in commands:
        print(f"  {command}")


def _show(*, user: bool) -> dict[str, str]:
    """What systemd says of the unit; nothing where it does not run."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return {}
    words = [systemctl, *(["--user"] if user else []), "show", NAME, "--property", ",".join(SHOWN)]
    try:
        ended = subprocess.run(words, capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False)
    except subprocess.TimeoutExpired:
        return {}
    if ended.returncode != 0:
        return {}
    return dict(line.split("=", 1) for line in ended.stdout.splitlines() if "=" in line)
