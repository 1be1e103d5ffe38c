"""What people attach to a plate: where it belongs, and what they want to say of it (pure)."""

from __future__ import annotations

import msgspec

DESCRIPTION = "hcs-mesh/description"
"""Namespace of a plate's description."""
COMMENT = "hcs-mesh/comment"
"""Namespace of what was remarked when a plate was imported."""
TAG = "hcs-mesh/tag"
"""Namespace of tags: the tag is the annotation's value."""
KEY_VALUE = "hcs-mesh/key-value"
"""Namespace of key-value pairs: the key is the annotation's name."""

LABEL_NAMESPACES = (DESCRIPTION, COMMENT, TAG, KEY_VALUE)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where an import's plates belong and what is attached to each of them; empty means nothing of the kind.

    Screen, project and dataset are made where they are missing; the dataset lies in the project.
    """

    screen: str = ""
    project: str = ""
    dataset: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    key_values: tuple[tuple[str, str], ...] = ()
    comment: str = ""


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plate belongs and what is attached to it; several comments stand on a line each."""

    screen: str = ""
    project: str = ""
    dataset: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    key_values: tuple[tuple[str, str], ...] = ()
    comment: str = ""


UNLABELLED = Labels()
"""Of a plate that nobody said anything about."""
