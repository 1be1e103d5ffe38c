"""Recognition: every planner in turn, each seeing the files that no earlier one claimed (pure)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ...config.errors import MeshError
from ..errors import MetadataError, NotBegun, NothingToImport, NothingYet, PlannerFailed, SourceUnreadable
from .folder import Folder, PartOfFolder, is_ome_xml, is_tiff
from .ome_tiff import refuse_ome_xml
from .plain_fileset import is_container
from .plan import Fileset, LeftOut, Plan
from .soundness import sound

Planner = Callable[[Folder], Plan]

_METADATA_FIRST = frozenset({"metaxpress"})
"""Planners of microscopes that write what a plate is to hold before its first image."""


def recognise(folder: Folder, planners: Sequence[Planner], *, otherwise: Planner | None = None) -> Plan:
    """The filesets that these planners find; whatever belongs to none is left out with a reason.

    ``otherwise`` is asked where all of them together found none.

    Raises:
        NothingToImport: there is no fileset, or not one image in any.
        NotBegun: the same, of an acquisition whose microscope writes that before its images.
        NothingYet: the same, while a vendor's metadata says that something is still to come.
        PlanError: a planner found its layout and could not make sense of it; its culprit is what was read last, where
            the planner names none.
        PlannerFailed: a planner itself failed.
    """
    filesets: list[Fileset] = []
    left_out: list[LeftOut] = []
    pending: list[str] = []
    remaining = set(folder.files)
    for planner in (*planners, otherwise):
        if planner is None or (planner is otherwise and filesets):
            continue
        part = PartOfFolder(folder, remaining)
        found = _asked(planner, part)
        filesets += map(_with_its_end, found.filesets)
        left_out += found.left_out
        pending += (*found.unended, *found.pending)
        remaining -= {file.path for fileset in found.filesets for file in fileset.files}
        remaining -= {one.path for one in found.left_out}
    left_out += [LeftOut(path, _reason(path)) for path in sorted(remaining)]
    plan = Plan(
        filesets=tuple(filesets),
        left_out=tuple(sorted(left_out, key=lambda one: one.path)),
        pending=tuple(dict.fromkeys(pending)),
    )
    # A fileset without plates was never meant to have images.
    if all(fileset.plates and not any(plate.n_images for plate in fileset.plates) for fileset in filesets):
        error = _no_images(plan) if filesets else _nothing(folder, left_out)
        if plan.unended or (plan.pending and any(fileset.planner in _METADATA_FIRST for fileset in filesets)):
            raise NotBegun("; ".join((str(error), *plan.unended[:1])), hint=error.hint)
        if plan.pending:
            raise NothingYet(str(error) if filesets else plan.pending[0], hint=error.hint)
        raise error
    return plan


def _with_its_end(fileset: Fileset) -> Fileset:
    """A fileset whose plates say so where their microscope did not write that it had ended."""
    notes = tuple(f"the microscope had not written that it ended: {why}" for why in fileset.unended)
    if not notes:
        return fileset
    plates = tuple(msgspec.structs.replace(plate, notes=(*plate.notes, *notes)) for plate in fileset.plates)
    return msgspec.structs.replace(fileset, plates=plates, notes=fileset.notes if plates else (*fileset.notes, *notes))


def _asked(planner: Planner, part: PartOfFolder) -> Plan:
    """What one planner finds, whose culprit is what was read last where it names none."""
    name = f"{getattr(planner, '__module__', '')}.{getattr(planner, '__qualname__', type(planner).__name__)}"
    try:
        found = planner(part)
        if not isinstance(found, Plan):
            raise PlannerFailed(
                f"the planner {name} answered with {type(found).__name__} and not with a Plan",
                hint="Repair or uninstall the package that brings it.",
            )
        return msgspec.structs.replace(found, filesets=tuple(sound(fileset) for fileset in found.filesets))
    except (MetadataError, SourceUnreadable, PlannerFailed) as damaged:
        damaged.culprit = damaged.culprit or part.last_read
        raise
    except MeshError:
        raise
    except (Exception, SystemExit) as error:
        # A facility's own planner, or a file of a kind that nobody has thought of: either is named.
        at = part.last_read
        failed = PlannerFailed(
            f"the planner {name} failed{f' at {at}' if at else ''}: {type(error).__name__}: {error}",
            hint="A damaged file is copied again from the microscope, or left out with --exclude; a planner that fails "
            "at a good one is repaired.",
        )
        failed.culprit = at
        raise failed from error


def _reason(path: str) -> str:
    if is_tiff(path):
        return "a TIFF of no known layout: a --pattern would describe it"
    if is_ome_xml(path):
        return "OME-XML, which describes images and holds none that are read here"
    if is_container(path):
        return "an image beside others of a known layout: its own path would import it"
    return "belonging to no plate"


def _nothing(folder: Folder, left_out: Sequence[LeftOut]) -> NothingToImport:
    if not folder.files:
        return NothingToImport(
            f"{folder.name} is empty: there is nothing to import",
            hint="Has the copy begun? Give the folder that the microscope wrote.",
        )
    tiffs = [path for path in folder.files if is_tiff(path)]
    if not tiffs:
        n = len(folder.files)
        described = next(filter(is_ome_xml, folder.files), "")
        if described:
            return refuse_ome_xml(folder, described)
        example = next(iter(folder.files))
        return NothingToImport(
            f"{folder.name} holds {n} file{'s' if n > 1 else ''} and no image of a known layout, for example {example}",
            hint="Known: ImageXpress, MetaXpress, Opera Phenix and Operetta, CellVoyager, OME-TIFF, OME-Zarr, TIFF by "
            "--pattern. To store the files as they are, add --as-files.",
        )
    told = [one for one in left_out if is_tiff(one.path) and one.reason != _reason(one.path)]
    if told and len(told) == len(tiffs):
        return NothingToImport(
            f"{folder.name} cannot be imported: {told[0].path} is {told[0].reason}",
            hint="Copy the folder again from the microscope, with everything that belongs to it.",
        )
    return NothingToImport(
        f"{folder.name} holds {len(tiffs)} TIFF file{'s' if len(tiffs) > 1 else ''} of no known layout, "
        f"for example {tiffs[0]}",
        hint="Say what the names mean with --pattern, for example '{well}_{field}_{channel}.tif', "
        "or import one file by its own path.",
    )


def _no_images(plan: Plan) -> NothingToImport:
    plate = plan.plates[0]
    n_missing = sum(one.n_missing for one in plan.plates)
    why = next((note for one in plan.plates for note in one.notes if "cannot be read" in note), "")
    if why:
        return NothingToImport(
            f"not one image of plate {plate.name} can be read: {why}", hint="Copy the plate again from the microscope."
        )
    # Of an image on no plate they are planes, and not images.
    what = "images" if any(one.kind == "plate" for one in plan.plates) else "planes"
    whose = f"{plate.kind} {plate.name} declares" if len(plan.plates) == 1 else f"{len(plan.plates)} plates declare"
    example = next((one.file for each in plan.plates for one in each.missing if one.file), "")
    return NothingToImport(
        f"{whose} {n_missing} {what} and none of their files is there{f', for example {example}' if example else ''}",
        hint="Copy the images to where the metadata name them, and import the folder that holds both. "
        "--as-files stores what is there, unread and without a plate.",
    )
