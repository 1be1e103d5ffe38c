"""``hcs-mesh agent`` and ``hcs-mesh agents``: arguments to calls."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Config, Data, Json, Key


def agent(
    serve: Annotated[
        list[str],
        typer.Option("--serve", metavar="[NAME=]FOLDER", help="A folder that may be imported from; repeatable."),
    ],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Tells this agent from others with the same key.")
    ] = "",
    users: Annotated[
        str, typer.Option("--users", metavar="A,B", help="Whose imports may come from here; else all who have a key.")
    ] = "",
    limit_mib_s: Annotated[
        float,
        typer.Option("--limit-mib-s", metavar="N", min=0.0, help="Read at most so much; 0: guest.limit_mib_s."),
    ] = 0.0,
    may_delete: Annotated[
        bool, typer.Option("--may-delete", help="Let imports delete certified sources here, where they ask for it.")
    ] = False,
    config: Config = None,
    data: Data = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log to the file in the data folder alone.")] = False,
    as_json: Json = False,
) -> None:
    """Serve folders of this workstation to a mesh elsewhere (--mesh CARD --key KEY), until Ctrl-C."""
    from . import agents

    agents.serve(
        data,
        config,
        tuple(serve),
        name=name,
        users=tuple(user.strip() for user in users.split(",") if user.strip()),
        limit_mib_s=limit_mib_s,
        may_delete=may_delete,
        quiet=quiet,
        as_json=as_json,
    )


def agents(data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """List the workstations that serve folders to the mesh, and whether they are there."""
    from . import agents, asking

    agents.list_agents(asking.Question(data, key, as_json))
