"""`whodrives evaluate` and its restrictions on a listed data set whose embeddings are made up: what counts is which
pairs are compared."""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Answer, Caller
from fake_weights import CALIBRATED_CARD, FakeWeights
from whodrives.evaluation.embed_records import EmbeddedVideos
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.readers import Reader
from whodrives.evaluation.report.result import from_json
from whodrives.reproduction import judge
from whodrives.training import subject

COLUMNS = "path target_identity driving_identity generator dataset_source is_self_reenactment recording split"
PEOPLE, TAKES, GENERATORS = 4, 2, ("lia", "tps")


class Bench:
    """A manifest of 4 people on all 4 faces in 2 recordings by 2 generators, with the originals; two people are of each
    corpus. `seen` : options that the embedding was called with."""

    def __init__(self, root: Path, call: Caller) -> None:
        self.root, self.call, self.seen = root, call, {}
        self.data = self.listed("data")

    def listed(self, name: str, take: str = "r", generators: Sequence[str] = GENERATORS, source: str = "c") -> Path:
        folder = self.root / name
        folder.mkdir()
        rows = []
        for driver in range(PEOPLE):
            for target in range(PEOPLE):
                for number in range(TAKES):
                    kinds = [*generators, *(["original"] if driver == target else [])]
                    rows += [(driver, target, number, kind) for kind in kinds]
        with (folder / "manifest.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS.split())
            for driver, target, number, kind in rows:
                path = f"p{driver}-{target}-{number}-{kind}.mp4"
                (folder / path).touch()
                corpus = f"{source}{target // 2}" if source else ""
                table.writerow(
                    [
                        path,
                        f"p{target}",
                        f"p{driver}",
                        kind,
                        corpus,
                        driver == target,
                        f"p{driver}-{take}{number}",
                        "test",
                    ]
                )
        return folder

    def embed(self, reader: Reader, variants: Mapping[str, Any], advance: Callable[[], object], **options: Any) -> Any:
        """The driver's place in 4 dimensions, and something of the file."""
        self.seen = options
        labels, count = VideoLabels.from_records(reader.records), len(reader.records)
        number = np.array([int(name[1:]) for name in labels.driver])
        noise = np.random.default_rng(len(str(reader.records[0].path))).normal(size=(count, PEOPLE))
        rows = (np.eye(PEOPLE)[number] + 0.05 * noise).astype(np.float32)
        ones = np.ones(count)
        return EmbeddedVideos(
            dict.fromkeys(variants, rows), np.arange(count), np.ones(count, np.int64), ones * 9, ones, ones + number,
            ones / 2, (),
        )  # fmt: skip

    def __call__(self, *words: object) -> Answer:
        return self.call("evaluate", "fake", self.data, "--no-controls", *words, "--json")

    def pairs(self, *words: object, of: str | None = None) -> tuple[int, int]:
        """Genuine and impostor trials of the main protocol, or of another."""
        answer = self(*words)
        assert answer.status == 0, answer.out
        found = answer.json["n_pairs"] if of is None else answer.json["protocols"][of]["n_pairs"]
        return found["genuine"], found["impostor"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path, Caller())
    monkeypatch.setattr(judge, "embed_records", made.embed)
    model = FakeWeights().model
    fake = subject.Subject("fake", model, subject.DEFAULT_CONTRACT, 64, "feed")  # type: ignore[arg-type]
    card = subject.read_calibration(CALIBRATED_CARD)
    monkeypatch.setattr("whodrives.training.subject.load_subject", lambda name: replace(fake, calibration=card))
    return made


def test_which_pairs_are_compared(bench: Bench) -> None:
    # A target: 4 self-reenactments make 6 pairs, and meet 3 others' 4 videos.
    assert bench.pairs() == (4 * 6, 4 * 4 * 12)
    assert bench.pairs("--exclude-same-recording") == (4 * 4, 4 * 4 * 12)
    assert bench.pairs("--generators", "lia") == (4 * 1, 4 * 2 * 6)
    # One of the three others is of the target's corpus.
    assert bench.pairs("--negatives", "same_source") == (4 * 6, 4 * 4 * 4)
    # Six self-reenactments with the originals.
    assert bench.pairs("--include-originals") == (4 * 15, 4 * 6 * 12)


def test_faces_restrict_pairs_of_recordings(bench: Bench) -> None:
    # A driver: two recordings on 4 faces by 2 generators; 8 x 8 pairs, of which 4 x 2 x 2 show one face.
    own, other = 4 * 8 * 8, 6 * 16 * 16
    assert bench.pairs("--protocol", "recordings") == (own, other)
    assert bench.pairs("--protocol", "recordings", "--faces", "same") == (own // 4, other // 4)
    assert bench.pairs("--protocol", "recordings", "--faces", "different") == (own * 3 // 4, other * 3 // 4)


def test_content_restricts_pairs(bench: Bench, tmp_path: Path) -> None:
    table = tmp_path / "content.csv"
    # Everybody says one sentence in the first recording and another in the second; p3 has labels for the first only.
    rows = [f"p{d}-r{n},say{n}" for d in range(PEOPLE) for n in range(TAKES) if (d, n) != (3, 1)]
    table.write_text("recording,content\n" + "\n".join(rows) + "\n")
    # Genuine: two renderings of one recording. Of p3 there is only one such pair.
    genuine, impostor = bench.pairs("--content", table)
    assert genuine == 3 * 2 + 1
    # A target's 2 renderings of a recording meet 2 of each driver who says the same.
    assert impostor == 3 * (2 * 6 + 2 * 4) + 2 * 6
    table.write_text("recording,content\nnobody,say0\n")
    answer = bench("--content", table)
    assert answer.status == 2
    assert "no video's recording has a label; the data have recordings such as p0-r0" in answer.out


def test_what_was_looked_at_stands_in_the_report(bench: Bench, tmp_path: Path) -> None:
    plain = bench()
    assert bench.seen["mask_padding"] is False
    expected = {
        "negatives": "any",
        "content": "any",
        "exclude_same_recording": "as each protocol does",
        "include_originals": "no",
        "faces": "any",
        "generators": "all",
        "mask_padding": "no",
        "windows": "1",
    }
    assert plain.json["restrictions"] == expected
    words = ("--mask-padding", "--windows", 3, "--generators", "lia,tps", "-o", tmp_path / "report")
    masked = bench(*words)
    assert bench.seen["mask_padding"] is True
    changed = {"mask_padding": "yes", "windows": "3", "generators": "lia, tps"}
    assert masked.json["restrictions"] == {**expected, **changed}
    assert (plain.json["padded_share"], masked.json["padded_share"]) == (0.5, 0.5)
    for name in ("report.md", "report.html", "report.tex"):
        text = (tmp_path / "report" / name).read_text()
        assert "repeated frames of short videos" in text, name
        assert "windows: 3" in text, name
        assert "generators: lia, tps" in text, name
        assert "enrolled from" in text, name


def test_the_answer_can_be_read_back(bench: Bench) -> None:
    answer = bench()
    result = from_json(answer.out)
    assert result.auc.overall == answer.json["auc"]["overall"]  # type: ignore[union-attr]
    assert answer.json["failed"] == []
    # The card of these weights has a calibration.
    assert 0 < answer.json["cllr"] < math.inf
    assert answer.json["eer_ci95"][0] <= answer.json["eer"] <= answer.json["eer_ci95"][1]
    assert answer.json["matrix"]["rows"] == ["lia", "tps"]


def test_originals_stand_in_real_to_avatar_alone(bench: Bench) -> None:
    words = ("--protocol", "real_to_avatar")
    # An original meets its driver's other recording on 4 faces by 2 generators, and 3 others' 16 videos.
    assert bench.pairs(*words) == (8 * 8, 8 * 48)
    answer = bench(*words).json
    assert set(answer["auc"]["per_generator"]) == {"lia", "tps"}
    assert answer["restrictions"]["include_originals"] == "in real_to_avatar only"
    assert bench.pairs(*words, of="per_target_mean") == bench.pairs()
    assert bench.pairs(*words, "--include-originals", of="per_target_mean") == bench.pairs("--include-originals")


def test_options_that_would_be_ignored_are_refused(bench: Bench, tmp_path: Path) -> None:
    pairs, people, table = (tmp_path / name for name in ("pairs.csv", "people.csv", "table.csv"))
    pairs.write_text("enrolment_sample,test_sample,label\np0-0-0-lia,p0-0-1-lia,1\n")
    people.write_text("driver,sex\nbob,m\n")
    table.write_text("a,b\n1,2\n")
    for words, part in (
        (("--generators", "lia,liveportrait"), "no video is left of the generator 'liveportrait'; there are lia, orig"),
        (("--faces", "same"), "restricts the protocol recordings alone"),
        (("--protocol", "pooled", "--faces", "different"), "restricts the protocol recordings alone"),
        (("--pairs", pairs, "--protocol", "pooled"), "--pairs is a protocol of its own"),
        (("--attributes", people), "'sex' names no driver of these videos, such as p0"),
        (("--frames", tmp_path), "--frames:"),
        (("--metadata", table), "--metadata:"),
        (("--frozen", bench.data), "these are the videos themselves"),
        (("--frozen", bench.root / "data" / ".." / "data"), "these are the videos themselves"),
        (("--frozen", bench.listed("other", take="x")), "no twins of these"),
        (("--frozen", bench.listed("fewer", generators=("lia",))), "no twins of these"),
        (("--protocol", "best"), "per_target_mean"),
    ):
        bench.seen = {}
        answer = bench(*words)
        assert answer.status == 2, words
        assert part in answer.out, (words, answer.out)
        assert bench.seen == {}, "told before anything is embedded"
    bench.data = bench.listed("unsourced", source="")
    answer = bench("--negatives", "same_source")
    assert answer.status == 2
    assert "name no corpus" in answer.out


def test_frozen_twins(bench: Bench) -> None:
    twins = bench.listed("twins")
    control = bench("--frozen", twins).json["controls"]["frozen"]
    assert (control["auc"], control["trained"]) == (1.0, False)
    assert control["note"].startswith("training AUC not known")
    # A copy under a name as long has the same made-up embeddings.
    answer = bench("--frozen", bench.listed("copy"))
    assert answer.status == 2
    assert "nothing was frozen" in answer.out
