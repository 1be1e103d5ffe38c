"""Commands about the OMERO.server: looked at, started here, stopped."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import typer

from ..config import Settings, data_folder, load_settings
from ..plates.omero.instance import STAGES, Examination, OmeroInstance, Standing, StartedHere, examine, stop_started
from .errors import CommandFailed
from .following import Bar, progress_bar
from .printing import console, print_json, row, table

NOT_SET = '[omero] host names one in the settings; with host = "localhost" hcs-mesh omero up starts one here'


def status(data: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Look at the server of the settings.

    Raises:
        ConfigError: a setting is wrong.
        CommandFailed: no server is set, or it cannot be worked with.
    """
    settings, folder = _settings(data, config)
    found = asyncio.run(examine(settings.omero, folder))
    if as_json:
        print_json({"usable": not found.lacking, **msgspec.to_builtins(found)})
    else:
        _print_examination(found)
    if found.lacking:
        raise CommandFailed(
            f"OMERO at {found.address} cannot be worked with: {', '.join(one.name for one in found.lacking)}",
            hint="\n".join(one.hint for one in found.lacking if one.hint),
        )


def up(data: Path | None, config: Path | None, *, timeout_s: float, web_port: int, as_json: bool) -> None:
    """Start a server here, unless one answers, and wait for it.

    Raises:
        ConfigError: a setting is wrong.
        CommandFailed: no server is set.
        OmeroError: it could not be started, or is not ready in time.
    """
    settings, folder = _settings(data, config)
    with progress_bar(in_bytes=False, for_machine=as_json) as bar:
        instance = OmeroInstance(
            settings.omero,
            start_in=folder,
            timeout_s=timeout_s,
            web_port=web_port,
            on_change=lambda standing: _show(bar, standing),
        )
        try:
            standing = asyncio.run(instance.connect())
        except KeyboardInterrupt:
            if instance.standing.started:
                print("it goes on without you; hcs-mesh omero down stops what was started", file=sys.stderr)
            raise
    told = {
        "state": standing.state,
        "address": str(instance.address),
        "version": standing.version,
        "started": standing.started,
        "ca_file": instance.address.ca_file,
        "web_port": web_port if standing.started else None,
        "passwords": str(StartedHere(folder).settings_file) if standing.started else "",
    }
    if as_json:
        print_json(told)
        return
    _print_up(instance, standing, StartedHere(folder), web_port)


def down(data: Path | None, config: Path | None, *, volumes: bool, sure: bool, as_json: bool) -> None:
    """Stop what was started from the data folder.

    Raises:
        ConfigError: a setting is wrong.
        CommandFailed: volumes are to be deleted, and nobody has said that this is meant.
        OmeroError: docker could not do it.
    """
    folder = data_folder(load_settings(config, data=data).settings)
    here = StartedHere(folder)
    record = here.record()
    if volumes and record is not None and not sure:
        _make_sure(record.project)
    stopped = asyncio.run(stop_started(here, volumes=volumes))
    if as_json:
        print_json({"stopped": stopped, "volumes_removed": stopped and volumes, "data": str(folder)})
    elif not stopped:
        print(f"no OMERO.server was started from {folder}")
    elif volumes:
        print(f"the OMERO.server of {folder} is down, and what it kept is deleted")
    else:
        print(f"the OMERO.server of {folder} is down; what it keeps stays for the next hcs-mesh omero up")


def _settings(data: Path | None, config: Path | None) -> tuple[Settings, Path]:
    settings = load_settings(config, data=data).settings
    if not settings.omero.host:
        raise CommandFailed("no OMERO.server is set: omero.host is empty", hint=NOT_SET)
    return settings, data_folder(settings)


def _make_sure(project: str) -> None:
    what = f"every plate, image and user in the OMERO.server {project} is deleted"
    if not sys.stdin.isatty():
        raise CommandFailed(f"{what}, and nobody is here to be asked", hint="--yes says that this is meant")
    if not typer.confirm(f"{what}; is that meant?", err=True):
        raise CommandFailed("nothing was deleted or stopped", hint="hcs-mesh omero down stops it and keeps what it has")


def _show(bar: Bar, standing: Standing) -> None:
    if standing.state in STAGES:
        bar.show(standing.state, STAGES.index(standing.state), len(STAGES) - 1, standing.detail)


def _print_up(instance: OmeroInstance, standing: Standing, here: StartedHere, web_port: int) -> None:
    version = f"OMERO.server {standing.version}" if standing.version else "OMERO.server"
    print(f"{version} at {instance.address} lets people in")
    if not standing.started:
        print(
            "it was running before: nothing was started, and hcs-mesh omero down leaves it alone"
            if here.record() is None
            else "nothing had to be started"
        )
        return
    print(f"OMERO.web is at http://localhost:{web_port}; root's password is in {here.settings_file}")
    if instance.address.ca_file == str(here.certificate):
        print(f'its certificate is its own: set ca_file = "{here.certificate}" in [omero]')
    print("hcs-mesh omero down stops it")


def _print_examination(found: Examination) -> None:
    from rich.text import Text

    signs = {"ok": ("ok", "green"), "failed": ("failed", "red"), "unknown": ("?", "yellow"), "absent": ("-", "yellow")}
    shown = table("", "what", "found", "what to do")
    for one in found.checks:
        sign, style = signs[one.state]
        row(shown, Text(sign, style=style), one.name, one.detail, one.hint)
    console().print(shown)
