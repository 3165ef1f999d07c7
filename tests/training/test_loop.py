"""The loop: paired randomness, bit-identical resumption, averaged weights, failure on NaN."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_models import Perceptron, make_model
from tiny import Cli

import rsbench
from rsbench.core.errors import RunFailed, SpecError
from rsbench.core.spec import OptimPart
from rsbench.data.gathering import ClipGatherer
from rsbench.evaluation.metrics import mean_auroc
from rsbench.training.optim import HalfStep, clip_order, learning_rate, make_average, move_average

Run = Callable[..., Any]
LOGITS = ["logit_normal", "logit_crackle", "logit_wheeze", "logit_both"]


def predictions(record: Any, dataset: str = "tiny") -> pd.DataFrame:
    return pd.read_parquet(record.path / "predictions" / f"{dataset}.parquet")


def test_same_spec_same_bits(tiny_run: Run, tmp_path: Path) -> None:
    first, second = (tiny_run(loss="stochastic", out=tmp_path / name) for name in ("a", "b"))
    pd.testing.assert_frame_equal(predictions(first), predictions(second), check_exact=True)
    assert first.run_id == second.run_id


def test_another_seed_is_another_run(tiny_run: Run) -> None:
    first, second = tiny_run(), tiny_run(seed=1)
    assert not np.array_equal(predictions(first)[LOGITS], predictions(second)[LOGITS])


def test_the_loop_learns(tiny_run: Run) -> None:
    record = tiny_run(epochs=20)
    losses = pd.read_csv(record.path / "epochs.csv")["train_loss"]
    assert losses.iloc[-1] < 0.6 * losses.iloc[0]
    assert record.metrics["val"]["tiny"]["argmax"]["score"] > 70


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optim__ema_decay": 0.9},
        {"optim__swa_from": 0.3, "optim__sampling": "balanced"},
        {"optim__half_step": True},
        {"optim__algorithm": "sgd"},
        {"optim__freeze": "stem.0"},
        {"optim__layer_decay": 0.5, "optim__backbone_lr_scale": 0.1},
        {"optim__accumulate": 2},
        {"optim__checkpoint_activations": True},
        {"optim__freeze": "stem.1", "optim__layer_decay": 0.5, "optim__accumulate": 2, "optim__ema_decay": 0.9},
    ],
)
def test_stopped_after_an_epoch_and_continued_is_the_same_run(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    changes |= {"loss": "stochastic", "optim__clip_norm": 1.0}
    whole = tiny_run(out=tmp_path / "whole", **changes)
    with monkeypatch.context() as patched:
        patched.setattr("rsbench.results.store.write_csv", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            tiny_run(out=tmp_path / "parts", **changes)
    status = (tmp_path / "parts" / "runs" / whole.run_id / "status.json").read_text()
    assert '"interrupted"' in status
    continued = tiny_run(out=tmp_path / "parts", **changes)
    pd.testing.assert_frame_equal(predictions(whole), predictions(continued), check_exact=True)
    assert whole.metrics == continued.metrics


def _interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_runs_are_paired_across_losses(tiny_root: Path, tmp_path: Path) -> None:
    """One seed: the same initial backbone and the same class weights, whatever the loss."""
    from tiny import TINY_PLUGIN, tiny_settings

    from rsbench.experiment.build import build_model
    from rsbench.experiment.context import make_context, make_spec
    from rsbench.experiment.prepare import prepare_experiment

    context = make_context(tiny_root, tmp_path, threads=1, quiet=True)
    models = []
    for loss in ("arcface", "cosface"):
        spec = make_spec(tiny_settings(loss=loss), context, [TINY_PLUGIN])
        models.append(build_model(prepare_experiment(spec, context.data_cache()))[0])
    first, second = (model.state_dict() for model in models)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_recording_at_fault_is_named_and_not_the_training(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gather = ClipGatherer.gather

    def gather_broken(self: ClipGatherer, rows: torch.Tensor) -> torch.Tensor:
        clips = gather(self, rows)
        clips[rows == 0] = torch.nan
        return clips

    monkeypatch.setattr(ClipGatherer, "gather", gather_broken)
    with pytest.raises(RunFailed, match=r"The features of clip \S+:0.* its recording is at fault") as caught:
        tiny_run(validation__fraction=0, select="last")
    assert "optim.lr" not in str(caught.value)


def test_nan_is_a_recorded_failure_that_names_the_remedy(tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"'breaks_down' became nan in epoch 2.*optim\.lr"):
        tiny_run(loss="breaks_down")
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    assert '"failed"' in (folder / "status.json").read_text()
    assert "RunFailed" in (folder / "error.txt").read_text()
    assert not (folder / "metrics.json").exists()


def test_a_finished_run_returns_at_once(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tiny_run()
    monkeypatch.setattr("rsbench.experiment.run.fit", _interrupt)
    assert tiny_run().metrics == first.metrics


def test_averaged_weights_are_what_is_kept(tiny_run: Run) -> None:
    plain, averaged = tiny_run(), tiny_run(optim__ema_decay=0.99)
    assert not np.array_equal(predictions(plain)[LOGITS], predictions(averaged)[LOGITS])


def test_average_follows_its_definition() -> None:
    model = make_model(Perceptron(2, 1))
    average = make_average(model, OptimPart(ema_decay=0.5))
    assert average is not None
    for decay, value in ((0.0, 0.0), (0.5, 1.0), (0.5, 1.0)):
        for parameter in model.parameters():
            torch.nn.init.constant_(parameter, value)
        move_average(average, model, decay)
    assert all((parameter == 0.75).all() for parameter in average.parameters())


def test_weights_at_the_ends_of_epochs_are_averaged_evenly_and_training_is_as_without(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def looked_at(model: torch.nn.Module, *others: Any) -> Any:
        seen.append({name: value.clone().double() for name, value in model.state_dict().items()})
        return evaluate(model, *others)

    from rsbench.experiment.predict import evaluate

    monkeypatch.setattr("rsbench.experiment.run.evaluate", looked_at)
    plain = tiny_run(epochs=5)
    averaged = tiny_run(out=tmp_path / "averaged", epochs=5, optim__swa_from=0.4)
    ends, means = seen[:5], seen[5:]
    for epoch in range(5):
        together = ends[2 : epoch + 1] or [ends[epoch]]
        for name, value in means[epoch].items():
            if not name.endswith("num_batches_tracked"):
                torch.testing.assert_close(value, torch.stack([end[name] for end in together]).mean(dim=0))
    losses = [pd.read_csv(run.path / "epochs.csv")["train_loss"] for run in (plain, averaged)]
    pd.testing.assert_series_equal(*losses, check_exact=True)


def test_weights_are_averaged_in_one_way_or_the_other(tiny_run: Run) -> None:
    with pytest.raises(SpecError, match=r"optim\.swa_from=0\.5: ema_decay averages the weights already"):
        tiny_run(optim__ema_decay=0.9, optim__swa_from=0.5)


def test_balanced_sampling_draws_all_classes_alike_and_shuffling_every_clip_once() -> None:
    labels = torch.tensor([0] * 2700 + [1] * 900 + [2] * 350 + [3] * 50)

    def order(sampling: Any, seed: int) -> torch.Tensor:
        return clip_order(labels, sampling, torch.Generator().manual_seed(seed))

    balanced = order("balanced", 1)
    assert labels[balanced].bincount().tolist() == [pytest.approx(1000, abs=90)] * 4  # three standard deviations
    assert len(balanced[labels[balanced] == 3].unique()) == 50
    assert balanced.equal(order("balanced", 1))
    assert not balanced.equal(order("balanced", 2))
    assert order("shuffled", 1).equal(torch.randperm(4000, generator=torch.Generator().manual_seed(1)))


def test_val_auroc_keeps_the_epoch_that_ranks_best_and_looks_at_validation_once(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    looks = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal looks
        looks += 1
        return predict(*arguments, **options)

    from rsbench.training.predict import predict

    monkeypatch.setattr("rsbench.experiment.predict.predict", counted)
    record = tiny_run(select="val,val-auroc", epochs=4)
    epochs = pd.read_csv(record.path / "epochs.csv")
    best = epochs["val-auroc_mean_auroc"]
    chosen = record.selection["val-auroc"]
    assert (chosen.epoch, chosen.score) == (best.argmax() + 1, pytest.approx(best.max()))
    assert looks == 4 + 2 * len({kept.epoch for kept in record.selection.values()})  # then two data sets, each chosen
    validation = predictions(record).query("part == 'validation' and selection == 'val-auroc'")
    assert chosen.score == pytest.approx(mean_auroc(validation["label"], validation[LOGITS]))
    shown = cli("show", record.path)
    assert f"val-auroc: epoch {chosen.epoch}, mean AUROC {chosen.score:.3f}" in shown.out
    board = cli("leaderboard", "--results", tmp_path / "results", "--split", "tiny", "--select", "val-auroc")
    assert "selected: val-auroc (best mean AUROC" in board.out


def test_half_step_is_the_middle_between_before_and_after() -> None:
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    half_step = HalfStep([weight])
    half_step.remember()
    weight.data.fill_(6.0)
    half_step.go_back()
    assert weight.item() == 4.0


def test_learning_rate_warms_up_and_falls_to_its_floor() -> None:
    optim = OptimPart(lr=2.0, epochs=10, warmup_epochs=2, final_lr_share=0.01)
    rates = [learning_rate(optim, step, 5) for step in range(50)]
    assert rates[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[10:]))
    assert learning_rate(optim, 50, 5) == pytest.approx(0.02)


def test_oracle_is_kept_per_split_and_never_touches_the_other_rules(tiny_run: Run, tmp_path: Path) -> None:
    plain = tiny_run(out=tmp_path / "plain", epochs=5)
    record = tiny_run(out=tmp_path / "oracle", select="val,last,oracle", epochs=5)
    assert set(predictions(record)["selection"]) == {"val", "last", "oracle:tiny", "oracle:far"}
    assert set(predictions(record, "far")["selection"]) == {"val", "last", "oracle:far"}
    for split in ("tiny", "far"):
        epochs = pd.read_csv(record.path / "epochs.csv")[f"oracle:{split}_score"]
        assert record.metrics["oracle"][split]["argmax"]["score"] == pytest.approx(epochs.max())
        assert record.metrics["val"][split] == plain.metrics["val"][split]


def test_without_validation_all_patients_are_fitted(tiny_run: Run) -> None:
    record = tiny_run(validation__fraction=0, select="last")
    assert record.data.class_counts == {"normal": 40, "crackle": 20, "wheeze": 10, "both": 10}
    assert set(record.metrics) == {"last"}
    assert "val-bias" not in record.metrics["last"]["tiny"]


def test_run_from_python_takes_the_documented_defaults(tiny_root: Path, tmp_path: Path) -> None:
    from tiny import TINY_PLUGIN, tiny_settings

    record = rsbench.run(tiny_settings(epochs=1), plugins=[TINY_PLUGIN], root=tiny_root, results=tmp_path, quiet=True)
    assert record.path == tmp_path / "runs" / record.run_id
    assert record.spec.optim.epochs == 1
