"""Average accuracy, forgetting and transfer on matrices worked out by hand, and against sums written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kadapter.errors import KAdapterError
from kadapter.scoring import continual

BY_HAND = np.array([[0.9, 0.1, 0.2], [0.5, 0.8, 0.3], [0.6, 0.4, 0.7]])


def test_a_matrix_by_hand():
    assert continual.average_accuracy(BY_HAND) == pytest.approx((0.6 + 0.4 + 0.7) / 3)
    assert continual.learning_accuracy(BY_HAND) == pytest.approx((0.9 + 0.8 + 0.7) / 3)
    assert continual.backward_transfer(BY_HAND) == pytest.approx(((0.6 - 0.9) + (0.4 - 0.8)) / 2)
    assert continual.forgetting(BY_HAND) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.4)) / 2)
    before = np.array([0.05, 0.15, 0.25])
    assert continual.forward_transfer(BY_HAND, before) == pytest.approx(((0.1 - 0.15) + (0.3 - 0.25)) / 2)


def test_forgetting_takes_the_best_former_score_and_not_the_first():
    """A kind that rose after its own stage and then fell lost more than backward transfer tells (Chaudhry et al.)."""
    risen = np.array([[0.5, 0.0, 0.0], [0.9, 0.6, 0.0], [0.4, 0.6, 0.8]])
    assert continual.forgetting(risen) == pytest.approx(((0.9 - 0.4) + 0.0) / 2)
    assert continual.backward_transfer(risen) == pytest.approx(((0.4 - 0.5) + 0.0) / 2)


def test_what_is_kept_whole_is_exactly_zero():
    kept = np.array([[1 / 3, 0.1, 0.2], [1 / 3, 0.7, 0.1], [1 / 3, 0.7, 0.9]])
    assert continual.forgetting(kept) == 0.0 and continual.backward_transfer(kept) == 0.0


def test_one_stage_has_nothing_to_lose():
    one = np.array([[0.5]])
    assert continual.average_accuracy(one) == continual.learning_accuracy(one) == 0.5
    assert continual.forgetting(one) == continual.backward_transfer(one) == 0.0
    assert continual.forward_transfer(one, np.array([0.1])) == 0.0


@given(arrays(float, (2, 3, 4, 4), elements=st.floats(0, 1)), arrays(float, (2, 3, 4), elements=st.floats(0, 1)))
def test_leading_axes_stay_and_the_sums_are_those_of_the_papers(matrices, before):
    last = 3
    for index in np.ndindex(2, 3):
        r, b = matrices[index], before[index]
        expected = {
            "average_accuracy": sum(r[last, i] for i in range(4)) / 4,
            "backward_transfer": sum(r[last, i] - r[i, i] for i in range(last)) / last,
            "forgetting": sum(max(r[i, j] for i in range(last)) - r[last, j] for j in range(last)) / last,
        }
        for name, value in expected.items():
            assert getattr(continual, name)(matrices)[index] == pytest.approx(value)
        ahead = sum(r[i - 1, i] - b[i] for i in range(1, 4)) / last
        assert continual.forward_transfer(matrices, before)[index] == pytest.approx(ahead)


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(KAdapterError, match=r"shape \(2, 3\); expected as many stages as kinds"):
        continual.forgetting(np.zeros((2, 3)))
