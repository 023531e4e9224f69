"""`decoder` auto: the fastest of the exact ones, once; what is begun keeps its own."""

import time
from dataclasses import replace

import pytest

from egofeat.errors import MediaError
from egofeat.extract.video import fastest, nvdec_source, opening
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.job import plan_jobs
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store


class Slow(PyavSource):
    """Takes a hundredth of a second for each frame."""

    def _scan(self, wanted):
        for found in super()._scan(wanted):
            time.sleep(0.01)
            yield found

    def again(self):
        return type(self)(self.path, like=self)


class Broken(PyavSource):
    """Refuses every file."""

    def __init__(self, path, like=None):
        raise MediaError(f"{path}: use pyav")


@pytest.fixture
def decoders(monkeypatch):
    """Sets what stands behind the two decoders that are there, `pyav` and `nvdec`."""
    monkeypatch.setattr(nvdec_source, "check_card", lambda: None)
    monkeypatch.setattr(fastest, "TIMED", ("pyav", "nvdec"))
    monkeypatch.setattr(fastest, "SECONDS", 0.6)

    def stand(pyav, nvdec):
        monkeypatch.setitem(opening._SOURCES, "pyav", pyav)
        monkeypatch.setitem(opening._SOURCES, "nvdec", nvdec)

    return stand


@pytest.fixture(scope="module")
def dataset(encoder, tmp_path_factory):
    film = encoder(tmp_path_factory.mktemp("film") / "a.mp4", frames=40)
    segments = tuple(Segment(f"a{k}", "a", 0.7 * k, 0.7 * k + 0.7) for k in range(2))
    return Dataset("mine", {"a": Media(film)}, segments, {})


@pytest.fixture
def config(tmp_path):
    return ExtractConfig(
        out=tmp_path / "features", weights="random", frames=2, size=32, device="cpu", decoder="auto"
    )


@pytest.mark.parametrize(
    ("pyav", "nvdec", "worth", "taken"),
    [
        (Slow, PyavSource, 1.5, "nvdec"),
        (PyavSource, Slow, 1.5, "pyav"),
        (Slow, PyavSource, 1e6, "pyav"),  # the first, unless another is worth it
        (Slow, Broken, 1.5, "pyav"),
    ],
)
def test_the_fastest_is_taken(pyav, nvdec, worth, taken, decoders, dataset, monkeypatch):
    decoders(pyav, nvdec)
    monkeypatch.setattr(fastest, "WORTH", worth)
    said = []
    none_begun = fastest.choose_decoder(
        "auto", lambda name: False, dataset.media.values(), 2, said.append
    )
    assert none_begun == taken
    assert [line.split(":")[0] for line in said] == [f"`decoder` auto takes {taken}"]


def test_what_is_asked_for_is_not_timed(decoders, dataset):
    decoders(Broken, Broken)
    media = dataset.media.values()
    for asked, begun in (("pyav", False), ("auto", True)):
        assert fastest.choose_decoder(asked, lambda name, b=begun: b, media, 1, print) == "pyav"
    assert fastest.choose_decoder("auto", lambda name: name == "nvdec", media, 1, print) == "nvdec"


def test_a_store_keeps_the_decoder_that_began_it(decoders, dataset, config, tmp_path, capsys):
    decoders(Slow, PyavSource)
    made = extract.run(config, dataset)
    store = open_store(made.store)
    assert store.recipe.decoder == "nvdec"
    assert "`decoder` auto takes nvdec" in capsys.readouterr().err
    decoders(PyavSource, Slow)
    again = extract.run(config, dataset)
    assert (again.store, again.extracted, again.skipped) == (made.store, 0, 2)
    anew = replace(config, out=tmp_path / "anew")
    jobs = plan_jobs([anew, replace(anew, backbone="tv:resnet18")], dataset)
    assert [job.recipe.decoder for job in jobs] == ["pyav", "pyav"]
