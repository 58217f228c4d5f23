"""Keeping large blocks: says whether it could, in a process of its own so that the suite's memory is left alone."""

import platform
import subprocess
import sys

import pytest

from whodrives.avatars import allocator

FAULTS = """
import resource, numpy as np
from whodrives.avatars.allocator import keep_large_blocks
def faults():
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**20, dtype=np.float64)  # 8 MB, used and freed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start
assert keep_large_blocks() and keep_large_blocks()
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_large_blocks_come_back_without_page_faults() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200  # mapped anew, 20 times 2048 pages


def test_does_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.platform, "system", lambda: "Darwin")
    assert allocator.keep_large_blocks() is False
    monkeypatch.setattr(allocator.platform, "system", lambda: "Linux")
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    assert allocator.keep_large_blocks() is False
