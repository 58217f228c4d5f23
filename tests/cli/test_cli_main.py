import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from whodrives.cli.main import VERBS, cli

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from whodrives.cli.main import main; main()", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**ENV, **extra})


def test_entry_point_is_installed() -> None:
    found = [e for e in importlib.metadata.entry_points(group="console_scripts") if e.name == "whodrives"]
    assert [entry.value for entry in found] == ["whodrives.cli.main:main"]


def test_importing_is_light() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import whodrives; took = time.perf_counter() - start;"
        "whodrives.__version__; heavy = {'torch', 'av', 'numpy', 'scipy'} & set(sys.modules); print(took, heavy or '')"
    )
    results = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(3)]
    took = min(float(result.stdout.split()[0]) for result in results)
    assert took < 0.3
    assert all(len(result.stdout.split()) == 1 for result in results), results[0].stdout


def test_lazy_names_are_the_real_ones() -> None:
    import whodrives
    from whodrives.verification.fingerprinter import Fingerprinter
    from whodrives.verification.gallery import Gallery

    assert whodrives.Fingerprinter is Fingerprinter
    assert whodrives.Gallery is Gallery
    assert whodrives.__version__ == importlib.metadata.version("whodrives")
    assert {"Fingerprinter", "Gallery", "__version__"} <= set(dir(whodrives))
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = whodrives.Nonsense


def test_help_loads_no_torch_and_is_quick() -> None:
    code = (
        "import sys\nfrom whodrives.cli.main import cli\ntry: cli.main(['--help'])\n"
        "except SystemExit as end: print('status', end.code, 'torch' in sys.modules)"
    )
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "status 0 False"
    assert time.perf_counter() - start < 5
    for verb in VERBS:
        assert f"\n  {verb}" in result.stdout


def test_every_verb_has_help_and_json(call) -> None:
    def leaves(command: click.Command, name: str) -> list[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            return [(name, command)]
        context = click.Context(command)
        out = []
        for verb in command.list_commands(context):
            inner = command.get_command(context, verb)
            assert inner is not None
            out += leaves(inner, f"{name} {verb}".strip())
        return out

    for name, command in leaves(cli, ""):
        assert command.help, name
        assert any("--json" in option.opts for option in command.params), name
        assert call(*name.split(), "--help").status == 0


def test_version(call) -> None:
    assert call("--version").out == f"whodrives {importlib.metadata.version('whodrives')}\n"


@pytest.mark.parametrize("words", [[], ["verfy"], ["verify"], ["verify", "x.mp4"], ["--nonsense"], ["gallery", "lst"]])
def test_wrong_calls_are_status_2(call, words: list[str]) -> None:
    answer = call(*words)
    assert answer.status == 2
    assert answer.out == ""
    assert answer.err
    if words:
        assert call(*words, "--json").json["error"]["type"]


def test_a_bug_is_one_line_without_a_traceback(call, monkeypatch: pytest.MonkeyPatch) -> None:
    from whodrives.training import weights

    def broken(source: str) -> None:
        raise ZeroDivisionError("oops\nsecond line")

    monkeypatch.setattr(weights, "load_weights", broken)
    answer = call("info")
    assert answer.status == 2
    assert "ZeroDivisionError" in answer.err
    assert answer.err.count("\n") == 1
    assert call("info", "--json").json["error"]["type"] == "ZeroDivisionError"


def test_info(call) -> None:
    values = call("info", "--json").json
    assert values["model"]["digest"] == "feedfeedfeedfeed"
    assert values["model"]["card"]["clip_length"] == 64
    assert values["contract"]["name"] == "whodrives-grey-128"
    assert values["licence"]["code"] == "Apache-2.0"
    assert {"whodrives", "torch", "python"} <= set(values["versions"])
    people = call("info").out
    assert "feedfeedfeedfeed" in people
    assert "+0.6000 (1 window)" in people
    assert "abstain" in call("info", "--model", "paper").out


def test_bad_weights_are_one_line(call, tmp_path: Path) -> None:
    answer = call("info", "--model", tmp_path / "absent.safetensors", "--json")
    assert (answer.status, answer.json["error"]["type"]) == (2, "WeightsError")


def test_a_real_process_embeds_enrolls_and_verifies(videos, tmp_path: Path) -> None:
    """Untrained network, so every decision abstains; what counts is that the whole chain runs from the shell."""
    env = {"WHODRIVES_GALLERY": str(tmp_path / "x.db")}
    assert run("enroll", "ana", str(videos["ana1"]), "--model", "paper", **env).returncode == 0
    answer = run("verify", str(videos["ana3"]), "--as", "ana", "--model", "paper", "--json", **env)
    assert answer.returncode == 1, answer.stderr
    values = json.loads(answer.stdout)
    assert values["decision"] == "abstain"
    assert "threshold" in values["reason"]
    assert values["score"] is not None
    bad = run("verify", str(videos["text"]), "--as", "ana", "--model", "paper", **env)
    assert bad.returncode == 2
    assert bad.stderr.startswith("whodrives: ")
    assert bad.stdout == ""
    assert "Traceback" not in bad.stderr


@pytest.mark.skipif(os.name != "posix", reason="bytes as file names exist on POSIX only")
def test_file_names_that_are_no_text(videos, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    Path(os.fsdecode(odd)).write_bytes(videos["short"].read_bytes())
    for out in ("x.npz", "x.parquet"):
        command = [
            sys.executable,
            "-c",
            "from whodrives.cli.main import main; main()",
            "embed",
            odd,
            "--model",
            "paper",
        ]
        result = subprocess.run([*command, "-o", str(tmp_path / out)], capture_output=True, env=ENV, timeout=120)
        assert result.returncode == 0, result.stderr
        assert (tmp_path / out).stat().st_size > 1000
    missing = subprocess.run(
        [*command[:4], odd + b"x", "-o", "x.npz", "--model", "paper"], capture_output=True, env=ENV
    )
    assert missing.returncode == 2
    assert b"Traceback" not in missing.stderr
    assert missing.stderr.count(b"\n") == 1
