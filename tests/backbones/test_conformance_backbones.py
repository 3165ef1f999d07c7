"""Every registered backbone keeps every contract at its smallest size; `rsbench doctor` runs the same checks."""

from __future__ import annotations

import pytest

from rsbench import RsbenchError, create_backbone, list_backbones
from rsbench.conformance.backbones import CHECKS, smallest
from rsbench.conformance.checks import Case, Check

LEAST = {"ast": 16, "cnn6": 16, "cnn10": 16, "cnn14": 32}  # frames, and bins, below which there is an error

# timm's own small models for tests: one of every kind of input, stem and positions.
OF_TIMM = ("test_vit", "test_vit3", "test_convnext", "test_efficientnet")
# One of every family does for the slow checks: mn10 and mn40 are wider mn04s, cnn10 and cnn14 deeper cnn6s, and of timm
# one with positions and one without.
WITHOUT_SLOW_CHECKS = ("mn10", "mn40", "cnn10", "cnn14", "resnet", "test_vit3", "test_convnext")

CASES = [
    smallest(name) for name in list_backbones() if name not in ("timm", "hf")
]  # test_hf.py has models for the latter
CASES += [Case("backbone", "timm", (("model", model),)) for model in OF_TIMM]
CHECKED = [
    pytest.param(case, check, id=f"{case}-{check.name}")
    for case in CASES
    for check in CHECKS
    if not (check.slow and {case.name, *dict(case.options).values()} & {*WITHOUT_SLOW_CHECKS})
]


@pytest.mark.parametrize(("case", "check"), CHECKED)
def test_conformance(case: Case, check: Check) -> None:
    check(case)


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_too_few_frames_are_an_error_that_names_the_remedy(name: str, least: int) -> None:
    with pytest.raises(RsbenchError, match=rf"{name} needs at least {least} .* 128 × {least - 1}.*data\.clip_s"):
        create_backbone(name, 128, least - 1)
