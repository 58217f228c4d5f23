"""Reading windows of labelled videos, altering them, embedding them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.data.record import Record
from whodrives.data.store import FrameStore
from whodrives.data.store_pack import pack
from whodrives.errors import InputError
from whodrives.evaluation.controls import ALTERATIONS, duration_vectors
from whodrives.evaluation.embed_records import AS_IT_IS, Variant, embed_records
from whodrives.evaluation.readers import FileReader, StoreReader, VideoSample, central_windows
from whodrives.models import build_model
from whodrives.video import PreprocessingContract
from whodrives.video.errors import ContractMismatchError

LENGTH = 6


def write_folder(folder: Path, count: int, seed: int) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 200, (16, 16))
    for number in range(count):
        shifted = np.roll(base, number % 5, axis=1).astype(np.uint8)
        Image.fromarray(np.kron(shifted, np.ones((8, 8), np.uint8))).save(folder / f"{number:05d}.png")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    root = tmp_path_factory.mktemp("frames")
    records = []
    for number, count in enumerate((20, 4, 13, 1, 6)):
        write_folder(root / f"v{number}", count, number)
        records.append(Record(root / f"v{number}", f"d{number % 2}", "t0", "warp", "", str(number), "test", False))
    return records


@given(st.integers(2, 400), st.integers(2, 70), st.integers(1, 5))
def test_windows_lie_in_the_middle_and_do_not_overlap(n_frames: int, length: int, windows: int) -> None:
    chosen = central_windows(n_frames, length, windows)
    if n_frames < length:
        assert [(w.start, w.valid) for w in chosen] == [(0, n_frames)]
        return
    assert len(chosen) == min(windows, n_frames // length)
    assert all(b.start - a.start == length for a, b in itertools.pairwise(chosen))
    before, after = chosen[0].start, n_frames - chosen[-1].start - length
    assert 0 <= after - before <= 1
    if windows == 1:
        assert chosen[0].start == (n_frames - length) // 2


def test_windows_that_make_no_sense_are_refused() -> None:
    for arguments in ((1, 64, 1), (100, 1, 1), (100, 64, 0)):
        with pytest.raises(InputError):
            central_windows(*arguments)


def test_files_and_store_show_the_same_windows(videos: list[Record], tmp_path: Path) -> None:
    contract = PreprocessingContract(fps=None)
    good = [record for record in videos if record.recording != "3"]
    pack(good, tmp_path / "store", contract=contract)
    store = FrameStore.open(tmp_path / "store")
    for windows in (1, 2):
        files = FileReader(good, contract, LENGTH, windows)
        stored = StoreReader(store, range(len(store)), contract, LENGTH, windows)
        by_recording = {record.recording: number for number, record in enumerate(stored.records)}
        for number, record in enumerate(files.records):
            a, b = files.read(number), stored.read(by_recording[record.recording])
            assert np.array_equal(a.windows, b.windows)
            assert np.array_equal(a.valid, b.valid)
            assert (a.n_frames, a.energy) == (b.n_frames, b.energy)
    with pytest.raises(ContractMismatchError):
        StoreReader(store, [0], PreprocessingContract(fps=25.0), LENGTH)
    # The network standardises by itself: a store fits whatever the normalisation.
    StoreReader(store, [0], PreprocessingContract(fps=None, normalisation="frame"), LENGTH)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.data())
def test_alterations_keep_to_the_real_frames(length: int, data: st.DataObject) -> None:
    valid = data.draw(st.integers(2, length))
    window = np.arange(length, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    window[valid:] = window[valid - 1]
    rng = np.random.default_rng(0)
    altered = {name: change(window, valid, rng)[:, 0, 0].tolist() for name, change in ALTERATIONS.items()}
    assert altered["static frame"] == [valid // 2] * length
    assert altered["reversed"] == [*range(valid - 1, -1, -1), *[0] * (length - valid)]
    assert sorted(altered["shuffled"][:valid]) == list(range(valid))
    assert set(altered["shuffled"][valid:]) <= {altered["shuffled"][valid - 1]}
    assert window[:valid, 0, 0].tolist() == list(range(valid))


@given(st.lists(st.floats(0.1, 1000), min_size=2, max_size=20))
def test_durations_compare_by_cosine(seconds: list[float]) -> None:
    vectors = duration_vectors(seconds).astype(np.float64)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    logs = np.log(seconds)
    gaps = np.abs(logs[:, None] - logs).ravel()
    cosines = (vectors @ vectors.T).ravel()
    order = np.argsort(gaps, kind="stable")
    assert (np.diff(cosines[order]) <= 1e-6).all()


def test_durations_must_be_real() -> None:
    for bad in ([], [0.0, 1.0], [float("nan")], [[1.0]]):
        with pytest.raises(InputError):
            duration_vectors(bad)


def test_embeddings_with_controls_in_one_pass(videos: list[Record]) -> None:
    torch.manual_seed(0)
    model = build_model("paper").train()
    reader = FileReader(videos, PreprocessingContract(fps=None), LENGTH, windows=2)
    variants = {AS_IT_IS: Variant(model), **{name: Variant(model, name) for name in ALTERATIONS}}
    calls: list[int] = []
    out = embed_records(reader, variants, batch_windows=3, workers=2, seed=5, advance=lambda: calls.append(1))
    assert len(calls) == len(videos)
    assert model.training
    assert [number for number, _ in out.failed] == [3]
    assert "v3" in out.failed[0][1]
    assert out.number.tolist() == [0, 1, 2, 4]
    assert out.windows.tolist() == [2, 1, 2, 1]
    assert out.n_frames.tolist() == [20, 4, 13, 6]
    assert np.allclose(out.padded, [0, 1 / 3, 0, 0])
    assert np.isnan(out.seconds).all()  # folders of frames under the native contract: no rate is known
    model.eval()
    with torch.inference_mode():
        for row, number in enumerate(out.number):
            sample = reader.read(int(number))
            for name in variants:
                rng = np.random.default_rng([5, int(number)])
                alone = []
                for window, valid in zip(sample.windows, sample.valid):
                    shown = ALTERATIONS[name](window, int(valid), rng) if name in ALTERATIONS else window
                    alone.append(model(torch.from_numpy(shown)[None, :, None]).numpy()[0])
                mean = np.mean(alone, axis=0)
                # Batches of other sizes round otherwise, which may swap near neighbours of the graph.
                assert np.allclose(out.vectors[name][row], mean, atol=2e-3)
    assert np.allclose(out.vectors["static frame"], out.vectors["static frame"][0], atol=1e-3)


def test_padding_is_repeated_or_masked(videos: list[Record]) -> None:
    torch.manual_seed(0)
    model = build_model("paper").eval()
    contract = PreprocessingContract(fps=None)
    short = [videos[1]]
    repeated = embed_records(FileReader(short, contract, LENGTH), {"x": Variant(model)})
    masked = embed_records(FileReader(short, contract, LENGTH), {"x": Variant(model)}, mask_padding=True)
    alone = embed_records(FileReader(short, contract, 4), {"x": Variant(model)})
    assert repeated.padded[0] == pytest.approx(1 / 3)
    far, near = (np.abs(out.vectors["x"] - alone.vectors["x"]).max() for out in (repeated, masked))
    assert near < far / 5


def test_nothing_to_embed_is_an_error(videos: list[Record]) -> None:
    model = build_model("paper")
    contract = PreprocessingContract(fps=None)
    with pytest.raises(InputError, match="no network"):
        embed_records(FileReader(videos, contract, LENGTH), {})
    with pytest.raises(InputError, match="shuffled"):
        embed_records(FileReader(videos, contract, LENGTH), {"x": Variant(model, "sideways")})
    with pytest.raises(InputError, match="v3"):
        embed_records(FileReader([videos[3]], contract, LENGTH), {"x": Variant(model)})


def test_an_embedding_that_is_not_finite_names_its_video(videos: list[Record]) -> None:
    class Broken(torch.nn.Module):
        def forward(self, clips: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
            out = torch.ones(len(clips), 4)
            out[-1] = float("nan")
            return out

    reader = FileReader(videos[:3], PreprocessingContract(fps=None), LENGTH)
    with pytest.raises(InputError, match=r"v2: the network \(x\) gives no finite"):
        embed_records(reader, {"x": Variant(Broken())}, batch_windows=3)  # type: ignore[arg-type]


def test_samples_hold_what_they_say(videos: list[Record]) -> None:
    sample = FileReader(videos, PreprocessingContract(fps=12.0), LENGTH, folder_fps=24.0).read(0)
    assert isinstance(sample, VideoSample)
    assert sample.windows.shape == (1, LENGTH, 128, 128)
    assert (sample.n_frames, sample.fps) == (10, 12.0)
