"""The streams and durable consumers as data. `ensure` makes the server's equal to it, `verify` says which field is not.

The log has neither timers nor TTL: switching schedules on forces roll-up and purge on with them, and then a key that
may only write its own subjects could erase it. With them off, and delete and purge denied, the server refuses.
"""

from typing import Final

from msgspec import Struct

from schemas import Actor, assignments_of, review_requests, reviews_wanted

DAY: Final = 86_400_000_000_000
"""Nanoseconds, JetStream's unit of time."""
SECOND: Final = 1_000_000_000


class Republish(Struct, frozen=True):
    """What the server says again to plain subscribers, once it is stored, with its place in the stream."""

    src: str
    dest: str


class Source(Struct, frozen=True):
    """A stream whose messages the server copies into another."""

    name: str


class Stream(Struct, frozen=True, kw_only=True):
    """A stream's full configuration, in the server's own field names and units (nanoseconds, bytes)."""

    name: str
    description: str
    subjects: tuple[str, ...] = ()
    storage: str = "file"
    retention: str = "limits"
    discard: str = "old"
    num_replicas: int = 1
    max_age: int = 0
    max_bytes: int = -1
    max_msgs: int = -1
    max_msg_size: int = -1
    max_msgs_per_subject: int = -1
    discard_new_per_subject: bool = False
    """With `discard` new: what is there stays, and what comes second on its subject is refused."""
    duplicate_window: int = 120 * SECOND
    allow_direct: bool = True
    allow_atomic: bool = False
    allow_rollup_hdrs: bool = False
    allow_msg_ttl: bool = False
    allow_msg_schedules: bool = False
    subject_delete_marker_ttl: int = 0
    deny_delete: bool = False
    deny_purge: bool = False
    republish: Republish | None = None
    sources: tuple[Source, ...] | None = None


STORED: Final = "stored"
"""First token of the subjects on which the server says again what it has stored; no key may publish there."""

LOG: Final = Stream(
    name="RIG",
    description="the events: every fact and every decision, for ever",
    subjects=("rig.>",),
    allow_atomic=True,
    deny_delete=True,
    deny_purge=True,
    republish=Republish("rig.>", f"{STORED}.rig.>"),
)
INBOX: Final = Stream(
    # One word on a subject, and the first one stays: what comes again within the seven days is refused by the server.
    name="RIG_INBOX",
    description="deliveries from outside, as they came, and what became of them",
    subjects=("inbox.>",),
    discard="new",
    max_age=7 * DAY,
    max_bytes=8 * 1024**3,
    max_msgs_per_subject=1,
    discard_new_per_subject=True,
    allow_atomic=True,
    deny_delete=True,
    deny_purge=True,
)
RUNS: Final = Stream(
    name="RIG_RUNS",
    description="output of agent runs",
    subjects=("run.>",),
    max_age=14 * DAY,
    max_bytes=4 * 1024**3,
    deny_delete=True,
    deny_purge=True,
)
BEATS: Final = Stream(
    name="RIG_BEATS",
    description="the last heartbeat of each agent, as it is said",
    subjects=("presence.>",),
    max_msgs_per_subject=1,
    allow_msg_ttl=True,
    deny_delete=True,
    deny_purge=True,
)
PRESENCE: Final = Stream(
    # Delete markers force roll-up on, and roll-up erases: so nobody writes here but the server, from RIG_BEATS.
    name="RIG_PRESENCE",
    description="the last heartbeat of each agent, expiring by itself, with a marker when it has",
    sources=(Source(BEATS.name),),
    max_msgs_per_subject=1,
    allow_msg_ttl=True,
    allow_rollup_hdrs=True,
    subject_delete_marker_ttl=60 * SECOND,
    deny_delete=True,
    republish=Republish("presence.>", f"{STORED}.presence.>"),
)
CONDUCTOR_TIMERS: Final = Stream(
    name="RIG_TIMERS_CONDUCTOR",
    description="deadlines of the conductor, waiting to fire",
    subjects=("timer.conductor.>",),
    allow_msg_schedules=True,
    allow_msg_ttl=True,
    allow_rollup_hdrs=True,  # the server switches it on with schedules
)
AGENT_TIMERS: Final = Stream(
    name="RIG_TIMERS_AGENT",
    description="when agents are due by their schedules, waiting to fire",
    subjects=("timer.agent.>",),
    allow_msg_schedules=True,
    allow_msg_ttl=True,
    allow_rollup_hdrs=True,
)
LEASES: Final = Stream(
    name="RIG_LEASES",
    description="who holds what, for how long: the last word per lease, expiring by itself",
    subjects=("lease.>",),
    max_msgs_per_subject=1,
    allow_msg_ttl=True,
    deny_delete=True,
    deny_purge=True,
)
OBJECTS: Final = Stream(
    name="RIG_OBJECTS",
    description="archives of sessions, in chunks",
    subjects=("object.>",),
    allow_atomic=True,
    max_age=30 * DAY,
    max_bytes=8 * 1024**3,
    deny_delete=True,
    deny_purge=True,
)
DEAD: Final = Stream(
    name="RIG_DEAD",
    description="what could not be handled, with the reason",
    subjects=(
        "dead.>",
        # What consumers that count deliveries themselves give up; the server says so and nothing else does.
        "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.*.*",
        "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.*.*",
    ),
    max_age=90 * DAY,
    deny_delete=True,
    deny_purge=True,
)
STREAMS: Final = (LOG, INBOX, RUNS, BEATS, PRESENCE, CONDUCTOR_TIMERS, AGENT_TIMERS, LEASES, OBJECTS, DEAD)
CACHES: Final = frozenset({PRESENCE.name, CONDUCTOR_TIMERS.name, AGENT_TIMERS.name})
"""What these hold is said or set again: where one cannot be changed into what it must be, it is deleted and made anew.

No other stream is ever deleted; of the leases even the positions must last, since they are fencing tokens.
"""
ONCE_OPEN: Final = frozenset({DEAD.name})
"""An earlier release let these be deleted from. Any other that is found so was not made by Rig, or not left alone."""


