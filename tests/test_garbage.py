"""Dead objects are looked for only now and then, from the first import on."""

import subprocess
import sys


def test_the_command_line_looks_for_dead_objects_only_now_and_then():
    code = """
import gc
import sys
from contextlib import suppress
from egofeat.__main__ import main

looked = []
gc.callbacks.append(lambda phase, info: looked.append(phase))
sys.argv = ["egofeat", "--version"]
with suppress(SystemExit):
    main()
print(len(looked), len(gc.get_objects()))
"""
    told = subprocess.check_output([sys.executable, "-c", code], text=True)
    looked, there = map(int, told.split()[-2:])
    assert looked <= there / 5_000
