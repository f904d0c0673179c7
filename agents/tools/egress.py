"""Where a tool may reach: hosts that the operator has named, at public addresses unless he has named them as private.

A name is resolved once, and the connection goes to the address that was looked at: a name that points elsewhere a
moment later leads nowhere. What an allowed server says of where to go on is looked at as any other address.
"""

import asyncio
import ipaddress
import socket
from typing import Final

from agents.tools.config import Egress

__all__ = ["NotReached", "address", "allowed"]

RESOLVE_SECONDS: Final = 10.0
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SHARED: Final = ipaddress.IPv4Network("100.64.0.0/10")


class NotReached(Exception):
    """A tool may not, or cannot, reach that; the message says why."""


def allowed(egress: Egress, host: str) -> bool:
    """Whether the host is named there at all."""
    return _named(host, egress.hosts) or _named(host, egress.private)


async def address(egress: Egress, host: str, port: int) -> str:
    """The address at which the host is reached. Raises NotReached."""
    if not allowed(egress, host):
        raise NotReached(f"{host} is not among the hosts that this agent may reach")
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        raise NotReached(f"{host} is not known: {error or 'nobody has answered in time'}") from None
    addresses = [str(each[4][0]) for each in found]
    if not _named(host, egress.private):
        for one in addresses:
            if not is_public(one):
                raise NotReached(f"{host} is at {one}, which is no public address")
    if not addresses:
        raise NotReached(f"{host} has no address")
    return min(addresses, key=lambda one: ":" in one)  # where there is no IPv6 its addresses are told all the same


def is_public(text: str) -> bool:
    """Whether an address is out there for everybody, however it is written."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if found.teredo is not None:
            return False
        found = inner or found
    shared = isinstance(found, ipaddress.IPv4Address) and found in _SHARED
    return found.is_global and not found.is_multicast and not shared


def _named(host: str, patterns: tuple[str, ...]) -> bool:
    host = host.lower().rstrip(".")
    for pattern in patterns:
        if pattern.startswith("*."):
            if host.endswith(pattern[1:]) and len(host) > len(pattern) - 1:
                return True
        elif host == pattern:
            return True
    return False
