"""Tells whether a protein has moved into the nucleus: its brightness there against the ring around."""

from hcs_mesh.pipelines import (
    Pipeline,
    channel,
    gaussian,
    keep_sizes,
    measure_rings,
    measure_well,
    nucleus_ring_ratio,
    otsu,
    split_touching,
)

pipeline = Pipeline(
    name="translocation",
    steps=[
        channel(0, to="gfp"),
        channel(1, to="dna"),
        gaussian("dna", sigma_px=1.0, to="smooth"),
        otsu("smooth", to="foreground"),
        split_touching("foreground", distance_px=5, smoothing_px=1.0, to="pieces"),
        keep_sizes("pieces", min_area_px=30, to="nuclei"),
        measure_rings("nuclei", image="gfp", inner_px=2, outer_px=8, to="rings"),
        nucleus_ring_ratio("rings", to="nucleus_ring_ratio"),
        measure_well("rings", column="nucleus_mean", to="mean_gfp_in_nucleus"),
        measure_well("rings", column="ring_mean", to="mean_gfp_in_ring"),
    ],
    keep=["nuclei"],
    count="nuclei",
)
