"""What must not be done to what runs elsewhere: databases dropped, clusters deleted, packages published. Pure."""

import re

from agents.guard.blocked import Rule
from agents.guard.places import Place, Places
from agents.guard.stream import Kind, Stream
from agents.guard.table import names
from agents.guard.words import Fields
from agents.guard.wrappers import may_be

__all__ = ["judged"]

_SQL = (
    *("psql", "mysql", "mariadb", "sqlcmd", "sqlplus", "cockroach", "clickhouse-client", "clickhouse", "cqlsh", "usql"),
    *(
        "pgcli",
        "mycli",
        "snowsql",
        "bq",
        "duckdb",
        "sqlite3",
        "sqlite",
        "litecli",
        "isql",
        "db2",
        "hive",
        "impala-shell",
    ),
)
_DROPS = re.compile(
    r"\b(drop\s+(database|schema|table|keyspace|tablespace|user|role|index|view|materialized|owned|collection)\b"
    r"|truncate\b|delete\s+from\s+[^\s;]+\s*(;|$|\"|')|alter\s+table\s+\S+\s+drop\b)",
    re.IGNORECASE,
)
_MONGO = re.compile(r"dropdatabase\s*\(|\.drop\s*\(|deletemany\s*\(\s*\{\s*\}|\.remove\s*\(\s*\{\s*\}", re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?\*/|--\s[^\n]*", re.DOTALL)

_DATABASE_TASKS = re.compile(
    r"^(db:(drop|reset|purge|wipe|truncate|migrate:reset|schema:load|setup)(:.*)?|migrate:(fresh|reset|refresh)|"
    r"ecto\.(drop|reset)|schema:drop|database:(drop|reset)|drop_db|reset_db|flush|sqlflush|drop-all|dropall)$",
    re.IGNORECASE,
)
_TASK_RUNNERS = names(
    """rails rake artisan php manage.py mix sequelize sequelize-cli typeorm knex django-admin flask console
    doctrine liquibase python python3 npm yarn pnpm ruby node"""
)
_TABLE = """
database: prisma                                                        migrate reset, db push --force-reset
database: flyway                                                        clean
database: alembic                                                       downgrade base
database: diesel sqlx                                                   database reset, database drop
database: supabase                                                      db reset, projects delete
database: mysqladmin dbmate migrate                                     drop
database: atlas                                                         schema clean
cluster:  heroku                                                        pg:reset, apps:destroy, addons:destroy
cluster:  kubectl oc k3s microk8s k0s k                                 delete, drain, replace --force
cluster:  helm helm3                                                    uninstall, delete, del, un
cluster:  terraform tofu terragrunt                                     destroy, apply -destroy, state rm
cluster:  pulumi                                                        destroy, down, stack rm
cluster:  cdk cdktf copilot sam amplify                                 destroy, delete
cluster:  serverless sls vercel                                         remove, rm
cluster:  eksctl kops kind k3d minikube doctl gcloud az hcloud civo     delete, destroy, purge
cluster:  linode-cli ibmcloud oci scw                                   delete, destroy, terminate
cluster:  fly flyctl railway nomad argocd flux istioctl linkerd         destroy, delete, uninstall, apps destroy, down
cluster:  velero wrangler netlify firebase                              delete, sites:delete, firestore:delete
cluster:  consul etcdctl                                                delete, del
cluster:  gsutil                                                        rm, rb
cluster:  docker podman nerdctl                                         system prune, volume rm, volume prune, stack rm
publish:  docker podman nerdctl buildah crane helm oras                 push
publish:  npm pnpm yarn bun lerna deno jsr npx changeset rush           publish, unpublish, deprecate, dist-tag add
publish:  cargo                                                         publish, yank, owner
publish:  twine anaconda cabal stack luarocks                           upload
publish:  poetry flit hatch uv pdm rye maturin                          publish, upload
publish:  dart flutter                                                  pub publish, pub lish
publish:  gem                                                           push, yank
publish:  rake bundle                                                   release
publish:  nuget dotnet paket                                            push, nuget push, nuget delete
publish:  mvn mvnw                                                      deploy, release:perform
publish:  gradle gradlew                                                uploadArchives
publish:  sbt                                                           publish, publishSigned
publish:  mix                                                           hex.publish, hex.retire
publish:  pod                                                           trunk push, repo push
publish:  vsce ovsx                                                     publish, unpublish
publish:  jf jfrog                                                      upload, delete
publish:  snapcraft charmcraft                                          upload, push, release
publish:  goreleaser                                                    release
"""
"""A rule, programs, and the words that make them do it: in this order, and others may stand between."""
_RULES = {"database": Rule.DATABASE, "cluster": Rule.CLUSTER, "publish": Rule.PUBLISH}


def _read(line: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], Rule]:
    rule, programs, words = re.split(r":\s+|\s{2,}", line.strip(), maxsplit=2)
    return tuple(programs.split()), tuple(tuple(each.split()) for each in words.split(",")), _RULES[rule]


