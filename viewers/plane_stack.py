"""The pixels of one layer: an n-dimensional array that holds the planes received so far, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axes import Axes
from .grouping import Label

Plane = NDArray[Any]
Position = tuple[Label, ...]


class PlaneStack:
    """An array (axes..., Y, X) that napari can slice; it grows in place and copies no plane to do so.

    A NumPy array of the whole plate would have to be copied at each new well and would hold zeros for
    every plane that never came. Here each plane is an array of its own: ``received`` says which are
    there, a slice through a plane that is not there reads as zeros and ``holds`` tells them apart.
    """

    def __init__(self, axes: Axes, height: int, width: int, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self._axes = axes
        self._yx = (height, width)
        self._planes: dict[Position, Plane] = {}
        self._empty: Plane = np.broadcast_to(np.zeros((), self.dtype), self._yx)

    @property
    def axes(self) -> Axes:
        """The labels along every axis but the last two."""
        return self._axes

    @property
    def shape(self) -> tuple[int, ...]:
        """(axes..., Y, X) as far as they are known."""
        return (*self._axes.shape, *self._yx)

    @property
    def ndim(self) -> int:
        """Axes plus two."""
        return len(self._axes.names) + 2

    @property
    def size(self) -> int:
        """How many pixels the shape spans, received or not."""
        return math.prod(self.shape)

    @property
    def plane_bytes(self) -> int:
        """What one plane takes in memory."""
        return self._yx[0] * self._yx[1] * self.dtype.itemsize

    @property
    def n_received(self) -> int:
        """How many planes are held."""
        return len(self._planes)

    def lie_along(self, axes: Axes) -> None:
        """Take longer axes; planes keep their labels, so their indexes may change."""
        self._axes = axes

    def put(self, position: Position, plane: Plane) -> None:
        """Hold a plane (Y, X); readers see the former one or this one, never a mixture.

        Raises:
            ValueError: the plane's shape or pixel type is not the stack's.
        """
        if plane.shape != self._yx or plane.dtype != self.dtype:
            raise ValueError(f"A plane of {plane.shape} {plane.dtype} is not one of {self._yx} {self.dtype}.")
        self._planes[position] = plane

    def plane(self, position: Position) -> Plane:
        """One plane (Y, X) by its labels; zeros where ``holds`` says no."""
        return self._planes.get(position, self._empty)

    def holds(self, position: Position) -> bool:
        """Whether this plane was received and is still held."""
        return position in self._planes

    def forget(self, positions: Iterable[Position]) -> int:
        """Let planes go, and say how many bytes that freed."""
        return sum(self.plane_bytes for position in list(positions) if self._planes.pop(position, None) is not None)

    def held(self) -> tuple[Position, ...]:
        """The positions of all planes that are held, in order of arrival."""
        return tuple(self._planes)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Plane:
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in [one for one in keys if one is Ellipsis]:
            at = next(i for i, one in enumerate(keys) if one is Ellipsis)
            keys[at : at + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        keys += [slice(None)] * (self.ndim - len(keys))
        axes = self._axes
        chosen, sizes = [], []
        for labels, one in zip(axes.labels, keys[:-2], strict=True):
            picked = np.arange(len(labels))[one]
            chosen.append(np.atleast_1d(picked))
            if np.ndim(picked):
                sizes.append(len(picked))
        yx = (keys[-2], keys[-1])
        if not sizes:
            plane: Plane = self._plane(axes, tuple(int(one[0]) for one in chosen))[yx]
            return plane
        planes = [
            self._plane(axes, tuple(int(one[i]) for one, i in zip(chosen, at, strict=True)))[yx]
            for at in np.ndindex(*(len(one) for one in chosen))
        ]
        if not planes:
            return np.empty((*sizes, *self._empty[yx].shape), self.dtype)
        block: Plane = np.stack(planes).reshape(*sizes, *planes[0].shape)
        return block

    def __array__(self, dtype: Any = None, *, copy: bool | None = None) -> Plane:
        whole: Plane = np.asarray(self[(slice(None),) * self.ndim], dtype=dtype)
        return whole

    def _plane(self, axes: Axes, index: tuple[int, ...]) -> Plane:
        position = tuple(labels[i] for labels, i in zip(axes.labels, index, strict=True))
        return self._planes.get(position, self._empty)
