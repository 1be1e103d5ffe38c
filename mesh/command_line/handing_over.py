"""Commands that give the mesh work, and where asked stay until it is done."""

from __future__ import annotations

from pathlib import Path

from ..client import Client
from ..messages.compute import JobStatus
from ..messages.imports import ImportStatus
from . import machine_form as machine
from . import text_form as text
from .asking import Question
from .errors import CommandFailed
from .following import follow_import, follow_job
from .options import full_id
from .printing import console, print_json
from .results import copy_planes, results_form, write_results


def import_path(question: Question, path: Path, *, name: str, pattern: str, wait: bool) -> None:
    """Hand a folder or file over.

    Raises:
        CommandFailed: the import, which was waited for, failed or was cancelled.
    """

    async def hand_over(mesh: Client) -> ImportStatus | str:
        import_id = await mesh.submit_import(path, name=name, pattern=pattern)
        if not wait:
            return import_id
        return await follow_import(mesh, import_id, for_machine=question.as_json)

    answer = question.ask(hand_over)
    if isinstance(answer, str):
        print_json({"import": answer}) if question.as_json else print(answer)
        return
    print_json(machine.import_form(answer)) if question.as_json else text.print_import(answer)
    if answer.state != "done":
        raise CommandFailed(
            f"{answer.import_id} {answer.state}: {answer.reason or 'no reason was given'}",
            hint=answer.hint or f"hcs-mesh imports retry {answer.import_id} takes it up again",
        )


def run_pipeline(question: Question, plate_id: int, pipeline: Path, *, wells: tuple[str, ...], wait: bool) -> None:
    """Run a pipeline on a plate.

    Raises:
        CommandFailed: the pipeline cannot be read, or the job, which was waited for, failed or was cancelled.
    """
    source = _source(pipeline)

    async def hand_over(mesh: Client) -> JobStatus | str:
        job = await mesh.submit_job(plate_id, source, source_name=pipeline.name, wells=wells)
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
        OSError: a table cannot be read, or the folder cannot be written.
    """
    name = full_id("job", given)

    async def gather(mesh: Client) -> tuple[JobStatus, int]:
        return await mesh.job(name), (await mesh.status()).n_restarts

    job, n_restarts = question.ask(gather)
    plate = question.ask(lambda mesh: mesh.plate(job.plate_id))
    folder = out or Path(f"{job.job}-results")
    files = write_results(job, plate, folder, n_restarts=n_restarts)
    copied = copy_planes(job, folder) if planes else []
    if question.as_json:
        print_json(results_form(job, files, copied))
        return
    shown = [("report", files.page), ("wells", files.wells), ("objects", files.objects)]
    shown += [("heat map", path) for path in files.heat_maps]
    shown += [("planes", folder / "planes")] if copied else []
    for what, path in shown:
        console().print(f"{what:<9}", path, markup=False, soft_wrap=True)
