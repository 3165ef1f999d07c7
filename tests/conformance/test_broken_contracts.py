"""Every check catches what breaks its contract, by name, and what keeps all contracts passes all checks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from rsbench.conformance import checks as room
from rsbench.conformance.backbones import a_clip_alone_is_the_clip_in_a_batch, bfloat16_is_close_to_float32
from rsbench.conformance.checks import REGISTRIES, BrokenContract, Case, Check, Kind
from rsbench.conformance.examination import CHECKS, plan
from rsbench.core.plugins import load

HERE = Path(__file__).parent
BROKEN: dict[Kind, Path] = {
    "loss": HERE / "broken_losses.py",
    "backbone": HERE / "broken_backbones.py",
    "index": HERE / "broken_indices.py",
}
# Data sets are broken in folders of recordings: test_conformance_datasets.py.
EVERY_CHECK = [pytest.param(kind, check, id=f"{kind}-{check.name}") for kind in BROKEN for check in CHECKS[kind]]


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    for path in BROKEN.values():
        load(str(path))


@pytest.mark.parametrize(("kind", "check"), EVERY_CHECK)
def test_what_breaks_a_contract_is_caught_by_its_check(kind: Kind, check: Check) -> None:
    breaking = [name for name in REGISTRIES[kind].names() if name.partition("-")[0] == check.name]
    assert breaking, f"nothing in {BROKEN[kind].name} breaks {check.name}"
    for name in breaking:
        with pytest.raises(BrokenContract) as caught:
            check(Case(kind, name))
        assert f"{kind} '{name}' fails {check.name}. {check.contract} Seen: " in str(caught.value)
        assert str(caught.value).endswith(f"{caught.value.seen}. {check.remedy}")


@pytest.mark.parametrize(("kind", "check"), EVERY_CHECK)
def test_what_keeps_every_contract_passes(kind: Kind, check: Check) -> None:
    check(Case(kind, "sound"))


@pytest.mark.parametrize(("kind", "name", "seen"), [
    ("loss", "is_made_with_its_defaults", "no default for m_rad"),
    ("loss", "gives_a_scalar_and_logits", r"forward gives a tensor of shape \(8,\)"),
    ("loss", "gradients_reach_embeddings_and_parameters", "no gradient reaches spare"),
    ("loss", "gradients_reach_embeddings_and_parameters-view", "no gradient reaches the embeddings of view 1"),
    ("loss", "logits_see_no_labels", r"logits before and after a forward pass differ by up to 1\. Give"),
    ("loss", "finite_at_the_ends_of_the_cosine", r"the gradient of .* has \d+ of \d+ values NaN or infinite"),
    ("loss", "stochastic_as_declared", "stochastic is False, and seeds change the loss"),
    ("loss", "stochastic_as_declared-never", "stochastic is True, and seeds never change the loss"),
    ("loss", "stochastic_as_declared-numpy", "the losses of two passes under one seed differ"),
    ("loss", "compares_as_declared", "compares is False, and moving the other clips changes it"),
    ("loss", "mixing_keeps_its_contract", "mix draws from torch's global generator"),
    ("loss", "a_search_may_try_what_it_registers", "the default power=3.0 is outside Range"),
    ("loss", "a_search_may_try_what_it_registers-corner", "the loss with temperature=0.0 has 1 of 1 values NaN"),
    ("loss", "solves_as_declared", "NeverSolves says solved = True and defines no solve"),
    ("backbone", "is_made_with_its_defaults", r"ZeroDivisionError: on purpose \(.*broken_backbones\.py, line \d+\)"),
    ("backbone", "is_made_with_its_defaults-exit", r"SystemExit: 0 \(.*broken_backbones\.py, line \d+\)"),
    ("backbone", "embeddings_have_their_shape_for_any_length-none", r"Seen: what it returns or declares is of another"),
    ("backbone", "bfloat16_is_close_to_float32-nan", "an embedding in bfloat16 has 32 of 32 values NaN or infinite"),
    ("backbone", "what_it_declares_exists-licence", "weights 'some' without a licence"),
    ("backbone", "what_it_declares_exists-frontend", r"ZeroDivisionError: on purpose \(.*broken_backbones\.py, line"),
    ("backbone", "it_overfits_eight_clips", "it goes from 1"),
    ("backbone", "its_stages_hold_every_parameter_once", "project.weight is in 0 of its stages"),
    ("index", "measures_are_finite_for_any_clip", r"\(-inf,\) for 0\.5 s of silence at 4000 Hz"),
    ("index", "what_it_saw_is_declared", r"fitted_on=\('sprsound-train',\), and seen of \[\]"),
])  # fmt: skip
def test_what_was_seen_is_said(kind: Kind, name: str, seen: str) -> None:
    (check,) = (check for check in CHECKS[kind] if check.name == name.partition("-")[0])
    with pytest.raises(BrokenContract, match=seen):
        check(Case(kind, name))


def test_doctor_plans_every_check_of_what_cannot_say_its_front_end() -> None:
    (planned,) = (one for one in plan(kind="backbone") if one.case.name == "what_it_declares_exists-frontend")
    assert planned.checks == CHECKS["backbone"]


@pytest.mark.parametrize("check", [bfloat16_is_close_to_float32, a_clip_alone_is_the_clip_in_a_batch])
def test_faint_embeddings_before_training_break_nothing(check: Check) -> None:
    """Those of mn40 are of 1e-10: cosines of torch's default eps are 0 there."""
    check(Case("backbone", "sound-faint"))


def test_half_precision_is_judged_without_the_kernels_of_this_processor() -> None:
    before = torch.backends.mkldnn.enabled
    with room.bfloat16():
        assert not torch.backends.mkldnn.enabled
        assert torch.is_autocast_enabled("cpu")
    assert torch.backends.mkldnn.enabled == before
    assert not torch.is_autocast_enabled("cpu")


def test_checks_hold_without_asserts() -> None:
    """`python -O` drops them."""
    for path in Path(room.__file__).parent.glob("*.py"):
        asserted = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
        assert not asserted, f"{path.name}, line {asserted[0]}"
