"""Commands that ask a running mesh one thing and print its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from ..client import Client
from ..messages.compute import JobState
from ..messages.control import ActorRow
from ..messages.imports import ImportState
from ..messages.viewing import ViewerInfo
from ..plates.labels import Labels
from ..plates.model import Plate
from ..plates.survey import PlatesIncomplete
from ..transport import TransportError
from . import machine_form as machine
from . import text_form as text
from .errors import ListedInPart
from .import_text import print_import, print_imports
from .options import full_id
from .printing import print_json
from .reaching import client_of

T = TypeVar("T")


class Question(NamedTuple):
    """Which mesh is asked, with which key, and who reads the answer."""

    data: Path | None
    key: Path | None
    as_json: bool

    def ask(self, ask: Callable[[Client], Awaitable[T]]) -> T:
        """Dial, ask, hang up.

        Raises:
            MeshError: no mesh is up there, or it refused.
        """

        async def dialled() -> T:
            async with client_of(self.data, self.key) as mesh:
                return await ask(mesh)

        return asyncio.run(dialled())


def status(question: Question) -> None:
    """Say what the mesh is."""
    answer = question.ask(lambda mesh: mesh.status())
    print_json(machine.mesh_form(answer)) if question.as_json else text.print_mesh(answer)


def tree(question: Question) -> None:
    """Show its supervision tree."""

    async def gather(mesh: Client) -> tuple[tuple[ActorRow, ...], tuple[ViewerInfo, ...]]:
        return await mesh.tree(), await _viewers(mesh)

    rows, viewers = question.ask(gather)
    if question.as_json:
        print_json([machine.row_form(row) for row in rows])
    else:
        text.print_tree(rows)
        text.print_viewers(viewers)


async def _viewers(mesh: Client) -> tuple[ViewerInfo, ...]:
    """The viewers that are attached; none where the viewing branch itself is down, which ps then shows."""
    try:
        return await mesh.viewers()
    except TransportError:
        return ()


def imports(question: Question, *, limit: int, state: ImportState | Literal[""]) -> None:
    """List the newest imports; ``limit`` 0 is all of them."""
    answer = question.ask(lambda mesh: mesh.imports(limit=limit, state=state))
    if question.as_json:
        print_json([machine.import_form(one) for one in answer])
    else:
        print_imports(answer, state)
        text.print_limit(len(answer), limit)


def one_import(question: Question, given: str) -> None:
    """Show one import."""
    answer = question.ask(lambda mesh: mesh.get_import(full_id("import", given)))
    print_json(machine.import_form(answer)) if question.as_json else print_import(answer)


def retry_import(question: Question, given: str) -> None:
    """Take an import up again."""
    answer = question.ask(lambda mesh: mesh.retry_import(full_id("import", given)))
    print_json(machine.import_form(answer)) if question.as_json else print_import(answer)


def cancel_import(question: Question, given: str, *, discard_held: bool = False) -> None:
    """Stop an import for good."""
    answer = question.ask(lambda mesh: mesh.cancel_import(full_id("import", given), discard_held=discard_held))
    print_json(machine.import_form(answer)) if question.as_json else print_import(answer)


def forget_import(question: Question, given: str, *, discard_held: bool = False) -> None:
    """Take an import off the list."""
    name = full_id("import", given)
    question.ask(lambda mesh: mesh.forget_import(name, discard_held=discard_held))
    print_json({"import": name, "forgotten": True}) if question.as_json else print(f"{name} is off the list")


def plates(question: Question) -> None:
    """List the plates that can be listed.

    Raises:
        ListedInPart: some places cannot list theirs.
        MeshError: none can.
    """
    answer = question.ask(lambda mesh: mesh.survey_plates())
    rows = answer.plates
    print_json([machine.summary_form(one) for one in rows]) if question.as_json else text.print_plates(rows)
    if answer.unlisted:
        told = PlatesIncomplete(answer)
        raise ListedInPart(str(told), hint=told.hint)


def plate(question: Question, plate_id: int) -> None:
    """Show what one plate holds."""

    async def both(mesh: Client) -> tuple[Plate, Labels]:
        return await mesh.plate(plate_id), await mesh.labels(plate_id)

    answer, labels = question.ask(both)
    print_json(machine.plate_form(answer, labels)) if question.as_json else text.print_plate(answer, labels)


def jobs(question: Question, *, limit: int, state: JobState | Literal[""]) -> None:
    """List the newest jobs; ``limit`` 0 is all of them."""
    answer = question.ask(lambda mesh: mesh.jobs(limit=limit, state=state))
    if question.as_json:
        print_json([machine.job_line_form(one) for one in answer])
    else:
        text.print_jobs(answer, state)
        text.print_limit(len(answer), limit)


def job(question: Question, given: str) -> None:
    """Show one job."""
    answer = question.ask(lambda mesh: mesh.job(full_id("job", given)))
    print_json(machine.job_form(answer)) if question.as_json else text.print_job(answer)


def cancel_job(question: Question, given: str) -> None:
    """Stop a job."""
    answer = question.ask(lambda mesh: mesh.cancel_job(full_id("job", given)))
    print_json(machine.job_form(answer)) if question.as_json else text.print_job(answer)


def retry_job(question: Question, given: str) -> None:
    """Run what is not done of a job once more, as a new job."""
    job = question.ask(lambda mesh: mesh.retry_job(full_id("job", given)))
    print_json({"job": job}) if question.as_json else print(job)
