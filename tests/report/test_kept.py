"""What was drawn before is not drawn again, and is the same to the byte; what may have changed is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from matplotlib.axes import Axes
from sklearn.manifold import TSNE
from tiny import Cli

from rsbench.core.files import write_bytes
from rsbench.report.figures.panels import ClipMap
from rsbench.report.figures.picture import Drawn, Panel, Picture, render
from rsbench.report.page import kept
from rsbench.report.page.kept import SHOWN, KeptReports
from rsbench.results.run import Run


def line(axes: Axes, heights: Sequence[float] = (1.0, 0.0)) -> None:
    axes.plot(heights)


def picture(name: str, heights: Sequence[float] = (1.0, 0.0), caption: str = "seen") -> Picture:
    return Picture(name, "told", caption, [Panel("one", partial(line, heights=heights))])


def rendered(pictures: KeptReports, folder: Path, *wanted: Picture) -> list[Drawn]:
    found = {picture.name: drawn for picture, drawn in pictures.render_all(wanted, folder)}
    return [found[picture.name] for picture in wanted]


@pytest.fixture
def drawn_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of pictures, as they are drawn in this process."""
    names: list[str] = []

    def counted(picture: Picture) -> Drawn:
        names.append(picture.name)
        return render(picture)

    monkeypatch.setattr(kept, "render", counted)
    return names


def test_a_picture_that_shows_the_same_is_drawn_once(tmp_path: Path, drawn_here: list[str]) -> None:
    one, other = picture("a"), picture("b")
    pictures = KeptReports(tmp_path / "kept", "this", "of these runs")
    first = rendered(pictures, tmp_path / "first", one)
    assert rendered(pictures, tmp_path / "second", one) == first
    of_others = KeptReports(tmp_path / "kept", "this", "of other runs")
    assert rendered(of_others, tmp_path / "third", picture("a", caption="another"))[0].files == first[0].files
    assert drawn_here == ["a"]
    for ending in ("svg", "png"):
        written, again = ((tmp_path / name / f"a.{ending}").read_bytes() for name in ("first", "second"))
        assert again == written == first[0].files[f"a.{ending}"]
    rendered(pictures, tmp_path / "first", other)
    rendered(KeptReports(tmp_path / "kept", "something else", "of these runs"), tmp_path / "third", one)
    assert drawn_here == ["a", "b", "a"]
    pictures.forget_all_but([one])
    (left,) = (tmp_path / "kept").iterdir()
    left.write_bytes(left.read_bytes()[:-100])
    assert rendered(pictures, tmp_path / "fourth", one) == first
    assert drawn_here == ["a", "b", "a", "a"]


@pytest.mark.parametrize(
    "changed",
    [
        picture("a", (1.0, 0.5)),
        picture("a", (1.0, 0.0, 0.0)),
        Picture("a", "told", "seen", [Panel("two", partial(line, heights=(1.0, 0.0)))]),
        Picture("a", "told", "seen", [Panel("one", partial(line, heights=(1.0, 0.0)), height=3.0)]),
        Picture("a", "told", "seen", [Panel("one", line)]),
        Picture("a", "else", "seen", picture("a").panels),
    ],
)
def test_a_picture_that_shows_something_else_is_drawn(tmp_path: Path, changed: Picture, drawn_here: list[str]) -> None:
    pictures = KeptReports(tmp_path / "kept", "", "")
    rendered(pictures, tmp_path, picture("a"), picture("b"))
    assert rendered(pictures, tmp_path, changed) == [render(changed)]
    assert drawn_here == ["a", "b", "a"]


def test_processes_draw_what_one_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn_here: list[str]) -> None:
    wanted = [picture("a"), picture("b")]
    alone = rendered(KeptReports(tmp_path / "kept alone", "", ""), tmp_path / "alone", *wanted)
    assert drawn_here == ["a", "b"]
    monkeypatch.setattr(kept, "SHARE", 1)
    monkeypatch.setattr(kept.os, "cpu_count", lambda: 2)
    assert rendered(KeptReports(tmp_path / "kept", "", ""), tmp_path / "together", *wanted) == alone
    assert drawn_here == ["a", "b"]


