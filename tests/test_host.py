"""What a machine lets a process have."""

import os
from pathlib import Path

import pytest

from egofeat import host


def limited(folder: Path, most: str, used: int, stat: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text(most)
    (folder / "memory.current").write_text(str(used))
    (folder / "memory.stat").write_text(stat)
    return folder


@pytest.mark.parametrize(
    ("stat", "left"),
    [
        ("anon 5\ninactive_file 200000\nactive_file 100000\nslab 9\n", 900_000),
        ("inactive_file 5\ntotal_inactive_file 300000\ntotal_active_file 0\n", 900_000),
        ("of another form", 600_000),
    ],
)
def test_a_container_limits_the_memory_that_is_free(tmp_path, monkeypatch, stat, left):
    free = host.free_memory()
    assert 2**20 < free < 2**50
    job = limited(tmp_path / "job", "1000000", 400_000, stat)
    free_job = limited(tmp_path / "job" / "inner", "max", 5, stat)
    monkeypatch.setattr(host, "_groups", lambda kind: [free_job, job, tmp_path / "none"])
    assert host.free_memory() == left


def test_a_machine_without_control_groups_has_what_is_free(monkeypatch):
    monkeypatch.setattr(host, "_groups", lambda kind: [])
    assert 2**20 < host.free_memory() < 2**50


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.cfs_quota_us": "400000\n", "cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu.max": "of another form"}, 64),
        ({}, 64),
    ],
)
def test_a_container_limits_the_cores(tmp_path, monkeypatch, limits, cores):
    for name, text in limits.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(host.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(host, "_groups", lambda kind: [tmp_path / "none", tmp_path])
    assert host.cores() == cores
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    host.limit_threads()
    host.lift_limit()
    assert os.environ["OMP_NUM_THREADS"] == "7", "the user's word"
    monkeypatch.delenv("OMP_NUM_THREADS")
    host.limit_threads()
    assert os.environ.get("OMP_NUM_THREADS") == (None if cores == 64 else str(cores))
    host.lift_limit()
    assert "OMP_NUM_THREADS" not in os.environ, "other machines have other limits"


@pytest.mark.parametrize("name", ["cpu,cpuacct", "cpuacct,cpu", "cpu"])
def test_kinds_of_groups_are_named_in_any_order(tmp_path, monkeypatch, name):
    job = tmp_path / "groups" / name / "jobs/one"
    job.mkdir(parents=True)
    (tmp_path / "groups/memory").mkdir()
    (tmp_path / "own").write_text("5:memory:/\n4:cpuacct,cpu:/jobs/one\n0::/jobs/two\n")
    monkeypatch.setattr(host, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(host, "_GROUPS_OF_THIS", tmp_path / "own")
    of_both, folder = host._groups("cpu"), tmp_path / "groups"
    assert of_both == [job, job.parent, folder / name, folder / "jobs/two", folder / "jobs", folder]
    (job / "cpu.cfs_quota_us").write_text("100000")
    (job / "cpu.cfs_period_us").write_text("100000")
    assert host.cores() == 1


@pytest.mark.parametrize("kind", ["cpu", "memory"])
def test_the_groups_of_this_process_are_found(kind):
    assert host.cores() >= 1
    assert all(group.is_relative_to("/sys/fs/cgroup") for group in host._groups(kind))
