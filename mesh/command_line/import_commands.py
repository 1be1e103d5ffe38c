"""``hcs-mesh import`` and ``hcs-mesh imports``: hand sources over, see how far they are, and decide about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import All, Data, Identity, Json, Key, Limit, ListOrShow, Wait, plain

TAKEN, BECOMES, HOW = "What is taken", "What it becomes", "How it is done"

Mode = Literal["upload", "in-place"]
ImportWord = Literal["running", "waiting", "done", "failed", "cancelled"]
Priority = Literal["low", "normal", "high"]
DiscardHeld = Annotated[
    bool, typer.Option("--discard-held", help="Give held files up even if they lie nowhere else any more.")
]

imports_app = typer.Typer(cls=ListOrShow, invoke_without_command=True, help="List imports, or show one: imports [ID].")


def _text(name: str, metavar: str, told: str, panel: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        name, metavar=metavar, callback=plain, help=told, rich_help_panel=panel
    )
    return option


def import_(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Folders or files as the microscope wrote them.")
    ] = None,
    pattern: Annotated[
        str, _text("--pattern", "P", "For TIFF folders, e.g. '{well}_{field}_{channel}.tif'.", TAKEN)
    ] = "",
    depth: Annotated[
        int,
        typer.Option(
            "--depth", metavar="N", min=0, help="Look N levels deep: 1 is PATH alone, 0 all.", rich_help_panel=TAKEN
        ),
    ] = 0,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help="Leave these paths behind; repeatable.", rich_help_panel=TAKEN),
    ] = None,
    as_files: Annotated[
        bool, typer.Option("--as-files", help="Store what none can read, byte for byte.", rich_help_panel=TAKEN)
    ] = False,
    ended: Annotated[
        bool, typer.Option("--ended", help="Nothing more will come: wait for nothing.", rich_help_panel=TAKEN)
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Though it was imported before.", rich_help_panel=TAKEN)
    ] = False,
    agent: Annotated[str, _text("--agent", "NAME", "The workstation that PATH is on.", TAKEN)] = "",
    bulk: Annotated[
        Path | None,
        typer.Option(
            "--bulk",
            metavar="LIST.TSV",
            help="Import each line's path; the first line names the columns: path and options.",
            rich_help_panel=TAKEN,
        ),
    ] = None,
    name: Annotated[str, _text("--name", "N", "The plate's name.", BECOMES)] = "",
    plate: Annotated[str, _text("--plate", "N", "The same as --name.", BECOMES)] = "",
    screen: Annotated[str, _text("--screen", "S", "The screen it belongs to; made if missing.", BECOMES)] = "",
    project: Annotated[str, _text("--project", "P", "The project it belongs to; made if missing.", BECOMES)] = "",
    dataset: Annotated[str, _text("--dataset", "D", "The dataset of images; made if missing.", BECOMES)] = "",
    group: Annotated[str, _text("--group", "G", "The owner's group at OMERO; else the usual one.", BECOMES)] = "",
    description: Annotated[str, _text("--description", "TEXT", "What it is.", BECOMES)] = "",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="T", help="A tag; repeatable.", rich_help_panel=BECOMES)
    ] = None,
    key_value: Annotated[
        list[str] | None,
        typer.Option("--key-value", metavar="K=V", help="A key and its value; repeatable.", rich_help_panel=BECOMES),
    ] = None,
    comment: Annotated[str, _text("--comment", "TEXT", "What is to be said of it.", BECOMES)] = "",
    mode: Annotated[
        Mode, typer.Option("--mode", help="Copy the files, or leave them and link to them.", rich_help_panel=HOW)
    ] = "upload",
    priority: Annotated[
        Priority, typer.Option("--priority", help="Which imports go first.", rich_help_panel=HOW)
    ] = "normal",
    mail: Annotated[str, _text("--mail", "ADDRESS", "Whom to tell how it ended.", HOW)] = "",
    for_: Annotated[str, _text("--for", "USER", "Whose import it is; for agents and administrators.", HOW)] = "",
    delete_source: Annotated[
        bool, typer.Option("--delete-source", help="Delete PATH once it is certified.", rich_help_panel=HOW)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be imported, and import nothing.", rich_help_panel=HOW)
    ] = False,
    wait: Wait = False,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Hand plates over; prints the imports' ids at once."""
    from ..messages.imports import ImportOrder
    from . import asking, handing_over, orders

    try:
        usual = orders.Wish(
            ImportOrder(
                path="",
                agent=agent,
                name=orders.single_name(name, plate),
                pattern=pattern,
                as_files=as_files,
                depth=depth,
                exclude=tuple(exclude or ()),
                mode=mode,
                priority=priority,
                screen=screen,
                project=project,
                dataset=dataset,
                group=group,
                description=description,
                tags=tuple(map(plain, tag or ())),
                key_values=orders.key_values_of(map(plain, key_value or ())),
                comment=comment,
                mail=orders.checked_mail(mail),
                ended=ended,
                forced=force,
                delete_source=delete_source,
            ),
            for_,
        )
        if bulk is not None and paths:
            raise orders.WrongOrder("--bulk names the paths: give a list or paths, not both")
        if bulk is None and not paths:
            raise orders.WrongOrder("Missing argument 'PATH...', or --bulk LIST.TSV")
        if paths and len(paths) > 1 and usual.order.name:
            raise orders.WrongOrder(f"--name names one plate, and there are {len(paths)} paths; --bulk names each")
        if dry_run and wait:
            raise orders.WrongOrder("there is nothing to wait for with --dry-run")
        named = [usual._replace(order=orders.placed(usual.order, path, Path())) for path in paths or ()]
    except orders.WrongOrder as error:
        raise typer.BadParameter(str(error)) from error
    # With --dry-run a path that is not there keeps the others from no preview.
    seen = orders.unseen if dry_run else handing_over.absence
    wishes = orders.read_list(bulk, usual, absence=seen) if bulk is not None else tuple(named)
    if len(named) > 1 and not dry_run:
        handing_over.check_there(wishes)
    question = asking.Question(data, key, as_json)
    if dry_run:
        handing_over.preview(question, wishes)
    else:
        handing_over.hand_over(question, wishes, wait=wait, single=bulk is None and len(wishes) == 1)


@imports_app.callback()
def imports(
    context: typer.Context,
    limit: Limit = 100,
    everything: All = False,
    state: Annotated[ImportWord | None, typer.Option("--state", help="Only those in this state.")] = None,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List the newest imports, the newest first, or show one with its history: imports [ID]."""
    if context.invoked_subcommand is None:
        from . import asking

        asking.imports(asking.Question(data, key, as_json), limit=0 if everything else limit, state=state or "")


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
def imports_cancel(
    id: Identity,  # noqa: A002
    discard_held: DiscardHeld = False,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Stop an import for good."""
    from . import asking

    asking.cancel_import(asking.Question(data, key, as_json), id, discard_held=discard_held)


@imports_app.command("forget")
def imports_forget(
    id: Identity,  # noqa: A002
    discard_held: DiscardHeld = False,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Take an import that has ended off the list; its plates and its certificate stay."""
    from . import asking

    asking.forget_import(asking.Question(data, key, as_json), id, discard_held=discard_held)