class Durable(Struct, frozen=True, kw_only=True):
    """A durable consumer: replicas of one role share it. It begins at the first message ever stored."""

    stream: Stream
    name: str
    filter: str
    ack_wait_seconds: float = 30.0
    """How long a message may go without a sign of life before another replica gets it."""
    max_ack_pending: int = 10_000
    """What all replicas together may hold; the server's own default starves the third that prefetches."""

    @property
    def retries(self) -> "Durable":
        """Where its dead letters come back; a consumer of this durable takes from that one too."""
        return Durable(
            stream=DEAD,
            name=f"{self.stream.name}-{self.name}",
            filter=f"dead.retry.{self.stream.name}.{self.name}",
            ack_wait_seconds=self.ack_wait_seconds,
        )

    def config(self) -> dict[str, object]:
        """Its full configuration, in the server's words and units."""
        return {
            "durable_name": self.name,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(self.ack_wait_seconds * SECOND),
            "max_deliver": -1,
            "max_ack_pending": self.max_ack_pending,
            "filter_subject": self.filter,
            "replay_policy": "instant",
        }


TIMERS: Final = {Actor.CONDUCTOR: CONDUCTOR_TIMERS, Actor.AGENT: AGENT_TIMERS}
"""Of each role that uses timers. Each has a stream of its own: with schedules on, who may write to it may erase it."""
FIRED: Final = {
    role: Durable(stream=stream, name=role.value, filter=f"timer.{role.value}.fired.>", ack_wait_seconds=10)
    for role, stream in TIMERS.items()
}
WORK: Final = {
    Actor.DEV_E: Durable(stream=LOG, name=Actor.DEV_E.value, filter=assignments_of(Actor.DEV_E)),
    Actor.REVIEW_E: Durable(stream=LOG, name=Actor.REVIEW_E.value, filter=review_requests()),
}
"""What is asked of a role, of whose replicas one takes it."""
WANTED: Final = Durable(stream=LOG, name="review-e-wanted", filter=reviews_wanted())
"""What review-e is asked beside the rig's own work: to look at people's pull requests."""
RECEIVED: Final = {
    role: Durable(stream=INBOX, name=role.value, filter=f"inbox.{role.value}.delivery.>") for role in (Actor.GITHUB,)
}
"""Of each role that takes in deliveries from outside."""
PROJECTED: Final = Durable(stream=LOG, name="projector", filter="rig.>")
"""What the projector reads. It keeps its position itself: no such durable is made, its dead letters bear the name."""
DURABLES: Final = tuple(
    made
    for durable in (*FIRED.values(), *WORK.values(), WANTED, *RECEIVED.values())
    for made in (durable, durable.retries)
)
"""Created by `ensure` alone: who may create a consumer may point it anywhere."""
