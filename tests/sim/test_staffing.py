"""The fewest people for a service level."""

from __future__ import annotations

import pytest

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.staffing import _fewest, staff_needed
from tests.sim.conftest import small


@pytest.mark.parametrize("answer", [1, 2, 3, 7, 8, 100])
def test_the_fewest_are_found_in_few_tries(answer: int) -> None:
    tries: list[int] = []

    def within(number: int) -> bool:
        tries.append(number)
        return number >= answer

    assert _fewest(within, 100) == answer
    assert len(tries) == len(set(tries)) <= 14
    assert _fewest(lambda number: False, 100) is None


def test_one_reviewer_fewer_would_not_do(profile: PerceptionProfile) -> None:
    scenario = small(**{"just_walk_out.review.work_s": 600.0})
    found = staff_needed(scenario, "reviewers", 1500.0, profile, replications=4)
    means = found.tried.set_index("reviewers")["mean"]
    assert found.needed is not None
    assert found.needed > 1
    assert means[found.needed] <= 1500.0 < means[found.needed - 1]


def test_what_cannot_be_asked_is_named() -> None:
    with pytest.raises(InputError, match="did you mean 'reviewers'"):
        staff_needed(small(), "reviewer", 60.0)
    with pytest.raises(InputError, match="the flow staffed-lanes has no entry_wait_p95_s"):
        staff_needed(small(), "lanes", 60.0, metric="entry_wait_p95_s", replications=2)
    with pytest.raises(InputError, match="-1 with at most 1000"):
        staff_needed(small(), "lanes", -1.0)
