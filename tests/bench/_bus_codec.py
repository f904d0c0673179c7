"""What the envelope costs: our codec against bare msgspec on one Struct of the same fields, data included."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from schemas import Actor, Draft, IssueApproved, IssueRef, decode, encode, envelope
from schemas.fields import Instant
from tests.bench._report import Row

ROUNDS = 201
ISSUES = 500


class Bare(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of an event as one typed Struct, as one would write it for this event alone."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1, max_length=300)]
    source: Annotated[str, Meta(min_length=1)]
    type: str
    subject: str
    time: Instant
    datacontenttype: str = ""
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    data: IssueApproved


async def measure(_: Path) -> list[Row]:
    """Rows for encoding and decoding once: ours over bare (alternated; the median of the ratios), and our time."""
    data = IssueApproved(title="A discount of 10 percent takes 10 cents off", author="ada", body="x" * 120)
    moment = datetime.now(UTC)
    events = [
        envelope(
            Draft(about=IssueRef("acme", "web", number), data=data, cause="local:1", correlation="local:1"),
            id=f"local:acme:web:{number}",
            actor=Actor.LOCAL,
            source="local",
            time=moment,
        )
        for number in range(1, ISSUES + 1)
    ]
    subjects, bodies = [str(event.subject) for event in events], [encode(event) for event in events]
    encoder, decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Bare)
    bares = [decoder.decode(body) for body in bodies]
    if [encoder.encode(bare) for bare in bares] != bodies or list(map(decode, bodies)) != events:
        raise AssertionError("the two ways do not say the same")

    def ours() -> None:
        for event, subject in zip(events, subjects, strict=True):
            decode(encode(event), subject=subject)

    def bare_way() -> None:
        for bare in bares:
            decoder.decode(encoder.encode(bare))

    ratios = [seconds(ours) / seconds(bare_way) for _ in range(ROUNDS)]
    each = seconds(ours) / ISSUES * 1e6
    return [Row("codec_vs_msgspec", median(ratios), "x", bar=1.5), Row("codec_us", each, "µs")]


def seconds(way: Callable[[], None]) -> float:
    began = time.perf_counter()
    way()
    return time.perf_counter() - began
