"""Asks before something is done that cannot be taken back."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static


class Confirmation(ModalScreen[bool]):
    """One question; y does it, everything else leaves it."""

    BINDINGS: ClassVar[list[BindingType]] = [("y", "yes", "Yes"), ("n,escape,q", "no", "No")]
    DEFAULT_CSS = """
    Confirmation { align: center middle; }
    Confirmation > Vertical { width: auto; max-width: 80%; height: auto; border: thick $warning; padding: 1 2;
                              background: $surface; }
    Confirmation Static { width: auto; }
    """

    def __init__(self, question: str, consequence: str) -> None:
        super().__init__()
        self._question = question
        self._consequence = consequence

    def compose(self) -> ComposeResult:
        """The question, what follows from it, and the keys."""
        with Vertical():
            yield Static(self._question, markup=False)
            yield Static(self._consequence, markup=False)
            yield Static("\ny: do it     n: leave it", markup=False)

    def action_yes(self) -> None:
        """Do it."""
        self.dismiss(True)  # noqa: FBT003

    def action_no(self) -> None:
        """Leave it."""
        self.dismiss(False)  # noqa: FBT003
