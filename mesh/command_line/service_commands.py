"""``hcs-mesh service``: the mesh as a service of this computer."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Config, Data, Json

service_app = typer.Typer(no_args_is_help=True, help="Run the mesh as a service of this computer (systemd).")

User = Annotated[bool, typer.Option("--user", help="For this user alone; nothing of it needs root.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@service_app.command("install")
def service_install(
    user: User = False,
    run_as: Annotated[str, typer.Option("--run-as", metavar="NAME", help="The account of the service.")] = "hcs-mesh",
    dry_run: DryRun = False,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Write hcs-mesh.service, and say what to run then; what takes root is printed and never done."""
    from . import service

    service.install(data, config, user=user, run_as=run_as, dry_run=dry_run, as_json=as_json)


@service_app.command("remove")
def service_remove(user: User = False, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Take hcs-mesh.service away once it is stopped; data, settings and keys stay."""
    from . import service

    service.remove(user=user, dry_run=dry_run, as_json=as_json)


@service_app.command("status")
def service_status(user: User = False, as_json: Json = False) -> None:
    """Say whether the service is installed and how it runs."""
    from . import service

    service.status(user=user, as_json=as_json)
