"""Embeddings of overlapping windows of one video at the price of one pass over its frames.

Let v_t be the steps that the head sees (d_t, say), and a window the S steps a .. e = a + S - 1. A Conv3D with three
taps over time is a sum of three 2-D convolutions, y_t = A v_(t-1) + B v_t + C v_(t+1), and the window's zero padding
only leaves out A v_(a-1) at its first step and C v_(e+1) at its last. So of the first convolution every window shares
all steps but its outermost two, and of the second all but its outermost four:

    step     first convolution      second convolution, over z = ReLU(BN(y)); z' at the window's edges
    a        B v_a + C v_(a+1)      B z'_a + C z_(a+1)
    a + 1    shared                 A z'_a + B z_(a+1) + C z_(a+2)
    ...      shared                 shared
    e - 1    shared                 A z_(e-2) + B z_(e-1) + C z'_e
    e        A v_(e-1) + B v_e      A z_(e-1) + B z'_e

The mean over time commutes with spatial pooling, so that of each shared step only 32 x 4 x 4 numbers are kept until the
last window that holds it has ended. Memory does not grow with the video.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.errors import InputError
from whodrives.models.fingerprint import FingerprintModel
from whodrives.models.flow import optical_flow
from whodrives.models.head import TemporalHead, VolumeBlock, pool_to_grid
from whodrives.models.normalise import at_least_single, standardise
from whodrives.models.series_head import SeriesHead

# Normalisations under which a frame is encoded alike in every window.
STREAMABLE = ("frame", "fixed")
# Fewer steps than this, and both edges of a window touch.
_LEAST_STEPS = 4


def is_streamable(model: FingerprintModel) -> bool:
    """Whether windows of a video can share its frames: not under ``clip``, where each window has its own statistics."""
    return model.config.normalisation in STREAMABLE


class SlidingWindows:
    """All windows of `length` frames at multiples of `hop`, from frames that arrive in pieces of any size.

    Every embedding equals the model's own of that window alone, up to rounding (and where rounding swaps two equally
    near neighbours of the graph). Nothing is trained here: the model must be in evaluation mode and gets no gradient.

    Parameters
    ----------
    model : with normalisation ``frame`` or ``fixed``. length : T, frames, at least 2. hop : frames between starts.

    Raises
    ------
    InputError
        Normalisation ``clip``, a model in training mode, or a length or hop out of range.
    """

    def __init__(self, model: FingerprintModel, length: int, hop: int) -> None:
        if not is_streamable(model):
            raise InputError(
                f"normalisation {model.config.normalisation!r} gives every window statistics of its own; windows share "
                f"frames only under {' or '.join(STREAMABLE)}"
            )
        if model.training:
            raise InputError("the model is in training mode; call eval() first")
        if length < 2 or hop < 1:
            raise InputError(f"windows of {length} frames every {hop}; give at least 2 and 1")
        self.model, self.length, self.hop = model, length, hop
        self.reset()

    def reset(self) -> None:
        """Forget all frames: a new video begins, or a gap."""
        self._steps = _Steps(self.model)
        offset, span, rest = self._steps.window(self.length)
        head = self.model.head
        if isinstance(head, TemporalHead) and span >= _LEAST_STEPS:
            self._sums: _SharedSums | _WholeSums = _SharedSums(head, span, self.hop)
        else:
            self._sums = _WholeSums(head, offset, span, rest, self.hop)

    @torch.inference_mode()
    def push(self, frames: Tensor) -> tuple[list[int], Tensor]:
        """Take the next frames.

        Parameters
        ----------
        frames : (n, 1, 128, 128), float in 0..1 or uint8, n >= 0, in order and without gaps.

        Returns
        -------
        Starts, in frames since the last reset, of the windows that these frames complete, and their embeddings
        (windows, embedding_dim), float32 unit rows.
        """
        if frames.ndim != 4 or frames.shape[1] != 1:
            raise InputError(f"frames have shape {tuple(frames.shape)}; expected (n, 1, 128, 128) grey frames")
        starts: list[int] = []
        embeddings: list[Tensor] = []
        if len(frames):
            volume = self._steps.take(frames)
            if volume is not None:
                starts, embeddings = self._sums.take(volume)
        if not embeddings:
            return [], torch.empty(0, self.model.config.embedding_dim, device=frames.device)
        return starts, F.normalize(at_least_single(torch.cat(embeddings)), dim=1)


class _Steps:
    """Frames to the steps that the head sees, one after another."""

    def __init__(self, model: FingerprintModel) -> None:
        self.model = model
        self.last: Tensor | None = None

    def window(self, length: int) -> tuple[int, int, int]:
        """Of the window that starts at frame 0: its first step, how many it has, and how many it leaves out after."""
        if self.model.config.representation == "static":
            return length // 2, 1, length - length // 2 - 1
        return 0, length if self.model.config.representation == "raw_feat" else length - 1, 0

    def take(self, frames: Tensor) -> Tensor | None:
        """(n, 1, H, W) -> (n or n - 1, C, 16, 16), or vectors (n or n - 1, 512) of `resnet18_released`.

        None: no step is complete yet.
        """
        kind = self.model.config.representation
        shown = standardise(frames[None], self.model.config.normalisation)[0]
        if kind in ("raw_feat", "static"):
            return self._encode(shown)
        if kind == "feat_diff":
            features = self._joined(self._encode(shown))
            return features[1:] - features[:-1] if len(features) > 1 else None
        pixels = self._joined(shown)
        if len(pixels) < 2:
            return None
        if kind == "flow":
            return self._encode(optical_flow(pixels[None])[0])
        before, after = pixels[:-1], pixels[1:]
        return self._encode(after - before if kind == "pixel_diff" else torch.cat((before, after), dim=1))

    def _joined(self, new: Tensor) -> Tensor:
        joined = new if self.last is None else torch.cat((self.last, new))
        self.last = joined[-1:].clone()
        return joined

    def _encode(self, frames: Tensor) -> Tensor:
        return self.model.encode_frames(frames[None])[0]


class _WholeSums:
    """Windows whose steps are few or are vectors: kept and given to the head as they are, or as it reads them."""

    def __init__(self, head: nn.Module, offset: int, span: int, rest: int, hop: int) -> None:
        self.span, self.rest, self.hop = span, rest, hop
        self.reader = head if isinstance(head, SeriesHead) else None
        self.head: Callable[[Tensor], Tensor] = head if self.reader is None else self.reader.finish
        self.kept: Tensor | None = None
        self.first = 0  # the step that `kept` begins with
        self.next, self.offset = offset, offset

    def take(self, volume: Tensor) -> tuple[list[int], list[Tensor]]:
        """Next steps -> starts of windows, in frames, and what the head gives for them."""
        # Steps that are read one by one are read once, whatever windows hold them.
        rows = volume if self.reader is None else self.reader.series(volume.transpose(0, 1)[None])[0].T
        kept = rows if self.kept is None else torch.cat((self.kept, rows))
        starts, out = [], []
        while self.next + self.span + self.rest <= self.first + len(kept):
            at = self.next - self.first
            out.append(self.head(kept[None, at : at + self.span].transpose(1, 2)))
            starts.append(self.next - self.offset)
            self.next += self.hop
        drop = min(max(self.next - self.first, 0), len(kept))
        self.kept, self.first = kept[drop:], self.first + drop
        return starts, out


class _SharedSums:
    """Sums over the steps of a window of the second block's pooled output, shared where windows overlap."""

    def __init__(self, head: TemporalHead, span: int, hop: int) -> None:
        self.head, self.span, self.hop = head, span, hop
        first, second = head.blocks
        assert isinstance(first, VolumeBlock)
        assert isinstance(second, VolumeBlock)
        self.first_taps, self.second_taps = _Taps(first), _Taps(second)
        self.seen = 0
        self.taps_1, self.taps_2, self.pooled = _Recent(3), _Recent(2), _Recent(span)
        self.left: dict[int, Tensor] = {}

    def take(self, volume: Tensor) -> tuple[list[int], list[Tensor]]:
        """Next steps (n, C, 16, 16) -> starts of windows, and what the head gives for them."""
        before, self.seen = self.seen, self.seen + len(volume)
        one, two = self.first_taps, self.second_taps
        self.taps_1.add(0, one(volume))
        # Step t of the first block needs t - 1 .. t + 1, and so has that of the second, one later.
        middle = range(max(1, before - 1), self.seen - 1)
        if len(middle):
            self.taps_2.add(1, two(one.settle(self.taps_1, middle)))
        inner = range(max(2, before - 2), self.seen - 2)
        if len(inner):
            self.pooled.add(2, self._pool(two.settle(self.taps_2, inner)))
        fresh = [a for a in self._multiples(before - 3, self.seen - 3) if a >= 0]
        if fresh:
            edge = two(one.settle(self.taps_1, fresh, left=False))
            at, after = two.settle_with(self.taps_2, fresh, edge, side=1)
            sums = self._pool(at) + self._pool(after)
            self.left.update(zip(fresh, sums))
        ended = [e - self.span + 1 for e in range(before, self.seen)]
        starts = [a for a in ended if a >= 0 and a % self.hop == 0]
        out = [self._finish(starts)] if starts else []
        self.taps_1.trim()
        self.taps_2.trim()
        self.pooled.trim()
        return starts, out

    def _multiples(self, first: int, end: int) -> range:
        return range(-(-first // self.hop) * self.hop, end, self.hop)

    def _pool(self, y: Tensor) -> Tensor:
        return pool_to_grid(y, 4)

    def _finish(self, starts: list[int]) -> Tensor:
        ends = [a + self.span - 1 for a in starts]
        one, two = self.first_taps, self.second_taps
        edge = two(one.settle(self.taps_1, ends, right=False))
        at, before = two.settle_with(self.taps_2, ends, edge, side=-1)
        sums = self._pool(at) + self._pool(before)
        for row, start in enumerate(starts):
            sums[row] += self.left.pop(start)
            if self.span > _LEAST_STEPS:
                sums[row] += self.pooled[range(start + 2, start + self.span - 2)].sum(dim=0)
        return self.head.finish(sums / self.span)


class _Recent:
    """The latest rows of a growing list of tensors. keep : rows that stay when it is trimmed."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.rows: Tensor | None = None
        self.first = 0

    def add(self, first: int, rows: Tensor) -> None:
        """Rows that follow those there are; `first` numbers the very first."""
        if self.rows is None:
            self.rows, self.first = rows, first
        else:
            self.rows = torch.cat((self.rows, rows))

    def __getitem__(self, numbers: range | list[int]) -> Tensor:
        assert self.rows is not None
        if isinstance(numbers, range) and numbers.step == 1:
            return self.rows[numbers.start - self.first : numbers.stop - self.first]
        return self.rows[torch.tensor([number - self.first for number in numbers], device=self.rows.device)]

    def trim(self) -> None:
        """Let go of what is no longer needed."""
        if self.rows is not None and len(self.rows) > self.keep:
            drop = len(self.rows) - self.keep
            self.rows, self.first = self.rows[drop:].clone(), self.first + drop


class _Taps:
    """A block's Conv3D as three 2-D convolutions, its BatchNorm as the affine map that it is in evaluation."""

    def __init__(self, block: VolumeBlock) -> None:
        conv, self.norm = block.conv3d, block.norm
        self.width = conv.out_channels
        # (out, in, 3, kh, kw) -> all taps' kernels below one another: (3 out, in, kh, kw).
        self.weight = conv.weight.detach().permute(2, 0, 1, 3, 4).flatten(0, 1).contiguous()
        self.bias = conv.bias
        self.stride = conv.stride[1:]

    def __call__(self, x: Tensor) -> Tensor:
        """(n, in, H, W) -> (n, 3, out, H', W'): A x, B x and C x."""
        return F.conv2d(x, self.weight, None, self.stride, padding=1).unflatten(1, (3, self.width))

    def settle(self, taps: _Recent, steps: range | list[int], left: bool = True, right: bool = True) -> Tensor:
        """The block's output at steps, without what comes from the step before or after at a window's edge."""
        y = taps[steps][:, 1]
        if left:
            y = y + taps[_moved(steps, -1)][:, 0]
        if right:
            y = y + taps[_moved(steps, 1)][:, 2]
        return self._activate(y)

    def settle_with(self, taps: _Recent, steps: list[int], edge: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Output at the edge steps of windows and one step further in, `side` = 1 for first steps, -1 for last ones.

        edge : (n, 3, ...) taps of the edge steps as they are inside their windows.
        """
        # C carries the next step in, A the one before; the neighbour gets the edge by the other one.
        inward, outward = (2, 0) if side == 1 else (0, 2)
        near, far = taps[_moved(steps, side)], taps[_moved(steps, 2 * side)]
        at = edge[:, 1] + near[:, inward]
        neighbour = edge[:, outward] + near[:, 1] + far[:, inward]
        return self._activate(at), self._activate(neighbour)

    def _activate(self, y: Tensor) -> Tensor:
        if self.bias is not None:
            y = y + self.bias[:, None, None]
        return F.relu(self.norm(y[:, :, None])[:, :, 0])


def _moved(steps: range | list[int], by: int) -> range | list[int]:
    if isinstance(steps, range):
        return range(steps.start + by, steps.stop + by, steps.step)
    return [step + by for step in steps]


def sliding_embeddings(
    model: FingerprintModel,
    frames: Tensor,
    length: int,
    hop: int,
    chunk: int = 64,
    advance: Callable[[], object] = lambda: None,
) -> tuple[list[int], Tensor]:
    """Embed every window of a video that is there as a whole.

    Under ``clip`` normalisation, where windows share nothing, each is computed by itself.

    Parameters
    ----------
    frames : (N, 1, 128, 128), float in 0..1 or uint8. length, hop : frames. chunk : frames at once, those of several
        windows under ``clip``. advance : called once a chunk.

    Returns
    -------
    Starts, in frames, and embeddings (windows, embedding_dim), float32; none when N < length.
    """
    if is_streamable(model):
        sliding = SlidingWindows(model, length, hop)
        found = []
        for part in frames.split(chunk):
            found.append(sliding.push(part))
            advance()
        starts = [start for some, _ in found for start in some]
        parts = [rows for _, rows in found]
        return starts, torch.cat(parts) if parts else torch.empty(0, model.config.embedding_dim)
    starts = list(range(0, len(frames) - length + 1, hop))
    several, parts = max(1, chunk // length), []
    with torch.inference_mode():
        for first in range(0, len(starts), several):
            clips = torch.stack([frames[start : start + length] for start in starts[first : first + several]])
            parts.append(model(clips))
            advance()
    return starts, torch.cat(parts) if parts else torch.empty(0, model.config.embedding_dim)
