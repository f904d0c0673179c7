"""The client library, made to survive what anybody may write: its own reading ends at one message that is not UTF-8.

Whoever may publish chooses subject, reply and headers, byte by byte; the server passes them on, and stores them.
"""

import asyncio
import re
from typing import Final

from nats.aio.client import Client, Srv
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.protocol import parser

_WORD: Final = rb"[^ \t\r\n]+"
# What separates is what the server takes for a separator: not every byte that Python calls a space.
parser.MSG_RE = re.compile(rb"\AMSG[ \t]+(%b)[ \t]+(%b)[ \t]+((%b)[ \t]+)?(\d+)\r\n" % (_WORD, _WORD, _WORD))
parser.HMSG_RE = re.compile(rb"\AHMSG[ \t]+(%b)[ \t]+(%b)[ \t]+((%b)[ \t]+)?(\d+)[ \t]+(\d+)\r\n" % ((_WORD,) * 3))

_BLANK: Final = " \t\n\r\v\f"
"""What bytes call white space: a text knows more."""
_USUAL: Final = frozenset(
    f"Nats-{name}"
    for name in ("Stream", "Subject", "Sequence", "Time-Stamp", "Num-Pending", "Last-Sequence", "Msg-Id", "Msg-Size")
)
"""Names of headers that need no look at each character."""


class SturdyClient(Client):
    """Hands every message over, connects again when it cannot read on, and leaves no connection open that was none."""

    async def _connect_to_server(self, s: Srv) -> None:
        """The base forgets a connection that the server did not greet in time, or cut before, and never closes it."""
        if self._transport is not None:
            self._transport.close()
        await super()._connect_to_server(s)

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        """All that can be read. The server appends its own to whatever block was published, and the last one counts."""
        first, _, lines = (headers or b"").partition(b"\r\n")
        read: dict[str, str] = {}
        if first.startswith(b"NATS/1.0 "):
            status, _, description = first[len(b"NATS/1.0 ") :].strip().partition(b" ")
            if status.isdigit():
                read = {"Status": status.decode(), "Description": description.decode(errors="replace")}
        return read | self._parse_header_lines(lines) or None

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """What the base reads of the same bytes. It looks at each character of each name by itself, and spends more
        time on that than on all else that reading a stored message takes."""
        read: dict[str, str] = {}
        for line in raw.decode(errors="replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if name in _USUAL:
                read[name] = value.strip(_BLANK)
            elif colon and name.isascii():
                key = name.strip(_BLANK)
                if not key or key.split() == [key]:
                    read[key] = value.strip(_BLANK)
        return read

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        """What is not UTF-8 in a subject is replaced. Nobody can answer to such a reply: it is none."""
        try:
            answer_to = reply.decode()
        except UnicodeDecodeError:
            answer_to = ""
        on = subject.decode(errors="replace")
        return self.msg_class(self, on, answer_to, data, headers, _sid=sid)

    async def _read_loop(self) -> None:
        """The base's ends at an error that it does not know, and leaves a connection that is called connected."""
        await super()._read_loop()
        task = asyncio.current_task()
        if self.is_connected and task is not None and not task.cancelling():
            unread = NatsError("what the server said could not be read")
            await self._error_cb(unread)
            await self._process_op_err(unread)
