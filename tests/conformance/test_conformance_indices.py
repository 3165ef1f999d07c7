"""Every registered quality index keeps every contract; `rsbench doctor` runs the same checks."""

from __future__ import annotations

import pytest

from rsbench.conformance.checks import Case, Check
from rsbench.conformance.indices import CHECKS
from rsbench.core.plugins import discover
from rsbench.quality.index import QUALITY

discover()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("name", QUALITY.names())
def test_conformance(name: str, check: Check) -> None:
    check(Case("index", name))
