"""The options that many commands share, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

T = TypeVar("T")


def _inherited(name: str) -> Callable[[typer.Context, T], T]:
    """An option that may stand before the command's name as well: the nearest one counts."""

    def nearest(context: typer.Context, value: T) -> T:
        outer: Any = context.parent
        while not value and outer is not None:
            value = outer.params.get(name) or value
            outer = outer.parent
        return value

    return nearest


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        callback=_inherited("data"),
        help="The mesh's data folder; else HCS_MESH_DATA, else the user's.",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", callback=_inherited("key"), help="The key to dial with; else the owner's."),
]
MeshKey = Annotated[
    str,
    typer.Option(
        "--mesh-key", metavar="PUBLIC|FILE", callback=_inherited("mesh_key"), help="The public key of that mesh."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", callback=_inherited("as_json"), help="Print one JSON value for machines.")
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings in TOML; else HCS_MESH_CONFIG, else the user's."),
]
Identity = Annotated[str, typer.Argument(metavar="ID", help="As it was printed, or its number.")]
Limit = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, help="How many of the newest are listed.", show_default=True)
]
All = Annotated[bool, typer.Option("--all", help="List every one that is still known.")]
Wait = Annotated[bool, typer.Option("--wait", help="Stay and show the progress until it has ended.")]


def plain(value: str) -> str:
    """Text that a name may be: no control characters, and no bytes that are no text.

    Raises:
        typer.BadParameter: it is not.
    """
    from ..config.written_out import shown

    if shown(value) != value:
        raise typer.BadParameter(f"'{shown(value)}' holds control characters or bytes that are no text in UTF-8")
    return value


def wells_of(given: str | None) -> tuple[str, ...]:
    """The wells of ``A01,b2`` as this project writes them; none where the option was left out.

    Raises:
        typer.BadParameter: it names no well, or something that is none.
    """
    from ..config.written_out import shown
    from ..plates.errors import PlatePathError
    from ..plates.wells import normalise_well

    if given is None:
        return ()
    words = [word.strip() for word in given.split(",")]
    if not all(words):
        raise typer.BadParameter(f"'{shown(given)}' names no well; leave --wells out to run all", param_hint="--wells")
    try:
        return tuple(dict.fromkeys(normalise_well(word) for word in words))
    except PlatePathError as error:
        raise typer.BadParameter(f"{error}. {error.hint}", param_hint="--wells") from error


class ListOrShow(TyperGroup):
    """A group that lists without a word, and shows one thing when the word is none of its commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take an id for ``show ID``."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


def folder_of(data: Path | None) -> Path:
    """The data folder that a command means.

    Raises:
        ConfigError: a setting is wrong.
    """
    from ..config import data_folder, load_settings

    return data_folder(load_settings(data=data).settings)


def full_id(kind: str, given: str) -> str:
    """``import-0001`` for ``1``; whatever else was given stays."""
    return f"{kind}-{given.lstrip('0').zfill(4)}" if given.isascii() and given.isdigit() else given
