"""The test suite of a make-believe accelerator backend: small, real, and with one of everything that can happen."""

from __future__ import annotations

import math
from typing import NoReturn

import pytest

DTYPES = frozenset({"float32", "bfloat16", "float8"})


def saturating_add(left: float, right: float) -> float:
    """What the make-believe device computes: float8 addition, which saturates at 448."""
    return max(-448.0, min(448.0, left + right))


@pytest.mark.parametrize(("left", "right"), [(1.0, 2.0), (400.0, 40.0), (-1.5, 0.5)])
def test_add(left: float, right: float) -> None:
    assert saturating_add(left, right) == left + right


def test_add_saturates() -> None:
    assert saturating_add(440.0, 40.0) == 448.0


def test_exp_accuracy() -> None:
    # The device's exp is a short series; the reference is exact. This is the honest failure of the suite.
    series = sum(5.0**n / math.factorial(n) for n in range(8))
    assert series == pytest.approx(math.exp(5.0), rel=1e-3), "Tensor-likes are not close!"


def test_softmax_sums_to_one() -> None:
    weights = [math.exp(x) for x in (0.1, 0.7, -1.2)]
    assert sum(weight / sum(weights) for weight in weights) == pytest.approx(1.0)


@pytest.fixture
def second_device() -> NoReturn:
    raise RuntimeError("device 1 did not answer: driver 8.0 reports 1 device")


def test_allreduce(second_device: NoReturn) -> None:
    """Can't even start: its fixture raises, which JUnit calls an error."""


@pytest.mark.skipif("complex64" not in DTYPES, reason="complex64 is not supported by this backend yet")
def test_complex_matmul() -> None:
    raise AssertionError("never runs")


_calls = {"count": 0}


@pytest.mark.flaky(reruns=1)
def test_stream_synchronize() -> None:
    """Fails at first and passes on its rerun: flaky."""
    _calls["count"] += 1
    assert _calls["count"] == 2, "event was not ready"
