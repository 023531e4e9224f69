"""Failures are forgotten while others note theirs: none of theirs is lost."""

from egofeat.store import Failure
from egofeat.store.sidecar import failures
from egofeat.store.sidecar.failures import append_failures, forget_failures, read_failures


def failed(id_: str) -> Failure:
    return Failure(id_, "v", 0.0, 1.0, "frame 3 is damaged")


def test_what_another_appends_while_some_are_forgotten_stays(tmp_path, monkeypatch):
    path = tmp_path / "failures-1of2.jsonl"
    append_failures(path, [failed("a"), failed("b")])
    write = failures.write_failures

    def slowly(*of):
        append_failures(path, [failed("c")])  # by another process, to the file of before
        write(*of)

    monkeypatch.setattr(failures, "write_failures", slowly)
    forget_failures(path, {failed("a").key}, "2of2")
    assert [one.id for one in read_failures(path)] == ["b", "c"]
    forget_failures(path, {failed(id_).key for id_ in "bc"}, "2of2")
    assert [one.id for one in read_failures(path)] == ["c"]
    forget_failures(tmp_path / "failures-none.jsonl", {failed("a").key}, "2of2")
