"""How a command fails: one clear message and an exit code; a traceback goes into a log."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import typer
from typer.core import TyperGroup

from .printing import json_text

# Newer releases of Typer bring their own copy of Click, so that its class is found by kinship.
UsageError = cast(type[Exception], typer.BadParameter.__bases__[0])


EVERYWHERE = ("--mesh", "--mesh-key", "--key")
"""Options of every command: which mesh is meant, and who asks it."""


class CommandLine(TyperGroup):
    """The group of all commands: every error on purpose becomes a message and an exit code."""

    def parse_args(self, ctx: Any, args: Sequence[str]) -> list[str]:
        """Note whether a machine asks, before anything can go wrong."""
        for_machine = ctx.meta["hcs_mesh.json"] = "--json" in args
        try:
            return super().parse_args(ctx, _anywhere(list(args)))
        except UsageError as error:
            if not for_machine or not args:
                raise
            raise _told_usage(error) from error

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        # Not at the top: --version and --help answer before they come here, and need none of it.
        from ..config.errors import MeshError

        for_machine = bool(ctx.meta["hcs_mesh.json"])
        try:
            return super().invoke(ctx)
        except UsageError as error:
            if not for_machine:
                raise
            raise _told_usage(error) from error
        except MeshError as error:
            tell(str(error), error.hint, for_machine=for_machine)
            raise typer.Exit(getattr(error, "exit_code", 1)) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            tell(f"{place}{error.strerror or error}", _way_on(error), for_machine=for_machine)
            raise typer.Exit(1) from error


def _way_on(error: OSError) -> str:
    """What to do about a file or folder of the user's that cannot be used."""
    if isinstance(error, PermissionError):
        return "choose another place, or let this user read and write there"
    if isinstance(error, FileNotFoundError):
        return "name one that exists"
    if isinstance(error, (FileExistsError, NotADirectoryError, IsADirectoryError)):
        return "choose another place: a file stands where a folder is meant, or the other way round"
    return "hcs-mesh doctor checks this computer's disks and limits"


def _told_usage(error: Exception) -> typer.Exit:
    tell(cast(Any, error).format_message(), "hcs-mesh --help lists the commands", for_machine=True)
    return typer.Exit(2)


def _anywhere(words: list[str]) -> list[str]:
    """The words with what says which mesh is meant in front: it may stand behind the command's name as well."""
    front: list[str] = []
    rest: list[str] = []
    at = 0
    while at < len(words) and words[at] != "--":
        word = words[at]
        if word in EVERYWHERE and at + 1 < len(words):
            front += words[at : at + 2]
            at += 1
        elif word.partition("=")[0] in EVERYWHERE:
            front.append(word)
        else:
            rest.append(word)
        at += 1
    return front + rest + words[at:]


def tell(message: str, hint: str, *, for_machine: bool) -> None:
    """Say on standard error what went wrong, and what to do next."""
    if for_machine:
        print(json_text({"error": message, "hint": hint}), file=sys.stderr)
        return
    # Not at the top, see CommandLine.invoke.
    from ..config.written_out import shown

    red, off = ("\033[31m", "\033[0m") if sys.stderr.isatty() and "NO_COLOR" not in os.environ else ("", "")
    # Indented, so that no line of a name that an error repeats can pass for a message or a hint of its own.
    told = shown(message, lines=True).replace("\n", f"\n{'':7}")
    print(f"{red}error:{off} {told}", file=sys.stderr)
    for line in hint.splitlines():
        print(f"hint:  {shown(line)}", file=sys.stderr)


def tell_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody foresaw: one line for the user, the traceback into a log (a ``sys.excepthook``)."""
    log = _crash_log()
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {' '.join(sys.argv)}\n")
        file.writelines(traceback.format_exception(kind, error, trace))
    tell(
        f"this is a fault in hcs-mesh: {kind.__name__}: {error}",
        f"the log holds the traceback: {log}",
        for_machine="--json" in sys.argv,
    )


def _crash_log() -> Path:
    """A log in the mesh's data folder, or a temporary one where that cannot be told or written."""
    from ..config.errors import MeshError
    from .options import folder_of

    words = sys.argv
    named = next((Path(words[at + 1]) for at, word in enumerate(words[:-1]) if word == "--data"), None)
    try:
        folder = folder_of(named) / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "commands.log"
        with log.open("a", encoding="utf-8"):
            return log
    except (MeshError, OSError):
        return Path(tempfile.gettempdir()) / f"hcs-mesh-commands-{os.getpid()}.log"
