"""The analysis of the demo: nuclei counted, and how far the reporter has moved into them."""

from __future__ import annotations

from ..pipelines import (
    Pipeline,
    channel,
    fill_holes,
    gaussian,
    keep_sizes,
    measure_rings,
    measure_well,
    nucleus_ring_ratio,
    otsu,
    remove_border_objects,
    split_touching,
)

DEMO_PIPELINE = Pipeline(
    name="translocation",
    steps=[
        channel(0, to="dna"),
        channel(1, to="reporter"),
        gaussian("dna", sigma_px=1.5, to="smooth"),
        otsu("smooth", to="foreground"),
        fill_holes("foreground", to="filled"),
        split_touching("filled", distance_px=12, smoothing_px=2.0, to="pieces"),
        remove_border_objects("pieces", to="whole"),
        keep_sizes("whole", min_area_px=150, to="nuclei"),
        measure_rings("nuclei", image="reporter", inner_px=2, outer_px=8, to="rings"),
        nucleus_ring_ratio("rings", to="nucleus_ring_ratio"),
        measure_well("rings", column="nucleus_mean", to="mean_reporter_in_nucleus"),
        measure_well("rings", column="ring_mean", to="mean_reporter_in_ring"),
    ],
    keep=["nuclei"],
    count="nuclei",
)
