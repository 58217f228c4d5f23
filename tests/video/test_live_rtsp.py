"""A real RTSP server from Debian's packages: pictures arrive, and a server that dies and returns is found again."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from fake_weights import sliding_ramp
from whodrives.video import PreprocessingContract, load_frames
from whodrives.video.frames import FrameStream
from whodrives.video.live import LiveSource

PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")
CHECK = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def has_server() -> bool:
    return Path(PYTHON).exists() and subprocess.run([PYTHON, "-c", CHECK], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_server(), reason="needs Debian's gir1.2-gst-rtsp-server-1.0 and python3-gi"),
]


@contextmanager
def serving(path: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([PYTHON, SERVER, path, str(port)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().strip() == "ready"
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sliding_ramp(tmp_path_factory.mktemp("rtsp") / "clip.mp4", 100)


def test_pictures_arrive_as_they_are_in_the_file(clip: Path, port: int) -> None:
    with serving(clip, port):
        source = LiveSource(f"rtsp://ana:secret@127.0.0.1:{port}/call", patience=0)
        frames = list(FrameStream(source, PreprocessingContract(fps=None)))
    # The server may hang up before its last pictures are out.
    assert 60 <= len(frames) <= 100, source.overrun
    original = load_frames(clip, PreprocessingContract(fps=None)).frames
    for frame in (frames[0], frames[40]):
        assert np.abs(original.astype(int) - frame.image.astype(int)).mean(axis=(1, 2)).min() < 0.5
    assert "secret" not in str(source.path)


def test_a_server_that_comes_back_is_found(clip: Path, port: int) -> None:
    with serving(clip, port) as server:
        source = LiveSource(f"rtsp://127.0.0.1:{port}/call", patience=20)
        stream = iter(FrameStream(source, PreprocessingContract(fps=None)))
        shots = [next(stream).starts_shot for _ in range(30)]
        server.kill()
        server.wait()
    with serving(clip, port):
        while source.reconnects == 0 or not shots[-1]:
            shots.append(next(stream).starts_shot)
        shots += [next(stream).starts_shot for _ in range(10)]
        source.close()
    assert sum(shots) == 2
    assert shots[0]
