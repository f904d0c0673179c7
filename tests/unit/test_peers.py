"""A machine without npm: tests that need a peer skip and say so, unless peers are required."""

import pytest

from tests.support import peers


@pytest.mark.parametrize(
    ("required", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)], ids=["skips", "fails"]
)
def test_without_npm(
    required: str,
    outcome: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    monkeypatch.setenv("RIG_REQUIRE_PEERS", required)
    with pytest.raises(outcome, match=r"from npm.*: there is no node with npm here"):
        peers.run("asyncapi.cjs", {})


def test_packages_that_cannot_be_installed_are_a_reason_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("fake")
    for name, code in {"node": 0, "npm": 7}.items():
        program = place / name
        program.write_text(f"#!/bin/sh\necho no registry here >&2\nexit {code}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    monkeypatch.setenv("RIG_REQUIRE_PEERS", "1")
    for _ in range(2):  # what failed is tried again
        with pytest.raises(pytest.fail.Exception, match="npm ci failed: no registry here"):
            peers.run("asyncapi.cjs", {})
