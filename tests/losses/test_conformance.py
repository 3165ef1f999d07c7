"""Every registered loss keeps every contract; `rsbench doctor` runs the same checks."""

from __future__ import annotations

import pytest

from rsbench import list_losses
from rsbench.conformance.checks import Case, Check
from rsbench.conformance.losses import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("name", list_losses())
def test_conformance(name: str, check: Check) -> None:
    check(Case("loss", name))
