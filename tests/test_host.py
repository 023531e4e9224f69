"""What a machine lets a process have."""

from pathlib import Path

from egofeat import host


def limited(folder: Path, most: str, used: int, files: int) -> Path:
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text(most)
    (folder / "memory.current").write_text(str(used))
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files}\nslab 9\n")
    return folder


def test_a_container_limits_the_memory_that_is_free(tmp_path, monkeypatch):
    free = host.free_memory()
    assert 2**20 < free < 2**50
    job = limited(tmp_path / "job", "1000000", 400_000, 300_000)
    free_job = limited(tmp_path / "job" / "inner", "max", 5, 5)
    monkeypatch.setattr(host, "_groups", lambda: [free_job, job, tmp_path / "none"])
    assert host.free_memory() == 900_000
