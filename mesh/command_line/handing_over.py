"""Commands that give the mesh work, and where asked stay until it is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ..client import Client
from ..config.errors import MeshError
from ..config.mail_address import NoAddress
from ..config.written_out import shown
from ..messages.compute import JobStatus, WellStatus
from ..messages.imports import ImportOrder, ImportPreview, ImportStatus
from ..plates.errors import BadSourceName
from ..transport import AskFailed, NotPermitted
from . import machine_form as machine
from . import text_form as text
from .asking import Question
from .errors import CommandFailed
from .following import follow_imports, follow_job
from .import_text import print_end, print_import
from .options import full_id
from .orders import MAX_SHOWN, Wish
from .preview_form import preview_machine_form, print_preview
from .printing import console, print_json
from .reaching import elsewhere
from .results import fetch_results, must_have_results, results_form, write_results


class Refusal(NamedTuple):
    """A wish that the mesh did not take, and why."""

    wish: Wish
    error: MeshError

    def __str__(self) -> str:
        return f"{self.wish.place or self.wish.order.path}: {self.error}"


def hand_over(question: Question, wishes: Sequence[Wish], *, wait: bool, single: bool) -> None:
    """Hand folders or files over; ``single`` is told as one, not as a list of one.

    Raises:
        CommandFailed: the mesh refused one, the others went on; or one that was waited for failed or was cancelled.
        MeshError: the mesh refused the only one.
    """

    async def submit(mesh: Client) -> list[str | Refusal] | list[ImportStatus | Refusal]:
        taken: list[str | Refusal] = []
        for wish in wishes:
            try:
                taken.append(await mesh.submit_order(wish.order, on_behalf_of=wish.on_behalf_of))
            except (AskFailed, NotPermitted, BadSourceName, NoAddress) as error:
                if single:
                    raise
                taken.append(Refusal(wish, error))
            if not single and not question.as_json and isinstance(taken[-1], str):
                print(taken[-1], flush=True)
        if not wait:
            return taken
        accepted = [one for one in taken if isinstance(one, str)]
        followed = iter(await follow_imports(mesh, accepted, for_machine=question.as_json))
        return [one if isinstance(one, Refusal) else next(followed) for one in taken]

    answers = question.ask(submit)
    forms = [_answer_form(one) for one in answers]
    if question.as_json:
        print_json(forms[0] if single else forms)
    else:
        _show(answers, single=single)
    _judge(answers)


def _show(answers: Sequence[str | ImportStatus | Refusal], *, single: bool) -> None:
    """What came of each; the ids of several were printed as they came."""
    for one in answers:
        if isinstance(one, ImportStatus):
            print_import(one) if single else print_end(one)
        elif isinstance(one, str) and single:
            print(one)


def absence(order: ImportOrder) -> str:
    """Say that a mesh of this host would find nothing at an order's path; empty where it would, or nobody can tell."""
    if elsewhere() is not None or order.agent or os.path.lexists(order.path):
        return ""
    return shown(f"there is nothing at {order.path}")


def check_there(wishes: Sequence[Wish]) -> None:
    """Promise that a mesh of this host will find every path, before the first is handed over.

    Raises:
        CommandFailed: there is nothing at one of them.
    """
    absent = list(filter(None, (absence(one.order) for one in wishes)))
    if absent:
        raise CommandFailed(
            "\n".join(f"import: {one}" for one in absent[:MAX_SHOWN]),
            hint="nothing was handed over; give the paths of folders or image files",
        )


def _answer_form(answer: str | ImportStatus | Refusal) -> dict[str, Any]:
    if isinstance(answer, Refusal):
        return {"source": answer.wish.order.path, "error": str(answer.error), "hint": answer.error.hint}
    return machine.import_form(answer) if isinstance(answer, ImportStatus) else {"import": answer}


def _judge(answers: Sequence[str | ImportStatus | Refusal]) -> None:
    """Let the command fail with whatever failed.

    Raises:
        CommandFailed: something did.
    """
    refused = [one for one in answers if isinstance(one, Refusal)]
    lost = [one for one in answers if isinstance(one, ImportStatus) and one.state != "done"]
    if not refused and not lost:
        return
    told = [str(one) for one in refused]
    told += [f"{one.import_id} {one.state}: {one.reason or 'no reason was given'}" for one in lost]
    hints = [one.error.hint for one in refused]
    hints += [one.hint or f"hcs-mesh imports retry {one.import_id} takes it up again" for one in lost]
    n_more = len(answers) - len(told)
    if n_more:
        hints.append(f"the other {f'{n_more} ' if n_more > 1 else ''}went on: hcs-mesh imports lists them")
    raise CommandFailed("\n".join(map(shown, told)), hint="\n".join(dict.fromkeys(one for one in hints if one)))


