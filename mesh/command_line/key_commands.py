"""``hcs-mesh keys``: arguments to calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Data, Json

# Written again, not imported: --version and --help load nothing of the mesh.
Role = Literal["viewer", "user", "agent", "administrator", "node"]

keys_app = typer.Typer(no_args_is_help=True, help="Who may come in: make, show, allow, revoke and list keys.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Who holds the key: letters, digits and . _ @ -")]


@keys_app.command("new")
def new(
    name: Name,
    role: Annotated[Role | None, typer.Option("--role", help="Let it in here at once, as this.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Else ./NAME.secret.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a key: its secret into a file that only you can read."""
    from . import keys

    keys.new(data, name, role=role, out=out, as_json=as_json)


@keys_app.command("show")
def show(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A secret file; else the mesh's own.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print a key's public half, or what another host needs to dial this mesh."""
    from . import keys

    keys.show(data, file, as_json=as_json)


@keys_app.command("card")
def card(
    address: Annotated[str, typer.Option("--address", metavar="HOST:PORT", help="As other hosts reach it.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print the mesh card, for other hosts: keys card > mesh.toml, then --mesh mesh.toml there."""
    from . import keys

    keys.card(data, address, as_json=as_json)


# A public key may begin with a dash, which is no option then.
@keys_app.command("allow", context_settings={"ignore_unknown_options": True})
def allow(
    name: Name,
    public: Annotated[str, typer.Argument(metavar="PUBLIC", help="The public key, or a secret file.")],
    role: Annotated[Role, typer.Option("--role", help="What it may do.")] = "viewer",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Let a key in, or in another role; a name that is let in takes no other key."""
    from . import keys

    keys.allow(data, name, public, role=role, as_json=as_json)


@keys_app.command("revoke")
def revoke(name: Name, data: Data = None, as_json: Json = False) -> None:
    """Let a key in no longer: a mesh that is up hangs up within a second."""
    from . import keys

    keys.revoke(data, name, as_json=as_json)


@keys_app.command("list")
def list_(data: Data = None, as_json: Json = False) -> None:
    """List who may come in."""
    from . import keys

    keys.list_all(data, as_json=as_json)
