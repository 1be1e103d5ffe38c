"""``hcs-mesh journal``: what the journals hold, and whether they are whole."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Data, Json

journal_app = typer.Typer(no_args_is_help=True, help="Look into the journals, without changing them.")

JournalName = Annotated[str, typer.Argument(metavar="[NAME|FOLDER]", help="A journal of the mesh, or a folder.")]


@journal_app.command("show")
def journal_show(name: JournalName = "", data: Data = None, as_json: Json = False) -> None:
    """Print every record, one JSON object a line."""
    from . import running

    running.show_journal(data, name, as_json=as_json)


@journal_app.command("check")
def journal_check(name: JournalName = "", data: Data = None, as_json: Json = False) -> None:
    """Say whether the journals are whole."""
    from . import running

    running.check_journal(data, name, as_json=as_json)
