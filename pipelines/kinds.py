"""What flows between steps: planes, stacks, masks, labels, tables and single numbers (pure).

A registered function says what it takes and gives by these names; compilation checks that they meet.
Arrays are NumPy's on a CPU and CuPy's on a CUDA device, which is why they are ``Any`` to mypy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

Kind = Literal["image", "stack", "mask", "labels", "table", "number"]

Array: TypeAlias = Any
"""numpy.ndarray or cupy.ndarray."""

Image = Annotated[Array, "image"]
"""One plane (Y, X), of the pixel type it was acquired in or float32."""

Stack = Annotated[Array, "stack"]
"""The planes of one field and channel (Z, Y, X); a plane alone passes as a stack of one."""

Mask = Annotated[Array, "mask"]
"""Foreground (Y, X), bool."""

Labels = Annotated[Array, "labels"]
"""Objects (Y, X), int32: 0 is background, objects count from 1 without gaps."""

Table = Annotated[Mapping[str, Array], "table"]
"""Columns of one value an object; the column "label" says which."""

Number = Annotated[float, "number"]
"""One value a well."""

IN_WORDS: dict[str, str] = {
    "image": "an image",
    "stack": "a z stack",
    "mask": "a mask",
    "labels": "labels",
    "table": "a table",
    "number": "a number",
}
