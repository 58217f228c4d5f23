"""`whodrives demo`, with shorter and smaller videos."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from whodrives.cli import demo


class Page(HTMLParser):
    """Collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SECONDS", 3.0)
    monkeypatch.setattr(demo, "SIZE", 64)


@pytest.mark.usefixtures("small")
def test_demo_decides_all_trials_and_writes_one_self_contained_page(call, tmp_path: Path) -> None:
    own = tmp_path / "drivers.db"
    own.write_text("somebody's gallery")
    answer = call("demo", "-o", tmp_path, "--json")
    assert answer.status == 0
    trials = answer.json["trials"]
    assert len(trials) == 16
    assert sum(trial["driver"] == trial["claimed"] for trial in trials) == 4
    for trial in trials:
        genuine = trial["driver"] == trial["claimed"]
        expected = None if trial["decision"] == "abstain" else (trial["decision"] == "accept") == genuine
        assert trial["right"] is expected
    page = Page()
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page.feed(text)
    assert page.sources
    assert all(source.startswith("data:") for source in page.sources)
    assert "script" not in page.tags
    assert all(trial["video"] in text for trial in trials)
    assert own.read_text() == "somebody's gallery"
    people = call("demo", "-o", tmp_path)
    assert people.status == 0
    assert "16 decisions" in people.out


def test_demo_drivers_are_strangers_to_training(tmp_path: Path) -> None:
    from whodrives.avatars.cast import SEEDS
    from whodrives.training.source import HELD_OUT_SEED

    assert min(demo.DRIVER_SEED, demo.FACE_SEED) > max(SEEDS.values()) + 1_000_000 > HELD_OUT_SEED
