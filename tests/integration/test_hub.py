"""The GitHub that tests run against is what it claims to be: it answers, remembers, delivers and has git as GitHub."""

import hashlib
import hmac
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import jwt
import pytest

from tests.support.hub import APP, INSTALLATION, Disorder, Hub, answer, hub
from tests.support.hub.day import DELIVERIES, a_day

pytestmark = pytest.mark.peer
SHOP = "/repos/acme/shop"


@pytest.fixture
def github(tmp_path: Path) -> Generator[Hub]:
    with hub(tmp_path / "git", files={"total.txt": "broken\n", "docs/notes.txt": "none\n"}) as running:
        yield running


class Listener:
    """Takes webhooks, and keeps them."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.taken.append((dict(self.headers), body))
                self.send_response(202)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/github"


@pytest.fixture
def listener() -> Generator[Listener]:
    found = Listener()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture
def clone(github: Hub, tmp_path: Path) -> Callable[..., str]:
    """git in a clone that was made over HTTP, as maria."""
    place, origin = tmp_path / "clone", github.url.replace("://", f"://x-access-token:{github.person('maria').token}@")

    def git(*arguments: str, where: Path = place) -> str:
        who = ("-c", "user.name=Maria", "-c", "user.email=maria@example.invalid", "-c", "credential.helper=")
        done = subprocess.run(["git", *who, *arguments], cwd=where, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("clone", "--quiet", f"{origin}/acme/shop.git", str(place), where=tmp_path)
    return git


def change(clone: Callable[..., str], tmp_path: Path, branch: str, path: str, text: str) -> str:
    """Pushes a commit with this change from where main is; its id."""
    clone("fetch", "--quiet")
    clone("checkout", "--quiet", "-B", branch, "origin/main")
    (tmp_path / "clone" / path).write_text(text)
    clone("add", "--all")
    clone("commit", "--quiet", "-m", f"Change {path}\n\nÜber alles.")
    clone("push", "--quiet", "--force", "origin", branch)
    return clone("rev-parse", "HEAD")


def test_webhooks_come_over_http_signed_each_with_an_id_and_the_log_tells_of_them(
    github: Hub, listener: Listener
) -> None:
    github.deliver_to(listener.url)
    maria = github.person("maria")
    maria.post(f"{SHOP}/issues", {"title": "The total is wrong", "labels": ["agent-ready"]})
    maria.post(f"{SHOP}/issues/1/comments", {"body": "/rig stop"})
    github.wait_logged(3)  # the first is of the branch main
    github.wait_forwarded()
    assert [headers["X-GitHub-Event"] for headers, _ in listener.taken] == ["issues", "issue_comment"]
    for headers, body in listener.taken:
        signed = hmac.new(github.secret.encode(), body, hashlib.sha256).hexdigest()
        assert headers["X-Hub-Signature-256"] == f"sha256={signed}"

    log = as_app(github, "/app/hook/deliveries?per_page=2")
    listed = log.json() + httpx.get(log.links["next"]["url"], headers=app(github)).json()
    assert [each["event"] for each in listed] == ["issue_comment", "issues", "create"]
    assert [each["guid"] for each in listed[:2]] == [h["X-GitHub-Delivery"] for h, _ in reversed(listener.taken)]
    assert [each["status_code"] for each in listed] == [202, 202, 502], "nobody listened at first"
    whole = as_app(github, f"/app/hook/deliveries/{listed[0]['id']}").json()
    assert whole["request"]["payload"]["comment"]["body"] == "/rig stop"
    assert whole["request"]["payload"]["installation"]["id"] == INSTALLATION
    assert whole["request"]["headers"]["X-GitHub-Event"] == "issue_comment"
    assert maria.ask("GET", "/app/hook/deliveries").status_code == 401, "it is the App's alone"


def test_what_is_held_goes_out_in_a_disorder_that_is_always_the_same(github: Hub, listener: Listener) -> None:
    github.deliver_to(listener.url)
    before = len(github.log)
    github.hold()
    for number in range(20):
        github.person("olaf").post(f"{SHOP}/issues", {"title": f"Number {number}"})
    github.wait_logged(before + 20)
    assert listener.taken == []
    assert github.release(Disorder(seed=7)) == (20, 10, 2)
    guids = [headers["X-GitHub-Delivery"] for headers, _ in listener.taken]
    order = [delivery.guid for delivery in github.log[before:]]
    assert (len(guids), len(set(guids))) == (12, 10)
    assert set(guids) < set(order)
    assert list(dict.fromkeys(guids)) != [guid for guid in order if guid in guids], "shuffled"
    assert len({delivery.guid for delivery in github.log}) == len(github.log)


def test_a_pull_request_follows_its_branch_and_is_merged_as_git_would(
    github: Hub, clone: Callable[..., str], tmp_path: Path
) -> None:
    maria = github.person("maria")
    maria.post(f"{SHOP}/issues", {"title": "The total is wrong"})
    head = change(clone, tmp_path, "fix", "total.txt", "right\n")
    asked = {"title": "Fix", "head": "fix", "base": "main", "body": "Closes #1"}
    pull = maria.post(f"{SHOP}/pulls", asked)
    assert (pull["head"]["sha"], pull["changed_files"], pull["additions"]) == (head, 1, 1)
    assert maria.ask("POST", f"{SHOP}/pulls", asked).status_code == 422, "there is one already"
    (tmp_path / "clone" / "docs" / "more.txt").write_text("more\n")
    clone("mv", "docs/notes.txt", "docs/words.txt")
    clone("add", "--all")
    clone("commit", "--quiet", "--amend", "-m", "Fix, and more")
    clone("push", "--quiet", "--force", "origin", "fix")
    head = clone("rev-parse", "HEAD")
    assert maria.get(f"{SHOP}/pulls/2")["head"]["sha"] == head
    moved = github.log[-1].parsed
    assert (moved["action"], moved["pull_request"]["head"]["sha"]) == ("synchronize", head)
    files = [(each["filename"], each["status"]) for each in maria.get(f"{SHOP}/pulls/2/files")]
    assert sorted(files) == [("docs/more.txt", "added"), ("docs/words.txt", "renamed"), ("total.txt", "modified")]

    main = change(clone, tmp_path, "main", "docs/other.txt", "other\n")  # the base has moved on
    wrong = maria.ask("PUT", f"{SHOP}/pulls/2/merge", {"sha": main})
    assert wrong.status_code == 409
    merged = maria.put(f"{SHOP}/pulls/2/merge", {"sha": head, "merge_method": "squash", "commit_title": "Fix (#2)"})
    clone("fetch", "--quiet")
    assert clone("rev-parse", "origin/main", "origin/main^") == f"{merged['sha']}\n{main}"
    assert clone("show", "origin/main:total.txt", "origin/main:docs/other.txt") == "right\nother"
    assert maria.get(f"{SHOP}/pulls/2")["merged"]
    assert maria.get(f"{SHOP}/issues/1")["state"] == "closed", "GitHub closes what the pull request says it closes"
    assert maria.ask("PUT", f"{SHOP}/pulls/2/merge", {}).status_code == 405


def test_what_does_not_merge_is_refused(github: Hub, clone: Callable[..., str], tmp_path: Path) -> None:
    maria = github.person("maria")
    change(clone, tmp_path, "fix", "total.txt", "right\n")
    pull = maria.post(f"{SHOP}/pulls", {"title": "Fix", "head": "fix", "base": "main"})
    assert pull["mergeable_state"] == "clean"
    change(clone, tmp_path, "main", "total.txt", "otherwise\n")
    assert maria.get(f"{SHOP}/pulls/1")["mergeable_state"] == "dirty"
    assert maria.ask("PUT", f"{SHOP}/pulls/1/merge", {"merge_method": "squash"}).status_code == 405


def test_branches_that_the_api_moves_and_files_that_it_writes_are_in_git(
    github: Hub, clone: Callable[..., str], tmp_path: Path
) -> None:
    maria = github.person("maria")
    head = change(clone, tmp_path, "rig/1/1-a", "total.txt", "right\n")
    maria.post(f"{SHOP}/git/refs", {"ref": "refs/heads/rig/1-fix", "sha": head})
    content = {"message": "A word", "content": "d29yZAo=", "branch": "main"}
    maria.put(f"{SHOP}/contents/deep/er/word.txt", content)
    maria.delete(f"{SHOP}/git/refs/heads/rig/1/1-a")
    clone("fetch", "--quiet", "--prune")
    assert clone("branch", "--remotes", "--format=%(refname:lstrip=3)").split() == ["HEAD", "main", "rig/1-fix"]
    assert clone("show", "origin/main:deep/er/word.txt") == "word"


def test_the_app_gets_tokens_for_its_installation_and_others_are_refused(github: Hub) -> None:
    token = installed(github)
    seen = httpx.get(f"{github.url}/installation/repositories", headers={"Authorization": f"Bearer {token}"}).json()
    assert [each["full_name"] for each in seen["repositories"]] == ["acme/shop"]
    assert httpx.get(f"{github.url}{SHOP}", headers={"Authorization": "Bearer nobody"}).status_code == 401
    commented = httpx.post(
        f"{github.url}{SHOP}/issues", json={"title": "By the App"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert commented.json()["user"]["login"] == "rig[bot]"
    maria = github.person("maria")
    allowed = [maria.get(f"{SHOP}/collaborators/{who}/permission")["permission"] for who in ("maria", "rita", "olaf")]
    assert allowed == ["admin", "write", "read"]


def test_statuses_are_combined_and_told(github: Hub) -> None:
    maria = github.person("maria")
    head = maria.get(f"{SHOP}/branches/main")["commit"]["sha"]
    for state, context in (("pending", "build"), ("success", "lint"), ("failure", "build")):
        maria.post(f"{SHOP}/statuses/{head}", {"state": state, "context": context})
    combined = maria.get(f"{SHOP}/commits/main/status")
    assert (combined["state"], combined["total_count"], combined["sha"]) == ("failure", 2, head)
    assert (github.log[-1].event, github.log[-1].parsed["state"]) == ("status", "failure")


def test_faults_are_played_once(github: Hub) -> None:
    maria, happened = github.person("maria"), threading.Event()
    github.faults.instead("POST", "/issues$", answer(503, "try later", {"Retry-After": "1"}))
    assert maria.ask("POST", f"{SHOP}/issues", {"title": "One"}).headers["Retry-After"] == "1"
    github.faults.after("POST", "/issues$", happened.set)
    with pytest.raises(httpx.RemoteProtocolError):
        maria.post(f"{SHOP}/issues", {"title": "Two"})
    assert happened.is_set()
    assert [each["title"] for each in maria.get(f"{SHOP}/issues")] == ["Two"], "it was done, and nobody was told"
    assert github.faults.calls.count(("POST", f"{SHOP}/issues")) == 2


def test_a_day_can_be_lived_in_a_second(github: Hub, tmp_path: Path) -> None:
    a_day(github, tmp_path / "scratch")
    maria = github.person("maria")
    assert len(github.log) == 1 + DELIVERIES
    assert {each["number"] for each in maria.get(f"{SHOP}/issues?state=closed")} == {5, 6, 13}
    assert {each["number"]: each["merged_at"] is not None for each in maria.get(f"{SHOP}/pulls?state=all")} == {
        7: True,
        9: False,
    }
    told = [delivery.parsed["issue"]["updated_at"] for delivery in github.log if delivery.event == "issues"]
    assert told == sorted(told)
    assert len(set(told)) > len(told) / 2, "minutes apart, but for some"


def app(github: Hub) -> dict[str, str]:
    """Who calls as the App."""
    now = int(time.time())
    signed = jwt.encode({"iss": str(APP), "iat": now - 60, "exp": now + 300}, github.app_key, algorithm="RS256")
    return {"Authorization": f"Bearer {signed}"}


def as_app(github: Hub, path: str) -> httpx.Response:
    answered = httpx.get(github.url + path, headers=app(github))
    assert answered.status_code == 200, answered.text
    return answered


def installed(github: Hub) -> str:
    path = f"{github.url}/app/installations/{INSTALLATION}/access_tokens"
    return httpx.post(path, headers=app(github), json={"repositories": ["shop"]}).json()["token"]
