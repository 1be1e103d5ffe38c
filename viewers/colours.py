"""Which colour a channel starts with; the person's own choice is never touched afterwards."""

from __future__ import annotations

_NUCLEAR = ("dapi", "hoechst", "dna", "nuclei", "draq")
_CYCLE = ("green", "magenta", "yellow", "cyan", "red")


def colormap_of(channel: str, n_before: int) -> str:
    """The name of napari's colormap for the next channel, ``n_before`` channels being shown already."""
    if any(word in channel.lower() for word in _NUCLEAR):
        return "bop blue"
    return "gray" if n_before == 0 else _CYCLE[(n_before - 1) % len(_CYCLE)]
