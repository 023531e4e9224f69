"""`egofeat predict`: by a trained head, or by the classifier that a network was published with."""

import numpy as np

from egofeat.pipelines.extraction.in_memory import make_features
from egofeat.pipelines.recognition.published import TARGET, Published, one_of, whole
from egofeat.pipelines.training import predict as by_head
from egofeat.pipelines.training.options import PredictConfig
from egofeat.pipelines.training.predict import Prediction, Predictions, guesses_of, media_of


def predict(asked: PredictConfig) -> Predictions:
    """Name what is seen in whole videos.

    Raises:
        RequestError: no such run or backbone, or options that do not go together.
        WeightsError: the backbone's weights are not those of the run, or not to be had.
    """
    if asked.backbone is not None:
        return _recognise(asked, asked.backbone)
    return by_head.predict(
        asked.run,
        asked.videos,
        weights=asked.weights or None,
        device=asked.device,
        top=asked.top,
        fps=asked.fps,
    )


def _recognise(asked: PredictConfig, backbone: str) -> Predictions:
    """What a network's own classifier sees: the mean softmax over views of a video."""
    weights = one_of(asked.weights, backbone)
    media = media_of([asked.run, *asked.videos], asked.fps)
    dataset = whole(media)
    published = Published.of(
        backbone, dataset, weights=weights, views=asked.views, device=asked.device
    )
    classes = {TARGET: published.names()}
    (memory,) = make_features([published.maker], dataset.segments, media)
    seen = []
    for video in media:
        if video in memory.features:
            logits = {TARGET: published.logits(memory.features[video][np.newaxis])}
            seen.append(Prediction(video, guesses_of(logits, classes, asked.top)))
    return Predictions(seen, {one.video: one.reason for one in memory.failures})
