"""Models adapted to the clips they are tested on: what must not matter, what must not move, and who is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from small_models import Perceptron, Stack, make_model

from rsbench import create_backbone
from rsbench.boards.leaderboard import leaderboard
from rsbench.core.errors import ResultsError, SpecError
from rsbench.core.spec import RunSpec
from rsbench.inference.classifier import load_classifier
from rsbench.results.run import Run, load_runs
from rsbench.training.adaptation import adabn, adapted, refuse_what_cannot_adapt, tent
from rsbench.training.clipset import ClipMetadata, EmbeddingClips, joined, standardised
from rsbench.training.predict import Model, predict

CLIPS, WIDTH = 48, 8


def spec_with(adapt: str, batch_size: int = 16) -> RunSpec:
    parts: dict[str, Any] = {"loss": {"name": "ce"}, "backbone": {"name": "stack"}, "frontend": None}
    return RunSpec.model_validate(
        parts | {"data": {"test": "far", "adapt": adapt}, "optim": {"batch_size": batch_size}, "seed": 3}
    )


def clips_of(features: torch.Tensor) -> EmbeddingClips:
    code = torch.zeros(len(features), dtype=torch.int64)
    known = ClipMetadata(tuple(map(str, range(len(features)))), code, code.float(), code, code, code)
    return EmbeddingClips(known, features.unsqueeze(1))


def logits_of(model: Model, clips: EmbeddingClips) -> torch.Tensor:
    return predict(model, clips, torch.arange(len(clips.known.labels)), 1000).logits


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(CLIPS, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model(features: torch.Tensor) -> Model:
    torch.manual_seed(1)
    model = make_model(create_backbone("embeddings", WIDTH, 1, width=6))
    model.train()
    for batch in features.split(16):
        model.backbone(batch)
    return model.eval()


ROWS = torch.arange(CLIPS)


def test_no_gain_and_no_offset_of_the_test_set_matters(model: Model, features: torch.Tensor) -> None:
    here, elsewhere = clips_of(features), clips_of(3 * features + 5)
    spec = spec_with("adabn")
    first, second = (logits_of(adapted(model, clips, ROWS, spec), clips) for clips in (here, elsewhere))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)
    assert (logits_of(model, here) - logits_of(model, elsewhere)).abs().max() > 1
    groups = [(ROWS, ROWS)]
    first, second = (standardised(clips, groups).features(ROWS) for clips in (here, elsewhere))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


def test_statistics_are_those_of_the_clips_and_the_model_stays(model: Model, features: torch.Tensor) -> None:
    before = copy.deepcopy(model.state_dict())
    moved = adabn(copy.deepcopy(model), clips_of(features + 2), ROWS, spec_with("adabn", batch_size=CLIPS))
    norm = moved.backbone.standardise
    torch.testing.assert_close(norm.running_mean, features.mean(dim=0) + 2)
    torch.testing.assert_close(norm.running_var, features.var(dim=0))
    assert adapted(model, clips_of(features), ROWS, spec_with("none")) is model
    adapted(model, clips_of(features + 2), ROWS, spec_with("adabn"))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_tent_makes_calls_more_certain_and_moves_batch_norm_alone() -> None:
    torch.manual_seed(4)
    model = make_model(Stack(WIDTH, 20)).eval()
    spectra = clips_of(torch.randn(CLIPS, WIDTH, 20, generator=torch.Generator().manual_seed(5)))

    def entropy(of: Model) -> float:
        log_p = 10 * logits_of(of, spectra)
        log_p = log_p.log_softmax(dim=1)
        return float(-(log_p.exp() * log_p).sum(dim=1).mean())

    still, moved = copy.deepcopy(model), copy.deepcopy(model)
    for _ in range(3):
        moved = tent(moved, spectra, ROWS, spec_with("tent"))
    assert entropy(moved) < entropy(adabn(still, spectra, ROWS, spec_with("adabn")))
    changed = {
        name for name, value in moved.named_parameters() if not torch.equal(value, dict(still.named_parameters())[name])
    }
    assert changed == {f"backbone.{stage}.1.{what}" for stage in ("one", "two", "three") for what in ("weight", "bias")}


def test_each_group_is_standardised_by_itself(features: torch.Tensor) -> None:
    one, other = torch.arange(20), torch.arange(20, CLIPS)
    clips = clips_of(torch.cat([features[:20], 4 * features[20:] - 7]))
    found = standardised(clips, [(one, one), (other, other)])
    for rows in (one, other):
        values = found.features(rows)
        torch.testing.assert_close(values.mean(dim=0), torch.zeros(WIDTH), atol=1e-5, rtol=0)
        torch.testing.assert_close(values.std(dim=0, unbiased=False), torch.ones(WIDTH))
    together = joined(clips_of(torch.cat([features, features])).known, [found, found])
    assert torch.equal(together.features(ROWS), found.features(ROWS))
    assert torch.equal(together.features(ROWS + CLIPS), found.features(ROWS))
    drawn = torch.Generator().manual_seed(0)
    assert torch.equal(found.views(one, 2, drawn), found.features(one).repeat(2, 1))


def test_who_has_nothing_to_adapt_is_refused_before_training(model: Model) -> None:
    with pytest.raises(SpecError, match="no batch normalisation"):
        refuse_what_cannot_adapt(make_model(Perceptron(WIDTH, 1)), spec_with("adabn"))
    with pytest.raises(SpecError, match="no weights to move"):
        refuse_what_cannot_adapt(model, spec_with("tent"))
    refuse_what_cannot_adapt(make_model(Perceptron(WIDTH, 1)), spec_with("standardise"))


@pytest.fixture
def runs(tiny_run: Any, embeddings: Path, tmp_path: Path) -> dict[str, Run]:
    made = {}
    for adapt in ("none", "adabn", "standardise"):
        given = {"backbone": f"embeddings:{embeddings}", "epochs": 1, "test": "tiny", "out": tmp_path / "adapted"}
        made[adapt] = Run(tiny_run(**given, data__adapt=adapt).path)
    return made


def test_a_run_is_adapted_to_its_test_clips_alone(runs: dict[str, Run], tmp_path: Path) -> None:
    plain, moved = (runs[adapt].predictions("tiny").set_index(["clip_id", "selection"]) for adapt in ("none", "adabn"))
    validation = plain["part"] == "validation"
    logits = list(plain.filter(like="logit"))
    pd.testing.assert_frame_equal(plain.loc[validation, logits], moved.loc[validation, logits])
    assert (plain.loc[~validation, logits] - moved.loc[~validation, logits]).abs().to_numpy().max() > 0.01
    assert {adapt: run.data.track for adapt, run in runs.items()} == {
        "none": "frozen",
        "adabn": "frozen, transductive",
        "standardise": "frozen, transductive",
    }
    with pytest.raises(ResultsError, match="differ in track"):
        leaderboard(load_runs(tmp_path / "adapted"), "tiny", "val")
    board = leaderboard(load_runs(tmp_path / "adapted"), "tiny", "val", {"track": "frozen, transductive"})
    assert "data.adapt" in board.names


def test_labels_of_the_epoch_and_other_sounds_are_refused(tiny_run: Any, runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="would judge epochs by models that are not adapted"):
        tiny_run(data__adapt="adabn", select="oracle")
    audio = Run(tiny_run(data__adapt="standardise", epochs=1, out=tmp_path / "audio").path)
    with pytest.raises(SpecError, match="was adapted to its test clips"):
        load_classifier(audio.choice())
