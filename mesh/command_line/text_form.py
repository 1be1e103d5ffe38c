"""What people read: each answer of the mesh as lines, tables and trees on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.written_out import shown
from ..plates.labels import UNLABELLED, Labels
from .machine_form import IMAGE_KEY
from .printing import console, moment_text, named_of, row, state_text, table

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from ..messages.compute import JobStatus, JobSummary
    from ..messages.control import ActorRow, MeshStatus
    from ..messages.viewing import ViewerInfo
    from ..plates.model import Plate, PlateSummary


def print_mesh(status: MeshStatus, rows: Sequence[ActorRow] = ()) -> None:
    """What a mesh is, where it listens and where its data lies."""
    out = console()
    viewers = ", viewing is down" if status.n_viewers is None else f", {status.n_viewers} viewers"
    if status.repository.startswith("none:"):
        # A node that has joined a mesh: viewers are that mesh's.
        viewers = ""
    counts = (
        f"{status.n_actors} actors, {status.n_processes} processes{viewers}",
        f"{status.n_restarts} restarts",
    )
    facts = [
        ("mesh", f"up, version {status.version}, process {status.pid}, since {moment_text(status.started_at_unix_s)}"),
        ("data", status.data),
        ("logs", str(Path(status.data) / "logs")),
        *(("listens at", f"{one.control} (data {one.data})") for one in status.endpoints),
        ("repository", status.repository),
        ("runs", "; ".join(counts)),
    ]
    actors = [one.name for one in rows if one.kind == "actor"]
    processes = [f"{one.name} ({one.pid})" for one in rows if one.kind == "process"]
    facts += [("actors", ", ".join(actors))] if actors else []
    facts += [("processes", ", ".join(processes))] if processes else []
    for name, value in facts:
        out.print(f"{name:<11}", value, markup=False, soft_wrap=True)


def print_tree(rows: Sequence[ActorRow]) -> None:
    """The supervision tree."""
    from rich.tree import Tree

    branches: dict[str, Tree] = {}
    top = Tree("")
    for one in rows:
        branches[one.name] = branches.get(one.parent, top).add(_tree_line(one))
    for child in top.children:
        console().print(child)


def _tree_line(one: ActorRow) -> Text:
    from rich.text import Text

    line = Text(one.name, style="bold" if one.kind == "supervisor" else "")
    line.append("  ")
    line.append_text(state_text(one.state))
    if one.kind == "process":
        line.append(f"  pid {one.pid}" if one.pid else "  no process")
    if one.restarts:
        line.append(f"  restarts {one.restarts}", style="yellow")
    if one.kind == "actor":
        line.append(f"  mailbox {one.mailbox}", style="yellow" if one.mailbox else "dim")
    if one.busy:
        line.append(f"  {shown(one.busy)}", style="cyan")
    if one.last_error:
        line.append(f"  {shown(one.last_error.strip().splitlines()[-1])}", style="red")
    return line


def print_viewers(viewers: Iterable[ViewerInfo]) -> None:
    """The viewers that are attached; they are watched and not owned."""
    for one in viewers:
        subject = one.subject.job or (f"plate {one.subject.plate_id}" if one.subject.plate_id else "the latest")
        told = f"viewer {one.kind} (pid {one.pid}) shows {subject}: {one.n_sent} sent, {one.n_waiting} waiting"
        console().print(told, markup=False, soft_wrap=True)


def print_plates(plates: Iterable[PlateSummary]) -> None:
    """The list of plates."""
    numbers = ("id", "wells", "fields", "images")
    listed = table("id", "name", "kind", "wells", "fields", "images", right=numbers)
    for one in plates:
        row(listed, one.id, one.name, one.kind, one.n_wells, one.n_fields, one.n_images)
    print_listed(listed, "no plates yet: hcs-mesh import PATH (images in OMERO that lie on no plate are not listed)")


def print_plate(plate: Plate, labels: Labels = UNLABELLED) -> None:
    """One plate, a line a well."""
    out = console()
    shape = f", {plate.n_rows} x {plate.n_columns} wells" if plate.kind == "plate" and plate.n_rows else ""
    pixel = f", {plate.pixel_size_um:g} µm a pixel" if plate.pixel_size_um else ""
    out.print(f"{plate.kind} {plate.id}: {shown(plate.name)}{shape}{pixel}", markup=False, soft_wrap=True)
    out.print("channels:", ", ".join(map(shown, plate.channels)) or "not named", markup=False, soft_wrap=True)
    for name, value in (
        ("screen:", labels.screen),
        ("project:", labels.project),
        ("dataset:", labels.dataset),
        ("description:", labels.description),
        ("tags:", ", ".join(labels.tags)),
        ("key-values:", ", ".join(f"{key}={value}" for key, value in labels.key_values)),
        ("comment:", labels.comment),
        ("metadata:", ", ".join(f"{key}={value}" for key, value in plate.metadata)),
    ):
        if value:
            out.print(name, shown(value), markup=False, soft_wrap=True)
    out.print("files in:", shown(plate.root), markup=False, soft_wrap=True)
    numbers = ("planes", "projections", "missing")
    listed = table("well", "fields", "channels", "z", "t", "planes", "projections", "missing", right=numbers)
    missing = Counter(one.well for one in plate.missing) + Counter(dict(plate.more_missing))
    for well in plate.declared_wells:
        images = list(plate.images(well=well))
        kinds = Counter(image.kind for image in images)
        planes = [image for image in images if image.kind == "plane"]
        row(
            listed,
            well or IMAGE_KEY,
            _ranges(image.field for image in images),
            _ranges(image.c for image in images),
            _ranges(image.z for image in planes),
            _ranges(image.t for image in images),
            kinds["plane"],
            kinds["projection"],
            missing[well] or "",
        )
    out.print(listed)
    for one in plate.missing[:10]:
        place = f"{one.well} field {one.field} c {one.c} z {one.z} t {one.t}"
        out.print("missing:", place, shown(one.file), markup=False, soft_wrap=True)
    if plate.n_missing > 10:
        told = named_of(len(plate.missing), plate.n_missing)
        out.print(f"... and {plate.n_missing - len(plate.missing[:10])} more missing images (--json lists {told})")
    for note in plate.notes:
        out.print("note:", note, markup=False, soft_wrap=True)


def print_jobs(jobs: Iterable[JobSummary], state: str = "") -> None:
    """The list of jobs, all or those in a ``state``."""
    listed = table("job", "state", "plate", "pipeline", "wells", "objects", "submitted", right=("wells", "objects"))
    for one in jobs:
        plate = f"{one.plate_id} {one.plate_name}"
        wells = f"{one.n_done} of {one.n_wells}"
        when = moment_text(one.submitted_at_unix_s)
        row(listed, one.job, state_text(one.state), plate, one.pipeline, wells, one.n_objects, when)
    print_listed(
        listed,
        f"no job is {state}: hcs-mesh jobs lists the others"
        if state
        else "no jobs yet: hcs-mesh run PLATE PIPELINE.py",
    )


def print_job(job: JobStatus) -> None:
    """One job, a line a well."""
    out = console()
    out.print(
        job.job,
        state_text(job.state),
        shown(f"{job.pipeline} on plate {job.plate_id} {job.plate_name}"),
        markup=False,
        soft_wrap=True,
    )
    if job.reason:
        out.print(job.reason, lines=True, markup=False, soft_wrap=True)
    # Names of measurements are long: as many as fit without being folded, the rest is in --json.
    n_shown = max((out.width - 50) // 18, 1)
    names = list(dict.fromkeys(name for well in job.wells for name, _ in well.measurements))[:n_shown]
    numbers = ("objects", *names, "attempts", "seconds")
    listed = table("well", "state", "objects", *names, "attempts", "seconds", "note", right=numbers)
    for one in job.wells:
        measured = dict(one.measurements)
        values = [f"{measured[name]:.4g}" if name in measured else "" for name in names]
        seconds = f"{one.duration_s:.2f}" if one.duration_s else ""
        note = one.error or "; ".join(one.notes)
        state = state_text(one.state)
        row(listed, one.well or IMAGE_KEY, state, one.n_objects, *values, one.attempts, seconds, note)
    out.print(listed)
    # What a job got over is good to know; what it failed of is not something it survived.
    word = "survived:" if job.state == "done" else "fault:"
    for fault in job.faults:
        out.print(word, fault, lines=True, markup=False, soft_wrap=True)


def print_limit(n: int, limit: int) -> None:
    """That there may be more than the ``limit`` newest, where so many were listed."""
    if limit and n == limit:
        console().print(f"the newest {limit}; --all lists every one, --limit N so many", markup=False)


def print_listed(listed: object, nothing: str) -> None:
    """A table, or a line that says what to do where it has none."""
    out = console()
    if getattr(listed, "row_count", 0):
        out.print(listed)
    else:
        out.print(nothing, markup=False)


def _ranges(numbers: Iterable[int]) -> str:
    """1-4, 7 for 1, 2, 3, 4, 7."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
