"""Makes the store, the two runs and expected.json in `runs_without_schema/`.

They are of egofeat as it was before config.yaml told its schema; a later egofeat makes the same of
a later form. Run in a folder that may be named in the files: `cd /tmp && python …/make_run.py`.
"""

import json
import shutil
from pathlib import Path

import av
import numpy as np

from egofeat.heads.config import TrainerConfig
from egofeat.pipelines.extraction.extract import run
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.pipelines.training.predict import predict
from egofeat.segments import Dataset, Media, Segment

GOLDEN = Path(__file__).with_name("runs_without_schema")


def film(path: Path, step: int) -> Path:
    """Write 12 grey frames that brighten by `step` each."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            picture = np.full((48, 64, 3), 120 + step * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def make(folder: Path) -> None:
    """Extract, train one head and two fused ones, evaluate and predict."""
    videos = [film(folder / f"{number}.mp4", step) for number, step in enumerate((9, -9, 6, -6))]
    media = {path.name: Media(path) for path in videos}
    segments = tuple(
        Segment(f"{split}-{number}", name, split=split, labels={"verb": number % 2})
        for split in ("train", "val")
        for number, name in enumerate(media)
    )
    dataset = Dataset("sky", media, segments, {"verb": ("rise", "fall")})
    config = ExtractConfig(
        **{"weights": "random", "frames": 2, "size": 32, "device": "cpu", "pool_grid": 1},
        taps=("block2", "block4"),
        out=folder / "features",
    )
    store = Path(run(config, dataset).store)
    trainer = TrainerConfig(epochs=3, lr=0.01, device="cpu")
    both = {"store": (store, store), "tap": "block2,block4", "fuse": "weighted"}
    one = {"store": store, "tap": "block4", "normalize": True}
    runs = {"lstm": one | {"options": {"hidden": 4}}, "linear": both}
    expected = {}
    for head, of in runs.items():
        path = fit_head(FitConfig(head=head, trainer=trainer, out=folder / head, **of)).path
        (seen,) = predict(path, videos[:1], device="cpu").predictions
        guesses = {guess.name: guess.probability for guess in seen.targets["verb"]}
        expected[head] = {"metrics": evaluate(path).metrics, "predicted": guesses}
        shutil.copytree(path, GOLDEN / head, ignore=shutil.ignore_patterns("*.png"))
    shutil.copytree(store, GOLDEN / "store")
    shutil.copy(videos[0], GOLDEN)
    (GOLDEN / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    place = Path("egofeat-golden").resolve()
    place.mkdir()
    make(place)
