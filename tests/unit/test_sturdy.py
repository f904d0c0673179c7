"""The client's own reading of headers: faster than the library's, and the same."""

from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client

from bus.sturdy import SturdyClient

LINE = st.builds(
    bytes.__add__, st.sampled_from([b"", b"Nats-Sequence: 7", b" a b :c", b"\x1ca:b", b"\xe9:x"]), st.binary(max_size=8)
)


@given(st.lists(LINE, max_size=6).map(b"\r\n".join))
@example(b"Nats-Subject:rig.x\r\nNats-Sequence: 12 \r\n:nameless\r\nno colon\r\nr\xc3\xa9:1\r\nx:\xff\r\n\r\n")
def test_headers_are_read_as_the_library_reads_them(block: bytes) -> None:
    ours, theirs = SturdyClient._parse_header_lines(block), Client._parse_header_lines(block)  # pyright: ignore[reportPrivateUsage] - what it takes the place of
    assert ours == theirs
