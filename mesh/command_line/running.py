"""Commands that start, stop and show meshes and what belongs to them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from ..config import ConfigError, Settings, check_settings, data_folder, load_settings, to_toml
from ..layout import DataLayout
from ..messages.control import ActorRow, MeshStatus
from . import machine_form as machine
from . import text_form as text
from .errors import CommandFailed
from .options import folder_of
from .printing import console, json_text, print_json

if TYPE_CHECKING:
    from .foreground import Joining
    from .viewer_process import Viewer


def start(
    data: Path | None,
    config: Path | None,
    listen: str,
    *,
    detach: bool,
    quiet: bool = False,
    join: Joining | None = None,
    as_json: bool = False,
) -> None:
    """Run a mesh here, or start one that outlives this command; with ``join`` a node of a mesh elsewhere.

    Raises:
        MeshError: it cannot come up, or it gave up.
        typer.BadParameter: ``listen`` is no place to listen at.
    """
    settings = load_settings(config, data=data).settings
    if listen:
        settings = _listening(settings, listen)
    folder = data_folder(settings)

    def announce(status: MeshStatus, rows: Sequence[ActorRow]) -> None:
        if as_json:
            # A mesh has actors: without any it was not told which.
            actors = [machine.row_form(row) for row in rows] or None
            print_json({**machine.mesh_form(status), "actors": actors})
            return
        text.print_mesh(status, rows)
        console().print(
            "hcs-mesh down stops it" if detach else "Ctrl-C or hcs-mesh down stops it", markup=False, style="dim"
        )

    if detach:
        from .background import start_detached

        joining: list[str] = []
        if join is not None:
            joining = ["--join", join.card.address, "--mesh-key", join.card.public, "--key", str(join.key.absolute())]
        config = config and config.absolute()
        started = asyncio.run(start_detached(folder, config=config, listen=listen, join=joining))
        announce(started.status, started.rows)
        if started.untold:
            told = f"it is up, and what runs in it cannot be told: {started.untold}"
            console(stderr=True).print(told, markup=False, soft_wrap=True)
    else:
        from .foreground import run_mesh

        run_mesh(settings, folder, announce, quiet=quiet, join=join)


def joining(join: str, public: str, key: Path | None) -> Joining | None:
    """The mesh to join, by its card or its address and public key.

    Raises:
        CommandFailed: no key was given.
        NoCard, AddressError, KeyFileError: it cannot be told where the mesh is or whose key must answer.
    """
    if not join:
        return None
    if key is None:
        raise CommandFailed(
            f"joining {join} takes a key of the role node",
            hint="hcs-mesh keys new NAME here, keys allow NAME PUBLIC --role node there, then --key NAME.secret",
        )
    from ..transport import find_card
    from .foreground import Joining

    return Joining(find_card(join, public), key)


def _listening(settings: Settings, listen: str) -> Settings:
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise typer.BadParameter(f"'{listen}' is not HOST:PORT, such as 127.0.0.1:7777", param_hint="--listen")
    front = msgspec.structs.replace(settings.front, tcp_host=host.strip("[]"), tcp_port=int(port))
    try:
        return check_settings(msgspec.structs.replace(settings, front=front))
    except ConfigError as error:
        raise typer.BadParameter(f"{error}. {error.hint}".rstrip(". "), param_hint="--listen") from error


def stop(data: Path | None, key: Path | None, timeout_s: float, *, as_json: bool) -> None:
    """Stop a mesh, and return once its processes are gone; none being up is as good.

    Raises:
        CommandFailed: processes remain after ``timeout_s``.
    """
    from .background import stop_mesh

    folder = folder_of(data)
    pid = asyncio.run(stop_mesh(folder, key=key, timeout_s=timeout_s))
    if as_json:
        print_json({"stopped": pid is not None, "pid": pid, "data": str(folder)})
    else:
        print(f"no mesh is up on {folder}" if pid is None else f"the mesh on {folder} (process {pid}) is down")


def show_config(data: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Print every setting with the place that decided it.

    Raises:
        ConfigError: a setting is wrong.
    """
    loaded = load_settings(config, data=data)
    if as_json:
        folder = str(data_folder(loaded.settings))
        settings = msgspec.to_builtins(loaded.settings)
        print_json({"settings": settings, "origins": dict(loaded.origins), "data_folder": folder})
    else:
        print(to_toml(loaded), end="")


