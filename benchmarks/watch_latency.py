"""How late a look comes: from the last frame of a hop to the decision, on a call that runs in real time.

    python benchmarks/watch_latency.py VIDEO [--model FILE] [--seconds 30] [--hop 8] [--threads 2] [--json FILE]

The pictures of VIDEO (`watch_memory.py`) come as a camera's do, one every 1 / fps seconds. A look is late by what lies
between the moment that its window's last picture came and the update: waiting for the pictures after it, which tell a
scene cut from motion and which time a picture stands for, and the work. `alone` is what the same pictures cost when
nobody waits, as a share of the time that they show.

Exit status 1 when 95% of looks do not come within the wait for those pictures and one hop, so that looks fall behind.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from watch_memory import Endless, begin
from whodrives.verification.watch import Watch
from whodrives.video.decoder import SourceFrame
from whodrives.video.scenes import LOOK_AHEAD

# Pictures after a window's last that a look waits for: those of the scene cuts, and one that ends the last's time.
WAIT = LOOK_AHEAD + 1


class Paced(Endless):
    """Pictures in real time; `came` holds when each was there."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__(path, seconds)
        self.came: list[float] = []

    def __iter__(self) -> Iterator[SourceFrame]:
        begun = time.perf_counter()
        for number, frame in enumerate(super().__iter__()):
            due = begun + number / self.nominal_fps
            # Behind its time a picture has waited, as in a camera's queue: it came when it was due.
            time.sleep(max(0.0, due - time.perf_counter()))
            self.came.append(due)
            yield frame


def main() -> int:
    options, fingerprinter = begin(__doc__, "seconds")
    fps = fingerprinter.contract.fps
    source = Paced(options.video, options.seconds)
    if fps is None or abs(source.nominal_fps - fps) > 0.01:
        raise SystemExit(f"{options.video}: {source.nominal_fps:g} fps; give a video of the weights' {fps or 25:g} fps")
    template = np.zeros(int(fingerprinter.card["model"]["embedding_dim"]), np.float32)

    for _ in Watch(Endless(options.video, 5), fingerprinter, template, hop=options.hop):
        pass  # the first looks of a process allocate
    busy = time.process_time()
    begun = time.perf_counter()
    for _ in Watch(Endless(options.video, options.seconds), fingerprinter, template, hop=options.hop):
        pass
    alone = (time.perf_counter() - begun) / options.seconds
    busy = (time.process_time() - busy) / options.seconds
    late, work = [], []
    for update in Watch(source, fingerprinter, template, hop=options.hop):
        late.append(time.perf_counter() - source.came[round(update.seconds * fps) - 1])
        work.append(update.compute)
    # The last looks of a stream that ends wait for nothing.
    late, work = late[:-1], work[:-1]
    wait = WAIT / fps
    result = {
        "model": str(fingerprinter.model),
        "normalisation": fingerprinter.contract.normalisation,
        "looks": len(late),
        "late, median s": statistics.median(late),
        "late, 95% s": float(np.quantile(late, 0.95)),
        "late, largest s": max(late),
        "waiting for later pictures, s": wait,
        "compute, median s": statistics.median(work),
        "compute, 95% s": float(np.quantile(work, 0.95)),
        "alone, share of real time": alone,
        "processor seconds a second of stream": busy,
        "threads": options.threads,
    }
    print(f"{fingerprinter.model}, normalisation {fingerprinter.contract.normalisation}, {options.threads} threads")
    print(f"{len(late)} looks every {options.hop} frames of {fps:g} a second, in real time")
    print(
        f"late by {result['late, median s'] * 1e3:.0f} ms in the median, 95% under {result['late, 95% s'] * 1e3:.0f}, "
        f"at most {max(late) * 1e3:.0f}; of it {wait * 1e3:.0f} ms for the {WAIT} pictures after the window"
    )
    print(
        f"compute {statistics.median(work) * 1e3:.1f} ms in the median, 95% under {result['compute, 95% s'] * 1e3:.1f}"
    )
    print(f"alone: {alone:.3f} s for a second of stream ({1 / alone:.1f} x real time), {busy:.3f} s of processors")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))
    return 0 if result["late, 95% s"] <= wait + options.hop / fps else 1


if __name__ == "__main__":
    sys.exit(main())
