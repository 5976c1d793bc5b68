"""Engines of small networks."""

from collections.abc import Callable
from typing import Any

import pytest
from quantizing import Engine, exported
from torch import Tensor

from tltpy.quant.fixed import FixedPoint


@pytest.fixture
def engine_of(tmp_path: Any) -> Callable[..., Engine]:
    def make(fixed: FixedPoint, example: dict[str, Tensor], **options: Any) -> Engine:
        return Engine(exported(fixed, example), tmp_path, **options)

    return make


