"""What a study keeps of itself, damaged: written anew where it can be, else one message with the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from studies import crew, study

from rsbench.core.errors import ResultsError
from rsbench.sweep.driver import STUDY, _remember, make_study, open_study
from rsbench.sweep.search import DATABASE, open_storage
from rsbench.sweep.trials import CHECKPOINTS, RECORD, TrialRecord, TrialStore

DONE = TrialRecord("ce-1", "ce", {"optim.lr": 0.1}, "done", (50.0, 60.0), 60.0, 1.5)


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"crew": 5}', b'{"crew": {"roots": 5}, "sweep": {}}', b"\xff\xfe"])
def test_a_damaged_study_file_is_named_and_written_anew(tiny_root: Path, tmp_path: Path, content: bytes) -> None:
    begun = make_study(study(), crew(tiny_root, tmp_path), quiet=True)
    _remember(begun)
    (begun.folder / STUDY).write_bytes(content)
    with pytest.raises(ResultsError, match=r"study\.json: cannot be read .* writes the file anew"):
        open_study(tmp_path, "small")
    _remember(begun)
    assert open_study(tmp_path, "small").sweep == begun.sweep


def test_a_study_begun_with_other_settings_says_which(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _remember(make_study(study(), crew(tiny_root, tmp_path), quiet=False))
    assert capsys.readouterr().err == ""
    other = study(trials=5, base={"epochs": 4})
    _remember(make_study(other, crew(tiny_root, tmp_path), quiet=False))
    assert capsys.readouterr().err == (
        "note: this study was begun with other settings (base.epochs was 3, is 4; search.trials was 3, is 5); "
        "what still fits is kept\n"
    )


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"trial_id": 5}', b"\xff\xfe"])
def test_a_damaged_record_of_a_trial_is_named(tmp_path: Path, content: bytes) -> None:
    store = TrialStore(tmp_path)
    store.write(DONE)
    assert store.records() == [DONE]
    (store.path("ce-1") / RECORD).write_bytes(content)
    with pytest.raises(ResultsError, match=r"trial\.json: cannot be read .* Delete the folder .*ce-1 and run it again"):
        store.records()


def test_checkpoints_of_finished_trials_go(tmp_path: Path) -> None:
    store = TrialStore(tmp_path)
    store.write(DONE)
    (store.path("ce-1") / CHECKPOINTS).mkdir()
    store.clear_leftovers()
    assert not (store.path("ce-1") / CHECKPOINTS).exists()


def test_a_damaged_database_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"no database at all, and long enough to be taken for the head of one" * 20)
    assert open_storage(tmp_path).get_all_studies() == []
