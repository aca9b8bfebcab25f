"""The operations say what their formulas say."""

import math

import numpy as np
import pytest

from bundle_verifier import operations

RNG = np.random.default_rng(1)


def test_rows_are_chosen_and_positions_added() -> None:
    table, positions = np.arange(6, dtype=np.float32).reshape(1, 3, 2), np.float32([[10, 20], [30, 40], [50, 60]])
    assert operations.rows(table, positions).tolist() == [[[10, 21], [32, 43], [54, 65]]]
    assert operations.rows(table).dtype == np.float64


def test_a_layer_norm_has_mean_0_and_variance_1_before_its_scale() -> None:
    x = RNG.normal(3, 5, (2, 3, 64))
    plain = operations.layer_norm(x, 0.0)
    assert np.allclose(plain.mean(-1), 0) and np.allclose(plain.var(-1), 1)
    weight, bias = RNG.normal(size=64), RNG.normal(size=64)
    assert np.allclose(operations.layer_norm(x, 0.0, weight, bias), plain * weight + bias)
    assert np.allclose(operations.layer_norm(np.array([[1.0, 3.0]]), 3.0), [[-0.5, 0.5]])


def test_scores_and_weighted_values_are_the_sums_over_their_axes() -> None:
    q, k, probs = RNG.normal(size=(2, 3, 4, 5)), RNG.normal(size=(2, 6, 4, 5)), RNG.random((2, 4, 3, 6))
    assert np.allclose(operations.scores(q, k), np.einsum("bshd,bkhd->bhsk", q, k) / math.sqrt(5))
    assert np.allclose(operations.weighted_values(probs, k), np.einsum("bhsk,bkhd->bshd", probs, k))


def test_the_mask_hides_the_future_and_counts_the_past() -> None:
    hidden = np.isneginf(operations.causal_mask(2, 1, 2))
    assert hidden.tolist() == [[[False, False, True], [False, False, False]]] * 2


def test_a_softmax_is_masked_tempered_and_shifted() -> None:
    z, mask = RNG.normal(size=(1, 2, 2, 3)), operations.causal_mask(1, 1, 2)
    powers = np.exp(z) * np.isfinite(mask)[:, None]
    assert np.allclose(operations.softmax(z, mask), powers / powers.sum(-1, keepdims=True))
    large = np.array([[1000.0, 1001.0]])
    assert np.allclose(operations.softmax(large, temperature=0.5), [[1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))]])


def test_gelu_is_the_tanh_form() -> None:
    x = np.array([-3.0, -0.5, 0.0, 1.0])
    erf = np.array([0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in x])
    found = operations.gelu(x)
    assert found[3] == pytest.approx(0.841191990607477)
    assert 1e-5 < np.abs(found - erf).max() < 1e-3


def test_data_moves_without_a_change() -> None:
    a, b = np.arange(4).reshape(1, 2, 2), np.arange(4, 6).reshape(1, 1, 2)
    assert operations.append(None, b) is b
    assert operations.append(a, b).tolist() == [[[0, 1], [2, 3], [4, 5]]]
    assert operations.last(a).tolist() == [[2, 3]]
    assert operations.argmax(np.array([[1.0, 7.0, 7.0], [2.0, 1.0, 0.0]])).tolist() == [1, 0]
