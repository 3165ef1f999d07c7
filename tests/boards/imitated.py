"""Studies of many seeds without training: copies of one finished run, as good at its clips as a test needs them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import on_disk
import pandas as pd

from rsbench.core.files import write_parquet
from rsbench.data.splits import own_split
from rsbench.data.tasks import ICBHI_4
from rsbench.evaluation.scoring import score_run
from rsbench.results.run import Run

Make = Callable[..., Path]  # the fixture `make`


@dataclass(frozen=True)
class Method:
    """A loss that never learnt.

    skill: by how much the logit of a clip's own class stands out of noise of sd 1; by data set where it differs.
    on_test: what is added to it at the epoch that the oracle chose.
    noise: whose noise it has, its own by default; two methods with the same noise and skill are the same.
    spec: part of the spec → the fields that it changes.
    """

    loss: str
    skill: float | Mapping[str, float] = 1.0
    on_test: float = 0.0
    noise: str = ""
    backbone: str = "tiny"
    spec: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def run_id(self, seed: int) -> str:
        return f"{self.loss}-{self.backbone}-s{seed}-{crc32(repr(self).encode()):08x}"


def imitate(
    like: Run,
    results: Path,
    methods: Iterable[Method],
    seeds: Sequence[int],
    rules: Sequence[str] = ("val",),
    tests: Sequence[str] = ("tiny",),
) -> Path:
    """Fill `<results>/runs` with a run per method and seed, judged under some rules on some of the splits it has."""
    for method in methods:
        for seed in seeds:
            _imitate(like, Run(results / "runs" / method.run_id(seed)), method, seed, rules, tests)
    return results


def _imitate(like: Run, folder: Run, method: Method, seed: int, rules: Sequence[str], tests: Sequence[str]) -> None:
    """One run. Files that are alike are linked; the others are replaced, so that the original keeps its own."""
    ignored = shutil.ignore_patterns("checkpoints", ".lock")
    shutil.copytree(like.path, folder.path, copy_function=os.link, ignore=ignored)
    spec, data = on_disk.read(like.path, "spec.json"), on_disk.read(like.path, "data.json")
    changes = {"loss": {"name": method.loss}, "data": {"test": list(tests)}, **method.spec}
    spec |= {"seed": seed, "select": list(rules)} | {part: spec[part] | fields for part, fields in changes.items()}
    on_disk.write(folder.path, "spec.json", spec)
    on_disk.write(folder.path, "data.json", data | {"backbone": method.backbone})
    predictions, metrics = _judged(like, method, seed, tuple(rules), tuple(tests), spec["data"]["train"])
    for dataset, content in predictions.items():
        write_parquet(folder.path / "predictions" / f"{dataset}.parquet", content)
    on_disk.write(folder.path, "metrics.json", metrics)


Judged = tuple[dict[str, pd.DataFrame], dict[str, Any]]
_KNOWN: dict[tuple[Any, ...], Judged] = {}


def _judged(like: Run, method: Method, seed: int, rules: tuple[str, ...], tests: tuple[str, ...], train: str) -> Judged:
    """Predictions by data set, and their figures; kept, since many tests ask for the same."""
    noise = method.noise or method.loss
    known = (like.path, noise, str(method.skill), method.on_test, seed, rules, tests, train)
    if known not in _KNOWN:
        generator = np.random.default_rng([seed, crc32(noise.encode())])
        predictions = {}
        for dataset, stored in ((name, like.predictions(name)) for name in like.datasets):
            kept = stored[stored["selection"].str.partition(":")[0].isin(rules)]
            predictions[dataset] = _called(kept, dataset, method, generator)
        _KNOWN[known] = predictions, score_run(predictions, [own_split(name) for name in tests], rules, (train,))
    return _KNOWN[known]


def _called(clips: pd.DataFrame, dataset: str, method: Method, generator: np.random.Generator) -> pd.DataFrame:
    skill = method.skill[dataset] if isinstance(method.skill, Mapping) else method.skill
    by_clip = skill + method.on_test * clips["selection"].str.startswith("oracle").to_numpy()
    own_class = np.eye(len(ICBHI_4.logit_columns))[clips["label"]]
    logits = by_clip[:, None] * own_class + generator.normal(size=own_class.shape)
    return clips.assign(**dict(zip(ICBHI_4.logit_columns, logits.T.astype(np.float32), strict=True)))
