"""How a node stands with the mesh that it joins: written by its uplink, read by whoever asks the node."""

from __future__ import annotations

import asyncio


class Standing:
    """Whether this node is joined, and why not."""

    def __init__(self) -> None:
        self.joined = asyncio.Event()
        """Set while it is joined."""
        self.state = "not joined yet"

    def join(self, node: str) -> None:
        """It is joined under this name."""
        self.state = f"joined as {node}"
        self.joined.set()

    def leave(self, state: str) -> None:
        """It is not, or not any more."""
        self.state = state
        self.joined.clear()
