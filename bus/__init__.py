"""HOW it travels: typed events on NATS JetStream. The only room that knows the server and its client library."""

from bus.bus import Bus, connected_to_log, make_streams
from bus.causes import Causes, trace_of
from bus.dead import DeadLetter
from bus.delivery import Delivery, Skipped
from bus.errors import (
    BusError,
    Conflict,
    DuplicateMismatch,
    LeaseHeld,
    LeaseLost,
    LogChanged,
    NoDurable,
    NoLetter,
    NoResponder,
    NoService,
    NoStream,
    NotPermitted,
    ObjectCorrupt,
    ObjectMissing,
    ObjectTooLarge,
    Refused,
    ServerRefused,
    TopologyDrift,
    Unavailable,
    Unsuitable,
)
from bus.follow import Reader
from bus.inbox import Arrived, Inbox
from bus.leases import Held, Lease
from bus.log import Log
from bus.objects import Object
from bus.outcomes import Done, Drop, Outcome, Retry
from bus.presence import Seen, Silent
from bus.publish import MAX_BATCH, Expect
from bus.stored import Stored
from bus.topology import WANTED, WORK, Durable

__all__ = [
    "MAX_BATCH",
    "WANTED",
    "WORK",
    "Arrived",
    "Bus",
    "BusError",
    "Causes",
    "Conflict",
    "DeadLetter",
    "Delivery",
    "Done",
    "Drop",
    "DuplicateMismatch",
    "Durable",
    "Expect",
    "Held",
    "Inbox",
    "Lease",
    "LeaseHeld",
    "LeaseLost",
    "Log",
    "LogChanged",
    "NoDurable",
    "NoLetter",
    "NoResponder",
    "NoService",
    "NoStream",
    "NotPermitted",
    "Object",
    "ObjectCorrupt",
    "ObjectMissing",
    "ObjectTooLarge",
    "Outcome",
    "Reader",
    "Refused",
    "Retry",
    "Seen",
    "ServerRefused",
    "Silent",
    "Skipped",
    "Stored",
    "TopologyDrift",
    "Unavailable",
    "Unsuitable",
    "connected_to_log",
    "make_streams",
    "trace_of",
]
