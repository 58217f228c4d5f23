"""Generators called as programs, with a small Python program in their place."""

import csv
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fake_generator import fake_face, fake_track
from whodrives.avatars import cast
from whodrives.avatars.dataset import RenderError, plan_dataset, render_dataset
from whodrives.avatars.encode import write_mp4
from whodrives.avatars.external import ExternalError, ExternalGenerator, load_external
from whodrives.avatars.footage import cut_footage, find_footage
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.online import OnlineAvatars
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.simulation import Simulation
from whodrives.avatars.tracks import CHANNELS
from whodrives.data.manifest import read_manifest
from whodrives.errors import InputError

# Shows the still once for each row of the track (or frame of the driving video), a little brighter every time.
PROGRAM = """
import sys, time
from pathlib import Path
import av, numpy as np
from PIL import Image

still, motion, out, fps, size, mode = sys.argv[1:]
print("working on", still, file=sys.stderr)
if mode == "fail":
    sys.exit("no CUDA device")
if mode == "slow":
    time.sleep(60)
if motion.endswith(".csv"):
    count = len(Path(motion).read_text().splitlines()) - 1
else:
    with av.open(motion) as container:
        count = sum(1 for _ in container.decode(video=0))
count = {"short": count // 2, "onemore": count + 1, "double": 2 * count}.get(mode, count)
rate = float(fps) * (2 if mode == "double" else 1)
if mode == "nothing":
    sys.exit(0)
path = Path(out)
if path.is_dir():
    (path / "log.txt").write_text("done")
    path = path / "result.mp4"
if mode == "text":
    path.write_text("this is no video")
    sys.exit(0)
width = 192 if mode == "wide" else 96
picture = np.asarray(Image.open(still).convert("RGB").resize((width, 96)))
with av.open(str(path), "w", format="mp4") as container:
    stream = container.add_stream("libx264", rate=round(rate))
    stream.width, stream.height = width, 96
    stream.options = {"crf": "5"}
    for number in range(count):
        shown = np.clip(picture.astype(int) + 4 * number, 0, 255).astype(np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
    container.mux(stream.encode(None))
"""
CONTROLS = torch.from_numpy(fake_track("d", 0).values[None, :10])


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tool") / "an infer.py"
    path.write_text(textwrap.dedent(PROGRAM))
    return path


def generator(program: Path, mode: str = "good", motion: str = "{track}", **words: object) -> ExternalGenerator:
    command = (sys.executable, str(program), "{still}", motion, "{out}", "{fps}", "{size}", mode)
    return ExternalGenerator("tool", command, **words)


def test_frames_are_the_programs_at_the_size_asked(program: Path) -> None:
    tool = generator(program)
    rig = tool.rig(fake_face(2), 64)
    assert (rig.name, rig.size, rig.device.type, rig.to("cpu")) == ("face2", 64, "cpu", rig)
    frames = tool.render([rig, rig], CONTROLS.repeat(2, 1, 1), None, grey=False)
    assert frames.shape == (2, 10, 3, 64, 64)
    assert torch.equal(frames[0], frames[1])
    expected = (100 + 4 * np.arange(10)) / 255
    assert np.abs(frames[0].mean(dim=(1, 2, 3)).numpy() - expected).max() < 0.01
    assert tool.render([rig], CONTROLS).shape == (1, 10, 1, 64, 64)


def test_nuisance_is_laid_over_what_the_program_made(program: Path) -> None:
    tool = generator(program)
    rig = tool.rig(fake_face(2), 64)
    plain = tool.render([rig], CONTROLS)[0]
    brighter = tool.render([rig], CONTROLS, [Nuisance(gain=1.2)])[0]
    assert (brighter.mean() / plain.mean()).item() == pytest.approx(1.2, abs=0.01)
    noisy = tool.render([rig], CONTROLS, [Nuisance(noise=0.05, seed=3)])[0]
    assert (noisy - plain).std().item() == pytest.approx(0.05, rel=0.05)
    face = procedural_face(1, 96)
    shifted = tool.render([tool.rig(face, 96)], CONTROLS, [Nuisance(shift_x=8 / 96)])[0]
    assert torch.allclose(shifted[..., :-8], tool.render([tool.rig(face, 96)], CONTROLS)[0][..., 8:], atol=1e-4)


def test_driving_video_shows_the_motion_on_a_neutral_face(program: Path, tmp_path: Path) -> None:
    tool = generator(program, motion="{driving}", driving_size=64)
    assert tool.render([tool.rig(fake_face(0), 64)], CONTROLS).shape == (1, 10, 1, 64, 64)
    shown = tool._show(CONTROLS[0].numpy())
    assert shown.shape == (10, 64, 64, 3)
    assert (shown[0] != shown[9]).any()


