"""``hcs-mesh imports``: what was handed over, how far it is, once more, or no more."""

from __future__ import annotations

import typer

from .options import Data, Identity, Json, Key, ListOrShow

imports_app = typer.Typer(cls=ListOrShow, invoke_without_command=True, help="List imports, or show one: imports [ID].")


@imports_app.callback()
def imports(context: typer.Context, data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """List imports, or show one with its history: imports [ID]."""
    if context.invoked_subcommand is None:
        from . import asking

        asking.imports(asking.Question(data, key, as_json))


@imports_app.command("show", hidden=True)
def imports_show(id: Identity, data: Data = None, key: Key = None, as_json: Json = False) -> None:  # noqa: A002
    """Show one import with its history."""
    from . import asking

    asking.one_import(asking.Question(data, key, as_json), id)


@imports_app.command("retry")
def imports_retry(id: Identity, data: Data = None, key: Key = None, as_json: Json = False) -> None:  # noqa: A002
    """Take a failed, cancelled or waiting import up again where it stopped."""
    from . import asking

    asking.retry_import(asking.Question(data, key, as_json), id)


@imports_app.command("cancel")
def imports_cancel(id: Identity, data: Data = None, key: Key = None, as_json: Json = False) -> None:  # noqa: A002
    """Stop an import for good."""
    from . import asking

    asking.cancel_import(asking.Question(data, key, as_json), id)
