"""`rsbench embed`, and runs on what it makes: the frozen track."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import CLIP_S, TINY_PLUGIN, Cli, Outcome

import rsbench
from rsbench.core.errors import DataError, ResultsError, SpecError
from rsbench.data.embeddings import read_embeddings

Embed = Callable[..., Outcome]


@pytest.fixture
def embed(cli: Cli, tiny_root: Path, tmp_path: Path) -> Embed:
    def call(*more: str, out: Path = tmp_path / "tiny.parquet") -> Outcome:
        options = ["--root", tiny_root, "--plugin", TINY_PLUGIN, "--clip-s", str(CLIP_S), "--threads", "1", "--quiet"]
        return cli("embed", "--backbone", "tiny", "--dataset", "tiny,far", "--out", out, *options, *more)

    return call


@pytest.fixture
def frozen(tiny_root: Path, tmp_path: Path) -> Callable[..., Any]:
    """A run on a file of embeddings."""

    def call(file: Path = tmp_path / "tiny.parquet", out: Path = tmp_path / "results", **changes: Any) -> Any:
        settings = {"loss": "ce", "backbone": f"embeddings:{file}", "train": "tiny", "test": "tiny,far", "epochs": 3}
        settings |= {"data.clip_s": CLIP_S} | {key.replace("__", "."): value for key, value in changes.items()}
        return rsbench.run(settings, root=tiny_root, results=out, threads=1, device="cpu", quiet=True)

    return call


def test_every_clip_is_embedded_once_and_its_past_is_kept(embed: Embed, tmp_path: Path) -> None:
    assert embed().code == 0
    frame = pd.read_parquet(tmp_path / "tiny.parquet")
    assert frame.groupby("dataset").size().to_dict() == {"far": 40, "tiny": 112}
    assert not frame.duplicated(["dataset", "clip_id"]).any()
    known = read_embeddings(tmp_path / "tiny.parquet").provenance
    assert (known.backbone, known.loaded, known.pretrained_on, known.clip_s) == ("tiny", 0.0, (), CLIP_S)
    assert set(known.clips) == {"tiny", "far"}
    assert len(known.code_sha256) == 64 + 1 + 64
    assert not list(tmp_path.glob("*.unfinished"))


def test_the_first_view_is_the_clip_and_the_others_are_augmented(embed: Embed, tmp_path: Path) -> None:
    embed()
    plain = read_embeddings(tmp_path / "tiny.parquet").vectors
    embed("--views", "2", out=tmp_path / "views.parquet")
    views = read_embeddings(tmp_path / "views.parquet").vectors.reshape(len(plain), 3, -1)
    assert np.array_equal(views[:, 0], plain)
    assert not np.array_equal(views[:, 1], plain)
    assert not np.array_equal(views[:, 1], views[:, 2])


def test_stopped_and_continued_is_the_same_file(embed: Embed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsbench.experiment.embed.PIECE", 24)
    embed("--views", "1", out=tmp_path / "whole.parquet")
    import rsbench.experiment.embed as engine

    work, done = engine._vectors, 0

    def stop_in_the_third(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == 3:
            raise KeyboardInterrupt
        return work(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(engine, "_vectors", stop_in_the_third)
        assert embed("--views", "1", out=tmp_path / "parts.parquet").code == 130
    pieces = tmp_path / "parts.parquet.unfinished"
    assert len(list(pieces.glob("*.npy"))) == 2
    refused = embed("--views", "2", out=tmp_path / "parts.parquet")
    assert (refused.code, "was begun with other settings" in refused.err) == (2, True)
    assert embed("--views", "1", out=tmp_path / "parts.parquet").code == 0
    whole, parts = (read_embeddings(tmp_path / f"{name}.parquet") for name in ("whole", "parts"))
    assert np.array_equal(whole.vectors, parts.vectors)
    assert not pieces.exists()


def test_a_finished_file_is_left_alone_and_never_overwritten(embed: Embed, tmp_path: Path) -> None:
    embed()
    before = (tmp_path / "tiny.parquet").read_bytes()
    assert embed().code == 0
    refused = embed("--set", "seed=1")
    assert (refused.code, "was made by other settings" in refused.err) == (2, True)
    assert (tmp_path / "tiny.parquet").read_bytes() == before


def test_a_dry_run_writes_nothing(embed: Embed, tmp_path: Path) -> None:
    outcome = embed("--dry-run")
    assert json.loads(outcome.out)["backbone"]["name"] == "tiny"
    assert list(tmp_path.glob("*.parquet*")) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "optim.lr=1"], "optim.lr: the spec has no such key"),
        (["--weights", "nowhere.pt"], "nowhere.pt"),
        (["--set", "frontend.hop=9999"], "frontend.hop_ms"),
        (["--clip-s", "0"], "clip_s=0"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(
    embed: Embed, tmp_path: Path, more: list[str], said: str
) -> None:
    outcome = embed(*more)
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err
    assert list(tmp_path.glob("*.parquet*")) == []


def test_a_run_on_embeddings_learns_on_the_frozen_track(
    embed: Embed, frozen: Callable[..., Any], cli: Cli, tmp_path: Path
) -> None:
    embed("--views", "2")
    record = frozen(epochs=60, optim__lr=1e-2)
    losses = pd.read_csv(record.path / "epochs.csv")["train_loss"]
    assert losses.iloc[-1] < 0.7 * losses.iloc[0]
    assert (record.data.track, record.data.backbone) == ("frozen", "embeddings:tiny")
    assert record.run_id.startswith("ce-embeddings_tiny-s0-")
    assert len(pd.read_parquet(record.path / "predictions" / "far.parquet")) == 2 * 40
    board = cli("leaderboard", "--split", "tiny", "--results", tmp_path / "results")
    assert (board.code, "track frozen" in board.out, "embeddings:tiny" in board.out) == (0, True, True)


def test_the_embedded_set_can_be_embedded_and_learnt_from(cli: Cli, tmp_path: Path) -> None:
    """Its runs have a front end and masks of their own by default, which embeddings have not."""
    file, options = tmp_path / "tiny.parquet", ["--threads", "1", "--quiet"]
    embedding = ["--backbone", "tiny", "--plugin", TINY_PLUGIN, "--dataset", "synthetic,synthetic-shift"]
    assert cli("embed", *embedding, "--out", file, *options).code == 0
    options += ["--epochs", "1", "--results", str(tmp_path / "results")]
    done = cli("run", "--loss", "ce", "--backbone", f"embeddings:{file}", *options)
    assert done.code == 0, done.err
    missing = cli("run", "--loss", "ce", "--backbone", "embeddings:nowhere.parquet", *options)
    assert (missing.code, "nowhere.parquet: there is no such file" in missing.err) == (2, True)


def test_folds_choose_on_embeddings_too(embed: Embed, frozen: Callable[..., Any]) -> None:
    embed()
    record = frozen(select="cv-refit", validation__folds=3)
    folds = pd.read_csv(record.path / "folds.csv")
    assert folds.groupby("fold")["clips"].first().sum() == 80
    assert set(record.metrics) == {"cv-refit"}


def test_what_a_run_is_follows_the_file_and_not_its_place(
    embed: Embed, frozen: Callable[..., Any], tmp_path: Path
) -> None:
    embed()
    first = frozen()
    moved = tmp_path / "elsewhere.parquet"
    moved.write_bytes((tmp_path / "tiny.parquet").read_bytes())
    assert frozen(moved).run_id == first.run_id
    embed("--set", "seed=1", out=tmp_path / "other.parquet")
    assert frozen(tmp_path / "other.parquet").run_id != first.run_id


def test_frozen_and_fine_tuned_share_no_board(
    embed: Embed, frozen: Callable[..., Any], tiny_run: Callable[..., Any], cli: Cli, tmp_path: Path
) -> None:
    embed()
    frozen()
    tiny_run()
    refused = cli("leaderboard", "--split", "tiny", "--results", tmp_path / "results")
    assert (refused.code, "they differ in track" in refused.err) == (ResultsError.exit_code, True)


def test_embeddings_of_other_pieces_of_sound_are_refused(
    embed: Embed, frozen: Callable[..., Any], tiny_root: Path, tmp_path: Path
) -> None:
    embed()
    with pytest.raises(DataError, match=r"clips of 0\.5 s\. Say --set data\.clip_s=0\.5"):
        frozen(data__clip_s=1.0)
    frame = pd.read_parquet(tmp_path / "tiny.parquet")
    frame.attrs["clips"]["tiny"] = "0" * 64
    frame.to_parquet(tmp_path / "changed.parquet")
    with pytest.raises(DataError, match="made from other annotations of 'tiny'"):
        frozen(tmp_path / "changed.parquet")


def test_a_file_says_how_its_clips_were_shown_and_runs_must_agree(
    embed: Embed, frozen: Callable[..., Any], tmp_path: Path
) -> None:
    embed("--window", "zero")
    with pytest.raises(
        DataError, match=r"tiny\.parquet was made with clips shown as zero\. Say --set data\.window=zero"
    ):
        frozen()
    assert frozen(epochs=1, data__window="zero").spec.data.window == "zero"
    frame = pd.read_parquet(tmp_path / "tiny.parquet")
    del frame.attrs["window"], frame.attrs["spec"]
    frame.to_parquet(tmp_path / "foreign.parquet")  # which does not say
    assert frozen(tmp_path / "foreign.parquet", epochs=1, data__window="crop").spec.data.window == "crop"


def test_a_backbone_that_takes_a_mask_is_told_what_is_heard_of_every_view(embed: Embed) -> None:
    done = embed("--backbone", "tiny_masked", "--clip-s", "1", "--window", "zero", "--views", "1")
    assert done.code == 0, done.err


def test_a_file_from_before_there_were_windows_is_of_repeated_clips(embed: Embed, tmp_path: Path) -> None:
    embed()
    frame = pd.read_parquet(tmp_path / "tiny.parquet")
    del frame.attrs["window"]
    frame.to_parquet(tmp_path / "tiny.parquet")
    assert read_embeddings(tmp_path / "tiny.parquet").provenance.window == "repeat"
    assert embed().code == 0  # already done
    other = embed("--window", "context:0.5")
    assert (other.code, "was made by other settings" in other.err) == (2, True)


def test_a_foreign_file_may_say_what_it_was_fitted_on(
    embed: Embed, frozen: Callable[..., Any], cli: Cli, tmp_path: Path
) -> None:
    embed()
    frame = pd.read_parquet(tmp_path / "tiny.parquet", columns=["dataset", "clip_id", "embedding"])
    frame.attrs = {"backbone": "opera-ct", "pretrained_on": ["TINY 2026"]}
    frame.to_parquet(tmp_path / "opera.parquet")
    assert frozen(tmp_path / "opera.parquet").data.backbone == "embeddings:opera-ct"
    for split, marked in (("tiny", True), ("far", False)):
        board = cli("leaderboard", "--split", split, "--results", tmp_path / "results")
        assert ("CONTAMINATED (TINY 2026)" in board.out) == marked


def test_what_cannot_be_said_of_embeddings_is_refused(frozen: Callable[..., Any]) -> None:
    for changes, message in (
        ({"augment__freq_masks": 2}, "embeddings cannot be masked.*--views"),
        ({"frontend__hop_ms": 20.0}, "hears no sound"),
        ({"backbone": "embeddings"}, "needs a file of embeddings"),
        ({"backbone": "ce:x"}, "no backbone 'ce'"),
        ({"backbone": "cnn6:x"}, "'cnn6' takes no name after a colon"),
    ):
        with pytest.raises(SpecError, match=message):
            frozen(**changes)
