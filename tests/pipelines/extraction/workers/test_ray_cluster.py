"""A Ray cluster of three nodes, of which one is lost while it works."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import verify

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster():
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    cluster.shutdown()


@pytest.fixture
def dataset(encoder, tmp_path):
    options = {"x264-params": "keyint=12:log-level=none"}
    films = [encoder(tmp_path / f"{name}.mp4", frames=50, options=options) for name in "abcdefgh"]
    segments = tuple(
        Segment(f"{film.stem}{k}", film.stem, k * 0.02, k * 0.02 + 0.5)
        for film in films
        for k in range(70)
    )
    return Dataset("mine", {film.stem: Media(film) for film in films}, segments, {})


def shards(store: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (Path(store) / "shards").glob("[!.]*")}


def test_a_node_that_is_lost_loses_nothing(cluster, dataset, tmp_path, capfd):
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    config = ExtractConfig(
        out=tmp_path / "features", weights="random", frames=8, size=64, batch_size=8, workers=1
    )
    lost = []

    def lose_one():
        while not lost:
            made = list(tmp_path.glob("features/*/*/shards/*.h5"))
            if len(made) >= 2:
                cluster.remove_node(nodes[0], allow_graceful=False)
                lost.append(len(made))
            time.sleep(0.05)

    thread = threading.Thread(target=lose_one, daemon=True)
    thread.start()
    report = extract.run(replace(config, ray=cluster.address), dataset)
    assert lost[0] < 8
    said = capfd.readouterr().err
    assert (report.extracted, report.failed) == (560, 0), said
    alone = extract.run(replace(config, out=tmp_path / "alone", device="cpu"), dataset)
    assert shards(report.store) == shards(alone.store)
    assert verify(Path(report.store)) == []
    assert not (Path(report.store) / ".work").exists()
