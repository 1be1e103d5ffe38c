"""Counts nuclei in the first channel and measures each one."""

from hcs_mesh.pipelines import (
    Pipeline,
    channel,
    fill_holes,
    gaussian,
    keep_sizes,
    max_projection,
    measure,
    measure_well,
    otsu,
    remove_border_objects,
    split_touching,
)

pipeline = Pipeline(
    name="nuclei",
    steps=[
        channel(0, to="dna_stack"),
        max_projection("dna_stack", to="dna"),
        gaussian("dna", sigma_px=1.5, to="smooth"),
        otsu("smooth", correction=0.9, to="foreground"),
        fill_holes("foreground", to="filled"),
        split_touching("filled", distance_px=15, smoothing_px=2.0, to="pieces"),
        remove_border_objects("pieces", to="whole"),
        keep_sizes("whole", min_area_px=300, max_area_px=20000, to="nuclei"),
        measure("nuclei", image="dna", to="per_nucleus"),
        measure_well("per_nucleus", column="area_px", to="mean_area_px"),
        measure_well("per_nucleus", column="mean", to="mean_intensity"),
    ],
    keep=["nuclei"],
    count="nuclei",
)