def preview(question: Question, wishes: Sequence[Wish]) -> None:
    """Say what orders would do.

    Raises:
        CommandFailed: one of several could not be imported, and why.
        MeshError: the only one could not.
    """
    single = len(wishes) == 1

    async def look(mesh: Client) -> list[ImportPreview | Refusal]:
        seen: list[ImportPreview | Refusal] = []
        for wish in wishes:
            try:
                seen.append(await mesh.preview_import(wish.order, on_behalf_of=wish.on_behalf_of))
            except (AskFailed, NotPermitted, BadSourceName) as error:
                if single:
                    raise
                seen.append(Refusal(wish, error))
        return seen

    answers = question.ask(look)
    forms = []
    for wish, one in zip(wishes, answers, strict=True):
        if isinstance(one, Refusal):
            forms.append(_answer_form(one))
        elif question.as_json:
            forms.append(preview_machine_form(wish.order, one))
        else:
            print_preview(wish.order, one)
    if question.as_json:
        print_json(forms[0] if single else forms)
    refused = [one for one in answers if isinstance(one, Refusal)]
    if refused:
        hints = dict.fromkeys(one.error.hint for one in refused if one.error.hint)
        raise CommandFailed("\n".join(map(str, refused)), hint="\n".join(hints))


def run_pipeline(
    question: Question, plate_id: int, pipeline: Path, *, wells: tuple[str, ...], wait: bool, results_in: str = ""
) -> None:
    """Run a pipeline on a plate.

    Raises:
        CommandFailed: the pipeline cannot be read, or the job, which was waited for, failed or was cancelled.
    """
    source = _source(pipeline)

    async def hand_over(mesh: Client) -> JobStatus | str:
        job = await mesh.submit_job(plate_id, source, source_name=pipeline.name, wells=wells, results_in=results_in)
        if not wait:
            return job
        return await follow_job(mesh, job, for_machine=question.as_json)

    answer = question.ask(hand_over)
    if isinstance(answer, str):
        print_json({"job": answer}) if question.as_json else print(answer)
        return
    print_json(machine.job_form(answer)) if question.as_json else text.print_job(answer)
    if answer.state != "done":
        failed = [one for one in answer.wells if one.state == "failed"]
        why = answer.reason or (f"{len(failed)} wells failed, the first with: {failed[0].error}" if failed else "")
        raise CommandFailed(f"{answer.job} {answer.state}: {why}", hint=f"hcs-mesh jobs {answer.job} shows every well")


def _source(pipeline: Path) -> str:
    try:
        return pipeline.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{pipeline} is not text in UTF-8: {error.reason}", hint="name a pipeline file") from error
    except OSError as error:
        raise CommandFailed(
            f"the pipeline {pipeline} cannot be read: {error.strerror}",
            hint="name a file that exists and that you may read, for example examples/pipelines/nuclei.py",
        ) from error


def take_results(question: Question, given: str, *, out: Path | None, planes: bool) -> None:
    """Write a job's report and tables.

    Raises:
        CommandFailed: no well of the job is done yet.
        MeshError: results that are not here any more are not handed out to the asker now.
        OSError: a table cannot be read, or the folder cannot be written.
    """
    name = full_id("job", given)

    async def gather(mesh: Client) -> tuple[JobStatus, int]:
        return await mesh.job(name), (await mesh.status()).n_restarts

    job, n_restarts = question.ask(gather)
    plate = question.ask(lambda mesh: mesh.plate(job.plate_id))
    folder = out or Path(f"{job.job}-results")
    copies = folder / "planes" if planes else None

    def fetch(well: str) -> WellStatus:
        return question.ask(lambda mesh: mesh.fetch_well(name, well))

    must_have_results(job, folder)
    with TemporaryDirectory(prefix="hcs-mesh-results-") as shelf:
        told, copied = fetch_results(job, fetch, Path(shelf), copies)
        files = write_results(told, plate, folder, n_restarts=n_restarts)
    if question.as_json:
        print_json(results_form(job, files, copied))
        return
    written = [("report", files.page), ("wells", files.wells), ("objects", files.objects)]
    written += [("heat map", path) for path in files.heat_maps]
    written += [("planes", folder / "planes")] if copied else []
    for what, path in written:
        console().print(f"{what:<9}", path, markup=False, soft_wrap=True)
