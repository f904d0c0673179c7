"""What can go wrong on the bus.

BusError
├── Unavailable         the server did not answer within the caller's deadline
│   └── NoResponder     nobody listens where the question went
├── Unsuitable          a server that would quietly drop a promise: too old, not durable, JetStream off
├── TopologyDrift       a stream or durable consumer that is not configured as it must be
│   ├── NoStream        a stream that is not there yet
│   └── NoDurable       a durable consumer that is not there yet
├── LogChanged          the log was recreated, cut or rolled back under a reader
├── ServerRefused       the server answered with an error of its API
│   ├── Conflict        an expectation did not hold: somebody else wrote first
│   └── NotPermitted    a subject that our key may not write or hear
├── DuplicateMismatch   an id that is stored already, with another subject or body: an alarm
├── LeaseHeld           somebody else holds the lease
├── LeaseLost           the lease is not ours any more, or may not be
├── NoLetter            no such dead letter, or none that is still to be decided about
├── ObjectMissing       nothing is stored under that name, or not any more
├── ObjectCorrupt       what is stored is not what was put there
├── ObjectTooLarge      more than an object may hold
├── NoService           nobody answers a request
└── Refused             a service answered that it will not, and why
"""


class BusError(Exception):
    """Root of this room's errors."""


class Unavailable(BusError):
    """The server did not answer within the caller's deadline."""


class NoResponder(Unavailable):
    """Nobody listens where the question went."""


class Unsuitable(BusError):
    """A server that would quietly drop a promise."""


class TopologyDrift(BusError):
    """A stream or durable consumer that is not configured as it must be."""


class NoStream(TopologyDrift):
    """A stream that is not there yet."""


class NoDurable(TopologyDrift):
    """A durable consumer that is not there yet."""


class LogChanged(BusError):
    """The log was recreated, cut or rolled back under a reader."""


class ServerRefused(BusError):
    """The server's API answered with an error; `code` is its `err_code`."""

    def __init__(self, what: str, code: int, description: str) -> None:
        super().__init__(f"{what}: the server refused ({code}: {description})")
        self.code = code


class Conflict(ServerRefused):
    """An expectation did not hold: somebody else wrote first."""


class NotPermitted(ServerRefused):
    """A subject that our key may not write or hear."""

    def __init__(self, principal: str, verb: str, subject: str) -> None:
        BusError.__init__(
            self, f"the key of {principal} may not {verb} {subject}: not in its permissions (bus/permissions.py)"
        )
        self.code = 0
        self.subject = subject


class DuplicateMismatch(BusError):
    """An id that is stored already, with another subject or body."""


class LeaseHeld(BusError):
    """Somebody else holds the lease."""


class LeaseLost(BusError):
    """The lease is not ours any more, or may not be; `__cause__` says what showed it, if anything did."""


class NoLetter(BusError):
    """No such dead letter, or none that is still to be decided about."""


class ObjectMissing(BusError):
    """Nothing is stored under that name, or not any more."""


class ObjectCorrupt(BusError):
    """What is stored is not what was put there."""


class ObjectTooLarge(BusError):
    """More than an object may hold."""


class NoService(BusError):
    """Nobody answers a request."""


class Refused(BusError):
    """A service answered that it will not, and why."""