def test_the_track_has_a_header_and_the_time(program: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    copy = tmp_path / "copy.py"
    copy.write_text(f"import shutil, sys\nshutil.copy(sys.argv[1], {str(kept)!r})\nsys.exit(3)\n")
    tool = ExternalGenerator("tool", (sys.executable, str(copy), "{track}", "{still}", "{out}"))
    with pytest.raises(ExternalError, match="exit status 3"):
        tool.render([tool.rig(fake_face(0), 64)], CONTROLS, [Nuisance(fps=30.0)])
    with kept.open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["time_s", *CHANNELS]
    values = np.array([[float(row[name]) for name in CHANNELS] for row in rows])
    assert np.abs(values - CONTROLS[0].numpy()).max() < 1e-6
    assert [float(row["time_s"]) for row in rows] == pytest.approx(np.arange(10) / 30, abs=1e-6)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fail", "exit status 1; it said: .*no CUDA device"),
        ("slow", "took longer than 0.5 s"),
        ("short", "made 5 frames where 10 at 25 fps were wanted"),
        ("nothing", "wrote no {out}"),
        ("text", "cannot be read: .*not a video"),
    ],
)
def test_what_a_program_can_do_wrong(program: Path, mode: str, message: str) -> None:
    tool = generator(program, mode, timeout=0.5 if mode == "slow" else 60)
    with pytest.raises(ExternalError, match=f"(?s)external generator 'tool': .*{message}"):
        tool.render([tool.rig(fake_face(0), 64)], CONTROLS)


@pytest.mark.parametrize("mode", ["onemore", "double"])
def test_a_frame_more_or_another_rate_is_put_right(program: Path, mode: str) -> None:
    tool = generator(program, mode)
    frames = tool.render([tool.rig(fake_face(2), 64)], CONTROLS)[0].mean(dim=(1, 2, 3)).numpy() * 255
    step = 8 if mode == "double" else 4
    assert np.abs(np.diff(frames) - step).max() < 1.5


def test_missing_program_and_folders_of_results(program: Path) -> None:
    gone = ExternalGenerator("tool", ("/no/such/program", "{still}", "{track}", "{out}"))
    with pytest.raises(ExternalError, match="cannot be started: /no/such/program"):
        gone.render([gone.rig(fake_face(0), 64)], CONTROLS)
    folder = generator(program, pattern="*.mp4")
    assert folder.render([folder.rig(fake_face(0), 64)], CONTROLS).shape == (1, 10, 1, 64, 64)
    wrong = generator(program, pattern="*.avi")
    with pytest.raises(ExternalError, match=r"0 files in {out} match '\*\.avi' \(it wrote log\.txt, result\.mp4"):
        wrong.render([wrong.rig(fake_face(0), 64)], CONTROLS)


def test_a_data_set_through_a_program(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cast, "MIN_SECONDS", 3.0)
    toml = tmp_path / "live.toml"
    words = [sys.executable, str(program), "{still}", "{track}", "{out}", "{fps}", "{size}", "good"]
    toml.write_text(f'[live-2]\nversion = 2\nlicence = "CC-BY-NC"\ncommand = {words!r}\n')
    settings = Simulation(external=str(toml), generators=("live-2", "warp"), drivers=1, targets=1, clips=1, seconds=0.4)
    plan = [replace(video, clip=replace(video.clip)) for video in settings.plan()]
    assert {video.generator: video.record.licence.endswith("CC-BY-NC") for video in plan} == {
        "live-2": True,
        "warp": False,
    }
    out = tmp_path / "out"
    for rendered in (2, 0):
        run = render_dataset(plan, out, size=64, generators=settings.load_generators())
        list(run)
        assert run.result.rendered == rendered
    assert {record.generator for record in read_manifest(out)} == {"live-2", "warp"}
    toml.write_text(toml.read_text().replace("version = 2", "version = 3"))
    run = render_dataset(plan, out, size=64, generators=settings.load_generators())
    list(run)
    assert run.result.rendered == 1
    toml.write_text(toml.read_text().replace("'good'", "'fail'"))
    with pytest.raises(RenderError, match="no CUDA device"):
        list(render_dataset(plan, out, size=64, generators=settings.load_generators()))


