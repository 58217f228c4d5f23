"""Live sources, from files that take the places of a camera's connections."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fake_weights import sliding_ramp
from whodrives.avatars.encode import write_mp4
from whodrives.video import PreprocessingContract, live
from whodrives.video.errors import LiveStreamError
from whodrives.video.frames import Frame, FrameStream
from whodrives.video.live import QUEUE, LiveSource, is_live, open_live, shown_address

RAW = PreprocessingContract(fps=None)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sliding_ramp(tmp_path_factory.mktemp("live") / "clip.mp4", 30)


class OnAir:
    """A file that, like a live stream, does not say how long it is."""

    duration: int | None = None

    def __init__(self, path: Path) -> None:
        self.container: Any = av.open(str(path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)


def connections(*paths: Path | Exception, opened: Callable[[Path], Any] = OnAir) -> Callable[[str], Any]:
    """Opens one file after another, or fails; then always fails."""
    waiting = iter(paths)

    def opener(source: str) -> Any:
        answer = next(waiting, OSError("gone"))
        if isinstance(answer, Exception):
            raise answer
        return opened(answer)

    return opener


def test_addresses_are_told_from_files_and_shown_without_secrets() -> None:
    for name in ("rtsp://cam/1", "HTTPS://x/y", "camera:0", "udp://@239.0.0.1:5000"):
        assert is_live(name)
    for file in ("video.mp4", "/a/b.mp4", "rtsp", "C:\\video.mp4"):
        assert not is_live(file)
    assert shown_address("rtsp://ana:secret@cam:554/live?token=secret") == "rtsp://cam:554/live"
    assert shown_address("rtsp://cam#secret") == "rtsp://cam"
    # Passwords that had to be percent-encoded and were not: libav does not understand them, and its error is shown.
    for password in ("sec/ret", "sec?ret", "sec#ret", "sec@ret", "s@c/r@t?"):
        assert shown_address(f"https://ana:{password}@cam:81/x?y") == "https://cam:81/x"
    for plain in (
        "http://[::1]:80/a",
        "rtsp://cam:554/live",
        "udp://239.0.0.1:5000",
        "http://cam/@me/x",
        "http://cam:/",
    ):
        assert shown_address(plain) == plain
    assert shown_address("camera:0") == "camera:0"
    with pytest.raises(LiveStreamError) as failed:
        LiveSource("rtsp://ana:secret@cam/live", opener=connections())
    assert "rtsp://cam/live: cannot be opened (gone)" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_a_broken_stream_is_opened_again_and_starts_a_new_shot(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "QUEUE", 1000)  # files come faster than any camera
    pauses: list[float] = []
    opener = connections(clip, OSError("still gone"), clip)
    source = LiveSource("rtsp://cam/live", patience=4.0, opener=opener, sleep=pauses.append)
    frames = list(FrameStream(source, RAW))
    assert len(frames) == 60
    assert [frame.index for frame in frames if frame.starts_shot] == [0, 30]
    assert source.reconnects == 1
    # .5 and 1 s until it came back, then .5, 1, 2 and 4 s until patience (4 s of pauses) was spent.
    assert pauses == [0.5, 1.0, 0.5, 1.0, 2.0, 4.0]
    times = [frame.time for frame in frames]
    assert all(after > before for before, after in itertools.pairwise(times))


def test_a_recording_on_a_server_ends_and_does_not_begin_again(clip: Path) -> None:
    source = LiveSource("http://host/clip.mp4", opener=connections(clip, clip, opened=lambda path: av.open(str(path))))
    assert len(list(FrameStream(source, RAW))) == 30
    assert source.reconnects == 0


def test_a_recording_that_breaks_off_is_opened_again(clip: Path) -> None:
    class Longer(OnAir):
        """Says that it is longer than what comes."""

        duration = 8_000_000

    opener = connections(clip, clip, opened=Longer)
    source = LiveSource("http://host/clip.mp4", 1.0, opener, sleep=lambda _: None)
    list(FrameStream(source, RAW))
    assert source.reconnects == 1


def test_connections_without_a_picture_do_not_go_on_for_ever(clip: Path) -> None:
    class Silent(OnAir):
        """Opens, and shows nothing."""

        def demux(self, stream: Any) -> Iterator[Any]:
            return iter(())

    pauses: list[float] = []
    first = iter([OnAir(clip)])
    source = LiveSource("rtsp://cam/live", 2.0, lambda _: next(first, None) or Silent(clip), sleep=pauses.append)
    assert len(list(FrameStream(source, RAW))) == 30
    assert sum(pauses) == 2.0


def test_closing_while_a_stream_is_away_opens_nothing(clip: Path) -> None:
    opened: list[str] = []

    def opener(source: str) -> Any:
        opened.append(source)
        return OnAir(clip)

    source = LiveSource("rtsp://cam/live", opener=opener)
    taken = iter(source)
    for _ in range(30):
        next(taken)
    begun = time.monotonic()
    taken.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begun < 0.4  # shorter than the first pause: waiting ends at once
    assert len(opened) == 1


def test_without_patience_the_end_is_the_end(clip: Path) -> None:
    source = LiveSource("rtsp://cam/live", patience=0, opener=connections(clip, clip))
    assert len(list(FrameStream(source, RAW))) == 30
    assert source.reconnects == 0


def held_back(opener: Callable[[str], Any], until: threading.Event) -> Callable[[str], Any]:
    """The first connection at once, all later ones when the event has come: a busy machine changes nothing then."""
    numbers = itertools.count()

    def later(source: str) -> Any:
        assert next(numbers) == 0 or until.wait(20)
        return opener(source)

    return later


def overrun_until(source: LiveSource, lost: int) -> None:
    deadline = time.monotonic() + 20
    while source.overrun < lost and time.monotonic() < deadline:
        time.sleep(0.01)


def test_who_takes_too_long_loses_the_oldest_pictures(clip: Path) -> None:
    taken_first = threading.Event()
    opener = held_back(connections(clip, clip, clip), taken_first)
    source = LiveSource("rtsp://cam/live", patience=1.0, opener=opener, sleep=lambda _: None)
    taken = iter(source)
    first = next(taken)
    taken_first.set()
    overrun_until(source, 3 * 30 - 1 - QUEUE)
    rest = list(taken)
    assert first.time == 0
    assert len(rest) == QUEUE
    assert source.overrun == 3 * 30 - 1 - QUEUE
    # The break before the last connection is not forgotten with the pictures that were let go.
    assert rest[0].after_damage


def test_fewer_large_pictures_wait(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LiveSource("rtsp://cam/live", patience=0.0, opener=connections(clip)) as source:
        one = sum(plane.buffer_size for plane in next(iter(source)).frame.planes)
    monkeypatch.setattr(live, "QUEUE_BYTES", 5 * one + 1)
    taken_first = threading.Event()
    short = sliding_ramp(tmp_path / "short.mp4", 3)
    opener = held_back(connections(short, clip), taken_first)
    slow = LiveSource("rtsp://cam/live", patience=1.0, opener=opener, sleep=lambda _: None)
    taken = iter(slow)
    next(taken)
    taken_first.set()
    overrun_until(slow, 3 + 30 - 1 - 5)
    assert len(list(taken)) == 5
    assert slow.overrun == 3 + 30 - 1 - 5


@pytest.mark.parametrize("grow", [True, False])
def test_what_waits_holds_its_bytes_when_pictures_change_their_size(
    grow: bool, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "large.mp4"
    write_mp4(large, np.zeros((6, 256, 256, 3), dtype=np.uint8))
    with LiveSource("rtsp://cam/live", patience=0.0, opener=connections(clip)) as source:
        one = sum(plane.buffer_size for plane in next(iter(source)).frame.planes)
    monkeypatch.setattr(live, "QUEUE_BYTES", 10 * one)
    order = (clip, large) if grow else (large, clip)
    slow = LiveSource("rtsp://cam/live", patience=1.0, opener=connections(*order), sleep=lambda _: None)
    taken = iter(slow)
    next(taken)
    overrun_until(slow, 30 + 6 - 1 - (2 if grow else 10))
    rest = list(taken)
    assert slow.reconnects == 1
    assert sum(plane.buffer_size for frame in rest for plane in frame.frame.planes) <= 10 * one


def test_closing_ends_the_thread(clip: Path) -> None:
    class Endless:
        """A connection that never ends."""

        def __call__(self, source: str) -> Any:
            return OnAir(clip)

    source = LiveSource("rtsp://cam/live", opener=Endless(), sleep=lambda _: None)
    seen: list[Frame] = []
    frames: Iterator[Frame] = iter(FrameStream(source, RAW))
    seen.extend(next(frames) for _ in range(40))
    frames.close()  # type: ignore[attr-defined]
    source.close()
    assert len(seen) == 40
    deadline = time.monotonic() + 10
    while any(thread.name == "whodrives-live" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert all(thread.name != "whodrives-live" for thread in threading.enumerate())


def test_nothing_is_opened_that_is_not_there() -> None:
    for source in ("camera:/dev/no-camera", "tcp://127.0.0.1:9"):
        with pytest.raises(OSError):
            open_live(source)
        with pytest.raises(LiveStreamError, match="on the air"):
            LiveSource(source)


def test_a_virtual_camera_is_read_like_a_webcam(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libavdevice's own fake device in the place of v4l2: raw pictures, in real time, without an end."""
    monkeypatch.setattr(live, "_CAMERAS", dict.fromkeys(live._CAMERAS, "lavfi"))
    played = f"camera:movie=filename={clip}:loop=0,setpts=N/(25*TB),format=yuyv422,realtime"
    begun = time.monotonic()
    source = LiveSource(played, patience=0.0)
    try:
        frames = list(itertools.islice(FrameStream(source, PreprocessingContract(fps=25.0)), 50))
    finally:
        source.close()
    assert time.monotonic() - begun > 1.0  # 50 pictures last two seconds
    assert source.overrun == 0
    assert [round(25 * (b.time - a.time)) for a, b in itertools.pairwise(frames)] == [1] * 49
    # The file has 30 pictures and is shown again: a camera does not end.
    pictures = [frame.image.astype(int) for frame in frames]
    assert abs(pictures[35] - pictures[5]).mean() < 0.5 * abs(pictures[20] - pictures[5]).mean()
