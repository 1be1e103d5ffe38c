"""Where arrays live while a pipeline runs: in memory for a CPU, on the card for CUDA."""

from __future__ import annotations

import re
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import DeviceUnavailable
from .functions import Function
from .kinds import Array

DEVICE_NAME = re.compile(r"cpu|cuda:(\d{1,3})")


class Device(Protocol):
    """Computes steps; arrays stay on it from the first plane to the kept results."""

    name: str

    def put(self, array: NDArray[Any]) -> Array:
        """Bring an array to the device."""

    def fetch(self, array: Array) -> NDArray[Any]:
        """Bring an array back to the host."""

    def stack(self, planes: list[Array]) -> Array:
        """Lay planes of one size on each other: (Z, Y, X)."""

    def run(self, function: Function, inputs: dict[str, Any], parameters: dict[str, Any]) -> Any:
        """Compute one call."""


class Cpu:
    """NumPy and OpenCV; how many threads they use is the executor's business."""

    name = "cpu"

    def put(self, array: NDArray[Any]) -> Array:
        """Return the array in the machine's byte order, which OpenCV wants."""
        return np.asarray(array, dtype=array.dtype.newbyteorder("="))

    def fetch(self, array: Array) -> NDArray[Any]:
        """Return the array itself."""
        return np.asarray(array)

    def stack(self, planes: list[Array]) -> Array:
        """Lay planes of one size on each other; one plane is not copied."""
        return planes[0][None] if len(planes) == 1 else np.stack(planes)

    def run(self, function: Function, inputs: dict[str, Any], parameters: dict[str, Any]) -> Any:
        """Compute one call."""
        return function.on_cpu(**inputs, **parameters)


class Cuda:
    """CuPy on one card. Not run yet: no GPU was at hand when it was written.

    A function that has nothing written for CUDA gets its inputs on the host, and its result is brought
    back: slower, never different.
    """

    def __init__(self, index: int) -> None:
        try:
            import cupy

            n_cards = cupy.cuda.runtime.getDeviceCount()
        except ImportError as wrong:
            raise DeviceUnavailable(
                f"device cuda:{index} needs CuPy, which cannot be imported: {wrong}",
                hint="pip install 'hcs-mesh[gpu]'",
            ) from wrong
        except RuntimeError as wrong:  # cupy.cuda.runtime.CUDARuntimeError: no driver, no card
            raise DeviceUnavailable(f"device cuda:{index}: {wrong}", hint="look at nvidia-smi") from wrong
        if index >= n_cards:
            raise DeviceUnavailable(
                f"device cuda:{index} does not exist: there are {n_cards}", hint="look at nvidia-smi"
            )
        self.name = f"cuda:{index}"
        self._cupy: Any = cupy
        self._card: Any = cupy.cuda.Device(index)

    def put(self, array: NDArray[Any]) -> Array:
        """Copy an array to the card."""
        with self._card:
            return self._cupy.asarray(np.asarray(array, dtype=array.dtype.newbyteorder("=")))

    def fetch(self, array: Array) -> NDArray[Any]:
        """Copy an array from the card."""
        with self._card:
            fetched: NDArray[Any] = self._cupy.asnumpy(array)
        return fetched

    def stack(self, planes: list[Array]) -> Array:
        """Lay planes of one size on each other, on the card."""
        with self._card:
            return self._cupy.stack(planes)

    def run(self, function: Function, inputs: dict[str, Any], parameters: dict[str, Any]) -> Any:
        """Compute one call on the card, or on the host where nothing else is written."""
        with self._card:
            if function.cuda is not None:
                return function.cuda(**inputs, **parameters)
            on_host = {name: self._each(value, self._cupy.asnumpy) for name, value in inputs.items()}
            return self._each(function.on_cpu(**on_host, **parameters), self._cupy.asarray)

    @staticmethod
    def _each(value: Any, move: Any) -> Any:
        if isinstance(value, dict):
            return {name: move(column) for name, column in value.items()}
        return value if isinstance(value, float) else move(value)


def open_device(name: str) -> Device:
    """Return the device called "cpu", "cuda:0", "cuda:1"...

    Raises:
        DeviceUnavailable: no such device, or its library is not installed.
    """
    match = DEVICE_NAME.fullmatch(name)
    if match is None:
        raise DeviceUnavailable(f'there is no device "{name}"', hint='devices are called "cpu", "cuda:0", "cuda:1"...')
    return Cpu() if match[1] is None else Cuda(int(match[1]))
