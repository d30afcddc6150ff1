"""The first minute on a terminal: the questions, the refusals and the last screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest
import yaml

from extensions import items, rules

from ..render import pairwise
from .conftest import LINES, Terminal

pytestmark = pytest.mark.programs

Copy = Callable[..., Terminal]

ENTER, DOWN, CLEAR = "\r", "\x1b[B", "\x15"

#: The questions of each layout, in order, and the keys that answer them.
MULTI = dict.fromkeys((key for key in pairwise.asked() if key != "service_kind"), ENTER)
SINGLE = dict.fromkeys((key for key in pairwise.asked() if key != "services"), ENTER) | {
    "layout": DOWN + ENTER
}

NEXT_STEPS = [
    "Next steps:",
    "  cd shop-backend",
    "  git add --all && git commit -m 'Start'  template updates need a commit",
    "  make setup                              install what the tests need",
    "  make test                               run all tests, stage by stage",
    "  make dev                                start all services, with hot reload",
    "  make                                    list all targets",
]


def lines_of(key: str) -> list[str]:
    """Return what a question must show: its help, and the labels of its choices."""
    question = pairwise.asked()[key]
    choices = question.get("choices", [])
    # In a new folder, expressions in a help text are empty.
    text = re.sub(r"\{\{.*?\}\}", "", question["help"])
    return [line.strip() for line in [*text.splitlines(), *choices]]


def in_order(wanted: Iterable[str], shown: Iterable[str]) -> bool:
    """Whether each wanted text is a line of its own, in this order, whole and unwrapped."""
    # Copier's mark or the pointer of a list may precede a text.
    rest = iter(shown)
    return all(any(re.sub(r"^[🎤»●○\s]+", "", line) == text for line in rest) for text in wanted)


def wait_for_question(terminal: Terminal, key: str) -> None:
    """Wait until a question is asked; its whole text must be on the screen."""
    wanted = lines_of(key)

    def asked() -> bool:
        shown = terminal.shown
        starts = [number for number, line in enumerate(shown) if line == f"🎤 {wanted[0]}"]
        return bool(starts) and in_order(wanted, shown[starts[-1] :])

    terminal.wait(asked, f"the whole question {key!r}")


def test_each_question_is_complete_and_the_last_screen_shows_the_next_steps(
    terminal: Copy, tmp_path: Path
) -> None:
    run = terminal("shop-backend", "--quiet")
    for key, keys in MULTI.items():
        wait_for_question(run, key)
        run.send(keys)
    assert run.wait_for_exit() == 0
    shown = run.shown
    assert shown[-len(NEXT_STEPS) :] == NEXT_STEPS
    # What was printed after the answers fits on one screen with them.
    after = shown[shown.index(next(line for line in shown if "files written" in line)) :]
    files = [path for path in (tmp_path / "shop-backend").rglob("*") if path.is_file()]
    assert after[:7] == [
        f"✓ {len(files)} files written",
        "! No git repository created: git is not installed",
        "  Later: git init",
        "  Creating lock files. This can take a minute.",
        "! Some lock files of uv are missing: in services/api/, uv is not installed",
        "  Later: make lock",
        "! Some lock files of npm are missing: in services/frontend/, npm is not",
    ]
    assert len(after) < LINES
    answers = yaml.safe_load((tmp_path / "shop-backend/.copier-answers.yml").read_text())
    assert answers["project_name"] == "Shop Backend"


def test_each_question_for_a_single_service_is_complete(terminal: Copy) -> None:
    run = terminal("shop-backend")
    for key, keys in SINGLE.items():
        wait_for_question(run, key)
        run.send(keys if key != "license" else "")


def test_without_quiet_the_last_screen_ends_with_the_next_steps(terminal: Copy) -> None:
    run = terminal(
        "shop-backend", "--defaults", "--data=layout=single", "--data=service_kind=custom"
    )
    assert run.wait_for_exit() == 0
    assert run.shown[-len(NEXT_STEPS) :] == NEXT_STEPS


#: By question: refused answers, with the reason if it does not come from extensions/.
REFUSED = {
    "project_name": [("", "")],
    "project_slug": [("A-Slug-Of-Forty-Characters-Is-Very-Long-x", "")],
    "services": [
        ("[api, worker], billing", "Invalid input: this is not valid YAML; check the brackets"),
        ("api, a-service-name-that-is-much-too-long", ""),
    ],
    "registry": [("https://GHCR.io/some-organization/", "")],
}

#: Valid answers to the same questions.
ACCEPTED = {"services": "api", "registry": "ghcr.io/shop"}


def reason_of(key: str, answer: str) -> str:
    """Return the text that refuses an answer."""
    checks: dict[str, Callable[[str], object]] = {
        "project_name": lambda text: rules.check_text(key, text, required=True),
        "project_slug": rules.check_slug,
        "services": items.parse,
        "registry": rules.check_registry,
    }
    with pytest.raises(rules.AnswerError) as refusal:
        checks[key](answer)
    return str(refusal.value)


def test_a_refused_answer_shows_the_whole_reason_and_stays_editable(terminal: Copy) -> None:
    run = terminal("shop-backend")
    for key in MULTI:
        wait_for_question(run, key)
        for answer, expected in REFUSED.get(key, []):
            reason = expected or reason_of(key, answer)
            run.send(CLEAR + answer + ENTER)
            run.wait(partial(is_shown, run, reason), f"the reason {reason!r}")
            assert any(line.strip() == answer for line in run.shown), run.shown
        if key in REFUSED:
            # The answer can still be changed.
            run.send(CLEAR + ACCEPTED.get(key, "shop"))
        if key == "registry":
            break
        run.send(ENTER)
    run.send(ENTER)
    wait_for_question(run, "orchestrator")
    # A space unchecks the first choice, and checks it again.
    run.send(" " + ENTER)
    run.wait(partial(is_shown, run, "choose at least one"), "the reason")
    run.send(" " + ENTER)
    wait_for_question(run, "python_version")


def is_shown(terminal: Terminal, text: str) -> bool:
    """Whether the screen shows a text, however it is wrapped."""
    return " ".join(text.split()) in terminal.text
