"""How much memory is free: of the machine, and of the group of processes that this one is in."""

import os

import pytest

from egofeat import memory


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What the system says: kB of the machine, and bytes of the group."""

    def say(available, **group):
        if available is not None:
            (tmp_path / "meminfo").write_text(f"MemFree: 1 kB\nMemAvailable:  {available} kB\n")
        for name, text in group.items():
            (tmp_path / f"memory.{name}").write_text(f"{text}\n")
        monkeypatch.setattr(memory, "_OF_SYSTEM", tmp_path / "meminfo")
        monkeypatch.setattr(memory, "_GROUP", tmp_path)

    return say


def test_the_machine_has_what_it_says(told):
    told(5000)
    assert memory.free_memory() == 5000 * 1024


def test_a_group_may_have_less_and_its_cache_is_free(told):
    told(5000, max=100_000, current=90_000, stat="anon 7\ninactive_file 20000\nactive_file 3")
    assert memory.free_memory() == 30_000


def test_a_group_without_a_limit_has_what_the_machine_has(told):
    told(5000, max="max", current=90_000, stat="inactive_file 1")
    assert memory.free_memory() == 5000 * 1024


def test_half_of_all_where_the_system_says_nothing(told):
    told(None)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory.free_memory() == whole // 2
