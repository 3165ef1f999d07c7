"""Specs: layers of settings, suggestions, identity."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.core.errors import SpecError
from rsbench.core.plugins import discover
from rsbench.core.seeds import derive
from rsbench.core.spec import RunSpec, parse_assignment, parse_seeds, run_id
from rsbench.experiment.resolve import resolve

BASE = {"loss": "qlung", "backbone": "cnn6"}


@pytest.fixture(autouse=True, scope="module")
def discovered() -> None:
    discover()


def changed(**changes: Any) -> RunSpec:
    return resolve(BASE | {key.replace("__", "."): value for key, value in changes.items()})


def test_layers_backbone_then_data_set_then_user() -> None:
    spec = resolve({"loss": "ce", "backbone": "ast", "train": "icbhi-official"})
    assert (spec.optim.lr, spec.optim.batch_size, spec.data.clip_s) == (5e-5, 8, 8.0)
    synthetic = resolve({"loss": "ce", "backbone": "ast"})
    assert (synthetic.optim.lr, synthetic.data.clip_s) == (5e-5, 2.0)
    assert (
        changed(optim__lr=0.5, epochs=2, data__clip_s=1).optim.model_dump().items() >= {"lr": 0.5, "epochs": 2}.items()
    )


def test_embedded_data_is_the_default_and_is_judged_in_and_out_of_distribution() -> None:
    assert (changed().data.train, changed().data.test) == ("synthetic", ("synthetic", "synthetic-shift"))
    assert changed(train="icbhi-official").data.test == ("icbhi-official",)


def test_every_option_of_the_loss_is_in_the_spec() -> None:
    assert {"kappa_rad": 0.5, "gamma": 0.5, "scale": 37.0}.items() <= changed().loss.params.items()
    assert changed(loss__kappa=0.7).loss.params["kappa_rad"] == 0.7


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "qlong"}, "Did you mean 'qlung'"),
        ({"backbone": "cnn66"}, "Did you mean 'cnn6'"),
        ({"loss__kapa": 1}, "loss.kapa.*Did you mean 'kappa_rad'"),
        ({"optim__lrr": 1}, "optim.lrr.*Did you mean 'optim.lr'"),
        ({"optimm__lr": 1}, "optimm.*Did you mean"),
        ({"optim__lr": -1}, "optim.lr=-1.*greater than 0"),
        ({"optim__lr": "fast"}, "optim.lr='fast'.*number"),
        ({"optim__lr__x": 1}, "optim.lr.x"),
        ({"train": "icbhi-oficial"}, "Did you mean 'icbhi-official'"),
        ({"select": "best"}, "no selection rule 'best'"),
        ({"data__label_map": "five"}, "no label map 'five'"),
        ({"validation__fraction": 0}, "validation.fraction is 0"),
        ({"quality__control": "mixed"}, "quality.control='mixed'"),
        ({"seed": -1}, "seed=-1"),
        ({"data__window": "zeros"}, "data.window='zeros': there is no such window.*Did you mean 'zero'"),
        (
            {"data__window": "context:2", "data__clip_s": 8},
            r"data\.clip_s=8: data\.window=context:2 shows clips of 2 s",
        ),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        changed(**changes)


def test_missing_loss_is_asked_for() -> None:
    with pytest.raises(SpecError, match=r"loss.name is missing.*--loss"):
        resolve({"backbone": "cnn6"})


def test_without_validation_last_is_allowed() -> None:
    assert changed(validation__fraction=0, select="last").select == ("last",)


def test_a_resolved_spec_resolves_to_itself() -> None:
    spec = changed(loss__gamma=0.25, seed=3, data__window="context:1.50")
    assert (spec.data.window, spec.data.clip_s) == ("context:1.5", 1.5)
    assert resolve(spec.model_dump(mode="json")) == spec


def test_run_id_follows_what_decides_the_result_and_nothing_else() -> None:
    identity = {"labels": {"icbhi": "a"}, "weights": "w", "plugins": {}}
    first = run_id(changed(), identity, "cnn6")
    assert first.startswith("qlung-cnn6-s0-")
    assert first == run_id(changed(weights="/elsewhere/same.pt"), identity, "cnn6")
    others = [
        run_id(changed(seed=1), identity, "cnn6"),
        run_id(changed(loss__gamma=0.4), identity, "cnn6"),
        run_id(changed(select="val,last,oracle"), identity, "cnn6"),
        *(run_id(changed(), identity | {key: "other"}, "cnn6") for key in identity),
    ]
    assert len({first, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1e-4", 1e-4),
        ("a=true", True),
        ("a=word", "word"),
        ("a=x=y", "x=y"),
        ("a=[1, 2]", [1, 2]),
        ("a=[mn04, {name: ast}]", ["mn04", {"name": "ast"}]),
        ("a=", ""),
    ],
)
def test_assignments(text: str, value: Any) -> None:
    assert parse_assignment(text) == ("a", value)


@pytest.mark.parametrize("text", ["a", "=1"])
def test_half_an_assignment_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="KEY=VALUE"):
        parse_assignment(text)


def test_a_broken_list_is_refused() -> None:
    with pytest.raises(SpecError, match=r"A list is written \[a, b\]"):
        parse_assignment("a=[1, ")


def test_seeds() -> None:
    assert parse_seeds("0-2,7,1") == [0, 1, 2, 7]
    for wrong in ("x", "4-2", "1,,2"):
        with pytest.raises(SpecError, match="--seeds"):
            parse_seeds(wrong)


@given(st.integers(0, 2**63), st.lists(st.one_of(st.integers(), st.text()), max_size=3))
def test_derived_seeds_fit_every_generator_and_axes_matter(base: int, axes: list[int | str]) -> None:
    seed = derive(base, *axes)
    assert 0 <= seed < 2**63
    assert seed == derive(base, *axes) != derive(base, *axes, "more")


def test_a_field_that_came_later_changes_only_the_ids_of_runs_that_use_it() -> None:
    spec = resolve({"loss": "ce", "backbone": "cnn6"})
    assert "compile" not in spec.canonical()
    assert "window" not in spec.canonical()
    assert '"window":"zero"' in changed(data__window="zero").canonical()
    assert (
        '"compile":"inductor"' in resolve({"loss": "ce", "backbone": "cnn6", "optim.compile": "inductor"}).canonical()
    )
