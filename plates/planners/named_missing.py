"""Which missing images a plate names one by one, so that what is not there costs no more than what is (pure)."""

from __future__ import annotations

from collections import Counter

import msgspec

from ..model import Plate

MAX_NAMED = 10_000
"""Missing images that are named, beside those without which a field would seem to be whole."""


def with_few_named(plate: Plate, *, most: int = MAX_NAMED) -> Plate:
    """The plate with at most so many missing images named and the others counted, well by well.

    A field that lacks a whole channel shows it by what it has. Of a stack that is there in part one missing plane is
    named whatever the number, and one of a well without any image: no pipeline takes either for whole, or for absent.
    """
    if len(plate.missing) <= most:
        return plate
    in_part = {(one.well, one.field, one.t, one.c) for one in plate.images() if one.kind == "plane"}
    lost_wells = {one.well for one in plate.missing} - set(plate.wells)
    named: set[int] = set()
    for row, one in enumerate(plate.missing):
        stack = (one.well, one.field, one.t, one.c)
        if one.kind == "plane" and stack in in_part:
            in_part.remove(stack)
            named.add(row)
        elif one.well in lost_wells:
            lost_wells.remove(one.well)
            named.add(row)
    for row in range(len(plate.missing)):
        if len(named) >= most:
            break
        named.add(row)
    counted = Counter(one.well for row, one in enumerate(plate.missing) if row not in named)
    return msgspec.structs.replace(
        plate,
        missing=tuple(plate.missing[row] for row in sorted(named)),
        more_missing=tuple(counted.items()),
    )
