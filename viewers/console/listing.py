"""A table that is brought up to date in place: the cursor stays on the line that its user chose."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import DataTable

from ...config.written_out import shown
from .words import Line

STYLES = {"good": "green", "bad": "bold red", "odd": "yellow"}
MOOD_COLUMN = 1
"""The column that has the colour of the line's mood: the state."""


class Listing(DataTable[Text]):
    """Lines under columns, each with a key."""

    def __init__(self, columns: Sequence[str], *, id: str, mood_column: int = MOOD_COLUMN) -> None:  # noqa: A002
        super().__init__(id=id, cursor_type="row", zebra_stripes=False)
        self._names = tuple(columns)
        self._mood_column = mood_column
        self._shown: list[Line] = []

    def on_mount(self) -> None:
        """Make the columns."""
        for name in self._names:
            self.add_column(name, key=name)

    @property
    def chosen(self) -> str:
        """The key of the line under the cursor; empty where there is none."""
        return self._shown[self.cursor_row].key if 0 <= self.cursor_row < len(self._shown) else ""

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines; nothing is drawn that has not changed."""
        if [one.key for one in lines] == [one.key for one in self._shown]:
            for number, (line, before) in enumerate(zip(lines, self._shown, strict=True)):
                if line != before:
                    self._renew(number, line)
        else:
            chosen, column = self.chosen, self.cursor_column
            self.clear()
            for number, line in enumerate(lines):
                self.add_row(*self._cells(line), key=str(number))
            keys = [line.key for line in lines]
            if chosen in keys:
                self.move_cursor(row=keys.index(chosen), column=column)
        self._shown = list(lines)

    def _renew(self, number: int, line: Line) -> None:
        for name, cell in zip(self._names, self._cells(line), strict=True):
            self.update_cell(str(number), name, cell, update_width=True)

    def _cells(self, line: Line) -> list[Text]:
        style = STYLES.get(line.mood, "")
        return [
            Text(shown(cell), style=style if number == self._mood_column else "", no_wrap=True)
            for number, cell in enumerate(line.cells)
        ]
