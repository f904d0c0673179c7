"""What a coder is told; and that nobody else can speak as the rig."""

import re

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.brief import Brief, Finding
from agents.prompt import fenced, prompt
from schemas import IssueRef

BRIEF = Brief(
    issue=IssueRef("demo", "shop", 1),
    title="Fix the total",
    body="It subtracts.",
    check="python -m unittest",
    clone_url="/srv/shop",
    base_branch="main",
)


def test_a_first_attempt_is_told_the_issue_the_rules_and_the_check() -> None:
    text = prompt(BRIEF, attempt=1)
    assert text.startswith("Resolve issue demo/shop#1.\n\nRules:\n- ")
    assert "Title:\n```\nFix the total\n```" in text
    assert "Description:\n```\nIt subtracts.\n```" in text
    assert "finished:\n```\npython -m unittest\n```" in text
    assert "attempt" not in text
    assert "conflict" not in text


def test_an_empty_description_is_left_out() -> None:
    brief = replace(BRIEF, body=" \n")
    assert "Description" not in prompt(brief, attempt=1)


def test_a_later_attempt_is_told_what_was_found() -> None:
    brief = replace(BRIEF, findings=(Finding("The last run failed: checks_failed.", "1 failed"),))
    text = prompt(brief, attempt=2)
    assert "This is attempt 2." in text
    assert "The last run failed: checks_failed.\n```\n1 failed\n```" in text


def test_conflicts_are_named() -> None:
    assert "```\na.py\nb.py\n```" in prompt(BRIEF, attempt=1, conflicts=["a.py", "b.py"])


@given(st.text(alphabet=st.sampled_from("`~ \n\tab"), max_size=60))
def test_no_text_can_end_its_own_quotation(text: str) -> None:
    fence, _, rest = fenced(text).partition("\n")
    inside, _, end = rest.rpartition("\n")
    assert (inside, end) == (text, fence)
    assert re.fullmatch("`{3,}", fence)
    assert fence not in inside
