from __future__ import annotations

import math

import numpy as np
import pytest

from loomwork.metrics.language import bits, bits_per_byte, bytes_of, perplexity


def test_a_uniform_byte_model_needs_eight_bits_a_byte() -> None:
    texts = ["plain", "naïve ☃", ""]
    size = bytes_of(texts)
    assert size.tolist() == [5, 10, 0]
    log_probabilities = size * math.log(1 / 256)
    assert bits(log_probabilities).tolist() == pytest.approx([40, 80, 0])
    assert bits_per_byte(log_probabilities, size) == pytest.approx(8)
    assert perplexity(log_probabilities, size) == pytest.approx(256)


def test_it_is_a_ratio_of_sums_not_a_mean_of_ratios() -> None:
    size = np.array([10, 1000])
    log_probabilities = -np.array([10 * 8, 1000 * 1]) * math.log(2)
    assert bits_per_byte(log_probabilities, size) == pytest.approx(1080 / 1010)
