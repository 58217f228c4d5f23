"""The preprocessing contract, the crop rules and the exact area resize."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.errors import InputError
from whodrives.video import ContractMismatchError, CropError, PreprocessingContract
from whodrives.video.crop import square_crop
from whodrives.video.resize import area_resize, area_weights, to_grey8


def test_contract_round_trip_and_digest() -> None:
    contract = PreprocessingContract(fps=30, crop="10,20,64,64")
    assert PreprocessingContract.from_dict(contract.to_dict()) == contract
    assert contract.digest() == PreprocessingContract(fps=30.0, crop="10,20,64,64").digest()
    assert len(contract.digest()) == 16
    assert PreprocessingContract().digest() != PreprocessingContract(fps=None).digest()


def test_default_digest_is_pinned() -> None:
    """Stored templates carry this digest: it changes only together with the version."""
    assert PreprocessingContract().digest() == "f7de32d5e34ec36b"


@pytest.mark.parametrize(
    "values",
    [
        {"fps": 0},
        {"fps": -1},
        {"fps": float("nan")},
        {"fps": 1e9},
        {"fps": "25"},
        {"size": 0},
        {"size": 12.5},
        {"grey": "mean"},
        {"resize": "bilinear"},
        {"normalisation": "none"},
    ],
)
def test_contract_rejects_nonsense(values: dict[str, object]) -> None:
    with pytest.raises(InputError):
        PreprocessingContract(**values)  # type: ignore[arg-type]


def test_different_contracts_are_named() -> None:
    with pytest.raises(ContractMismatchError, match=r"template.*fps 25\.0 against None"):
        PreprocessingContract().require_same(PreprocessingContract(fps=None), "the template")
    PreprocessingContract().require_same(PreprocessingContract(), "the template")
    with pytest.raises(ContractMismatchError, match="colour"):
        PreprocessingContract.from_dict({**PreprocessingContract().to_dict(), "colour": 1})


@pytest.mark.parametrize(
    ("rule", "box"),
    [
        ("center", (36, 0, 288, 288)),
        ("centre", (36, 0, 288, 288)),
        ("10,20,100,100", (10, 20, 100, 100)),
        (" 10, 20, 100, 50 ", (35, 20, 50, 50)),
        ("0,0,360,288", (36, 0, 288, 288)),
    ],
)
def test_crop_is_square_and_inside(rule: str, box: tuple[int, int, int, int]) -> None:
    assert square_crop(rule, 360, 288, "a.mp4") == box


@pytest.mark.parametrize(
    "rule",
    ["", "left", "1,2,3", "1,2,3,4,5", "0,0,361,10", "-1,0,50,50", "0,0,8,8", "300,0,100,100", "a,b,c,d", "0,0,1e3,9"],
)
def test_bad_crops_name_the_file(rule: str) -> None:
    with pytest.raises(CropError, match=r"a\.mp4"):
        square_crop(rule, 360, 288, "a.mp4")


def naive_area(image: np.ndarray, size: int) -> np.ndarray:
    """Every output pixel as a weighted mean over the source pixels that it overlaps, in plain loops."""
    height, width = image.shape
    out = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            top, bottom = i * height / size, (i + 1) * height / size
            left, right = j * width / size, (j + 1) * width / size
            total = 0.0
            for y in range(int(top), min(int(np.ceil(bottom)), height)):
                for x in range(int(left), min(int(np.ceil(right)), width)):
                    tall = min(bottom, y + 1) - max(top, y)
                    wide = min(right, x + 1) - max(left, x)
                    total += max(tall, 0) * max(wide, 0) * float(image[y, x])
            out[i, j] = total / ((bottom - top) * (right - left))
    return out


@pytest.mark.parametrize("shape", [(37, 53), (16, 16), (5, 7), (64, 64), (33, 16), (200, 31)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_area_resize_equals_naive_loops(shape: tuple[int, int], kind: type) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape).astype(kind)
    ours = area_resize(image, 16)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, naive_area(image, 16), rtol=2e-6, atol=2e-3)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("times", [1, 2, 4, 8, 16])
def test_whole_number_sums_equal_the_weights_to_the_last_bit(times: int, kind: type) -> None:
    largest = np.iinfo(kind).max
    image = np.random.default_rng(times).integers(0, largest + 1, (8 * times, 16 * times)).astype(kind)
    image[:, : 2 * times] = largest
    square = image[:, 4 * times : 12 * times]
    for part in (image[:, : 8 * times], square, square.T, square[::-1]):
        assert np.array_equal(area_resize(part, 8), area_resize(part.astype(np.float32), 8))


@given(st.integers(1, 300), st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_area_weights_share_out_everything(source: int, target: int) -> None:
    weights = area_weights(source, target)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=0), target / source, rtol=1e-4)
    assert weights.min() >= 0


def test_area_resize_keeps_flat_pictures_and_views() -> None:
    flat = np.full((2160, 2160), 77, np.uint8)
    assert np.array_equal(to_grey8(area_resize(flat, 128)), np.full((128, 128), 77))
    image = np.random.default_rng(1).integers(0, 255, (90, 70), dtype=np.uint8)
    turned = image.T[::-1]
    np.testing.assert_array_equal(area_resize(turned, 32), area_resize(np.ascontiguousarray(turned), 32))
