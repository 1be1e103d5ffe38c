"""``hcs-mesh omero``: whether the OMERO.server is well, and one of one's own."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Config, Data, Json, Key, plain

omero_app = typer.Typer(no_args_is_help=True, help="Look at the OMERO.server, or run one on this computer (docker).")


@omero_app.command("status")
def omero_status(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """Say how far one gets at the OMERO.server, and what to do where it is not far enough; nothing is changed."""
    from . import omero_instance

    omero_instance.status(data, config, as_json=as_json)


@omero_app.command("up")
def omero_up(
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1.0, help="How long it may take in all.")
    ] = 900.0,
    web_port: Annotated[
        int, typer.Option("--web-port", metavar="N", min=1, max=65535, help="Where OMERO.web listens on this computer.")
    ] = 4080,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Start an OMERO.server here with docker compose, unless one answers already, and wait until it lets people in."""
    from . import omero_instance

    omero_instance.up(data, config, timeout_s=timeout, web_port=web_port, as_json=as_json)


@omero_app.command("down")
def omero_down(
    volumes: Annotated[
        bool, typer.Option("--volumes", help="Delete its database and images as well; asks first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Stop the OMERO.server that was started from this data folder, and no other; what it keeps stays."""
    from . import omero_instance

    omero_instance.down(data, config, volumes=volumes, sure=yes, as_json=as_json)


@omero_app.command("login")
def omero_login(
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", callback=plain, help="At OMERO; else your key's name.")
    ] = "",
    session: Annotated[
        bool, typer.Option("--session", help="Read the key of a session from standard input; ask for no password.")
    ] = False,
    config: Config = None,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Let the mesh act for you at OMERO: asks for your password, which goes to the OMERO.server alone."""
    from . import asking, omero_login

    omero_login.login(asking.Question(data, key, as_json), config, user=user, by_session=session)


@omero_app.command("logout")
def omero_logout(
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", callback=plain, help="At OMERO; else your key's name.")
    ] = "",
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Let the mesh begin nothing more in your session; its work for you waits for the next login, or for a minter."""
    from . import asking, omero_login

    omero_login.logout(asking.Question(data, key, as_json), user=user)
