"""What looks inside a running mesh, or reaches inside it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import msgspec

from ..client import Client
from ..config.written_out import shown
from ..messages.console import ActorDetail, Hop, LogLine, LogTail
from .asking import Question
from .errors import CommandFailed
from .printing import bytes_text, console, moment_text, print_json, row, state_text, table
from .reaching import client_of

FOLLOW_S = 0.5


def show_actor(question: Question, name: str) -> None:
    """Show one name of the tree in full."""
    detail = question.ask(lambda mesh: mesh.inspect(name))
    if question.as_json:
        told = msgspec.to_builtins(detail)
        print_json({**told, "statistics": {one.name: one.value for one in detail.statistics}})
    else:
        _print_detail(detail)


def tail_log(question: Question, name: str, *, n_lines: int, follow: bool) -> None:
    """Print the end of a log, and what comes after where that is wanted."""
    if follow:
        asyncio.run(_follow(question, name, n_lines))
        return
    lines = question.ask(lambda mesh: mesh.tail_log(name, n_lines=n_lines)).lines
    if question.as_json:
        print_json(msgspec.to_builtins(lines))
    else:
        _print_lines(lines)


def restart(question: Question, name: str) -> None:
    """Restart one, and say how it stands."""
    question.ask(lambda mesh: mesh.restart(name))
    _tell_row(question, name, "restarted")


def pause(question: Question, name: str, *, paused: bool) -> None:
    """Pause or resume one, and say so."""
    question.ask(lambda mesh: mesh.pause(name) if paused else mesh.resume(name))
    if question.as_json:
        print_json({"name": name, "paused": paused})
    else:
        print(f"{name} is {'paused' if paused else 'reading its mailbox again'}")


def show_trace(question: Question, message: str) -> None:
    """Show the way of one message, or the latest messages that can be followed.

    Raises:
        CommandFailed: no process remembers it.
    """
    hops = question.ask(lambda mesh: mesh.trace(message))
    if message and not hops:
        raise CommandFailed(
            f"no process remembers a message '{shown(message)}'", hint="hcs-mesh trace lists the latest; older ones go"
        )
    if question.as_json:
        print_json(msgspec.to_builtins(hops))
    else:
        _print_hops(hops)


def open_console(question: Question, *, control: bool) -> None:
    """Open the console in this terminal; for machines, print once what it would show.

    Raises:
        CommandFailed: this is no terminal.
        TextualMissing: Textual cannot be imported.
        NotInControl: ``control`` is asked for with a key that may not.
    """
    from ..viewers.console import open_app, snapshot

    if question.as_json:
        print_json(msgspec.to_builtins(question.ask(snapshot)))
        return
    # Textual draws on standard error.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandFailed("the console needs a terminal", hint="--json prints once what it would show")

    async def dialled() -> None:
        async with client_of(question.data, question.key) as mesh:
            await open_app(mesh, control=control)

    asyncio.run(dialled())


async def _follow(question: Question, name: str, n_lines: int) -> None:
    async with client_of(question.data, question.key) as mesh:
        told: LogTail = await mesh.tail_log(name, n_lines=n_lines)
        while True:
            if question.as_json:
                for line in told.lines:
                    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
            else:
                _print_lines(told.lines)
            sys.stdout.flush()
            await asyncio.sleep(FOLLOW_S)
            told = await mesh.tail_log(name, n_lines=2_000, since=told.end)


def _tell_row(question: Question, name: str, what: str) -> None:
    async def state(mesh: Client) -> ActorDetail:
        return await mesh.inspect(name)

    one = question.ask(state).row
    if question.as_json:
        print_json(msgspec.to_builtins(one))
    else:
        print(f"{name} is {what}: {one.state}" + (f", pid {one.pid}" if one.kind == "process" else ""))


def _print_detail(detail: ActorDetail) -> None:
    out, one = console(), detail.row
    out.print(f"{one.name}  ({one.kind} under {one.parent or 'nothing'})", markup=False)
    facts = table("", "", right=())
    facts.show_header = False
    row(facts, "state", state_text(one.state))
    row(facts, "pid", one.pid or "")
    row(facts, "restarts", one.restarts)
    for entry in detail.statistics:
        row(facts, entry.name, _value_text(entry.name, entry.value))
    out.print(facts)
    if detail.untold_error:
        out.print(f"last error: {detail.untold_error}", lines=True, markup=False, soft_wrap=True)
    for incident in detail.incidents[-10:]:
        told = f"{moment_text(incident.at_unix_s)}  {incident.occurrence}"
        out.print(told + (f"  {incident.error}" if incident.error else ""), lines=True, markup=False)
    traceback = next((one.traceback for one in reversed(detail.incidents) if one.traceback), "")
    if traceback:
        out.print()
        out.print("its last traceback:", markup=False)
        out.print(traceback.rstrip(), lines=True, markup=False, soft_wrap=True)


def _value_text(name: str, value: float | str) -> str:
    if name.endswith("_bytes") and not isinstance(value, str):
        return bytes_text(int(value))
    if name.endswith("_s") and isinstance(value, float):
        return f"{value * 1000:.2f} ms"
    return shown(str(value))


def _print_lines(lines: Sequence[LogLine]) -> None:
    out = console()
    for line in lines:
        told = f"{line.at[:23]:<23} {line.level:<8} {line.source:<14} {line.text}"
        # A traceback has many lines, and none of them may look like another entry.
        out.print(told.replace("\n", "\n    "), lines=True, markup=False, soft_wrap=True)


def _print_hops(hops: Sequence[Hop]) -> None:
    listed = table("trace", "at", "process", "actor", "message", "from", "took ms", "outcome", right=("took ms",))
    for hop in hops:
        row(
            listed,
            hop.trace,
            moment_text(hop.at_unix_s),
            f"{hop.node} ({hop.pid})",
            hop.actor,
            hop.message,
            shown(hop.sender),
            f"{hop.took_s * 1000:.2f}" if hop.outcome else "",
            shown(hop.outcome or "at it"),
        )
    console().print(listed)
