"""From a comparison to its verdict by listeners: the page they vote on, and what is made of it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from typer.testing import CliRunner

from harness.cli.main import app
from harness.cli.report_targets import scored_votes
from harness.statistics.outcome import Strength
from harness.votes.answers import FORMAT, read_votes
from harness.votes.plan import Kind, VotePlan, load_plan

NAME = "compare-test"


def harness(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


@pytest.fixture(scope="module")
def six(stand_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a comparison with six seeds."""
    root = tmp_path_factory.mktemp("votes") / "results"
    stand_in.write_comparison(stand_in.write_results(root, seeds=6))
    return root


@pytest.fixture(scope="module")
def ballot(six: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VotePlan]:
    """The page of a vote that decides, and its plan."""
    out = tmp_path_factory.mktemp("ballot") / "vote.html"
    done = harness(
        "vote", NAME, "--results", str(six), "--out", str(out), "--trials", "8", "--repeats", "2",
        "--catch", "5", "--decide", "--listeners", "3", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["decides"], found["num_listeners"], found["num_counted"]) == (True, 3, 8)
    return out, load_plan(Path(found["plan"]))


def write_vote(folder: Path, plan: VotePlan, *, name: str, prefers: str) -> Path:
    """The file of a listener who always prefers one branch and hears every catch trial."""
    answers = []
    for trial in plan.trials:
        is_first = trial.kind is Kind.CATCH or trial.first.name == prefers
        side = "left" if is_first == trial.is_first_left else "right"
        answers.append({"trial": trial.id, "side": side, "seconds": 2.0, "plays": 1})
    content = {
        "format": FORMAT,
        "plan": plan.plan_id,
        "listener": name,
        "started_at": "",
        "answers": answers,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def test_the_verdict_rests_on_votes_that_were_planned_to_decide(
    six: Path, ballot: tuple[Path, VotePlan], tmp_path: Path
) -> None:
    """Catches: votes that stay a section beneath a headline of another metric, in the page, the
    twin, the terminal or the JSON."""
    _, plan = ballot
    files = [
        write_vote(tmp_path, plan, name=name, prefers="baseline") for name in ("ann", "ben", "cem")
    ]
    early = scored_votes(NAME, files=files[:2], results=six).verdict
    assert early is not None
    assert early.sentence == "undecided: 2 of 3 planned listeners count so far"
    words = ["report", NAME, "--results", str(six), "--json", "--votes"]
    found = json.loads(harness(*words, *map(str, files)).stdout)
    verdict = found["votes"]["verdict"]
    assert (verdict["winner"], verdict["strength"]) == ("baseline", "confirmed")
    headline = "baseline wins by the votes of 3 listeners over 6 seeds."
    assert found["reports"][0]["verdict"] == headline
    folder = six / "reports" / NAME
    page = (folder / "index.html").read_text(encoding="utf-8")
    first = page[: page.index('<section id="sheet"')]
    for text in (headline, "By votes", "Confirmatory", "over sonic (", "By listening rank:"):
        assert text in first, text
    assert "agrees with them" in first or "cannot be said" in first
    assert headline in (folder / "report.md").read_text(encoding="utf-8")
    shares = page[page.index("Share of votes for the first") :]
    heads = re.findall(r"<th scope=.col.[^>]*>([^<]*)", shares)[:3]
    assert [head.strip() for head in heads] == ["first", "second", "found"]  # seen on a phone
    shown = harness("show", NAME, "--results", str(six)).output
    assert shown.startswith("baseline wins by the votes of 3 listeners")


def test_votes_that_nobody_planned_decide_only_when_asked(six: Path, tmp_path: Path) -> None:
    """Catches: a verdict that turns into another without a word of it."""
    common = ["--results", str(six), "--out", str(tmp_path / "vote.html"), "--seed", "5"]
    done = harness("vote", NAME, *common, "--find", "0.99", "--json")
    assert json.loads(done.stdout)["needed_listeners"] >= 3
    plan = load_plan(Path(json.loads(done.stdout)["plan"]))
    files = [write_vote(tmp_path, plan, name=name, prefers="sonic") for name in ("ann", "ben", "d")]
    assert scored_votes(NAME, files=files, results=six).verdict is None
    verdict = scored_votes(NAME, files=files, results=six, decides=True).verdict
    assert verdict is not None
    assert (verdict.winner, verdict.strength) == ("sonic", Strength.EXPLORATORY)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["vote", NAME, "--decide"], "set beforehand"),
        (["vote", NAME, "--listeners", "9"], "pass --decide with it"),
        (["vote", NAME, "--decide", "--listeners", "9", "--find", ".7"], "cannot be combined"),
        (["vote", NAME, "--find", "0.51"], "no number of listeners finds"),
        (["vote", NAME, "--kind", "sound", "--decide", "--listeners", "9"], "asks about sounds"),
        (["report", NAME, "--decide", "votes"], "requires --votes"),
        (["report", NAME, "--decide", "ears", "--votes", "x"], "expected votes"),
    ],
)
def test_what_cannot_decide_is_a_sentence(
    six: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    """Catches: a traceback, or votes that decide without a number set before."""
    out = ["--out", str(tmp_path / "v.html")] if words[0] == "vote" else []
    done = harness(*words, "--results", str(six), *out)
    assert sentence in str(done.exception), done.output


def vote_by_keyboard(page: Page) -> int:
    """Answer everything; returns how often."""
    num = 0
    while page.is_visible("#vote"):
        page.wait_for_selector("#left:not([disabled])")
        page.keyboard.press("ArrowLeft" if num % 2 else "ArrowRight")
        num += 1
    return num


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")]
)
def test_anyone_can_vote_on_the_page_and_its_file_is_read(
    browser: Browser,
    violations: Any,
    ballot: tuple[Path, VotePlan],
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    """Catches: a page that asks the network, that a phone, a keyboard or a screen reader cannot
    use, that says what is behind an image, or whose file we refuse."""
    path, plan = ballot
    text = path.read_text(encoding="utf-8")
    assert not any(word in text for word in ("sonic", "baseline", "shuffled", "runs/"))
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert violations(page) == []
    page.fill("#listener", "Ann")
    page.keyboard.press("Enter")
    page.wait_for_selector("#left:not([disabled])")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    bottom = page.evaluate("document.getElementById('right').getBoundingClientRect().bottom")
    assert bottom <= 844
    assert vote_by_keyboard(page) == len(plan.trials)
    assert violations(page) == []
    with page.expect_download() as download:
        page.click("#save")
    saved = tmp_path / "ann.json"
    download.value.save_as(saved)
    votes = read_votes(saved)
    assert (votes.plan, votes.listener) == (plan.plan_id, "Ann")
    assert [answer.trial for answer in votes.answers] == [trial.id for trial in plan.trials]
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    page.close()
