"""``hcs-mesh console`` and the commands that look inside or reach inside for scripts."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Data, Json, Key

Name = Annotated[str, typer.Argument(metavar="ACTOR", help="A name that hcs-mesh ps shows.")]


def console(
    data: Data = None,
    key: Key = None,
    control: Annotated[
        bool, typer.Option("--control", help="Let keys restart, pause, retry, cancel; for an administrator's key.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look inside the running mesh: what runs, imports, jobs, journals, logs; --control to reach inside."""
    from . import asking, inside

    inside.open_console(asking.Question(data, key, as_json), control=control)


def inspect(name: Name, data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """Show one actor, process or supervisor in full, with what happened to it and its last traceback."""
    from . import asking, inside

    inside.show_actor(asking.Question(data, key, as_json), name)


def tail(
    name: Name,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=1, max=2000, help="How many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Print the last lines of the log that concern one actor, process or supervisor."""
    from . import asking, inside

    inside.tail_log(asking.Question(data, key, as_json), name, n_lines=lines, follow=follow)


def restart(name: Name, data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """Stop one actor, process or branch in order, and start it afresh (administrators)."""
    from . import asking, inside

    inside.restart(asking.Question(data, key, as_json), name)


def pause(name: Name, data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """Let an actor's mailbox be unread until it is resumed (administrators)."""
    from . import asking, inside

    inside.pause(asking.Question(data, key, as_json), name, paused=True)


def resume(name: Name, data: Data = None, key: Key = None, as_json: Json = False) -> None:
    """Let a paused actor read its mailbox again (administrators)."""
    from . import asking, inside

    inside.pause(asking.Question(data, key, as_json), name, paused=False)


def trace(
    message: Annotated[
        str, typer.Argument(metavar="[MESSAGE]", help="The beginning of a trace's id, or a tag such as compute.submit.")
    ] = "",
    data: Data = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Follow one message through every process; without a word, list the latest."""
    from . import asking, inside

    inside.show_trace(asking.Question(data, key, as_json), message)


COMMANDS = (console, inspect, tail, restart, pause, resume, trace)
