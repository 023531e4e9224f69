"""`egofeat export-weights`: a backbone with the blocks that a run trained, as one file."""

import json
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from egofeat.errors import RequestError
from egofeat.extract.backbones.cutting import Above
from egofeat.extract.weight_files import METADATA
from egofeat.pipelines.runs.run import Run, load_run
from egofeat.pipelines.training.tail import TailHead, chain_of
from egofeat.store.files import replace_file


def export_weights(
    run: Path, out: Path | None = None, target: str | None = None, weights: Path | None = None
) -> tuple[Path, str]:
    """Write the state dict of a run's backbone, its trained blocks and classifier in their places.

    Keys and shapes are those of the backbone's own weights, and `weights` of egofeat reads them:
    taps of it, `logits` too, are what the run's head computed.

    Args:
        run: folder of a head tail.
        out: file to write, `.safetensors`; None is `weights.safetensors` in the run's folder.
        target: whose classifier is written; None of the only one.
        weights: those of the backbone, where they are a user's own.

    Returns:
        The file, and the target.

    Raises:
        RequestError: the run is no single tail, or has no such target, or `out` another ending.
        WeightsError: the backbone's weights cannot be had, or are not those of the features.
        StoreError: the disk refuses.
    """
    loaded = load_run(run)
    head = loaded.head
    if not isinstance(head, TailHead):
        raise RequestError(
            f"run {run} trained no blocks of a backbone: name one of `egofeat fit-head tail`, one "
            "store each"
        )
    target = _choose(loaded, target)
    out = out or Path(run) / "weights.safetensors"
    if out.suffix != ".safetensors":
        raise RequestError(f"{out} is written as safetensors: give it the ending .safetensors")
    (source,) = loaded.config.sources
    chain, published = chain_of(source, None if weights is None else str(weights), same=True)
    Above(chain, source.tap, source.recipe.network).load_state_dict(head.blocks.state_dict())
    state = dict(chain.network.state_dict())
    own = dict(zip(head.targets, head.classifiers, strict=True))[target].state_dict()
    for name, tensor in own.items():
        key = f"{chain.classifier}.{name}"
        state[key] = tensor.reshape(-1, *state[key].shape[1:])
    facts = {
        "backbone": source.recipe.backbone,
        "classes": loaded.config.classes[target],
        "like": published and published.name,
    }
    replace_file(out, save(_plain(state), {METADATA: json.dumps(facts)}))
    return out, target


def _choose(run: Run, target: str | None) -> str:
    targets = run.config.targets
    if target in targets or (target is None and len(targets) == 1):
        return target or targets[0]
    raise RequestError(
        f"run {run.path} has the targets {', '.join(targets)}, and a network has one classifier: "
        "choose with `target`"
    )


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share no memory, as safetensors wants them."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
