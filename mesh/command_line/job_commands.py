"""``hcs-mesh jobs``: what is run, how far it is, or no more."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from .options import All, Data, Identity, Json, Key, Limit, ListOrShow

JobWord = Literal["running", "done", "failed", "cancelled"]

jobs_app = typer.Typer(cls=ListOrShow, invoke_without_command=True, help="List jobs, or show one: jobs [ID].")


@jobs_app.callback()
def jobs(
    context: typer.Context,
    limit: Limit = 100,
    everything: All = False,
    state: Annotated[JobWord | None, typer.Option("--state", help="Only those in this state.")] = None,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List the newest jobs, the newest first, or show one with its wells: jobs [ID]."""
    if context.invoked_subcommand is None:
        from . import asking

        asking.jobs(asking.Question(data, key, as_json), limit=0 if everything else limit, state=state or "")


@jobs_app.command("show", hidden=True)
def jobs_show(id: Identity, data: Data = None, key: Key = None, as_json: Json = False) -> None:  # noqa: A002
    """Show one job with its wells."""
    from . import asking

    asking.job(asking.Question(data, key, as_json), id)


@jobs_app.command("cancel")
def jobs_cancel(id: Identity, data: Data = None, key: Key = None, as_json: Json = False) -> None:  # noqa: A002
    """Stop a job; wells that are done stay done."""
    from . import asking

    asking.cancel_job(asking.Question(data, key, as_json), id)


@jobs_app.command("retry")
def jobs_retry(id: Identity, data: Data = None, key: Key = None, as_json: Json = False) -> None:  # noqa: A002
    """Run the wells of a job that are not done once more; prints the new job's id."""
    from . import asking

    asking.retry_job(asking.Question(data, key, as_json), id)
