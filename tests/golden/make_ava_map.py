"""Makes ava_map.json with the public evaluation of the ActivityNet challenge alone, no egofeat.

python tests/golden/make_ava_map.py ActivityNet/Evaluation annotations/ava/eval

The first is a folder of https://github.com/activitynet/ActivityNet, the second one with gt.csv,
pred.csv and action_list.txt. The public code runs as it is, but for names that numpy has dropped
since and for a sort that, of equal scores, always gives the same order.
"""

import io
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
from ava_cases import CASES, CLASSES, case

COMMIT = "82304fa9f4a7219421df13dae6347a445c4cf5bc"

code = Path(sys.argv[1])
sys.path[:0] = [str(code), str(code / "ava")]
for name, meant in {"bool": bool, "float": float, "NAN": np.nan}.items():
    setattr(np, name, meant)
np.argsort = partial(np.argsort, kind="stable")

import get_ava_performance  # noqa: E402  # found by the path above


def evaluate(labels: str, annotated: str, found: str) -> dict[str, float | None]:
    """Mean under `mAP` and class name to average precision; None of a class without any."""
    said: dict[str, float] = {}
    get_ava_performance.pprint.pprint = lambda figures, **_: said.update(figures)
    files = [io.StringIO(text) for text in (labels, annotated, found)]
    for file in files:
        file.name = "case"
    get_ava_performance.run_evaluation(*files)
    short = {name.rpartition("/")[2]: float(value) for name, value in said.items()}
    short["mAP"] = short.pop("mAP@0.5IOU")
    return {name: None if np.isnan(value) else value for name, value in short.items()}


names = ("action_list.txt", "gt.csv", "pred.csv")
texts = [(Path(sys.argv[2]) / name).read_text() for name in names]
labels = "".join(f'item {{\n  name: "{name}"\n  id: {id_}\n}}\n' for id_, name in CLASSES.items())
golden = {
    "code": f"https://github.com/activitynet/ActivityNet at {COMMIT}, Evaluation",
    "numpy": np.__version__,
    "eval": evaluate(*texts),
    "cases": [
        evaluate(labels, *("".join(",".join(row) + "\n" for row in rows) for rows in case(seed)))
        for seed in range(CASES)
    ],
}
out = Path(__file__).with_name("ava_map.json")
out.write_text(json.dumps(golden, indent=1) + "\n")
