"""What a machine lets a process have."""

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
    monkeypatch.setattr(host, "_groups", lambda: [free_job, job, tmp_path / "none"])
    assert host.free_memory() == left


def test_a_machine_without_control_groups_has_what_is_free(monkeypatch):
    monkeypatch.setattr(host, "_groups", list)
    assert 2**20 < host.free_memory() < 2**50
