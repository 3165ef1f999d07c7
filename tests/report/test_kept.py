"""What was drawn before is not drawn again, and is the same to the byte; what may have changed is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from rsbench.core.files import write_bytes
from rsbench.report.figures.picture import Panel, Picture
from rsbench.report.page import kept
from rsbench.report.page.kept import SHOWN, KeptPictures
from rsbench.results.run import Run


def test_an_equal_picture_of_unchanged_runs_is_drawn_once(tmp_path: Path) -> None:
    drawn: list[str] = []

    def line(axes: Axes) -> None:
        drawn.append("line")
        axes.plot([0, 1], [1, 0])

    picture, other = (Picture(name, "told", "seen", [Panel("one", line)]) for name in ("a", "b"))
    pictures = KeptPictures(tmp_path / "kept", "as they are")
    first = pictures.render(picture, tmp_path / "first")
    assert pictures.render(picture, tmp_path / "second") == first
    assert len(drawn) == 1
    for ending in ("svg", "png"):
        written, again = ((tmp_path / name / f"a.{ending}").read_bytes() for name in ("first", "second"))
        assert again == written
    pictures.render(other, tmp_path / "first")
    KeptPictures(tmp_path / "kept", "changed").render(picture, tmp_path / "third")
    assert len(drawn) == 3
    pictures.forget_all_but([picture])
    (left,) = (tmp_path / "kept").iterdir()
    left.write_bytes(left.read_bytes()[:-100])
    assert pictures.render(picture, tmp_path / "fourth") == first
    assert len(drawn) == 4


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
