"""The demo's report: one self-contained HTML page, no scripts, nothing loaded from elsewhere."""
# ruff: noqa: E501

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from whodrives.cli.demo import DemoVideo, Trial

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.7rem}h2{font-size:1.2rem;margin-top:2.2rem}table{border-collapse:collapse;width:100%}
td,th{padding:.35rem .6rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:middle;font-size:.92rem}
.accept{color:#0a6b2d}.reject{color:#9a3412}.abstain{color:#555}.wrong{background:#fde8e8}.strip img{width:72px;margin-right:2px}
.note{color:#555;font-size:.9rem}figure{margin:0}svg{max-width:100%}
"""
FRAMES_SHOWN = 6


def _strip(path: Path) -> str:
    """A few grey 128 x 128 frames of a video, as the network sees them, in one line."""
    from PIL import Image

    from whodrives.video.frames import load_frames

    frames = load_frames(path).frames
    picks = frames[np.linspace(0, len(frames) - 1, FRAMES_SHOWN).astype(int)]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(picks), axis=1)).save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{FRAMES_SHOWN} frames of {html.escape(path.name)}" src="data:image/jpeg;base64,{data}">'


def _histogram(genuine: Sequence[float], impostor: Sequence[float], threshold: float | None) -> str:
    """Window scores of genuine and impostor trials as two rows of dots over one axis, SVG."""
    everything = [*genuine, *impostor] + ([threshold] if threshold is not None else [])
    low, high = min(everything) - 0.02, max(everything) + 0.02

    def place(value: float) -> float:
        return 120 + 760 * (value - low) / (high - low)

    parts = ['<svg viewBox="0 0 900 170" role="img" aria-label="window scores of genuine and impostor trials">']
    for row, (name, values, colour) in enumerate((("genuine", genuine, "#0a6b2d"), ("impostor", impostor, "#9a3412"))):
        y = 45 + 55 * row
        parts.append(f'<text x="10" y="{y + 5}" font-size="15" fill="{colour}">{name}</text>')
        for number, value in enumerate(values):
            jitter = (number * 7) % 24 - 12
            parts.append(
                f'<circle cx="{place(value):.1f}" cy="{y + jitter}" r="4" fill="{colour}" fill-opacity="0.45"/>'
            )
    if threshold is not None:
        x = place(threshold)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="15" y2="130" stroke="#222" stroke-dasharray="4 3"/>')
        parts.append(f'<text x="{x + 4:.1f}" y="24" font-size="13">threshold of one window {threshold:+.4f}</text>')
    for tick in np.linspace(low, high, 6):
        parts.append(f'<text x="{place(tick):.1f}" y="155" font-size="12" text-anchor="middle">{tick:+.2f}</text>')
    parts.append('<line x1="120" x2="880" y1="136" y2="136" stroke="#888"/></svg>')
    return "".join(parts)


def _windows(trial: Trial, low: float, high: float) -> str:
    """A bar a window over the report's range of scores, the dashed line the threshold of one window."""
    scores, threshold = window_scores(trial), window_threshold(trial)

    def height(value: float) -> float:
        return 4 + 50 * float(np.clip((value - low) / max(high - low, 1e-6), 0, 1))

    parts = [f'<svg viewBox="0 0 {12 * len(scores) + 10} 60" height="48" role="img" aria-label="score per window">']
    for number, score in enumerate(scores):
        colour = "#0a6b2d" if threshold is not None and score >= threshold else "#9a3412"
        parts.append(
            f'<rect x="{12 * number + 5}" y="{58 - height(score):.1f}" width="9" height="{height(score):.1f}" '
            f'fill="{colour}"><title>{score:+.4f}</title></rect>'
        )
    if threshold is not None:
        y = 58 - height(threshold)
        parts.append(
            f'<line x1="0" x2="{12 * len(scores) + 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#222" stroke-dasharray="3 2"/>'
        )
    return "".join(parts) + "</svg>"


def window_threshold(trial: Trial) -> float | None:
    """The threshold of a single window; that of the whole video is lower or higher, as more windows scatter less."""
    from whodrives.verification.decision import choose_threshold

    return choose_threshold(trial.decision.model, 1, trial.decision.target_far).score


def window_scores(trial: Trial) -> list[float]:
    """Scores of a decision's windows, in time order."""
    return [float(window.score) for window in trial.decision.windows if window.score is not None]


def _row(trial: Trial, strip: str, low: float, high: float) -> str:
    decision = trial.decision
    verdict = {True: "right", False: "WRONG", None: "abstained"}[trial.right]
    score = "-" if decision.score is None else f"{decision.score:+.4f}"
    return (
        f'<tr class="{"wrong" if trial.right is False else ""}"><td>{strip}<br>{html.escape(trial.video.path.name)}</td>'
        f"<td>{html.escape(trial.claimed)}</td><td>{html.escape(trial.video.driver)}</td><td>{_windows(trial, low, high)}</td>"
        f'<td>{score}</td><td class="{decision.decision}"><b>{decision.decision}</b><br>'
        f'<span class="note">{html.escape(decision.reason or "")}</span></td><td>{verdict}</td></tr>'
    )


def write_report(path: Path, trials: Sequence[Trial], enrolment: Sequence[DemoVideo]) -> None:
    """Write the page: enrolment videos, every decision beside the truth (wrong ones too), score distributions."""
    strips = {trial.video.path: _strip(trial.video.path) for trial in trials}
    genuine = [score for trial in trials if trial.genuine for score in window_scores(trial)]
    impostor = [score for trial in trials if not trial.genuine for score in window_scores(trial)]
    wrong = sum(trial.right is False for trial in trials)
    abstained = sum(trial.right is None for trial in trials)
    first = trials[0].decision
    ordered = sorted(trials, key=lambda t: (t.claimed, not t.genuine, t.video.path.name))
    enrolled = "".join(
        f"<tr><td>{html.escape(video.driver)}</td><td>{_strip(video.path)}<br>{html.escape(video.path.name)}</td></tr>"
        for video in enrolment
    )
    limit = window_threshold(trials[0])
    everything = [*genuine, *impostor, *([] if limit is None else [limit])]
    low, high = min(everything), max(everything)
    rows = "".join(_row(trial, strips[trial.video.path], low, high) for trial in ordered)
    body = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>whodrives demo</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>
<h1>Who is driving that avatar?</h1>
<p>Four built-in stochastic drivers (their seeds never used in training) move the same two procedural faces. Two are
enrolled from videos of one session; the videos below come from another. {len(trials)} decisions: {wrong} wrong,
{abstained} abstained. With so few people this is a demonstration, no measurement.</p>
<p class="note">Model {html.escape(str(first.model))}; nominal false-accept rate
{first.target_far if first.target_far is not None else "-"} on validation trials.</p>
<h2>Decisions beside the truth</h2><table><thead><tr><th>video, as the network sees it</th><th>claimed</th><th>true
driver</th><th>score a window</th><th>score</th><th>decision</th><th></th></tr></thead><tbody>
{rows}</tbody></table>
<h2>Window scores</h2><figure>{_histogram(genuine, impostor, limit)}</figure>
<h2>Enrolment videos</h2><table><tbody>{enrolled}</tbody></table>
</body></html>"""
    path.write_text(body, encoding="utf-8")
