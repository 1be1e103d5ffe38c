"""Devices: the same steps on each; what is written for CUDA runs here on a stand-in for CuPy.

The stand-in is NumPy and scipy under CuPy's name: it shows that the steps are the same ones, not that
they run on a card.
"""

import sys
import types

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from hcs_mesh.pipelines import (
    DeviceUnavailable,
    fill_holes,
    gaussian,
    keep_sizes,
    label,
    max_projection,
    measure,
    measure_rings,
    open_device,
    otsu,
    remove_border_objects,
    split_touching,
    threshold,
    tophat,
)


def field(n_discs: int = 40, size: int = 256) -> NDArray[np.uint16]:
    """Paint soft discs on an uneven background, with noise; the same every time."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:size, :size]
    plane = 300 + 2.0 * x
    for cy, cx, r in zip(*rng.integers(0, size, (2, n_discs)), rng.uniform(4, 9, n_discs), strict=True):
        plane += 2000 * ((y - cy) ** 2 + (x - cx) ** 2 < r * r)
    return rng.poisson(plane).astype(np.uint16)


@pytest.fixture
def cupy_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        def __init__(self, index: int) -> None:
            self.index = index

        def __enter__(self) -> None: ...

        def __exit__(self, *failure: object) -> None: ...

    cupy = types.ModuleType("cupy")
    cupy.__dict__.update(
        {name: getattr(np, name) for name in dir(np) if not name.startswith("_")},
        asnumpy=np.asarray,
        cuda=types.SimpleNamespace(Device=Card, runtime=types.SimpleNamespace(getDeviceCount=lambda: 1)),
    )
    cupyx_scipy = types.ModuleType("cupyx.scipy")
    cupyx_scipy.__dict__["ndimage"] = ndimage
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupyx", types.ModuleType("cupyx"))
    monkeypatch.setitem(sys.modules, "cupyx.scipy", cupyx_scipy)


@pytest.mark.usefixtures("cupy_of_numpy")
def test_both_devices_are_told_to_do_the_same() -> None:
    results = []
    for device in (open_device("cpu"), open_device("cuda:0")):
        stack = device.stack([device.put(field()), device.put(field(20))])
        flat = device.run(max_projection, {"stack": stack}, {})
        smooth = device.run(gaussian, {"image": flat.astype(np.float32)}, {"sigma_px": 1.0})
        even = device.run(tophat, {"image": flat}, {"radius_px": 12})
        mask = device.run(otsu, {"image": even}, {"correction": 0.9, "at_least": None})
        mask = device.run(fill_holes, {"mask": mask}, {})
        labels = device.run(label, {"mask": mask}, {"connectivity": 8})
        split = device.run(split_touching, {"mask": mask}, {"distance_px": 5, "smoothing_px": 1.0})
        inner = device.run(remove_border_objects, {"labels": labels}, {"margin_px": 0})
        sized = device.run(keep_sizes, {"labels": inner}, {"min_area_px": 20, "max_area_px": 9000})
        table = device.run(measure, {"labels": sized, "image": flat}, {})
        bright = device.run(threshold, {"image": flat}, {"above": 900.0})
        rings = device.run(measure_rings, {"labels": sized, "image": flat}, {"inner_px": 2.0, "outer_px": 8.0})
        results.append(
            (smooth, even, mask, labels > 0, split, sized > 0, bright, rings["ring_sum"].sum(), table["area_px"].sum())
        )
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4)
    with pytest.raises(DeviceUnavailable, match="there are 1"):
        open_device("cuda:1")


def test_a_cuda_device_without_cupy_says_what_to_install() -> None:
    if "cupy" in sys.modules:
        pytest.fail("cupy is loaded although no pipeline asked for a CUDA device")
    try:
        import cupy  # noqa: F401
    except ImportError:
        with pytest.raises(DeviceUnavailable, match="needs CuPy") as refused:
            open_device("cuda:0")
        assert "hcs-mesh[gpu]" in refused.value.hint
