"""Any folder of TIFF files, by a pattern of their names that the user gives (pure).

``{well}_01_{channel}_{field}_{_}_001.tif`` matches ``B7_01_1_3_DAPI_001.tif``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import Formatter

from ..errors import PatternError, PlatePathError
from ..model import Plate
from ..wells import normalise_well, plate_format, row_number, well_label
from .folder import Folder, is_tiff
from .metaseries import describe
from .name_pattern import MAX_CHARACTERS, NAMES, NamePattern
from .plan import Fileset, LeftOut, Plan, planned_files
from .plane_table import PlaneTable
from .recognition import Planner

_LEGAL_HINT = "Names: " + ", ".join(f"{{{name}}}" for name in NAMES) + " (which stands for anything)."


def compile_pattern(pattern: str) -> NamePattern:
    """Read a brace pattern; it matches the tail of a relative path, from a folder's start.

    Raises:
        PatternError: a brace is not closed, a name is unknown or stands twice, no well is named, or it is too long.
    """
    if len(pattern) > MAX_CHARACTERS:
        raise PatternError(
            f"the pattern has {len(pattern)} characters, and one has no more than {MAX_CHARACTERS}", hint=_LEGAL_HINT
        )
    pieces: list[tuple[str, str]] = []
    seen: set[str] = set()
    try:
        parsed = list(Formatter().parse(pattern))
    except ValueError as error:
        raise PatternError(f"pattern '{pattern}': a brace is not closed", hint=_LEGAL_HINT) from error
    for literal, name, spec, conversion in parsed:
        if literal:
            pieces.append(("", literal))
        if name is None:
            continue
        if name not in NAMES or spec or conversion:
            raise PatternError(f"pattern '{pattern}': {{{name}}} is no name that a pattern knows", hint=_LEGAL_HINT)
        if name != "_" and name in seen:
            raise PatternError(f"pattern '{pattern}': {{{name}}} stands twice", hint=_LEGAL_HINT)
        seen.add(name)
        pieces.append((name, ""))
    if "well" in seen and seen & {"row", "column"}:
        raise PatternError(f"pattern '{pattern}' names the well twice", hint="Use {well}, or {row} and {column}.")
    if "well" not in seen and not {"row", "column"} <= seen:
        raise PatternError(
            f"pattern '{pattern}' does not say where the well is written",
            hint=f"Use {{well}}, or {{row}} and {{column}}. {_LEGAL_HINT}",
        )
    return NamePattern(pieces)


def pattern_planner(pattern: str) -> Planner:
    """A planner of one fileset, whose files are those that the pattern matches.

    Raises:
        PatternError: the pattern is not well formed.
    """
    compiled = compile_pattern(pattern)

    def plan_pattern(folder: Folder) -> Plan:
        matches = {path: match for path in folder.files if (match := compiled.match(path)) is not None}
        if not matches:
            raise _no_match(folder, pattern)
        plates: dict[str, dict[str, dict[str, str]]] = {}
        for path, match in matches.items():
            plates.setdefault(match.get("plate") or folder.name, {})[path] = match
        return Plan(
            filesets=(
                Fileset(
                    planner="pattern",
                    root="",
                    files=planned_files(folder, matches),
                    plates=tuple(_plate(folder, name, found) for name, found in plates.items()),
                ),
            ),
            left_out=tuple(
                LeftOut(path, "the pattern does not match its name") for path in folder.files if path not in matches
            ),
        )

    return plan_pattern


def _no_match(folder: Folder, pattern: str) -> PatternError:
    examples = sorted(folder.files, key=lambda path: not is_tiff(path))[:1]
    like = f", for example {examples[0]}" if examples else ""
    n = len(folder.files)
    return PatternError(
        f"pattern '{pattern}' matches none of the {n} file{'s' if n != 1 else ''} in {folder.name}{like}",
        hint=_LEGAL_HINT,
    )


def _well(found: dict[str, str], path: str) -> str:
    try:
        if found.get("well"):
            return normalise_well(found["well"])
        row = found["row"]
        return well_label(int(row) - 1 if row.isdecimal() else row_number(row), int(found["column"]) - 1)
    except PlatePathError as error:
        raise PatternError(f"{path}: {error}", hint=error.hint or "Rows and columns count from 1.") from error


def _plate(folder: Folder, name: str, groups: dict[str, dict[str, str]]) -> Plate:
    channels = sorted({found.get("channel") or "" for found in groups.values()}, key=_natural)
    zs = _numbers(found.get("z") for found in groups.values())
    ts = _numbers(found.get("t") for found in groups.values())
    wells = {path: _well(found, path) for path, found in groups.items()}
    table = PlaneTable(folder)
    notes: list[str] = []
    for path, found in groups.items():
        z, n_planes, n_samples = found.get("z"), 1, 1
        head = table.head(path)
        if head is not None:
            n_planes, n_samples = head.n_pages if z is None else 1, head.n_samples
            if n_planes < head.n_pages:
                notes.append(f"{path} holds {head.n_pages} pages and the pattern names z: the first alone is used")
            if n_samples > 1:
                notes.append(f"{path} is a colour image of {n_samples} samples: the first alone is used")
        for page in range(n_planes):
            table.claim(
                wells[path],
                path,
                field=int(found.get("field") or 1),
                c=channels.index(found.get("channel") or ""),
                z=page if z is None else zs[int(z)],
                t=ts[int(found["t"])] if found.get("t") else 0,
                page=page * n_samples,
            )
    n_rows, n_columns = plate_format(wells.values())
    return table.plate(
        name=name,
        n_rows=n_rows,
        n_columns=n_columns,
        channels=channels,
        pixel_size_um=describe(folder, next(iter(groups))).pixel_size_um,
        notes=_few(notes),
    )


def _numbers(values: Iterable[str | None]) -> dict[int, int]:
    distinct = sorted({int(value) for value in values if value is not None})
    return {value: index for index, value in enumerate(distinct)}


def _natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    # Channel 10 comes after channel 9; words come after numbers.
    return tuple(
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.findall(r"\d+|\D+", text)
    )


def _few(notes: Sequence[str]) -> tuple[str, ...]:
    return (*notes[:3], *((f"and {len(notes) - 3} more files like these",) if len(notes) > 3 else ()))
