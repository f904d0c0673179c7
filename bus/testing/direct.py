"""Direct get: reading what a stream holds without a consumer, one message or a batch of them."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

from bus.testing.message import Packet
from bus.testing.store import Stored
from bus.testing.stream import Stream
from bus.testing.words import parse_moment

__all__ = ["answer"]

MOST_SUBJECTS: Final = 1_024


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """The request, in the server's words."""

    seq: int = 0
    last_by_subj: str = ""
    next_by_subj: str = ""
    start_time: str = ""
    batch: int = 0
    max_bytes: int = 0
    multi_last: tuple[str, ...] = ()
    up_to_seq: int = 0


def answer(stream: Stream, packet: Packet, subject: str = "") -> None:
    """Answers one request; `subject` is the one that the request's own subject may end in."""
    core, reply = stream.core, packet.reply
    try:
        asked = msgspec.json.decode(packet.data, type=Asked) if packet.data else Asked(last_by_subj=subject)
    except msgspec.DecodeError:
        core.status(reply, 408, "Malformed Request")
        return
    began = parse_moment(asked.start_time) if asked.start_time else 0
    if asked.multi_last:
        _newest(stream, asked, reply)
    elif not (asked.seq or asked.last_by_subj or asked.next_by_subj or asked.start_time):
        core.status(reply, 408, "Empty Request")
    elif asked.last_by_subj:
        if asked.seq or asked.next_by_subj or asked.batch or asked.start_time:
            core.status(reply, 408, "Bad Request")
        else:
            _one(stream, stream.store.last_of(asked.last_by_subj), reply)
    elif began is None or (asked.seq and asked.start_time):
        core.status(reply, 408, "Bad Request")
    else:
        first = stream.store.at_or_after(began) if asked.start_time else max(asked.seq, 1)
        pattern = asked.next_by_subj or ">"
        if asked.batch > 0:
            _many(stream, stream.store.since(first, pattern), stream.store.count(first, pattern), asked, reply)
        elif pattern == ">" and not asked.start_time:
            _one(stream, stream.store.get(first), reply)
        else:
            _one(stream, next(stream.store.since(first, pattern), None), reply)


def _one(stream: Stream, message: Stored | None, reply: str) -> None:
    if message is None:
        stream.core.status(reply, 404, "Message Not Found")
    else:
        stream.core.say(reply, message.data, headers=stream.described(message))


def _many(stream: Stream, found: Iterable[Stored], left: int, asked: Asked, reply: str, **more: object) -> None:
    """The first of them, then where they ended (204). `left`: how many there are in all."""
    if left == 0:
        stream.core.status(reply, 404, "No Results" if more else "Message Not Found")
        return
    last, sent = 0, 0
    for message in islice(found, asked.batch or None):
        left -= 1
        headers = stream.described(message, **{"Num-Pending": left, "Last-Sequence": last})
        stream.core.say(reply, message.data, headers=headers)
        last = message.seq
        sent += len(message.subject.encode()) + message.header_bytes + len(message.data)
        if 0 < asked.max_bytes <= sent:
            break
    stream.core.status(reply, 204, "EOB", Num_Pending=left, Last_Sequence=last, **more)


def _newest(stream: Stream, asked: Asked, reply: str) -> None:
    """The newest message of each subject."""
    store, upto = stream.store, asked.up_to_seq or stream.store.last
    subjects = {subject for pattern in asked.multi_last for subject in store.subjects(pattern)}
    if len(subjects) > MOST_SUBJECTS:
        stream.core.status(reply, 413, "Too Many Results")
        return
    seqs = sorted(max((seq for seq in store.by_subject[subject] if seq <= upto), default=0) for subject in subjects)
    found = [message for seq in seqs if (message := store.get(seq)) is not None]
    _many(stream, found, len(found), asked, reply, UpTo_Sequence=upto)
