"""What one layer gave up, the next one gets: a page is asked of the kernel once."""

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from egofeat.host_memory import keep_memory

CODE = """
import resource
import threading
import torch
from egofeat.extract.backbones import load

load("mobilenetv2", "random")
pages = 2 ** 20 * 80 // resource.getpagesize()


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def layers():
    for _ in range(10):
        torch.ones(2 ** 20 * 20)


def ask():
    layers()
    before = faults()
    layers()
    print((faults() - before) / pages)


ask()
other = threading.Thread(target=ask)
other.start()
other.join()
"""


BEGUN = """
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from egofeat.__main__ import main

sys.argv = ["egofeat", "--version"]
with suppress(SystemExit):
    main()
earlier = ThreadPoolExecutor(1)
earlier.submit(bytearray, 100_000).result()
{code}
earlier.submit(ask).result()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of the C library of Linux")
def test_a_thread_that_was_there_before_the_network_has_the_same_memory():
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", BEGUN.format(code=CODE)]
    version, *told = subprocess.check_output(command, text=True, env=own).splitlines()
    assert version.startswith("egofeat")
    assert [float(line) < 1 for line in told] == [True] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="of the C library of Linux")
@pytest.mark.parametrize(("chosen", "kept"), [({}, True), ({"MALLOC_TOP_PAD_": "131072"}, False)])
def test_memory_is_kept_unless_the_environment_chooses(chosen, kept):
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", CODE]
    told = subprocess.check_output(command, text=True, env=own | chosen)
    times = [float(line) for line in told.split()]
    assert len(times) == 2
    assert all(time < 1 if kept else time > 5 for time in times)


def test_a_library_that_refuses_large_blocks_is_left_as_it_was(monkeypatch):
    asked = []

    def refuse(option, value):
        asked.append(option)
        return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=refuse))
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "platform", "linux")
    keep_memory.__wrapped__()
    assert asked == [-3]
