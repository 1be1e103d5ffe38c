"""What keeps things alive: actors and their mailboxes, supervisors, processes, the journal."""

from .actor import Actor, Context, Deferred
from .backoff import Backoff
from .child import Child, Exit, Running
from .errors import (
    ChildStartFailed,
    DuplicateChild,
    NoSuchChild,
    ProcessStartFailed,
    SupervisorNotRunning,
    SupervisorRunning,
)
from .health import Health, HealthLimits
from .intensity import RestartIntensity
from .launch import process_child, start_process
from .lifeline import end_with_parent, tell_ready
from .mailbox import MailboxLimits, WhenFull
from .node import Node
from .process import ProcessChild, ProcessSpec
from .reports import SupervisionReport, TreeRow
from .strategy import OnExhausted, Restart, Strategy
from .supervisor import Supervisor
from .surroundings import Surroundings

__all__ = [
    "Actor",
    "Backoff",
    "Child",
    "ChildStartFailed",
    "Context",
    "Deferred",
    "DuplicateChild",
    "Exit",
    "Health",
    "HealthLimits",
    "MailboxLimits",
    "NoSuchChild",
    "Node",
    "OnExhausted",
    "ProcessChild",
    "ProcessSpec",
    "ProcessStartFailed",
    "Restart",
    "RestartIntensity",
    "Running",
    "Strategy",
    "SupervisionReport",
    "Supervisor",
    "SupervisorNotRunning",
    "SupervisorRunning",
    "Surroundings",
    "TreeRow",
    "WhenFull",
    "end_with_parent",
    "process_child",
    "start_process",
    "tell_ready",
]
