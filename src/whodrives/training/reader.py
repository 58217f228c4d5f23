"""The layer that reads motion off a step's map, by least squares against the simulator's true motion (ours).

Where the map is not learned, as optical flow, reading it is a linear regression with a closed solution: no learning
rate, no schedule, and minutes of rendering in place of an hour of gradient steps.
"""

from __future__ import annotations

import torch

from whodrives.errors import InputError
from whodrives.models import FingerprintModel
from whodrives.models.series_head import SeriesHead
from whodrives.training.config import RecipeConfig
from whodrives.training.motion import CHANGES, KnownMotion
from whodrives.training.refit import FIRST_STEP, batches_ahead
from whodrives.training.source import AvatarSource
from whodrives.training.stored import StoredSource

# Other batches than `refit_head` sees.
FIRST_READER_STEP = 2 * FIRST_STEP
# Ridge penalty, in parts of each number's mean square. A place where training clips are nearly still counts as a tenth
# of the median at least, so that motion there, in other videos, is not read a hundredfold.
PENALTY = 0.03
_LEAST_SHARE = 0.1
_CLIPS_AT_ONCE = 8


@torch.no_grad()
def fit_reader(model: FingerprintModel, source: AvatarSource | StoredSource, recipe: RecipeConfig) -> int:
    """Replace the reading layer of a `SeriesHead` by the best linear one for `recipe.reader_batches` batches.

    It minimises the squared error of every control's change over one step, in units of how much the control moves in
    training (`motion_scale`), plus a ridge penalty. Controls that never move are read as zero. What is before the layer
    stays as it is. Every process that trains fits it by itself.

    Returns
    -------
    How many clips it was fitted on.

    Raises
    ------
    InputError
        Another head, a representation that shows no changes, or a source whose motion is not known.
    """
    if not isinstance(model.head, SeriesHead):
        raise InputError("config: train.reader_batches needs head = 'conv1d'; set it to 0")
    if model.config.representation not in CHANGES:
        raise InputError(f"config: train.reader_batches needs changes: {', '.join(CHANGES)}; set it to 0")
    if not isinstance(source, KnownMotion):
        raise InputError("config: train.reader_batches needs simulated clips, whose motion is known; set it to 0")
    reader, device = model.head.reader, next(model.parameters()).device
    scale = source.motion_scale()[0].to(device)
    moves = scale > 0
    count = reader.read.in_features
    squares = torch.zeros(count, count, dtype=torch.float64, device=device)
    products = torch.zeros(count, len(scale), dtype=torch.float64, device=device)
    clips = steps = 0
    was_training = model.training
    model.eval()
    try:
        for batch in batches_ahead(source, recipe, recipe.reader_batches, FIRST_READER_STEP):
            assert batch.motion is not None
            clips += len(batch.frames)
            for start in range(0, len(batch.frames), _CLIPS_AT_ONCE):
                part = slice(start, start + _CLIPS_AT_ONCE)
                seen = reader.seen(model.represent(batch.frames[part].to(device))).double()
                motion = batch.motion[part].to(device)
                told = (motion[:, 1:] - motion[:, :-1]).flatten(0, 1) / torch.where(moves, scale, 1.0)
                squares += seen.T @ seen
                products += seen.T @ told.double()
                steps += len(seen)
    finally:
        model.train(was_training)
    unit = (squares.diagonal() / steps).sqrt()
    unit = unit.clamp_min(max(1e-12, _LEAST_SHARE * float(unit.median())))
    penalty = PENALTY * torch.eye(count, dtype=torch.float64, device=device)
    solved = torch.linalg.solve(squares / steps / unit[:, None] / unit + penalty, products / steps / unit[:, None])
    weight = (solved / unit[:, None] * moves).T
    reader.read.weight.copy_(weight.to(reader.read.weight.dtype))
    return clips
