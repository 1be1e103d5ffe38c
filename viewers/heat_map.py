"""One measurement over the plate, drawn as the plate lies on the bench."""

from __future__ import annotations

import io
import math
import re
import warnings
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Patch, Rectangle

from .report_model import Measurement, ReportJob, ReportWell, well_value

FAILED_STATES = ("failed", "dead")
FORMATS = ((2, 3), (4, 6), (8, 12), (16, 24), (32, 48))
INK, PALE, FAILED, WAITING = "#1f2933", "#d9dee5", "#c81e1e", "#8896a8"
_POSITION = re.compile(r"([A-Z]{1,2})(\d{1,2})")


class Position(NamedTuple):
    """Where a well lies, both from 0."""

    row: int
    column: int


def well_position(well: str) -> Position | None:
    """Read A01 as row 0, column 0 and AA01 as row 26; None where the label is no well's."""
    match = _POSITION.fullmatch(well)
    if match is None or int(match[2]) == 0:
        return None
    row = 0
    for letter in match[1]:
        row = row * 26 + ord(letter) - ord("A") + 1
    return Position(row - 1, int(match[2]) - 1)


def row_label(row: int) -> str:
    """The letters of one row, from 0: A to Z, then AA."""
    return chr(ord("A") + row) if row < 26 else chr(ord("A") + row // 26 - 1) + chr(ord("A") + row % 26)


def plate_shape(job: ReportJob) -> Position | None:
    """The plate's rows and columns: as declared, else the smallest standard plate; None without any well."""
    places = [place for one in job.wells if (place := well_position(one.well))]
    if not places:
        return None
    n_rows = max(job.n_rows, 1 + max(place.row for place in places))
    n_columns = max(job.n_columns, 1 + max(place.column for place in places))
    if job.n_rows and job.n_columns:
        return Position(n_rows, n_columns)
    fitting = (Position(*one) for one in FORMATS if one[0] >= n_rows and one[1] >= n_columns)
    return next(fitting, Position(n_rows, n_columns))


def draw_heat_map(job: ReportJob, measurement: Measurement) -> bytes:
    """Draw the plate as PNG; empty where no well lies on a plate.

    Failed wells are crossed out, unfinished ones dotted, and wells without a value left open.
    """
    shape = plate_shape(job)
    if shape is None:
        return b""
    known = {place: one for one in job.wells if (place := well_position(one.well))}
    values = {place: value for place, one in known.items() if (value := _finite(one, measurement.name)) is not None}
    low, high = _span(list(values.values()))
    scale = ScalarMappable(Normalize(low, high), cmap="viridis")
    figure = _figure(shape)
    axes = figure.add_subplot()
    _frame(axes, shape)
    for row in range(shape.row):
        for column in range(shape.column):
            place = Position(row, column)
            value = values.get(place)
            colour = scale.cmap((value - low) / (high - low)) if value is not None else None
            _draw_well(axes, shape, place, known.get(place), colour)
            if colour is not None and value is not None and shape.column <= 12:
                ink = "white" if sum(colour[:3]) < 1.5 else INK
                size = 10 if shape.column <= 6 else 6
                axes.text(column, row, _short(value), ha="center", va="center", size=size, color=ink)
    if values:
        _colour_bar(figure, axes, scale, measurement)
    _legend(axes, known, values)
    return _png(figure)


def _figure(shape: Position) -> Figure:
    width = 6.8
    figure = Figure(
        figsize=(width, 1.0 + 5.3 * shape.row / shape.column),
        dpi=160,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    return figure


def _frame(axes: Axes, shape: Position) -> None:
    axes.set_xlim(-0.7, shape.column - 0.3)
    axes.set_ylim(shape.row - 0.3, -0.7)
    axes.set_aspect("equal")
    axes.set_frame_on(False)
    size = 9 if shape.column <= 12 else 6 if shape.column <= 24 else 4
    axes.set_xticks(range(shape.column), [str(n + 1) for n in range(shape.column)])
    axes.set_yticks(range(shape.row), [row_label(n) for n in range(shape.row)])
    axes.tick_params(
        length=0,
        labelsize=size,
        labelcolor=INK,
        top=False,
        labeltop=True,
        labelbottom=False,
    )
    axes.add_patch(
        FancyBboxPatch(
            (-0.55, -0.55),
            shape.column + 0.1,
            shape.row + 0.1,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor="#f7f9fb",
            edgecolor=PALE,
            linewidth=1.0,
        )
    )


def _draw_well(
    axes: Axes,
    shape: Position,
    place: Position,
    well: ReportWell | None,
    colour: tuple[float, float, float, float] | None,
) -> None:
    small = shape.column > 12
    row, column = place
    patch: Patch = Rectangle((column - 0.46, row - 0.46), 0.92, 0.92) if small else Circle((column, row), 0.42)
    failed = well is not None and well.state in FAILED_STATES
    open_edge = WAITING if well is not None else PALE
    patch.set_facecolor(colour or "white")
    patch.set_edgecolor(FAILED if failed else INK if colour else open_edge)
    patch.set_linewidth(0.3 if small else 0.6 if colour else 1.0)
    patch.set_linestyle(":" if well is not None and not failed and colour is None else "-")
    axes.add_patch(patch)
    if failed:
        for slope in (0.3, -0.3):
            axes.plot([column - 0.3, column + 0.3], [row - slope, row + slope], color=FAILED, lw=1.2)


def _colour_bar(figure: Figure, axes: Axes, scale: ScalarMappable, measurement: Measurement) -> None:
    bar = figure.colorbar(scale, ax=axes, shrink=0.85, pad=0.02, aspect=18)
    label = f"{measurement.name} ({measurement.unit})" if measurement.unit else measurement.name
    bar.set_label(label, size=9, color=INK)
    # A dollar sign in a name is a dollar sign.
    bar.ax.yaxis.label.set_parse_math(False)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2, color=WAITING, labelcolor=INK)


def _legend(axes: Axes, known: dict[Position, ReportWell], values: dict[Position, float]) -> None:
    failed = sum(one.state in FAILED_STATES for one in known.values())
    without = sum(place not in values and one.state not in FAILED_STATES for place, one in known.items())
    entries = []
    if failed:
        mark = Line2D([], [], marker="x", color=FAILED, ls="", ms=6, label=f"failed ({failed})")
        entries.append(mark)
    if without:
        ring = Line2D(
            [],
            [],
            marker="o",
            mfc="white",
            mec=WAITING,
            ls="",
            ms=7,
            label=f"no value ({without})",
        )
        entries.append(ring)
    if entries:
        axes.legend(
            handles=entries,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=2,
            frameon=False,
            fontsize=8,
        )


def _span(values: list[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    margin = abs(low) * 0.5 or 0.5
    return (low, high) if low < high else (low - margin, high + margin)


def _finite(well: ReportWell, name: str) -> float | None:
    value = well_value(well, name)
    return float(value) if value is not None and math.isfinite(value) else None


def _short(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e6 else f"{value:.3g}"


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # A name may be in any script; a glyph the font lacks is drawn as a box and is no reason to warn.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
