"""What keeps things alive: actors and their mailboxes, supervisors, processes, the journal."""

from .actor import Actor, Context, Deferred
from .mailbox import MailboxLimits, WhenFull
from .node import Node

__all__ = ["Actor", "Context", "Deferred", "MailboxLimits", "Node", "WhenFull"]