_WORDS = [_read(line) for line in _TABLE.strip().splitlines()]
_DRY = ("--dry-run", "--dryrun", "--snapshot", "--help", "-h", "help", "--version")


def judged(name: str, args: Fields, given: Stream, places: Places) -> Rule | None:
    """The rule that a program breaks."""
    if may_be(name, "dropdb", "dropuser"):
        return Rule.DATABASE
    if may_be(name, *_SQL):
        return _sql(name, args, given, places)
    if may_be(name, "mongo", "mongosh") and _MONGO.search(" ".join((*args, given.text))):
        return Rule.DATABASE
    if may_be(name, "redis-cli", "valkey-cli", "keydb-cli"):
        said = " ".join((*args, given.text)).lower()
        return Rule.DATABASE if "flushall" in said or "flushdb" in said else None
    if may_be(name, "aws") and (rule := _aws(args)):
        return rule
    module = args[args.index("-m") + 1] if "-m" in args[:-1] and name.startswith(("python", "pypy")) else None
    if module:
        return judged(module, args[args.index("-m") + 2 :], given, places)
    if name == "setup.py" or (name.startswith("python") and any(arg.endswith("setup.py") for arg in args[:1])):
        return Rule.PUBLISH if "upload" in args else None
    if may_be(name, *_TASK_RUNNERS) and any(_DATABASE_TASKS.match(arg) for arg in args):
        return Rule.DATABASE
    for programs, sayings, rule in _WORDS:
        if may_be(name, *programs) and any(_says(args, words) for words in sayings) and not _is_dry(name, args):
            return rule
    if may_be(name, "docker") and "--push" in args:
        return Rule.PUBLISH
    return _gradle(name, args)


def _gradle(name: str, args: Fields) -> Rule | None:
    if not may_be(name, "gradle", "gradlew"):
        return None
    tasks = [arg.rpartition(":")[2] for arg in args if not arg.startswith("-")]
    public = [task for task in tasks if task.startswith("publish") and "MavenLocal" not in task]
    return Rule.PUBLISH if public and not _is_dry(name, args) else None


def _sql(name: str, args: Fields, given: Stream, places: Places) -> Rule | None:
    said = _COMMENT.sub(" ", "\n".join((*args, given.text if given.kind is Kind.TEXT else "")))
    if not _DROPS.search(said):
        return None
    if name in ("sqlite3", "sqlite", "litecli", "duckdb"):
        files = [arg for arg in args if not arg.startswith("-")][:1]
        own = {Place.INSIDE, Place.FRESH, Place.SCRATCH}
        if not files or files[0] == ":memory:" or places.of(files[0]) <= own:
            return None
    return Rule.DATABASE


def _aws(args: Fields) -> Rule | None:
    words = [arg for arg in args if not arg.startswith("-")]
    if any(word.startswith(("delete-", "terminate-", "deregister-")) for word in words):
        return None if "--dry-run" in args else Rule.CLUSTER
    if words[:1] == ["s3"] and ("rb" in words or ("rm" in words and "--recursive" in args) or "--delete" in args):
        return None if "--dryrun" in args else Rule.CLUSTER
    return None


def _says(args: Fields, words: tuple[str, ...]) -> bool:
    """Whether the words stand among the arguments, in order; the first of them before any other that is no option's."""
    at = 0
    for arg in args:
        if at < len(words) and arg == words[at]:
            at += 1
    return at == len(words)


def _is_dry(name: str, args: Fields) -> bool:
    if any(arg.startswith("--dry-run=") and arg not in ("--dry-run=none", "--dry-run=false") for arg in args):
        return True
    return any(arg in _DRY for arg in args) or (name == "cargo" and "-n" in args)
