"""Purification, against counting by hand and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from bench.metrics.purification import PURIFICATION_METRICS, purification_metrics


def test_by_hand() -> None:
    labels = [0, 0, 0, 0, 1, 1]
    kept = np.array([True, True, False, True, True, False])
    found = purification_metrics(labels, kept, [1, 2, 3, 4, 4, 5], 0.3)
    assert found == {
        "kept_anomalous": pytest.approx(1 / 4),
        "filter_auroc": pytest.approx((3 + 0.5 + 4) / 8),
        "normals_lost": pytest.approx(1 / 4),
        "anomalies_kept": pytest.approx(1 / 2),
        "estimated_rate": 0.3,
    }
    assert tuple(found) == PURIFICATION_METRICS


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(-3, 3)), min_size=1, max_size=40))
def test_against_counting(rows: list[tuple[bool, bool, int]]) -> None:
    labels, kept, scores = (np.array(column) for column in zip(*rows, strict=True))
    found = purification_metrics(labels, kept, scores)
    assert all(0 <= value <= 1 for value in found.values())
    if kept.any():
        assert found["kept_anomalous"] == sum(labels & kept) / sum(kept)
    if 0 < labels.sum() < len(labels):
        assert found["filter_auroc"] == pytest.approx(roc_auc_score(labels, scores))
    if not labels.all():
        assert found["normals_lost"] == pytest.approx(sum(~labels & ~kept) / sum(~labels))


def test_what_is_not_defined_is_left_out() -> None:
    all_kept = np.ones(3, bool)
    assert purification_metrics([0, 0, 0], all_kept, [1, 2, 3]) == {"kept_anomalous": 0, "normals_lost": 0}
    assert "filter_auroc" not in purification_metrics([0, 1, 1], all_kept)
    assert purification_metrics([1, 1], np.zeros(2, bool)) == {"anomalies_kept": 0}
