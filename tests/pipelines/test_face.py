"""What `import egofeat` offers: the numbers and folders of the commands, by one call each."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import egofeat
from egofeat.errors import MediaError, RequestError
from egofeat.extract.backbones import load
from egofeat.heads import TrainerConfig

NETWORK = {"weights": "random:1", "size": 64, "frames": 3, "device": "cpu"}


@pytest.fixture(scope="module")
def films(tmp_path_factory, encoder):
    """Six films of two classes in a folder data set, and its manifest."""
    folder = tmp_path_factory.mktemp("face")
    for number in range(6):
        place = folder / "clips" / ("train" if number < 4 else "val") / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        encoder(place / f"{number}.mp4", frames=8 + number)
    entry = {"format": "folder", "media": "clips"}
    (folder / "m.yaml").write_text(yaml.dump({"version": 1, "datasets": {"mine": entry}}))
    return folder


@pytest.fixture(scope="module")
def store(films):
    places = {"manifest": str(films / "m.yaml"), "out": str(films / "features")}
    report = egofeat.extract_dataset(tap=["block1", "gap"], **places, **NETWORK)
    assert (report.extracted, report.failed) == (6, 0)
    return Path(report.store)


def test_features_are_those_of_a_store(films, store):
    videos = sorted(films.glob("clips/*/*/*.mp4"))
    of_all = egofeat.features(videos, tap=["block1", "gap"], **NETWORK)
    for tap in ("block1", "gap"):
        opened = egofeat.open_store(str(store), tap=tap)
        for video, found in zip(videos, of_all, strict=True):
            id_ = video.relative_to(films / "clips").with_suffix("").as_posix()
            np.testing.assert_array_equal(found[tap], opened[id_])
    one = egofeat.features(str(videos[0]), **NETWORK)
    assert one.shape == (3, 1280)
    assert one.dtype == np.float16
    np.testing.assert_array_equal(one, of_all[0]["gap"])


def test_a_run_is_fitted_loaded_judged_and_used(films, store, tmp_path):
    fitted = egofeat.fit(
        "lstm", str(store), tap="gap", options={"hidden": 8}, epochs=2, device="cpu",
        out=str(tmp_path / "run"),
    )  # fmt: skip
    assert fitted.path == tmp_path / "run"
    judged = egofeat.evaluate(egofeat.load_run(fitted.path), device="cpu")
    assert judged.to_dict() == fitted.evaluation.to_dict()
    video = str(next(films.glob("clips/val/*/*.mp4")))
    (seen,) = egofeat.predict(fitted.path, video, device="cpu").predictions
    assert seen.video == video
    assert {guess.name for guess in seen.targets["action"]} == {"a", "b"}


def test_a_backbone_shows_its_taps_and_their_shapes():
    shown = repr(load("mobilenetv2", weights="random", taps=["gap", "block12"]))
    assert shown == "Backbone('mobilenetv2', random:0, block12 (96, 14, 14), gap (1280,), cpu)"


def test_weights_are_a_path_or_a_text(tmp_path):
    for weights in (tmp_path / "absent.pth", str(tmp_path / "absent.pth")):
        with pytest.raises(RequestError, match=r"absent\.pth' is neither a file nor weights"):
            load("mobilenetv2", weights=weights)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: egofeat.features("x.mp4", frame=3), "no option 'frame': did you mean 'frames'?"),
        (lambda: egofeat.fit("lstm", "s", epoch=3), "no option 'epoch': did you mean 'epochs'?"),
        (lambda: egofeat.extract_dataset(xyz=1), "no option 'xyz': known are "),
        (lambda: egofeat.features("x", clip_frames=8), "`clip_frames` does not suit mobilenetv2"),
        (lambda: egofeat.features("x", frames=0), "`frames` is 0: give 1 or more"),
        (lambda: egofeat.fit("lstm", "s", epochs=0), "`epochs` 0 trains nothing"),
        (lambda: egofeat.fit("lstm", "s", batch_size="2"), "`batch_size` is '2': give a whole"),
        (
            lambda: egofeat.evaluate("run", views="10x3"),
            "`views` is '10x3': give a tuple of 2 whole",
        ),
        (lambda: egofeat.predict("run", "x.mp4", top="5"), "`top` is '5': give a whole number"),
        (lambda: egofeat.predict("run", "x.mp4", top=0), "`top` is 0: give 1 or more"),
        (lambda: egofeat.features("x", 3), "`backbone` is 3: give a string"),
        (lambda: egofeat.features("x", taps=("gap",)), "no option 'taps': did you mean 'tap'?"),
        (lambda: egofeat.extract_dataset(taps="gap"), "no option 'taps': did you mean 'tap'?"),
        (
            lambda: egofeat.fit("lstm", "s", trainer=TrainerConfig(), batch_size=4),
            "trainer is given whole, and batch_size too: give one of the two",
        ),
    ],
)
def test_an_option_that_there_is_not_is_told(call, sentence):
    with pytest.raises(RequestError) as told:
        call()
    assert sentence in str(told.value)
    assert "--" not in str(told.value)


@pytest.mark.parametrize(
    "name",
    ["out", "format", "compress", "manifest", "dataset", "splits", "part", "retry_failed", "roi"],
)
def test_features_have_no_option_of_stores(name):
    with pytest.raises(RequestError, match=f"there is no option '{name}': "):
        egofeat.features("x.mp4", **{name: None})


def test_a_trainer_is_taken_whole(store, tmp_path):
    trainer = TrainerConfig(epochs=1, seed=7, device="cpu")
    fitted = egofeat.fit("linear", store, tap="gap", trainer=trainer, out=tmp_path / "run")
    assert fitted.config.trainer == trainer


def test_a_video_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(MediaError, match=r"absent\.mp4"):
        egofeat.features(tmp_path / "absent.mp4", **NETWORK)


def test_frames_have_the_rate_that_is_given(tmp_path):
    for number in range(1, 9):
        Image.new("RGB", (64, 64), (30 * number, 0, 0)).save(tmp_path / f"{number:05}.png")
    with pytest.raises(RequestError, match="follow each other: give `frame_rate`"):
        egofeat.features(tmp_path, **NETWORK)
    found = egofeat.features(tmp_path, frame_rate=4, **NETWORK)
    assert found.shape == (3, 1280)


def test_an_extraction_imports_no_library_that_it_does_not_need(films, tmp_path):
    """Each takes about as long to import as torch itself."""
    places = ["--manifest", str(films / "m.yaml"), "--out", str(tmp_path)]
    network = [word for name, value in NETWORK.items() for word in (f"--{name}", str(value))]
    argv = ["egofeat", "extract", *places, *network]
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules)); "
        f"sys.argv = {argv}; from egofeat.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *_, loaded_in_order = done.stdout.splitlines()
    loaded = set(loaded_in_order.split())
    assert "torch" in loaded
    assert not {"torchvision", "torch._dynamo", "torchmetrics", "matplotlib", "sympy"} & loaded


def test_importing_egofeat_loads_nothing_heavy():
    code = "import sys, egofeat; dir(egofeat); print(len({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
