"""Serving this workstation's folders to a mesh elsewhere, and listing who does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.text import Text

from ..config import data_folder, load_settings
from ..config.written_out import shown
from ..messages.agents import AgentInfo, ListAgents
from ..messages.control import ActorRow, MeshStatus
from ..plates.served_folders import served_folder
from .asking import Question
from .errors import CommandFailed
from .printing import console, print_json, row, table
from .reaching import elsewhere

OWN_FOLDER = "agent"
"""Where an agent keeps its own things, below the data folder that a mesh of this user would have."""


def serve(
    data: Path | None,
    config: Path | None,
    folders: Sequence[str],
    *,
    name: str,
    users: tuple[str, ...],
    limit_mib_s: float,
    may_delete: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Serve folders until a signal.

    Raises:
        CommandFailed: no mesh is named.
        NotServed: there is nothing to serve.
        MeshError: the mesh does not take them, or the agent gave up.
    """
    from ..folder_node import FolderNode
    from .foreground import run_node

    there = elsewhere()
    if there is None:
        raise CommandFailed(
            "an agent serves a mesh elsewhere, and none is named",
            hint="hcs-mesh agent --mesh CARD --key KEY --serve FOLDER; hcs-mesh keys card on its host prints the card",
        )
    settings = load_settings(config, data=data).settings
    folder = data.absolute() if data is not None else data_folder(settings) / OWN_FOLDER
    served = tuple(served_folder(one) for one in folders)

    def make() -> FolderNode:
        return FolderNode(
            settings,
            data=folder,
            card=there.card,
            key=there.key,
            serve=served,
            label=name,
            users=users,
            limit_mib_s=limit_mib_s,
            may_delete=may_delete,
        )

    def announce(status: MeshStatus, rows: Sequence[ActorRow]) -> None:
        if as_json:
            print_json({"mesh": there.card.address, "folders": {one.name: one.path for one in served}})
            return
        print(f"serving to the mesh at {there.card.address}; Ctrl-C ends it", flush=True)
        for one in served:
            print(f"  {one.name}: {one.path}", flush=True)

    run_node(settings, folder, make, announce, quiet=quiet)


def list_agents(question: Question) -> None:
    """List the agents that the mesh knows."""
    told = question.ask(lambda mesh: mesh.ask("agents", ListAgents()))
    if question.as_json:
        print_json([_form(one) for one in told])
        return
    if not told:
        print("no workstation has offered folders; hcs-mesh agent --mesh CARD --key KEY --serve FOLDER does, there")
        return
    listed = table("agent", "host", "there", "folders", "for")
    for one in told:
        seen = datetime.fromtimestamp(one.seen_at_unix_s).astimezone().strftime("%Y-%m-%d %H:%M")
        folders = (shown(f"{folder.name}: {folder.path}") for folder in one.offer.folders)
        row(
            listed,
            one.name,
            one.offer.host,
            "yes" if one.here else f"no, last {seen}: {one.away_because}",
            Text("\n".join(folders)),
            ", ".join(one.offer.users) or "all",
        )
    console().print(listed)


def _form(one: AgentInfo) -> dict[str, object]:
    return {
        "agent": one.name,
        "host": one.offer.host,
        "here": one.here,
        "away_because": one.away_because,
        "seen_at_unix_s": one.seen_at_unix_s,
        "folders": {folder.name: folder.path for folder in one.offer.folders},
        "users": list(one.offer.users),
        "may_delete": one.offer.may_delete,
        "limit_mib_s": one.offer.limit_mib_s,
    }
