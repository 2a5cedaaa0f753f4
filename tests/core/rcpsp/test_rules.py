import pytest

from compllm.core.rcpsp import RULES, Activity, Project

# 0 before 1 and 2, both before 3; 2 is the longer way.
DIAMOND = Project((Activity(1), Activity(2, (), (0,)), Activity(4, (), (0,)), Activity(3, (), (1, 2))))


@pytest.mark.parametrize(
    ("name", "priorities"),
    [
        ("LST", [0, 3, 1, 5]),
        ("LFT", [1, 5, 5, 8]),
        ("MTS", [-3, -1, -1, 0]),
        ("GRPW", [-7, -5, -7, -3]),
        ("MSLK", [0, 2, 0, 0]),
    ],
)
def test_a_rule_ranks_by_what_its_name_says(name: str, priorities: list[int]) -> None:
    assert list(RULES[name](DIAMOND)) == priorities
