"""Who takes what comes over a link."""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

from .codec import Envelope

LinkT_contra = TypeVar("LinkT_contra", contravariant=True)


class Deliver(Protocol[LinkT_contra]):
    """Who takes an envelope that came over a link: asks, tells and what concerns the node itself."""

    def __call__(self, link: LinkT_contra, envelope: Envelope) -> None:
        """Take it, without waiting.

        Raises:
            BadMessage: the peer should not have sent it.
        """
        ...


@runtime_checkable
class DeliverRuns(Protocol[LinkT_contra]):
    """Who takes several events for one actor in one go; from others they are taken one by one."""

    def deliver_run(self, link: LinkT_contra, run: Envelope) -> None:
        """Take them, without waiting.

        Raises:
            BadMessage: the peer should not have sent it.
        """
        ...
