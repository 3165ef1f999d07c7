"""What was drawn before is not drawn again, and is the same to the byte; what may have changed is."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from tiny import Cli

from rsbench.core.files import write_bytes
from rsbench.report.figures.picture import Drawn, Panel, Picture
from rsbench.report.page import kept
from rsbench.report.page.kept import SHOWN, KeptReports
from rsbench.results.run import Run


def rendered(pictures: KeptReports, folder: Path, *wanted: Picture) -> list[Drawn]:
    found = {picture.name: drawn for picture, drawn in pictures.render_all(wanted, folder)}
    return [found[picture.name] for picture in wanted]


def test_an_equal_picture_of_unchanged_runs_is_drawn_once(tmp_path: Path) -> None:
    drawn: list[str] = []

    def line(axes: Axes) -> None:
        drawn.append("line")
        axes.plot([0, 1], [1, 0])

    picture, other = (Picture(name, "told", "seen", [Panel("one", line)]) for name in ("a", "b"))
    pictures = KeptReports(tmp_path / "kept", "as they are")
    first = rendered(pictures, tmp_path / "first", picture)
    assert rendered(pictures, tmp_path / "second", picture) == first
    assert len(drawn) == 1
    for ending in ("svg", "png"):
        written, again = ((tmp_path / name / f"a.{ending}").read_bytes() for name in ("first", "second"))
        assert again == written
    rendered(pictures, tmp_path / "first", other)
    rendered(KeptReports(tmp_path / "kept", "changed"), tmp_path / "third", picture)
    assert len(drawn) == 3
    pictures.forget_all_but([picture])
    (left,) = (tmp_path / "kept").iterdir()
    left.write_bytes(left.read_bytes()[:-100])
    assert rendered(pictures, tmp_path / "fourth", picture) == first
    assert len(drawn) == 4


def test_processes_draw_what_one_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_here: list[str] = []

    def picture(name: str) -> Picture:
        def line(axes: Axes) -> None:
            drawn_here.append(name)
            axes.plot([0, 1], [1, 0])

        return Picture(name, "told", "seen", [Panel(name, line)])

    wanted = [picture("a"), picture("b")]
    alone = rendered(KeptReports(tmp_path / "kept alone", ""), tmp_path / "alone", *wanted)
    assert drawn_here == ["a", "b"]
    monkeypatch.setattr(kept, "SHARE", 1)
    monkeypatch.setattr(kept.os, "cpu_count", lambda: 2)
    assert rendered(KeptReports(tmp_path / "kept", ""), tmp_path / "together", *wanted) == alone
    assert drawn_here == ["a", "b"]
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        assert (tmp_path / "together" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_a_page_on_unchanged_runs_is_not_made_again(
    cli: Cli, one_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sketch(picture: Picture, folder: Path) -> Drawn:
        for ending in kept.ENDINGS:
            write_bytes(folder / f"{picture.name}.{ending}", b"a sketch")
        return Drawn(picture.name, picture.caption, ())

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
    picture = Picture("a", "told", "seen", [Panel("one", lambda axes: axes.plot([0, 1], [1, 0]))])
    reports = KeptReports(tmp_path / "kept", "as they are")
    first, second = tmp_path / "one" / "figures", tmp_path / "two" / "figures"
    assert reports.page(first) is None
    rendered(reports, first, picture)
    reports.keep_page("<html>é", [picture], first)
    assert reports.page(second) == "<html>é"
    assert (second / "a.png").read_bytes() == (first / "a.png").read_bytes()
    assert reports.page(tmp_path / "other_figures") is None  # which the page does not name
    assert KeptReports(tmp_path / "kept", "changed").page(first) is None

    (drawing,) = (tmp_path / "kept").glob("drawing-*")
    whole = drawing.read_bytes()
    drawing.write_bytes(whole[:-100])
    assert reports.page(first) is None
    drawing.write_bytes(whole)
    reports.forget_all_but([picture])
    assert reports.page(first) == "<html>é"
    KeptReports(tmp_path / "kept", "changed").forget_all_but([])
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


def test_equal_clips_are_laid_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    pictures = KeptReports(tmp_path, "")
    first = pictures.on_map(axes, 3.0)
    monkeypatch.setattr(kept, "TSNE", None)
    np.testing.assert_array_equal(pictures.on_map(axes, 3.0), first)
    with pytest.raises(TypeError):
        pictures.on_map(2 * axes, 3.0)
