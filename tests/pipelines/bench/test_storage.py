import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from egofeat.errors import RequestError
from egofeat.pipelines.bench.options import StorageBench
from egofeat.pipelines.bench.storage import bench_storage
from egofeat.pipelines.drawn.clips import encoded, plan_sessions

pytestmark = pytest.mark.drawn

ASKED = {"segments": (2, 1), "device": "cpu", "seconds": 0.0}
VALUES = {"frames": 20 * 256 * 256 * 3, "map": 20 * 1280 * 8 * 8, "gap": 20 * 1280}
BYTES = {"uint8": 1, "float16": 2, "float32": 4}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return bench_storage(StorageBench(**ASKED, out=tmp_path_factory.mktemp("bench")))


def test_sizes_are_those_of_the_numbers(report):
    assert len(report.rows) == 6 * 2 * 2
    for row in report.rows:
        what, dtype = row.kind.split()
        assert row.memory_bytes == row.segments * VALUES[what] * BYTES[dtype]
        if row.compressed:
            assert row.disk_bytes < row.memory_bytes
        else:
            assert 0 <= row.disk_bytes - row.memory_bytes < 4096
        assert row.load_ms > 0
        assert row.cache in ("cold", "warm")


def test_what_is_written_is_what_is_reported_and_nothing_else_stays(report):
    table, whole, picture = map(Path, report.files)
    assert sorted(table.parent.iterdir()) == sorted((table, whole, picture))
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [float(row["load_ms"]) for row in rows] == [row.load_ms for row in report.rows]
    assert json.loads(whole.read_text())["rows"][0]["kind"] == "frames uint8"
    with Image.open(picture) as image:
        assert image.format == "PNG"


def test_a_film_must_have_a_frame_for_each(tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(encoded(plan_sessions(8)[0]))
    out = tmp_path / "out"
    with pytest.raises(RequestError, match=r"has 100 frames, and 6 segments of 20 need 120"):
        bench_storage(StorageBench(segments=(6,), film=film, out=out))
    assert not list(out.iterdir())


def test_no_room_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(RequestError, match="give fewer `segments`"):
        bench_storage(StorageBench(segments=(10**8,), out=tmp_path))
    assert not list(tmp_path.iterdir())
