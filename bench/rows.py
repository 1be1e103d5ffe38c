"""One line of the table of measurements: ours beside its reference, both measured in one run."""

from pathlib import Path

import msgspec

LONG_ROWS = Path(__file__).with_name("long_rows.json")
"""What ``bench/many_files.py --long`` has measured last: the page tells it, and when that was."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, on what scale, and how near it must come to its reference.

    ``target`` is the bound on ``ratio``: at least that when higher is better, at most that otherwise.
    ``parts`` says what ours is made of, where the measurement knows; ``unmeasured`` why there are no numbers.
    """

    name: str
    reference: float = 0.0
    ours: float = 0.0
    unit: str = ""
    target: float = 1.0
    higher_is_better: bool = True
    parts: str = ""
    unmeasured: str = ""

    @property
    def ratio(self) -> float:
        """Ours divided by the reference."""
        return self.ours / self.reference if self.reference else 0.0

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        if self.unmeasured or not self.reference:
            return False
        return self.ratio >= self.target if self.higher_is_better else self.ratio <= self.target

    def __str__(self) -> str:
        if self.unmeasured:
            return f"{self.name:44s} not measured: {self.unmeasured}"
        bound = ">=" if self.higher_is_better else "<="
        verdict = "met" if self.met else "MISSED"
        return (
            f"{self.name:44s} {self.reference:12,.1f} {self.ours:12,.1f} {self.unit:10s} "
            f"ratio {self.ratio:6.2f} (target {bound} {self.target:g}) {verdict}"
            + (f"\n    {self.parts}" if self.parts else "")
        )


class LongRows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that take too long for every run, and when, where and under what load they were measured."""

    date: str
    machine: str
    load: float
    took_s: float
    rows: tuple[Row, ...]
