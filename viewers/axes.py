"""The axes of one layer, which grow as coordinates appear and always stay sorted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .grouping import Component, Label


@dataclass(frozen=True)
class Axes:
    """The sorted labels of each axis of a layer; grown by making a larger one."""

    names: tuple[Component, ...]
    labels: tuple[tuple[Label, ...], ...]

    @classmethod
    def empty(cls, names: tuple[Component, ...]) -> Axes:
        """Axes without a single coordinate."""
        return cls(names, tuple(() for _ in names))

    @property
    def shape(self) -> tuple[int, ...]:
        """How many labels each axis holds."""
        return tuple(len(labels) for labels in self.labels)

    def grown(self, positions: Iterable[tuple[Label, ...]]) -> Axes:
        """These axes with room for every position; the same object where nothing is new."""
        known = [set(labels) for labels in self.labels]
        for position in positions:
            for labels, one in zip(known, position, strict=True):
                labels.add(one)
        return self._with(known)

    def spanning(self, labels: Mapping[Component, Iterable[Label]]) -> Axes:
        """These axes with room for every label named for one of them; other names are passed over."""
        return self._with(
            [set(known).union(labels.get(name, ())) for name, known in zip(self.names, self.labels, strict=True)]
        )

    def index(self, position: tuple[Label, ...]) -> tuple[int, ...] | None:
        """Where a position lies, or None where an axis does not know its label yet."""
        found = []
        for labels, one in zip(self.labels, position, strict=True):
            if one not in labels:
                return None
            found.append(labels.index(one))
        return tuple(found)

    def position(self, index: tuple[int, ...]) -> tuple[Label, ...]:
        """The labels at an index; an index past the end means the last label."""
        return tuple(labels[min(one, len(labels) - 1)] for labels, one in zip(self.labels, index, strict=True))

    def _with(self, known: list[set[Label]]) -> Axes:
        if [len(labels) for labels in known] == [len(labels) for labels in self.labels]:
            return self
        return Axes(self.names, tuple(tuple(sorted(labels, key=_order)) for labels in known))


def _order(label: Label) -> tuple[int, int, str, int]:
    """Numbers by value; wells row by row, as they lie on the plate: B2 before B10, Z01 before AA01."""
    if isinstance(label, int):
        return (0, label, "", 0)
    row = label.rstrip("0123456789")
    column = label[len(row) :]
    return (1, len(row), row, int(column) if column else -1)
