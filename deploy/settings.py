"""What a person configures for a process of the rig, typed, all errors at once: the environment.

    RIG_NATS_URL       where the NATS server is (`rig up` without it starts one); of a cluster all, with commas between
    RIG_NATS_KEY       the file of the key with which a role, or a command, connects to it: see `keys`
    RIG_NATS_REPLICAS  how many servers of a cluster keep each stream: 1, 3 or 5. Not set: as many as do, or 1
    RIG_POSTGRES_URL   where PostgreSQL is (the same)
    RIG_HOME           the data directory: see `home`
    RIG_CODER          who writes code: scripted:PATH, command:PROGRAM ARGUMENT… or metered:…
    RIG_SLOTS          how many assignments an agent takes at once
    RIG_CAPABILITIES   what its machine has that not every one has, like node, docker: some work needs that
    RIG_SANDBOX        whether bubblewrap keeps coders and checks: off, auto (if it can), required, offline (no network)
    RIG_DISK_GIB       how much of the disk an agent's clones may take when a run begins; the oldest go. Not set: all
    RIG_AGENT          the name of this replica of an agent (`rig run`)
    RIG_REVIEWER       as whom review-e reviews, as repositories name it among their reviewers: review-e
    RIG_REVIEWER_OWN   PROVIDER/MODEL of coders, like claude/*, whose work counts as its own: it does not review that
    RIG_CHARACTER      who an agent without a role of its own is: a character's name or file (`rig run agent`)
    RIG_CHARACTERS     where characters of yours lie, in directories of their names: `characters` in RIG_HOME
    RIG_SECRET_NAME    a secret that a character's tools or webhooks name, or RIG_SECRET_NAME_FILE
    RIG_AGENT_HTTP     where an agent's webhooks come in, host:port (`rig run agent`)
    RIG_HEALTH         where this role answers /livez and /readyz, host:port (`rig run`)

    RIG_GITHUB_APP_ID, RIG_GITHUB_APP_KEY   who acts at GitHub: an App and its private key (PEM)
    RIG_GITHUB_TOKEN            or, in a small set-up, a person's or machine account's token
    RIG_GITHUB_WEBHOOK_SECRET   with which GitHub signs what it delivers; two with a comma while one replaces the other
    RIG_GITHUB_API              its REST API, where that is not GitHub's own: https://HOST/api/v3
    RIG_GITHUB_AUDIT_SECONDS    from one comparison with GitHub's log of deliveries to the next: 600
    RIG_HTTP                    where webhooks come in, host:port: 127.0.0.1:8080

    RIG_GATEWAY_URL, RIG_GATEWAY_KEY, RIG_GATEWAY_MODEL, RIG_GATEWAYS   which models there are: see agents/llm/gateways

The URLs hold passwords: each may be the content of a file instead, RIG_NATS_URL_FILE, RIG_POSTGRES_URL_FILE, and so may
each secret of GitHub's, RIG_GITHUB_TOKEN_FILE. What the rig does is not configured here: that is policy, and policy is
in the log (`rig policy`).
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from msgspec import Struct, structs

from agents.llm.config import Gateways
from agents.tools.secrets import Secrets
from bridges.github.config import API, AUDIT_SECONDS, HTTP, GitHubConfig, wrong_account, wrong_address, wrong_api
from deploy.home import Home
from deploy.keys import public_key
from machine.sandbox import Sandboxing
from schemas import Invalid
from schemas.refs import NAME

__all__ = [
    "GATEWAY",
    "GITHUB",
    "Settings",
    "characters_place",
    "gateways_in",
    "github_place",
    "github_variables",
    "nats_server",
]

GITHUB = "RIG_GITHUB"
"""Of `needs`: every variable without which GitHub cannot be reached, and reach us."""
GATEWAY = "RIG_GATEWAY"
"""Of `needs`: that there is a model."""
MAX_SLOTS = 64
MAX_DISK_GIB = 1_000_000
MAX_AUDIT_SECONDS = 86_400
"""GitHub keeps its log of deliveries for three days."""
_NONE: Mapping[str, str | None] = MappingProxyType({})
NATS = "nats://HOST:4222"
POSTGRES = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"


class Settings(Struct, frozen=True, kw_only=True):
    """The environment, read. None: not set."""

    nats_url: str | None
    nats_key: Path | None
    nats_replicas: int | None
    postgres_url: str | None
    home: Home
    coder: str | None
    slots: int
    capabilities: tuple[str, ...]
    sandboxing: Sandboxing
    disk_bytes: int | None
    agent: str
    health: str | None
    github: GitHubConfig | None
    """None: no account of GitHub's is configured."""
    characters: Path
    """Where a person's own characters lie."""
    reviewer: str = "review-e"
    reviewer_own: tuple[str, ...] = ()
    gateways: Gateways | None = None
    """None: no model is configured."""
    character: Path | None = None
    """The file of who an agent is; None: nobody is named."""
    secrets: Secrets | None = None
    """Those that its tools and webhooks may name. None: there is no character."""
    agent_http: str | None = None

    @property
    def confidential(self) -> tuple[str, ...]:
        """What no log and no screen may show."""
        parts = (self.github, self.gateways, self.secrets)
        return tuple(secret for part in parts if part is not None for secret in part.confidential)

    @classmethod
    def read(
        cls, environ: Mapping[str, str], options: Mapping[str, str | None] = _NONE, *, needs: tuple[str, ...] = ()
    ) -> "Settings":
        """Reads all of it. `options` are what the command line says instead, by the variable's name; None: nothing.

        `needs` are the variables that must be set. Raises Invalid with every problem.
        """
        reader = _Reader(environ, options)
        settings = cls(
            nats_url=reader.nats_url(),
            nats_key=reader.nats_key(),
            nats_replicas=reader.nats_replicas(),
            postgres_url=reader.postgres_url(),
            home=Home.find(environ),
            coder=reader.coder(),
            slots=reader.slots(),
            capabilities=reader.capabilities(),
            sandboxing=reader.sandboxing(),
            disk_bytes=reader.disk_bytes(),
            agent=reader.agent(),
            health=reader.health(),
            github=reader.github(needed=GITHUB in needs),
            characters=characters_place(environ),
            reviewer=reader.reviewer(),
            reviewer_own=reader.reviewer_own(),
            gateways=reader.gateways(needed=GATEWAY in needs),
            character=reader.character(),
            secrets=reader.secrets,
            agent_http=reader.address("RIG_AGENT_HTTP"),
        )
        reader.check_set(tuple(name for name in needs if name not in (GITHUB, GATEWAY)))
        if reader.problems:
            raise Invalid("settings", reader.problems)
        return settings


