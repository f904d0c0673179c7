"""Credentials in what is about to be pushed: in the lines that a diff adds. Pure.

It looks for what its issuer marks (a prefix, a checksum's length), for keys, for passwords in addresses, and for the
values that it is told; then for names that say "secret" with a value that looks random. What is an example is left
alone: a check that cries at every test is switched off. It never repeats what it found.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from agents.guard.table import names

__all__ = ["Finding", "found", "held"]

FINDINGS_MAX = 50
LINE_MAX = 4_096
"""Of a line; the rest of a longer one is looked at in pieces of this size."""
KNOWN_MIN = 8
"""Shorter values are no secrets that could be told from words."""
RANDOM_BITS = 3.7
"""Of entropy for each character, from which a value looks random."""


class Finding(Struct, frozen=True):
    """A credential, and where it stands."""

    kind: str
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}"


_MARKED: tuple[tuple[str, str], ...] = (
    ("a private key", r"-----BEGIN (?:[A-Z0-9 ]+ )?PRIVATE KEY(?: BLOCK)?-----"),
    ("an AWS access key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b"),
    ("a GitLab token", r"\bgl(?:pat|dt|rt|soat|cbt|ptt|ft|imt|agent)-[A-Za-z0-9_-]{20,}"),
    ("a Slack token", r"\bxox[abeprs]-[A-Za-z0-9-]{20,}"),
    ("a Slack webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/+_-]{30,}"),
    ("a Discord webhook", r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d{15,}/[\w-]{50,}"),
    ("a Discord token", r"\b[MNO][A-Za-z\d]{23,27}\.[\w-]{6}\.[\w-]{27,40}\b"),
    ("a Telegram token", r"\b\d{8,10}:AA[\w-]{33}\b"),
    ("a Stripe key", r"\b(?:sk|rk)_live_[A-Za-z0-9]{20,}"),
    ("a Google key", r"\bAIza[\w-]{35}(?![\w-])"),
    ("a Google OAuth secret", r"\bGOCSPX-[\w-]{28}(?![\w-])"),
    ("an Anthropic key", r"\bsk-ant-[\w-]{30,}"),
    ("an OpenAI key", r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{16,}T3BlbkFJ[A-Za-z0-9_-]{16,}"),
    ("an API key", r"\bsk-(?:or-v1-)?(?:proj-)?[A-Za-z0-9]{40,}\b"),
    ("a Hugging Face token", r"\bhf_[A-Za-z]{34}\b"),
    ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("an npm login", r"_authToken\s*=\s*(?!\$)[\w-]{20,}"),
    ("a PyPI token", r"\bpypi-AgE[\w-]{50,}"),
    ("a RubyGems key", r"\brubygems_[a-f0-9]{48}\b"),
    ("a crates.io token", r"\bcio[A-Za-z0-9]{32}\b"),
    ("a SendGrid key", r"\bSG\.[\w-]{22}\.[\w-]{43}\b"),
    ("a Twilio key", r"\bSK[0-9a-f]{32}\b"),
    ("a Shopify token", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    ("a DigitalOcean token", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    ("a Databricks token", r"\bdapi[a-f0-9]{32}\b"),
    ("a Vault token", r"\bhv[bs]\.[\w-]{24,}"),
    ("a Doppler token", r"\bdp\.(?:pt|st|ct|sa)\.[A-Za-z0-9]{40,}"),
    ("a Linear key", r"\blin_api_[A-Za-z0-9]{40}\b"),
    ("an Atlassian token", r"\bATATT3[A-Za-z0-9_=-]{100,}"),
    ("a Sentry token", r"\bsntry[su]_[A-Za-z0-9_=+/-]{40,}"),
    ("an Azure storage key", r"\bAccountKey=[A-Za-z0-9+/]{86}=="),
    ("an age key", r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\b"),
    ("a NATS seed", r"\bS[ACNOPUX][A-Z2-7]{56}\b"),
    ("a netrc login", r"\bmachine\s+\S+\s+login\s+\S+\s+password\s+\S{6,}"),
)
_ANY = re.compile("|".join(f"(?P<m{index}>{pattern})" for index, (_, pattern) in enumerate(_MARKED)))
_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]*://(?P<user>[^\s:/@'\"<>]*):(?P<password>[^\s:/@'\"<>]{3,})@(?P<host>[\w.-]+)"
)
_NAMED = re.compile(
    r"(?i)(?:api[_-]?key|secret[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|client[_-]?secret|api[_-]?secret"
    r"|private[_-]?key|secret|password|passwd|token)[\"']?\s*(?::=|=>|[:=])\s*[\"']?(?P<value>[A-Za-z0-9+/_.~=-]{20,200})"
)
_EXAMPLE = re.compile(
    r"(?i)example|dummy|fake|sample|placeholder|changeme|change-me|your[_-]|redacted|xxxx|\*\*\*|0000|1234567|abcdef"
    r"|deadbeef|insert|replace|not[_-]?a|todo|<|\$\{|\{\{|t0psecret"
)
_HOSTS = re.compile(
    r"(?i)^(localhost|127\..*|0\.0\.0\.0|host|db|database|postgres|mysql|redis|example\..*|.*example\.(com|org|net)"
    r"|.*\.(example|test|invalid|local|localhost))$"
)
_WORDS = frozenset(names("password passwd pass secret postgres user test root admin guest token pw"))
_SECRET_NAME = re.compile(r"(?i)(key|token|secret|password|passwd|seed|credentials?)$")
_NO_SECRET = re.compile(r"(?is)/.*|[a-z]{,11}|[0-9]{,11}")
"""A path, a word, a number."""
_HUNK = re.compile(r"(@@+) .*?\+(\d+)(?:,\d+)? @@+")


def found(diff: bytes | str, *, known: Collection[str] = ()) -> tuple[Finding, ...]:
    """What the added lines of a diff (git's, also of merges) give away; `known` are values that must not get out."""
    text = diff if isinstance(diff, str) else diff.decode("utf-8", "replace")
    secrets = tuple(value for value in known if len(value) >= KNOWN_MIN)
    findings: dict[Finding, None] = {}
    for path, number, line in _added(text):
        for at in range(0, max(1, len(line)), LINE_MAX):
            piece = line[max(0, at - 256) : at + LINE_MAX]
            if kind := _kind(piece, secrets):
                findings[Finding(kind, path, number)] = None
                break
        if len(findings) >= FINDINGS_MAX:
            break
    return tuple(findings)


def held(environ: Mapping[str, str]) -> frozenset[str]:
    """The values of an environment whose names say that they are secret; a path to one is none, and neither is a word:
    PGPASSWORD=postgres would keep back whatever names that database.
    """
    named = (value for name, value in environ.items() if _SECRET_NAME.search(name))
    return frozenset(value for value in named if len(value) >= KNOWN_MIN and not _NO_SECRET.fullmatch(value))


def _added(diff: str) -> Iterator[tuple[str, int, str]]:
    """Path, number and text of each line that is added."""
    path, number, columns = "", 0, 0
    for line in diff.split("\n"):
        if line.startswith("diff --"):
            columns = 0
        elif columns == 0 and line.startswith("+++ "):
            path = line[4:].rstrip("\t").strip('"').removeprefix("b/")
        elif line.startswith("@@") and (hunk := _HUNK.match(line)):
            columns, number = len(hunk[1]) - 1, int(hunk[2])
        elif columns and line[:columns].strip(" +") == "" and line:
            if "+" in line[:columns]:
                yield path, number, line[columns:]
            number += 1


def _kind(line: str, known: tuple[str, ...]) -> str | None:
    if any(value in line for value in known):
        return "a secret of this machine"
    if (marked := _ANY.search(line)) and not _is_example(marked[0]):
        return _MARKED[int((marked.lastgroup or "m0")[1:])][0]
    for address in _ADDRESS.finditer(line):
        password = address["password"]
        if password.lower() not in _WORDS and not _is_example(password) and not _HOSTS.match(address["host"]):
            return "a password in an address"
    for named in _NAMED.finditer(line):
        if _looks_random(named["value"]) and not _is_example(named["value"]):
            return "a value that looks secret"
    return None


def _is_example(text: str) -> bool:
    return _EXAMPLE.search(text) is not None or len(set(text)) < 6


def _looks_random(value: str) -> bool:
    kinds = (str.isdigit, str.isupper, str.islower)
    if sum(any(kind(char) for char in value) for kind in kinds) < 3:
        return False
    counts = Counter(value).values()
    entropy = -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
    return entropy >= RANDOM_BITS and not re.search(r"[a-z]{7,}|[._/-][a-z]{4,}|[A-Z][a-z]{4,}", value)
