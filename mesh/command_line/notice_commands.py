"""``hcs-mesh notices``: what people were told, once more, or a test."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Data, Identity, Json, Key, ListOrShow

notices_app = typer.Typer(
    cls=ListOrShow,
    invoke_without_command=True,
    help="List notices and whether they arrived, or show one: notices [ID].",
)


@notices_app.callback()
def notices(context: typer.Context, data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """List notices and whether they arrived, or show one: notices [ID]."""
    if context.invoked_subcommand is None:
        from . import asking, notices

        notices.list_all(asking.Question(data, key, as_json))


@notices_app.command("show", hidden=True)
def notices_show(id: Identity, data: Data = None, key: Key = None, as_json: Json = False) -> None:  # noqa: A002
    """Show one notice with everybody who is to have it."""
    from . import asking, notices

    notices.show(asking.Question(data, key, as_json), id)


@notices_app.command("retry")
def notices_retry(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As printed; none means all.")] = None,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Try now what waits or has failed; for administrators."""
    from . import asking, notices

    notices.retry(asking.Question(data, key, as_json), ids or [])


@notices_app.command("test")
def notices_test(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where the mail goes.")],
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Send one test mail right away and say what happened; for administrators."""
    from . import asking, notices

    notices.test(asking.Question(data, key, as_json), address)
