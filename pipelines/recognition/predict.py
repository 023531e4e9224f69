"""`egofeat predict`: by a trained head, or by the classifier that a network was published with."""

from egofeat.errors import RequestError
from egofeat.pipelines.recognition.published import recognise
from egofeat.pipelines.training import predict as by_head
from egofeat.pipelines.training.options import PredictConfig
from egofeat.pipelines.training.predict import Predictions


def predict(asked: PredictConfig) -> Predictions:
    """Name what is seen in whole videos.

    Raises:
        RequestError: no such run or backbone, or options that do not go together.
        WeightsError: the backbone's weights are not those of the run, or not to be had.
    """
    if asked.backbone is None:
        return by_head.predict(
            asked.run,
            asked.videos,
            weights=asked.weights or None,
            device=asked.device,
            top=asked.top,
        )
    if len(asked.weights) > 1:
        raise RequestError(f"{asked.backbone} is one network: give `weights` once")
    return recognise(
        [asked.run, *asked.videos],
        asked.backbone,
        weights=asked.weights[0] if asked.weights else "default",
        views=asked.views,
        device=asked.device,
        top=asked.top,
    )