def check_config(data: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Say whether every setting is known, within its bounds, and holds on this computer.

    Raises:
        ConfigError: a setting is wrong.
    """
    from .settings_check import check_here

    loaded = load_settings(config, data=data)
    check_here(loaded.settings)
    decided = {key: origin for key, origin in loaded.origins.items() if origin != "default"}
    if as_json:
        print_json({"good": True, "decided": decided})
    else:
        print(f"every setting is good; {len(decided)} differ from the defaults")


def journal_folders(data: Path | None, given: str) -> list[Path]:
    """The journals that are meant: a folder, one of the mesh's by name, or all of the mesh's.

    Raises:
        CommandFailed: there is none.
    """
    if given and Path(given).is_dir():
        return [Path(given)]
    home = DataLayout(folder_of(data)).journal("x").parent
    known = sorted(one.name for one in home.iterdir()) if home.is_dir() else []
    if given and given not in known:
        named = ", ".join(known) or "none"
        raise CommandFailed(f"there is no journal '{given}' in {home}", hint=f"these are there: {named}")
    if not known:
        raise CommandFailed(f"there are no journals in {home}", hint="a mesh that was up on this data has some")
    return [home / (given or name) for name in ([given] if given else known)]


def show_journal(data: Path | None, given: str, *, as_json: bool) -> None:
    """Print every record, one JSON object a line; for machines all of them as one list.

    Raises:
        JournalDamaged: something that was durable is missing or changed.
    """
    import json

    from ..supervisors.journal import show

    records = (
        json.loads(json.dumps({"journal": folder.name, **record}, default=_bytes_told))
        for folder in journal_folders(data, given)
        for record in show(folder)
    )
    if as_json:
        print_json(list(records))
        return
    for record in records:
        print(json_text(record))


def _bytes_told(value: Any) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)


def check_journal(data: Path | None, given: str, *, as_json: bool) -> None:
    """Say whether the journals are whole.

    Raises:
        CommandFailed: one is damaged.
    """
    from ..supervisors.journal import check

    found = {folder.name: check(folder) for folder in journal_folders(data, given)}
    if as_json:
        print_json(found)
    for name, state in found.items() if not as_json else ():
        told = ", ".join(f"{key} {value}" for key, value in state.items() if key != "state")
        print(f"{name}: {state['state']} ({told})")
    damaged = [name for name, state in found.items() if state["state"] == "damaged"]
    if damaged:
        raise CommandFailed(
            f"damaged journals: {', '.join(damaged)}", hint="the lines above say in which file and at which byte"
        )


def view(
    viewer: Viewer,
    data: Path | None,
    key: Path | None,
    *,
    job: str,
    plate: int,
    out: Path | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Open a viewer on the running mesh, which is shown what the key's owner may see.

    Raises:
        CommandFailed: it cannot be opened here, ended at once, or ended badly while it was waited for.
        PlateNotFound: no plate can have this id.
    """
    from ..plates.local.errors import check_plate_id
    from .viewer_process import open_viewer

    folder = folder_of(data)
    if plate:
        check_plate_id(plate)
    process = asyncio.run(open_viewer(viewer, folder, key, job=job, plate=plate, out=out, once=wait))
    if as_json:
        print_json({"viewer": viewer, "pid": process.pid})
    else:
        print(f"{viewer} is process {process.pid}", flush=True)
    if wait and process.wait() != 0:
        raise CommandFailed(
            f"{viewer} ended with exit code {process.returncode}", hint=f"see {DataLayout(folder).logs / viewer}.out"
        )


def examine(data: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Check this computer.

    Raises:
        CommandFailed: something that is required is missing.
    """
    from .doctor import examine, lacking, print_findings

    findings = examine(data, config)
    if as_json:
        print_json([one._asdict() for one in findings])
    else:
        print_findings(findings)
    if wrong := lacking(findings):
        raise CommandFailed(
            f"{len(wrong)} of {len(findings)} checks need mending: {', '.join(one.name for one in wrong)}",
            hint="\n".join(one.mend for one in wrong if one.mend),
        )