def gateways_in(environ: Mapping[str, str]) -> Gateways | None:
    """Which models there are; None: nobody has said. Raises Invalid with every problem."""
    reader = _Reader(environ, _NONE)
    found = reader.gateways(needed=False)
    if reader.problems:
        raise Invalid("gateways", reader.problems)
    return found


def characters_place(environ: Mapping[str, str]) -> Path:
    """Where a person's own characters lie."""
    chosen = environ.get("RIG_CHARACTERS")
    return Path(chosen).expanduser().absolute() if chosen else Home.find(environ).path / "characters"


def nats_server(environ: Mapping[str, str]) -> tuple[str | None, Path | None]:
    """The URL and the key, for whoever needs no other settings. Raises Invalid."""
    reader = _Reader(environ, _NONE)
    found = reader.nats_url(), reader.nats_key()
    if reader.problems:
        raise Invalid("settings", reader.problems)
    return found


def github_place(environ: Mapping[str, str]) -> GitHubConfig:
    """Where GitHub is and webhooks come in, for whoever has no account there yet. Raises Invalid."""
    reader = _Reader(environ, _NONE)
    place = reader.github_place()
    if reader.problems:
        raise Invalid("settings", reader.problems)
    return place


def github_variables(config: GitHubConfig) -> dict[str, str]:
    """The environment that is read as this."""
    variables = {
        "RIG_HTTP": config.http,
        "RIG_GITHUB_API": config.api,
        "RIG_GITHUB_TOKEN": config.token,
        "RIG_GITHUB_APP_ID": config.app_id,
        "RIG_GITHUB_APP_KEY": config.app_key,
        "RIG_GITHUB_WEBHOOK_SECRET": ",".join(config.secrets),
        "RIG_GITHUB_AUDIT_SECONDS": str(config.audit_seconds),
    }
    return {name: value for name, value in variables.items() if value}


