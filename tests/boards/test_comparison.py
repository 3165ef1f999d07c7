"""What is said of rows, against counting clips by hand, and against what must not change it."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import on_disk
import pandas as pd
import pytest
from imitated import Make, Method

from rsbench.boards import comparison
from rsbench.boards.claims import AUROC, DIFFERENCES, SCORE, Question
from rsbench.boards.comparison import ALIKE
from rsbench.boards.leaderboard import Board, leaderboard
from rsbench.core.errors import ResultsError, SpecError
from rsbench.data.tasks import ICBHI_4
from rsbench.evaluation.metrics import threshold_free
from rsbench.evaluation.statistics import Counts, estimate, family, rank_sets
from rsbench.results.run import Run, load_runs

Boards = tuple[Board, Board]


def board(results: Path, *losses: str, baseline: str | None = None, most_seeds: int = 99) -> Board:
    """The board on `tiny` of some losses (none: all) and of the first seeds."""
    kept = [
        folder
        for folder in load_runs(results)
        if not losses or folder.run_id.partition("-")[0] in losses
        if on_disk.read(folder.path, "spec.json")["seed"] < most_seeds
    ]
    return leaderboard(kept, "tiny", "val", question=Question(baseline))


def at_argmax(made: Board) -> pd.DataFrame:
    return made.table[made.table["operating_point"] == "argmax"].set_index("loss")


def scores(results: Path, loss: str) -> np.ndarray:
    """(seeds,) as they stand in metrics.json."""
    found = {}
    for folder in results.glob(f"runs/{loss}-*"):
        seed = json.loads((folder / "spec.json").read_text())["seed"]
        found[seed] = json.loads((folder / "metrics.json").read_text())["val"]["tiny"]["argmax"]["score"]
    return np.array([found[seed] for seed in sorted(found)])


def counted(results: Path, loss: str, point: str) -> Counts:
    """Hits on normal and abnormal clips of each patient, counted in the stored predictions a clip at a time."""
    by_seed = {}
    clips: dict[str, list[int]] = {}
    for folder in results.glob(f"runs/{loss}-*"):
        stored = Run(folder).predictions("tiny")
        tested = stored[stored["part"] == "test"].astype(dict.fromkeys(ICBHI_4.logit_columns, float))
        chosen = on_disk.read(folder, "metrics.json")["val"]["tiny"]["operating_point"]["normal_offset"]
        tested[ICBHI_4.logit_columns[0]] += chosen if point == "val-bias" else 0
        hits = {patient: [0, 0] for patient in sorted(set(tested["patient"]))}
        clips = {patient: [0, 0] for patient in hits}
        for clip in tested.to_dict("records"):
            kind = int(clip["label"] > 0)
            clips[clip["patient"]][kind] += 1
            hits[clip["patient"]][kind] += max(range(4), key=lambda n: clip[ICBHI_4.logit_columns[n]]) == clip["label"]
        by_seed[json.loads((folder / "spec.json").read_text())["seed"]] = list(hits.values())
    hits_of_seeds = np.array([by_seed[seed] for seed in sorted(by_seed)], dtype=float)
    return Counts(hits_of_seeds[None], np.array(list(clips.values()), dtype=float))


def test_intervals_and_ranks_are_those_of_hits_counted_by_hand(study: Path, boards: Boards) -> None:
    """Over both operating points at once; the first of each has the interval that holds for all rows."""
    table = boards[0].table
    points = table["operating_point"].to_numpy()
    joined = [counted(study, loss, point) for loss, point in zip(table["loss"], points, strict=True)]
    found = estimate(Counts(np.concatenate([one.hits for one in joined]), joined[0].clips))
    np.testing.assert_allclose(table["score_mean"], found.mean)
    expected, together = found.intervals(), found.simultaneous()
    for point in ("argmax", "val-bias"):
        first = int(np.argmax(np.where(points == point, found.mean, -1)))
        expected[first] = together[first]
        assert table["interval_of"].iloc[first] == "board"
    assert (table["interval_of"] == "board").sum() == 2
    np.testing.assert_allclose(table[["low", "high"]], expected.clip(0, 100))
    np.testing.assert_array_equal(table[["rank_best", "rank_worst"]], rank_sets(found, boards=points))


def test_differences_are_paired_by_seed_and_patient(study: Path, boards: Boards) -> None:
    table = boards[0].table[boards[0].table["loss"] != "ce"]
    base = {point: counted(study, "ce", point) for point in ("argmax", "val-bias")}
    joined = [
        counted(study, loss, point) - base[point]
        for loss, point in zip(table["loss"], table["operating_point"], strict=True)
    ]
    found = estimate(Counts(np.concatenate([one.hits for one in joined]), joined[0].clips))
    at_one = at_argmax(boards[0]).drop(index="ce")
    gained = [(scores(study, loss) - scores(study, "ce")).mean() for loss in at_one.index]
    np.testing.assert_allclose(at_one["delta"], gained, atol=1e-12)
    np.testing.assert_allclose(table[["delta_low", "delta_high"]], found.simultaneous(), atol=1e-12)
    np.testing.assert_allclose(table["delta_se"], found.se, atol=1e-12)
    np.testing.assert_allclose(table["delta_least"], table["delta_high"] - table["delta"], atol=1e-12)


def test_boards_that_are_shown_together_are_one_family(study: Path, boards: Boards) -> None:
    """Of two boards each holds in 97.5 % of studies, so that both do in 95 %."""
    alone = at_argmax(boards[0]).drop(index="ce")
    both = leaderboard(load_runs(study), "tiny", "val", question=Question("ce", splits=2), cache=study / ".index")
    table = at_argmax(both).loc[alone.index]
    assert family(2) == pytest.approx(0.975)
    pd.testing.assert_series_equal(table["delta_se"], alone["delta_se"])
    assert (table["delta_least"] >= alone["delta_least"]).all()
    assert table.at["strong", "delta_least"] > 1.05 * alone.at["strong", "delta_least"]
    assert not (set(both.table["rank_worst"]) < set(boards[0].table["rank_worst"]))


def test_an_auroc_has_the_same_intervals_and_differences(study: Path, boards: Boards) -> None:
    """Against clusters that are left out one at a time: another way to the same variance (a jackknife)."""

    def areas(loss: str, without: str | None = None) -> np.ndarray:
        found = []
        for folder in sorted(study.glob(f"runs/{loss}-*"), key=lambda path: on_disk.read(path, "spec.json")["seed"]):
            stored = Run(folder).predictions("tiny").query("part == 'test'")
            kept = stored[stored["patient"] != without]
            logits = kept[list(ICBHI_4.logit_columns)].to_numpy(float)
            found.append(threshold_free(kept["label"], logits)["auroc_abnormal"])
        return np.array(found)

    row = at_argmax(boards[0]).loc["strong"]
    assert row["auroc_abnormal_mean"] == pytest.approx(areas("strong").mean())
    assert row["auroc_delta"] == pytest.approx((areas("strong") - areas("ce")).mean())
    patients = sorted(set(Run(next(study.glob("runs/ce-*"))).predictions("tiny").query("part == 'test'")["patient"]))
    left_out = np.array([(areas("strong", name) - areas("ce", name)).mean() for name in patients])
    of_patients = (len(patients) - 1) * left_out.var()
    of_seeds = (areas("strong") - areas("ce")).var(ddof=1) / 8
    # The sum counts what takes both, which is most of it where nothing but noise tells clips apart, twice.
    assert max(of_patients, of_seeds) ** 0.5 * 0.9 < row["auroc_delta_se"] < (of_patients + of_seeds) ** 0.5
    assert row["auroc_delta_low"] > 0


def test_a_board_may_claim_the_auroc_instead(study: Path) -> None:
    made = [
        leaderboard(load_runs(study), "tiny", "val", question=Question("ce", claim), cache=study / ".index")
        for claim in (SCORE, AUROC)
    ]
    of_score, of_auroc = (at_argmax(one) for one in made)
    order = of_auroc["auroc_abnormal_mean"].to_numpy()
    assert (np.diff(order) <= 0).all()
    for prefix in ("delta", "auroc_delta"):
        np.testing.assert_allclose(of_auroc[prefix], of_score[prefix].loc[of_auroc.index])
    assert of_auroc.at["strong", "verdict"] == "better"
    assert of_auroc.at["strong", "sign_flip_p"] == pytest.approx(2 / 2**8)


def test_the_sign_flip_is_exact(study: Path, boards: Boards) -> None:
    differences = scores(study, "close") - scores(study, "ce")
    flipped = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    expected = np.mean(np.array(flipped) >= abs(differences.sum()) - 1e-9)
    assert at_argmax(boards[0]).at["close", "sign_flip_p"] == pytest.approx(expected)


def test_better_worse_and_what_cannot_be_told(boards: Boards) -> None:
    table = at_argmax(boards[0])
    assert table["verdict"].to_dict() == {
        "ce": "",
        "same": ALIKE,
        "close": ALIKE,
        "strong": "better",
        "narrow": "better",
    }
    assert at_argmax(boards[1]).at["narrow", "verdict"] == "not above the floor"
    assert at_argmax(boards[1]).at["narrow", "delta_high"] < 0
    told = table[table["verdict"].isin(["better", "worse"])]
    assert (np.sign(told["delta_low"]) == np.sign(told["delta_high"])).all()
    assert (told["delta"].abs() > told["delta_least"]).all()
    assert table.loc["ce", list(DIFFERENCES)].isna().all()


def test_fewer_than_eight_seeds_make_no_claim(study: Path) -> None:
    """Not even where the interval leaves 0 out, nor by ranks."""
    table = at_argmax(board(study, "ce", "strong", baseline="ce", most_seeds=7))
    assert table.at["strong", "delta_low"] > 0
    assert table.at["strong", "verdict"] == ALIKE
    assert (table["rank_best"] == 1).all()
    assert (table["rank_worst"] == len(table)).all()


def test_the_same_predictions_under_another_name_differ_by_nothing(boards: Boards) -> None:
    row = at_argmax(boards[0]).loc["same"]
    assert row[["delta", "delta_low", "delta_high", "delta_least", "delta_se"]].eq(0).all()
    assert (row["verdict"], row["sign_flip_p"]) == (ALIKE, 1.0)


def test_who_is_called_the_baseline_changes_the_sign_alone(study: Path) -> None:
    one, other = (at_argmax(board(study, "ce", "strong", baseline=baseline)) for baseline in ("ce", "strong"))
    there, back = one.loc["strong"], other.loc["ce"]
    np.testing.assert_allclose(back["delta"], -there["delta"])
    np.testing.assert_allclose([back["delta_low"], back["delta_high"]], [-there["delta_high"], -there["delta_low"]])
    assert (back["delta_least"], back["sign_flip_p"]) == (pytest.approx(there["delta_least"]), there["sign_flip_p"])
    assert (there["verdict"], back["verdict"]) == ("better", "worse")


def test_the_order_of_run_folders_changes_nothing(study: Path, boards: Boards) -> None:
    folders = load_runs(study)
    shuffled = [folders[index] for index in np.random.default_rng(0).permutation(len(folders))]
    again = leaderboard(shuffled, "tiny", "val", question=Question("ce"), cache=study / ".index")
    pd.testing.assert_frame_equal(again.table, boards[0].table)


def test_a_larger_family_has_wider_intervals(study: Path, boards: Boards) -> None:
    alone = at_argmax(board(study, "ce", "close", baseline="ce")).loc["close"]
    among = at_argmax(boards[0]).loc["close"]
    assert among["delta"] == pytest.approx(alone["delta"])
    assert among["delta_se"] == pytest.approx(alone["delta_se"])
    assert among["delta_least"] > alone["delta_least"]
    assert (alone["interval_of"], among["interval_of"]) == ("board", "row")  # it is the better one of two
    assert among["high"] < alone["high"]


def test_intervals_hold_their_mean_and_rank_sets_their_rank(boards: Boards) -> None:
    for table in (made.table for made in boards):
        assert table["score_mean"].between(table["low"], table["high"]).all()
        assert table[["low", "high"]].stack().between(0, 100).all()
        rank = table.groupby("operating_point")["score_mean"].rank(ascending=False)
        ranked = table["rank_best"].notna()
        assert rank[ranked].between(table["rank_best"][ranked], table["rank_worst"][ranked]).all()
        assert list(table["verdict"][~ranked]) == ["not above the floor"] * (~ranked).sum()
        compared = table.dropna(subset="delta")
        assert compared["delta"].between(compared["delta_low"], compared["delta_high"]).all()


def test_a_seed_that_one_of_the_two_lacks_is_left_out(study: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(study, tmp_path / "copy"))
    (failed,) = copy.glob("runs/ce-*-s3-*")
    (failed / "status.json").write_text('{"state": "failed"}')
    row = at_argmax(board(copy, "ce", "strong", baseline="ce")).loc["strong"]
    both = np.arange(8) != 3
    assert (row["n_ok"], row["delta_seeds"]) == (8, 7)
    assert row["delta"] == pytest.approx((scores(study, "strong") - scores(study, "ce"))[both].mean())
    assert row["delta_low"] > 0
    assert row["verdict"] == ALIKE  # of seven seeds


def test_methods_without_a_seed_in_common_are_named(make: Make) -> None:
    make(Method("ce"), Method("close"))
    made = board(make(Method("strong", 2.5), seeds=[2, 3]), baseline="ce")
    table = at_argmax(made)
    assert np.isnan(table.at["strong", "delta"])
    assert np.isfinite(table.at["close", "delta"])
    assert [note for note in made.warnings if "no Δ for strong" in note and "no seed in common with 'ce'" in note]


def test_each_is_compared_on_its_own_backbone(make: Make) -> None:
    on_two = [Method(loss, skill, backbone=name) for name in ("tiny", "big") for loss, skill in (("ce", 0), ("it", 1))]
    made = board(make(*on_two, Method("lonely", backbone="other")), baseline="ce")
    table = made.table[made.table["operating_point"] == "argmax"].set_index(["loss", "backbone"])
    for backbone in ("tiny", "big"):
        gained = table.at[("it", backbone), "score_mean"] - table.at[("ce", backbone), "score_mean"]
        assert table.at[("it", backbone), "delta"] == pytest.approx(gained)
    assert np.isnan(table.at[("lonely", "other"), "delta"])
    assert [note for note in made.warnings if "no Δ for lonely · other" in note and "no finished 'ce'" in note]


def test_the_baseline_is_the_one_whose_settings_are_most_alike(make: Make) -> None:
    def at_rate(loss: str, skill: float, lr: float) -> Method:
        return Method(loss, skill, spec={"optim": {"lr": lr}})

    methods = [at_rate(loss, skill, lr) for lr in (0.1, 0.2) for loss, skill in (("ce", 1), ("it", 2))]
    results = make(*methods)
    table = board(results, baseline="ce").table.query("operating_point == 'argmax'").set_index(["loss", "optim.lr"])
    for lr in ("0.1", "0.2"):
        gained = table.at[("it", lr), "score_mean"] - table.at[("ce", lr), "score_mean"]
        assert table.at[("it", lr), "delta"] == pytest.approx(gained)

    folders = load_runs(make(at_rate("odd", 1, 0.15)))
    asked = r"is it ce.*optim.lr 0.1\) or ce.*optim.lr 0.2\)\? Say so with --only"
    with pytest.raises(ResultsError, match=asked):
        leaderboard(folders, "tiny", "val", question=Question("ce"))
    chosen = leaderboard(folders, "tiny", "val", {"optim.lr": "0.1"}, question=Question("ce"))
    assert set(chosen.table["loss"]) == {"ce", "it"}  # 0.15 begins so too, but 0.1 is what was asked for


def test_an_unknown_baseline_is_explained(make: Make) -> None:
    with pytest.raises(SpecError, match="--baseline closed: no row has this loss. Did you mean 'close'"):
        board(make(Method("close")), baseline="closed")


def test_a_single_seed_has_no_interval(study: Path) -> None:
    made = board(study, "ce", "strong", baseline="ce", most_seeds=1)
    row = at_argmax(made).loc["strong"]
    assert row[["low", "high", "delta_low", "delta_high", "delta_least"]].isna().all()
    assert row["delta"] == pytest.approx(scores(study, "strong")[0] - scores(study, "ce")[0])
    assert row["verdict"] == ALIKE
    assert "no interval for a single seed: nothing says how another would do" in made.warnings


def test_what_is_always_the_same_has_an_interval_of_no_width(make: Make) -> None:
    made = board(make(Method("ce"), Method("flawless", 1000.0)), baseline="ce")
    row = at_argmax(made).loc["flawless"]
    assert (row["low"], row["score_mean"], row["high"]) == pytest.approx((100, 100, 100), abs=1e-9)


def test_of_too_many_methods_each_has_its_interval_and_none_a_rank(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = make(Method("ce"), Method("close"))
    few = board(runs).table
    monkeypatch.setattr(comparison, "MOST_METHODS", 1)
    made = board(runs)
    assert "no ranks: they compare every two methods, and here are more than 1; narrow the board with --only" in (
        made.warnings
    )
    assert few["rank_best"].notna().all()
    assert made.table[["rank_best", "rank_worst"]].isna().all(axis=None)
    for prefix in ("", "auroc_"):
        assert list(made.table[f"{prefix}interval_of"]) == list(few[f"{prefix}interval_of"])
        widths, wanted = (table[f"{prefix}high"] - table[f"{prefix}low"] for table in (made.table, few))
        own = few[f"{prefix}interval_of"] == "row"
        np.testing.assert_allclose(widths[own], wanted[own], rtol=0.02)
        assert (widths[~own] > 0.99 * wanted[~own]).all()  # Bonferroni is never the narrower one


@pytest.mark.parametrize(("backbone", "compared"), [("embeddings:mine", True), ("tiny", False)])
def test_embeddings_of_clips_shown_otherwise_are_another_file(make: Make, backbone: str, compared: bool) -> None:
    """Other weights of a backbone that is trained are another backbone."""
    shown = [
        Method("ce", 2.0 + longer, backbone=backbone, spec={"data": {"test": ["tiny"], "window": window}})
        for longer, window in enumerate(("repeat", "zero"))
    ]
    results = make(*shown)
    for run in results.glob("runs/*"):
        window = on_disk.read(run, "spec.json")["data"]["window"]
        on_disk.edit(run, "data.json", lambda data, window=window: data["weights"].update(sha256=window * 10))
    rows = at_argmax(board(results, baseline="data.window=repeat")).set_index("weights")
    row = rows.loc["zero" * 10]
    assert np.isfinite(row["delta"]) == compared
    assert "differs" not in row["verdict"]