def test_original_driving_videos_are_cut_to_the_clip(program: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    (videos / "d0").mkdir(parents=True)
    ramp = np.repeat(np.arange(90, dtype=np.uint8)[:, None, None, None] * 2 + 20, 3, axis=3)
    write_mp4(videos / "d0/0.mp4", np.tile(ramp, (1, 64, 66, 1)), 30.0, 5)
    assert find_footage(videos, "d0", "d0-0") == videos / "d0/0.mp4"
    assert find_footage(videos, "d0", "d0-1") is None
    assert find_footage(videos, "d0", "../../etc/passwd") is None
    cut = cut_footage(videos / "d0/0.mp4", 1.0, 10, 25.0)
    assert cut.shape == (10, 64, 66, 3)
    expected = 20 + 2 * np.rint((1.0 + np.arange(10) / 25) * 30)
    assert np.abs(cut.mean(axis=(1, 2, 3)) - expected).max() < 3
    with pytest.raises(InputError, match=r"ends before 3\.4 s"):
        cut_footage(videos / "d0/0.mp4", 3.0, 10, 25.0)
    tool = generator(program, motion="{driving}", videos=str(videos), videos_partial=True)
    tracks = [fake_track("d0", take) for take in range(2)]
    plan = plan_dataset(tracks, [fake_face(0)], clips=2, seconds=0.4, generators=("tool",))
    out = tmp_path / "out"
    for rendered in (2, 0):
        run = render_dataset(plan, out, size=64, generators={"tool": tool})
        list(run)
        assert run.result.rendered == rendered
    write_mp4(videos / "d0/0.mp4", np.tile(ramp[:80], (1, 64, 66, 1)), 30.0, 5)
    run = render_dataset(plan, out, size=64, generators={"tool": tool})
    list(run)
    assert run.result.rendered == 1


def test_footage_for_some_recordings_only_must_be_wanted(program: Path, tmp_path: Path) -> None:
    (tmp_path / "videos" / "d0").mkdir(parents=True)
    write_mp4(tmp_path / "videos/d0/0.mp4", np.zeros((90, 64, 64, 3), np.uint8), 30.0, 5)
    tool = generator(program, motion="{driving}", videos=str(tmp_path / "videos"))
    tracks = [fake_track("d0", take) for take in range(2)]
    plan = plan_dataset(tracks, [fake_face(0)], clips=2, seconds=0.4, generators=("tool",))
    with pytest.raises(InputError, match=r"1 of 2 recordings have no driving video.*d0-1.*videos_partial"):
        list(render_dataset(plan, tmp_path / "out", size=64, generators={"tool": tool}))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ExternalError, match=r"videos .*no such folder"):
        generator(program, videos=str(tmp_path / "none"))
    with pytest.raises(ExternalError, match=r"folder .*no such folder"):
        generator(program, folder=str(tmp_path / "none"))


def test_pictures_side_by_side_are_refused(program: Path) -> None:
    tool = generator(program, "wide")
    with pytest.raises(ExternalError, match="192 x 96 where the still is square"):
        tool.render([tool.rig(fake_face(2), 64)], CONTROLS)


def test_the_version_tells_what_is_called_not_where(program: Path, tmp_path: Path) -> None:
    for name in ("a/tool-1", "b/tool-1", "a/tool-2"):
        (tmp_path / name).mkdir(parents=True)
    folders = ("a/tool-1", "b/tool-1", "a/tool-2")
    one, moved, other = (generator(program, folder=str(tmp_path / name)).version for name in folders)
    assert one == moved != other
    videos = [generator(program, videos=str(tmp_path / n)).version for n in ("a", "b")]
    assert videos[0] == videos[1] != generator(program).version


def test_online_mode_refuses_programs(program: Path) -> None:
    with pytest.raises(InputError, match="'tool' makes files"):
        OnlineAvatars(
            [[fake_track("d", 0)]], [fake_face(0)], generators=("tool",), extra={"tool": generator(program)},
            identities=1, length=10,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "declares no generator"),
        ("[a", "cannot be read as TOML"),
        ("a = 1", "must be a table"),
        ("[a]", "needs a command"),
        ("[a]\ncommand = 'x'", "needs a command, a list"),
        ("[a]\ncommand = ['x']", "needs {still}, {out}"),
        ("[a]\ncommand = ['{still}', '{out}', '{wav}', '{track}']", "unknown placeholder {wav}"),
        ("[warp]\ncommand = ['{still}', '{out}', '{track}']", "not warp"),
        ("[a_b]\ncommand = ['{still}', '{out}', '{track}']", "give a name of lower-case"),
        ("[a]\ncommand = ['{still}', '{out}', '{track}']\nspeed = 1", "unknown key 'speed'"),
        ("[a]\ncommand = ['{still}', '{out}', '{track}']\nname = 'b'", "unknown key 'name'"),
        ("[a]\ncommand = ['{still}', '{out}', '{track}']\ntimeout = 0", "timeout > 0"),
        ("[a]\ncommand = ['{still}', '{out}', '{track}']\ntimeout = 'x'", "wrong type"),
        ("[a]\ncommand = ['{still}', '{out}', '{track}']\ndriving = 'x'", "driving 'x' must be one of"),
    ],
)
def test_declarations_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ExternalError, match=f"x.toml.*{message}"):
        load_external(path)
    with pytest.raises(ExternalError, match="cannot be read"):
        load_external(tmp_path / "gone.toml")


def test_the_example_of_the_docs_loads(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/external.md").read_text(encoding="utf-8")
    path = tmp_path / "live.toml"
    path.write_text(page.split("```toml\n")[1].split("```")[0])
    (tmp_path / "LivePortrait").mkdir()
    generators = load_external(path)
    assert generators["liveportrait"].folder == str(tmp_path / "LivePortrait")