class _Reader:
    """Reads variables, one by one, and keeps what is wrong with them. One that is empty counts as not set."""

    def __init__(self, environ: Mapping[str, str], options: Mapping[str, str | None]) -> None:
        self.problems: list[str] = []
        self._environ = environ
        self.secrets: Secrets | None = None
        self._options = options

    def check_set(self, names: tuple[str, ...]) -> None:
        for name in names:
            if not self._get(name) and not self._get(f"{name}_FILE"):
                self.problems.append(f"{name} is not set{_EXAMPLES.get(name, '')}")

    def nats_url(self) -> str | None:
        return self._url("RIG_NATS_URL", NATS, ("nats", "tls"), many=True)

    def nats_replicas(self) -> int | None:
        text = self._get("RIG_NATS_REPLICAS")
        if text is None:
            return None
        if text not in ("1", "3", "5"):
            self.problems.append(f"RIG_NATS_REPLICAS: {text!r} is none of 1, 3 and 5")
            return None
        return int(text)

    def nats_key(self) -> Path | None:
        text = self._get("RIG_NATS_KEY")
        if text is None:
            return None
        path = Path(text).expanduser()
        try:
            public_key(path)
        except (OSError, ValueError) as error:
            self.problems.append(f"RIG_NATS_KEY: {error}; `rig keys init` makes keys")
        return path

    def postgres_url(self) -> str | None:
        return self._url("RIG_POSTGRES_URL", POSTGRES, ("postgresql", "postgres"))

    def coder(self) -> str | None:
        line = self._get("RIG_CODER")
        if line is not None:
            from agents.coders.coder import coder  # here: whoever has no coder need not know the drivers

            try:
                coder(line)
            except Invalid as error:
                self.problems.append(f"{self._name('RIG_CODER')}: {str(error).removeprefix('coder: ')}")
        return line

    def slots(self) -> int:
        text = self._get("RIG_SLOTS")
        if text is None:
            return 1
        if not (text.isdecimal() and 1 <= int(text) <= MAX_SLOTS):
            self.problems.append(f"{self._name('RIG_SLOTS')}: {text!r} is not a number from 1 to {MAX_SLOTS}")
            return 1
        return int(text)

    def capabilities(self) -> tuple[str, ...]:
        names = tuple(dict.fromkeys((self._get("RIG_CAPABILITIES") or "").replace(",", " ").split()))
        for name in names:
            if not _is_name(name):
                self.problems.append(f"RIG_CAPABILITIES: {name!r} is no name; write names with commas: node, docker")
        return names

    def sandboxing(self) -> Sandboxing:
        text = self._get("RIG_SANDBOX") or Sandboxing.AUTO.value
        try:
            return Sandboxing(text)
        except ValueError:
            self.problems.append(f"RIG_SANDBOX: {text!r} is none of {', '.join(Sandboxing)}")
            return Sandboxing.AUTO

    def disk_bytes(self) -> int | None:
        text = self._get("RIG_DISK_GIB")
        if text is None:
            return None
        if not (text.isdecimal() and 1 <= int(text) <= MAX_DISK_GIB):
            self.problems.append(f"RIG_DISK_GIB: {text!r} is not a number from 1 to {MAX_DISK_GIB}")
            return None
        return int(text) * 1024**3

    def agent(self) -> str:
        name = self._get("RIG_AGENT") or "dev-e-1"
        if not _is_name(name):
            self.problems.append(
                f"{self._name('RIG_AGENT')}: {name!r} is no name; write letters, digits, dots and dashes: dev-e-2"
            )
        return name

    def reviewer(self) -> str:
        name = self._get("RIG_REVIEWER") or "review-e"
        if not _is_name(name):
            self.problems.append(f"RIG_REVIEWER: {name!r} is no name; write letters, digits, dots and dashes: review-e")
        return name

    def reviewer_own(self) -> tuple[str, ...]:
        patterns = tuple(dict.fromkeys((self._get("RIG_REVIEWER_OWN") or "").replace(",", " ").split()))
        for pattern in patterns:
            if "/" not in pattern:
                self.problems.append(f"RIG_REVIEWER_OWN: {pattern!r} is no PROVIDER/MODEL; write claude/*, codex/*")
        return patterns

    def health(self) -> str | None:
        return self.address("RIG_HEALTH")

    def address(self, name: str) -> str | None:
        """Where somebody listens."""
        address = self._get(name)
        if address is not None and (problem := wrong_address(address)):
            self.problems.append(f"{name}: {problem}")
        return address

    def character(self) -> Path | None:
        """The file of who an agent is; with it, its secrets are read."""
        text = self._get("RIG_CHARACTER")
        if text is None:
            return None
        from agents.character import Shelf  # here: whoever is none need not know
        from agents.tools import secrets

        try:
            self.secrets = secrets.read(self._environ)
            shelf = Shelf([characters_place(self._environ)])
            file = shelf.find(text)
            shelf.load(str(file), secrets=self.secrets.values)
        except Invalid as error:
            self.problems += [f"RIG_CHARACTER {text}: {problem}" for problem in error.problems]
            return None
        return file.absolute()

    def github(self, *, needed: bool) -> GitHubConfig | None:
        """None where no account is configured."""
        token, app_key = self._secret("RIG_GITHUB_TOKEN"), self._secret("RIG_GITHUB_APP_KEY")
        secrets, app_id = self._secret("RIG_GITHUB_WEBHOOK_SECRET"), self._get("RIG_GITHUB_APP_ID")
        unread = {problem.split()[0].rstrip(":").removesuffix("_FILE") for problem in self.problems} & _GITHUB_SECRETS
        config = structs.replace(
            self.github_place(),
            token=token,
            app_id=app_id,
            app_key=None if app_key is None else app_key.replace("\\n", "\n"),  # as it stands in a file of one line
            secrets=tuple(part for text in (secrets or "").split(",") if (part := text.strip())),
            audit_seconds=self._audit_seconds(),
        )
        if not (needed or unread or any((token, app_key, secrets, app_id))):
            return None
        self.problems += wrong_account(config, unread)
        return config

    def github_place(self) -> GitHubConfig:
        """Without an account."""
        place = GitHubConfig(http=self._get("RIG_HTTP") or HTTP, api=(self._get("RIG_GITHUB_API") or API).rstrip("/"))
        if problem := wrong_address(place.http):
            self.problems.append(f"RIG_HTTP: {problem}")
        if problem := wrong_api(place.api):
            self.problems.append(f"RIG_GITHUB_API: {problem}")
        return place

    def gateways(self, *, needed: bool) -> Gateways | None:
        """None where no model is configured."""
        before = len(self.problems)
        url, key, models = self._get("RIG_GATEWAY_URL"), self._secret("RIG_GATEWAY_KEY"), self._get("RIG_GATEWAY_MODEL")
        file = self._get("RIG_GATEWAYS")
        if file is not None and (url or key or models):
            self.problems.append("RIG_GATEWAYS and RIG_GATEWAY_… are both set: name one endpoint, or a file of several")
        elif file is None and url is None and (needed or key or models):
            self.problems.append(
                "RIG_GATEWAY_URL is not set: an endpoint that speaks as OpenAI's does, like OpenClaw's,"
                " http://127.0.0.1:18789/v1 (or the name of a file of several in RIG_GATEWAYS)"
            )
        if len(self.problems) > before or (file is None and url is None):
            return None
        from agents.llm.gateways import load, one  # here: whoever asks no model need not know

        try:
            return one(url or "", key, models or "") if file is None else load(Path(file).expanduser(), self._environ)
        except Invalid as error:
            self.problems += error.problems if file is None else [f"RIG_GATEWAYS: {each}" for each in error.problems]
            return None

    def _audit_seconds(self) -> int:
        text = self._get("RIG_GITHUB_AUDIT_SECONDS")
        if text is None:
            return AUDIT_SECONDS
        if not (text.isdecimal() and 1 <= int(text) <= MAX_AUDIT_SECONDS):
            limit = MAX_AUDIT_SECONDS
            self.problems.append(f"RIG_GITHUB_AUDIT_SECONDS: {text!r} is not a number from 1 to {limit}")
            return AUDIT_SECONDS
        return int(text)

    def _url(self, name: str, example: str, schemes: tuple[str, ...], *, many: bool = False) -> str | None:
        text = self._secret(name)
        if text is None:
            return None
        if not all(_is_url(part.strip(), schemes) for part in (text.split(",") if many else [text])):
            more = ", or several with commas between" if many else ""
            self.problems.append(f"{name}: not a URL like {example}{more}")  # and not shown: it may hold a password
            return None
        return text

    def _secret(self, name: str) -> str | None:
        text, file = self._get(name), self._get(f"{name}_FILE")
        if file is None:
            return text
        if text is not None:
            self.problems.append(f"{name} and {name}_FILE are both set; unset one")
            return None
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(f"{name}_FILE: {file} cannot be read: {error}")
            return None

    def _get(self, name: str) -> str | None:
        return (self._options.get(name) or self._environ.get(name) or "").strip() or None

    def _name(self, name: str) -> str:
        """As whoever set it knows it: --coder or RIG_CODER."""
        return f"--{name.removeprefix('RIG_').lower()}" if self._options.get(name) else name


def _is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False


_GITHUB_SECRETS = {"RIG_GITHUB_TOKEN", "RIG_GITHUB_APP_KEY", "RIG_GITHUB_WEBHOOK_SECRET"}
_EXAMPLES = {
    "RIG_NATS_URL": f": where the NATS server is, {NATS} (or the name of a file with it in RIG_NATS_URL_FILE)",
    "RIG_POSTGRES_URL": f": where PostgreSQL is, {POSTGRES} (or the name of a file with it in RIG_POSTGRES_URL_FILE)",
    "RIG_CHARACTER": ": who the agent is, a name that `rig agent list` shows or a file",
    "RIG_CODER": ": who writes code, scripted:PATH or command:PROGRAM ARGUMENT…",
}
