"""What was drawn before is not drawn again, and is the same to the byte; what may have changed is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from rsbench.core.files import write_bytes
from rsbench.report.figures.picture import Drawn, Panel, Picture
from rsbench.report.page import kept
from rsbench.report.page.kept import SHOWN, KeptPictures
from rsbench.results.run import Run


def rendered(pictures: KeptPictures, folder: Path, *wanted: Picture) -> list[Drawn]:
    found = {picture.name: drawn for picture, drawn in pictures.render_all(wanted, folder)}
    return [found[picture.name] for picture in wanted]


def test_an_equal_picture_of_unchanged_runs_is_drawn_once(tmp_path: Path) -> None:
    drawn: list[str] = []

    def line(axes: Axes) -> None:
        drawn.append("line")
        axes.plot([0, 1], [1, 0])

    picture, other = (Picture(name, "told", "seen", [Panel("one", line)]) for name in ("a", "b"))
    pictures = KeptPictures(tmp_path / "kept", "as they are")
    first = rendered(pictures, tmp_path / "first", picture)
    assert rendered(pictures, tmp_path / "second", picture) == first
    assert len(drawn) == 1
    for ending in ("svg", "png"):
        written, again = ((tmp_path / name / f"a.{ending}").read_bytes() for name in ("first", "second"))
        assert again == written
    rendered(pictures, tmp_path / "first", other)
    rendered(KeptPictures(tmp_path / "kept", "changed"), tmp_path / "third", picture)
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
    alone = rendered(KeptPictures(tmp_path / "kept alone", ""), tmp_path / "alone", *wanted)
    assert drawn_here == ["a", "b"]
    monkeypatch.setattr(kept, "SHARE", 1)
    monkeypatch.setattr(kept.os, "cpu_count", lambda: 2)
    assert rendered(KeptPictures(tmp_path / "kept", ""), tmp_path / "together", *wanted) == alone
    assert drawn_here == ["a", "b"]
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        assert (tmp_path / "together" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


@pytest.mark.parametrize("name", SHOWN)
def test_a_change_of_any_file_that_pictures_show_is_one_of_state(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path / "runs" / "one")
    write_bytes(run.path / "other", b"")
    before = KeptPictures.of([run], "ce", tmp_path)
    assert KeptPictures.of([run], "ce", tmp_path) == before
    assert KeptPictures.of([run], None, tmp_path) != before
    write_bytes(run.path / name, b"something")
    assert KeptPictures.of([run], "ce", tmp_path) != before


def test_equal_clips_are_laid_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    pictures = KeptPictures(tmp_path, "")
    first = pictures.on_map(axes, 3.0)
    monkeypatch.setattr(kept, "TSNE", None)
    np.testing.assert_array_equal(pictures.on_map(axes, 3.0), first)
    with pytest.raises(TypeError):
        pictures.on_map(2 * axes, 3.0)
