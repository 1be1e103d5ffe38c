"""The node of a mesh: what it finds by name may live on a host that has joined."""

from __future__ import annotations

from .actors.nodes.joined_nodes import JoinedNodes
from .actors.nodes.remote_ref import RemoteRef
from .supervisors import Node
from .transport import Ref


class MeshNode(Node):
    """A node whose names reach as far as the mesh does: ``analyser@gpu7`` is that actor on the host gpu7."""

    def __init__(self, name: str, joined: JoinedNodes) -> None:
        """Make a node on the running loop, which finds actors on ``joined`` hosts too."""
        super().__init__(name)
        self.joined = joined

    def find(self, name: str) -> Ref:
        """The reference to an actor by name; it need not be up yet, nor its host have joined."""
        own = super().find(name)
        return RemoteRef(name, self.joined, own, self.cells) if "@" in name else own