def test_a_page_on_unchanged_runs_is_not_made_again(
    cli: Cli, one_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sketch(picture: Picture) -> Drawn:
        return Drawn(picture.name, picture.caption, (), {f"{picture.name}.png": b"a sketch"})

    monkeypatch.setattr(kept, "render", sketch)
    monkeypatch.setattr(kept, "SHARE", 1000)
    results, page = shutil.copytree(one_run, tmp_path / "results"), tmp_path / "page.html"
    (results / "runs" / "damaged").mkdir()
    (results / "runs" / "damaged" / "status.json").write_text("{ half")
    given = ["report", "--results", results, "--out", page]
    assert cli(*given).code == 0
    first, figures = page.read_bytes(), sorted(tmp_path.glob("page_figures/*"))
    assert b"Damaged" in first
    assert b"1 run, 1 loss<" in first
    assert b"Try: rsbench run --loss ANOTHER" in first  # one alone is compared with nothing
    assert figures

    with monkeypatch.context() as patch:
        patch.setattr("rsbench.report.page.page.read_results", None)  # whoever reads a run fails
        page.unlink()
        shutil.rmtree(tmp_path / "page_figures")
        assert cli(*given).code == 0
        assert (page.read_bytes(), sorted(tmp_path.glob("page_figures/*"))) == (first, figures)
        for more in (["--root", tmp_path], ["--baseline", "qlung"], ["--out", tmp_path / "other.html"]):
            with pytest.raises(TypeError):
                cli(*given, *more)
    shutil.rmtree(results / "runs" / "damaged")
    assert cli(*given).code == 0
    assert b"Damaged" not in page.read_bytes()


def test_a_page_comes_back_with_its_pictures_or_not_at_all(tmp_path: Path) -> None:
    reports = KeptReports(tmp_path / "kept", "this", "of these runs")
    first, second = tmp_path / "one" / "figures", tmp_path / "two" / "figures"
    assert reports.page(first) is None
    rendered(reports, first, picture("a"))
    reports.keep_page("<html>é", [picture("a")], first)
    assert reports.page(second) == "<html>é"
    assert (second / "a.png").read_bytes() == (first / "a.png").read_bytes()
    assert reports.page(tmp_path / "other_figures") is None  # which the page does not name
    for other in (("something else", "of these runs"), ("this", "of other runs")):
        assert KeptReports(tmp_path / "kept", *other).page(first) is None

    (drawing,) = (tmp_path / "kept").glob("drawing-*")
    whole = drawing.read_bytes()
    drawing.write_bytes(whole[:-100])
    assert reports.page(first) is None
    drawing.write_bytes(whole)
    reports.forget_all_but([picture("a")])
    assert reports.page(first) == "<html>é"
    KeptReports(tmp_path / "kept", "this", "of other runs").forget_all_but([])
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize("name", SHOWN)
def test_a_change_of_any_file_that_pictures_show_is_one_of_state(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path / "runs" / "one")
    write_bytes(run.path / "other", b"")
    before = KeptReports.of([run], "ce", tmp_path)
    assert KeptReports.of([run], "ce", tmp_path) == before
    assert KeptReports.of([run], None, tmp_path) != before
    write_bytes(run.path / name, b"something")
    assert KeptReports.of([run], "ce", tmp_path) != before


def test_a_map_is_laid_out_once_and_is_the_same_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    clips = ClipMap(axes, 3.0)
    before = joblib.hash(clips)
    assert clips.places.shape == (12, 2)
    assert joblib.hash(clips) == before == joblib.hash(ClipMap(axes.copy(), 3.0)) != joblib.hash(ClipMap(2 * axes, 3.0))
    expected = TSNE(init="pca", perplexity=3.0, random_state=0).fit_transform(axes)
    np.testing.assert_array_equal(clips.places, expected)
    monkeypatch.setattr("sklearn.manifold.TSNE", None)
    assert clips.places.shape == (12, 2)
    with pytest.raises(TypeError):
        _ = ClipMap(axes, 3.0).places


def test_after_a_run_changed_only_what_shows_it_is_drawn(
    cli: Cli, one_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the page is that of a folder where nothing was kept."""
    drawn: list[str] = []

    def sketch(picture: Picture) -> Drawn:
        drawn.append(picture.name)
        return Drawn(picture.name, picture.caption, (Markup(joblib.hash(picture)),), {})

    def report() -> tuple[list[str], bytes]:
        drawn.clear()
        assert cli("report", "--results", results, "--out", tmp_path / "page.html").code == 0
        return sorted(drawn), (tmp_path / "page.html").read_bytes()

    monkeypatch.setattr(kept, "render", sketch)
    monkeypatch.setattr(kept, "SHARE", 1000)
    results = Path(shutil.copytree(one_run, tmp_path / "results", ignore=shutil.ignore_patterns(".index")))
    (run,) = results.glob("runs/*")
    every, _ = report()
    assert {"01-scores", "01-training", "01-map"} < set(every)

    history = pd.read_csv(run / "epochs.csv")
    history.assign(train_loss=history["train_loss"] + 0.5).to_csv(run / "epochs.csv", index=False)
    assert report()[0] == ["01-training"]

    other = shutil.copytree(run, run.with_name("other"))
    spec = json.loads((other / "spec.json").read_text())
    (other / "spec.json").write_text(json.dumps(spec | {"seed": 1}))
    changed, page = report()
    assert changed == ["01-recall-tiny", "01-scores", "01-training"]  # which have a mark for every run
    shutil.rmtree(results / ".index")
    assert report() == (every, page)
