"""Figures of a report, which JSON can carry even where nobody measured them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


class _NullIsNan:
    """Tells pydantic that a figure which JSON cannot carry comes back as NaN."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_nan_for_none, handler(source))


def _nan_for_none(value: object) -> object:
    return math.nan if value is None else value


Figure = Annotated[float, _NullIsNan()]
"""NaN is "nobody measured it", and null in JSON."""
Interval = tuple[Figure, Figure]
"""Lower and upper bound of a 95 % interval."""

MISSING: Interval = (math.nan, math.nan)
