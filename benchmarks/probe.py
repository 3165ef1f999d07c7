"""What does a probe on given embeddings cost, and how good is it, beside scikit-learn's logistic regression?

    python benchmarks/probe.py

Ours is a whole run of 50 epochs with all that is recorded of it; scikit-learn's is its fit and its predictions over the
same standardised clips. Balanced accuracy is that on the test clips.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

import numpy as np
from measured import CPU_TIME, Ratio, recordings
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from rsbench.experiment.context import make_context, make_spec
from rsbench.experiment.prepare import Experiment, prepare_experiment
from rsbench.experiment.run import run_experiment

OURS, PEER = "a run of ce on embeddings", "scikit-learn's LogisticRegression"
OF = (CPU_TIME, "balanced accuracy")
SPLIT = "sprsound-inter"


def ratios(quick: bool) -> list[Ratio]:
    root = recordings()
    settings = {
        "loss": "ce",
        "backbone": f"embeddings:{root / 'embeddings' / 'yamnet.parquet'}",
        "data.train": SPLIT,
        "data.test": [SPLIT],
        "optim.epochs": 10 if quick else 50,
    }
    found = [measure(settings | {"seed": seed}, str(root)) for seed in range(1 if quick else 3)]
    return [Ratio(OURS, PEER, of, tuple(each)) for of, each in zip(OF, zip(*found, strict=True), strict=True)]


def measure(settings: dict[str, Any], root: str) -> tuple[float, float]:
    """Ratios of CPU seconds and of balanced accuracy in percent."""
    with tempfile.TemporaryDirectory() as out:
        context = make_context(root, out, device="cpu", threads=1, partial=True, quiet=True)
        experiment = prepare_experiment(make_spec(settings, context), context.data_cache())
        started = time.process_time()
        run = run_experiment(experiment, context)
        middle = time.process_time()
        with threadpool_limits(1):  # as many as the run has
            theirs = accuracy_of_peer(experiment)
        ended = time.process_time()
        ours = run.metrics["last"][SPLIT]["argmax"]["balanced_accuracy"]
    return (middle - started) / (ended - middle), ours / theirs


def accuracy_of_peer(experiment: Experiment) -> float:
    """Balanced accuracy on the test clips, in percent, of what is fitted on the clips that the run fits."""
    data = experiment.train_data
    assert data.embeddings is not None
    vectors, labels = data.embeddings[:, 0], data.clips["class_index"].to_numpy()
    fitted, tested = data.rows("fit"), np.flatnonzero(experiment.tests[0].test_rows(data.clips))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(vectors[fitted], labels[fitted])
    return 100 * float(balanced_accuracy_score(labels[tested], model.predict(vectors[tested])))


if __name__ == "__main__":
    for ratio in ratios(quick=False):
        print(f"{ratio.what}: {statistics.median(ratio.rounds):.2f} of the {ratio.of} of {ratio.beside}")
