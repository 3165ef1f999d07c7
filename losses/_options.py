"""Ranges that several losses share; an option outside its range is an error before anything starts."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]

# Beyond a right angle the target class would have to point away from its own clips.
MarginRad = Annotated[float, Field(ge=0, le=math.pi / 2)]
