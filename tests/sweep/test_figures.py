"""The pictures of a search: which are drawn, and what stands on their axes."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from searched import cell_names, found, searched_study, write_trial, write_trials

from rsbench.report.figures.study import study_figures
from rsbench.sweep.results import StudyResults
from rsbench.sweep.trials import TrialStore

SWEEP = searched_study(["ce", "qlung"], ["tiny", "cnn6"])
CELLS = cell_names(SWEEP)
QLUNG = "qlung · tiny"


@pytest.fixture
def store(tmp_path: Path) -> TrialStore:
    return TrialStore(tmp_path / "trials")


def saved(results: StudyResults, folder: Path) -> dict[str, Figure]:
    """The figures that are drawn, by the name of the file that they were saved to."""
    figures: dict[str, Figure] = {}
    save = Figure.savefig

    def saving(figure: Figure, path: Path, **options: int) -> None:
        figures[path.stem] = figure
        save(figure, path, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", saving)
        paths = study_figures(results, folder)
    assert [path.stem for path in paths] == list(figures)
    assert all(matplotlib.image.imread(path).std() > 0 for path in paths)  # something is on them
    return figures


Drawn = tuple[StudyResults, dict[str, Figure]]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Two losses on two backbones, CE with enough trials for an importance, QLung with one failed and one stopped."""
    folder = tmp_path_factory.mktemp("drawn")
    store = TrialStore(folder / "trials")
    for name in CELLS:
        write_trials(store, name, 11 if name.startswith("ce") else 4, margin=name.startswith("qlung"))
    write_trial(store, QLUNG, 50, {"optim.lr": 1e-3, "loss.kappa_rad": 0.4}, "failed")
    write_trial(store, QLUNG, 51, {"optim.lr": 2e-3, "loss.kappa_rad": 0.5}, "stopped")
    results = found(SWEEP, store)
    return results, saved(results, folder)


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_importance_has_a_bar_per_parameter_and_the_level_of_chance(drawn: Drawn) -> None:
    results, figures = drawn
    of_cell = panels(figures["importance"])
    assert list(of_cell) == CELLS
    axes = of_cell["ce · cnn6"]
    mine = results.importance[results.importance["cell"] == "ce · cnn6"].set_index("parameter")
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert [bar.get_width() for bar in axes.containers[0]] == pytest.approx(mine.loc[labels, "importance"].tolist())
    (chance,) = axes.lines
    assert chance.get_xdata()[0] == mine["chance"].iloc[0]
    (reason,) = of_cell["qlung · cnn6"].texts
    assert reason.get_text() == "4 trials finished; it takes 10"


def test_parallel_coordinates_have_a_line_per_trial_from_end_to_end(drawn: Drawn) -> None:
    _, figures = drawn
    *of_cell, colours = figures["parallel"].axes
    assert [axes.get_title(loc="left") for axes in of_cell] == CELLS
    assert colours.get_ylabel() == "validation Score"
    axes = of_cell[0]
    assert len(axes.lines) == 11
    feet = [label.get_text() for label in axes.get_xticklabels()]
    assert [foot.split(":")[0] for foot in feet] == ["optim.lr", "loss.class_weights", "validation Score"]
    assert feet[0].endswith("(log)")
    assert feet[1] == "loss.class_weights: inverse, none"
    for place in range(3):
        heights = [line.get_ydata()[place] for line in axes.lines]
        assert (min(heights), max(heights)) == (0, 1)
    (best,) = [line for line in axes.lines if line.get_linewidth() > 1]
    assert best.get_ydata()[2] == 1


def test_margins_are_drawn_for_losses_that_have_them_with_failures_at_the_foot(drawn: Drawn) -> None:
    _, figures = drawn
    found_axes = {(axes.get_title(loc="left"), axes.get_xlabel()): axes for axes in figures["margin"].axes}
    assert {cell.split()[0] for cell, _ in found_axes} == {"qlung"}
    assert {name for _, name in found_axes} == {"loss.kappa_rad", "loss.cut"}
    axes = found_axes[QLUNG, "loss.kappa_rad"]
    assert axes.get_ylabel() == "validation Score"
    assert sorted(len(dots.get_offsets()) for dots in axes.collections) == [1, 1, 4]  # failed, stopped, done
    low, high = axes.get_ylim()
    assert 35 < low < high < 65  # a failed trial does not stretch the scale
    words = found_axes[QLUNG, "loss.cut"].get_xticklabels()
    assert [word.get_text() for word in words] == ["False", "True"]


def test_budget_has_a_panel_per_backbone_and_a_line_per_method(drawn: Drawn) -> None:
    results, figures = drawn
    of_backbone = panels(figures["budget"])
    assert list(of_backbone) == ["tiny", "cnn6"]
    axes = of_backbone["cnn6"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("trials", "expected best validation Score")
    assert [entry.get_text() for entry in axes.get_legend().get_texts()] == ["ce", "qlung"]
    curve = results.expected_best[results.expected_best["cell"] == "ce · cnn6"]["score"].tolist()
    assert axes.lines[0].get_ydata().tolist() == pytest.approx(curve)


def test_one_loss_one_parameter_few_trials(store: TrialStore, tmp_path: Path) -> None:
    for index in range(3):
        write_trial(store, "ce · tiny", index, {"optim.lr": 1e-3 * (index + 1)})
    figures = saved(found(searched_study(["ce"]), store), tmp_path)
    assert set(figures) == {"importance", "parallel", "budget"}  # CE has no margin


def test_a_single_trial_is_a_picture_too(store: TrialStore, tmp_path: Path) -> None:
    write_trials(store, QLUNG, 1)
    assert len(study_figures(found(searched_study(), store), tmp_path)) == 4


def test_a_parameter_that_some_trials_lack_leaves_gaps(store: TrialStore, tmp_path: Path) -> None:
    write_trials(store, QLUNG, 5)
    write_trial(store, QLUNG, 50, {"optim.lr": 1e-3})
    assert len(study_figures(found(searched_study(), store), tmp_path)) == 4


def test_without_a_score_nothing_is_drawn(store: TrialStore, tmp_path: Path) -> None:
    write_trial(store, QLUNG, 0, {"optim.lr": 1e-3, "loss.kappa_rad": 0.1}, "failed")
    assert study_figures(found(searched_study(), store), tmp_path) == []
