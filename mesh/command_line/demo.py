"""``hcs-mesh demo``: the whole of it on a generated plate, and every number held against the truth."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from ..client import Client
from ..messages.compute import JobStatus
from ..messages.imports import ImportStatus
from ..pipelines import to_source
from ..plates.model import Plate
from ..plates.synthetic import Recipe, Truth, write_plate
from .background import start_detached, stop_mesh
from .demo_checks import Check, check_import, check_job, check_recording
from .demo_folder import DemoFolder
from .demo_kill import Accident
from .demo_pipeline import DEMO_PIPELINE
from .errors import CommandFailed
from .following import Bar, follow_import, progress_bar
from .printing import bytes_text, console, print_json, row, table
from .results import write_results
from .viewer_process import open_viewer

RECIPE = Recipe(n_fields=4, size_px=768)
KILL_AFTER = 0.4
RECORDER_S = 60.0


class Demo:
    """One run of the demo: its steps with their times, and what was checked."""

    def __init__(self, home: DemoFolder, *, as_json: bool) -> None:
        self.home = home
        self.steps: list[tuple[str, float, str]] = []
        self.checks: list[Check] = []
        self.accident = Accident(after=KILL_AFTER)
        self._recorder: subprocess.Popen[bytes] | None = None
        self._as_json = as_json

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """Time one step; what is put into the list is said of it."""
        said: list[str] = []
        began = time.monotonic()
        yield said
        self.steps.append((what, time.monotonic() - began, "; ".join(said)))
        if not self._as_json:
            seconds = f"{self.steps[-1][1]:5.1f} s"
            console().print(seconds, f"{what:<10}", self.steps[-1][2], markup=False, soft_wrap=True)

    async def run(self, *, keep: bool) -> None:
        """Do everything, and leave the mesh running with ``keep``.

        Raises:
            MeshError: a step could not be done at all.
        """
        home = self.home
        with self.step("plate") as said:
            truth = await asyncio.to_thread(self._generate)
            said.append(f"{len(truth.ratios)} wells, {truth.n_files} files, {bytes_text(truth.n_bytes)}: {home.plate}")
        with self.step("up") as said:
            status = (await start_detached(home.mesh)).status
            said.append(f"process {status.pid}, {status.n_actors} actors, {status.n_processes} child processes")
        try:
            await self._work(truth)
        finally:
            if self._recorder is not None and self._recorder.poll() is None:
                # A viewer outlives its mesh, but not a demo that has failed.
                self._recorder.terminate()
            if not keep:
                with self.step("down") as said:
                    await stop_mesh(home.mesh, timeout_s=30.0)
                    said.append("every process has ended")

    def _generate(self) -> Truth:
        with progress_bar(in_bytes=False, for_machine=True) as bar:
            bar.show("drawing the plate", 0, 0)
            self.home.pipeline.write_text(to_source(DEMO_PIPELINE), encoding="utf-8")
            return write_plate(self.home.plate, RECIPE)

    async def _work(self, truth: Truth) -> None:
        home = self.home
        async with Client.at(home.mesh) as mesh:
            with self.step("import") as said:
                imported = await self._import(mesh)
                plate = await mesh.plate(imported.plate_ids[0])
                said.append(f"{imported.n_files} files, {bytes_text(imported.n_bytes)}, plate {plate.id} {plate.name}")
            with self.step("run") as said:
                job = await self._analyse(mesh, plate)
                said.append(f"{job.job} {job.state}: {sum(well.n_objects for well in job.wells)} nuclei")
                said.append(self._accident_told())
            with self.step("stream") as said:
                said.append(await asyncio.to_thread(self._recorded))
            with self.step("report") as said:
                n_restarts = (await mesh.status()).n_restarts
                files = await asyncio.to_thread(write_results, job, plate, home.report, n_restarts=n_restarts)
                said.append(str(files.page))
        with self.step("check") as said:
            self.checks += check_import(imported, plate, home.plate, truth)
            self.checks += check_job(job, truth)
            self.checks += check_recording(home.recording, plate, job)
            self.checks.append(self._recovery(job, n_restarts))
            said.append(f"{sum(one.kept for one in self.checks)} of {len(self.checks)} promises kept")

    async def _import(self, mesh: Client) -> ImportStatus:
        import_id = await mesh.submit_import(self.home.plate)
        imported = await follow_import(mesh, import_id, for_machine=True)
        if imported.state != "done":
            raise CommandFailed(f"the import {imported.state}: {imported.reason}", hint=imported.hint)
        return imported

    def _recorded(self) -> str:
        assert self._recorder is not None, "the recorder was opened with the job"
        try:
            code = self._recorder.wait(RECORDER_S)
        except subprocess.TimeoutExpired:
            return f"the recorder had not received everything {RECORDER_S:g} s after the job's end"
        return f"recorded in {self.home.recording}" if code == 0 else f"the recorder ended with exit code {code}"

    async def _analyse(self, mesh: Client, plate: Plate) -> JobStatus:
        source = self.home.pipeline.read_text(encoding="utf-8")
        name = await mesh.submit_job(plate.id, source, source_name=self.home.pipeline.name)
        watching = asyncio.create_task(
            open_viewer("recorder", self.home.mesh, job=name, out=self.home.recording, once=True)
        )
        job = await mesh.job(name)
        with progress_bar(in_bytes=False, for_machine=True) as bar:
            async for job in mesh.follow_job(name):
                self._show(bar, job)
                await self.accident.watch(mesh, job)
        self._recorder = await watching
        return job

    def _show(self, bar: Bar, job: JobStatus) -> None:
        n_done = sum(well.state == "done" for well in job.wells)
        bar.show(f"{job.job} {job.pipeline}", n_done, len(job.wells), self._accident_told())

    def _accident_told(self) -> str:
        one = self.accident
        if not one.happened:
            return ""
        told = f"{one.executor} (process {one.pid}) killed over well {one.well}"
        if one.well_again_s is not None:
            told += f", the well was taken up again after {one.well_again_s:.2f} s"
        if one.executor_again_s is not None:
            told += f", the executor was back at work after {one.executor_again_s:.2f} s"
        return told

    def _recovery(self, job: JobStatus, n_restarts: int) -> Check:
        again = self.accident.well_again_s
        return Check(
            "a killed executor costs one attempt of one well, and comes back",
            self.accident.happened and again is not None and n_restarts >= 1 and len(job.faults) == 1,
            self._accident_told() or "no executor could be killed: the job was over too soon",
        )


def run_demo(folder: Path, *, keep: bool, as_json: bool) -> None:
    """Run the demo in a folder of its own, and print what came of it.

    Raises:
        CommandFailed: a promise was not kept, or the folder is not the demo's.
        MeshError: a step could not be done at all.
    """
    began = time.monotonic()
    home = DemoFolder(folder)
    home.renew()
    demo = Demo(home, as_json=as_json)
    asyncio.run(demo.run(keep=keep))
    total_s = time.monotonic() - began
    report = home.report / "report.html"
    if as_json:
        print_json(
            {
                "seconds": round(total_s, 2),
                "steps": [{"step": what, "seconds": round(s, 2), "said": said} for what, s, said in demo.steps],
                "checks": [one._asdict() for one in demo.checks],
                "kills": int(demo.accident.happened),
                "well_again_s": demo.accident.well_again_s,
                "executor_again_s": demo.accident.executor_again_s,
                "report": str(report),
                "data": str(home.mesh),
            }
        )
    else:
        _print_summary(demo, total_s, report, keep=keep)
    broken = [one for one in demo.checks if not one.kept]
    if broken:
        raise CommandFailed(
            "; ".join(f"not kept: {one.promise} ({one.found})" for one in broken), hint=f"{home.mesh / 'logs'}"
        )


def _print_summary(demo: Demo, total_s: float, report: Path, *, keep: bool) -> None:
    from rich.text import Text

    out = console()
    shown = table("", "promise", "found")
    for one in demo.checks:
        row(shown, Text("kept" if one.kept else "broken", style="green" if one.kept else "red"), one.promise, one.found)
    out.print()
    out.print(shown)
    out.print(f"{total_s:.1f} s in all. The report opens in any browser, without a network:")
    out.print(report, markup=False, soft_wrap=True)
    if keep:
        out.print(f"The mesh is still up: hcs-mesh status --data {demo.home.mesh}", markup=False, soft_wrap=True)
