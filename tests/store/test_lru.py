"""The bounded maps of the store's caches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dtnode.store.lru import Lru, WeighedLru

STEPS = st.lists(
    st.tuples(st.sampled_from(["get", "put", "pop"]), st.integers(0, 5), st.integers(1, 9)),
    max_size=60,
)


def test_the_longest_unused_entry_goes() -> None:
    lru: Lru[str, int] = Lru(2)
    lru.put("a", 1)
    lru.put("b", 2)
    assert lru.get("a") == 1
    lru.put("c", 3)
    assert [lru.get(key) for key in "abc"] == [1, None, 3]


def test_a_value_heavier_than_all_stays_alone() -> None:
    lru: WeighedLru[str, str] = WeighedLru(5, len)
    lru.put("a", "aa")
    lru.put("b", "b" * 50)
    assert (lru.get("a"), lru.get("b"), len(lru)) == (None, "b" * 50, 1)
    lru.put("c", "cc")
    assert (lru.get("b"), lru.get("c"), len(lru)) == (None, "cc", 1)


def test_a_value_that_changes_its_weight_does_no_harm() -> None:
    lru: WeighedLru[int, list[int]] = WeighedLru(10, len)
    value = [0, 0]
    lru.put(1, value)
    value.extend(range(100))
    for key in range(2, 7):
        lru.put(key, [0, 0])
    assert len(lru) == 5  # as many as weigh 10
    assert lru.get(1) is None


@given(steps=STEPS)
def test_weighed_entries_agree_with_a_model(steps: list[tuple[str, int, int]]) -> None:
    lru: WeighedLru[int, int] = WeighedLru(15, lambda value: value)
    model: dict[int, int] = {}  # in order of use
    for act, key, value in steps:
        if act == "put":
            model.pop(key, None)
            model[key] = value
            while sum(model.values()) > 15 and len(model) > 1:
                del model[next(iter(model))]
            lru.put(key, value)
        elif act == "pop":
            model.pop(key, None)
            lru.pop(key)
        else:
            assert lru.get(key) == model.get(key)
            if key in model:
                model[key] = model.pop(key)
        assert len(lru) == len(model)
    assert {key: lru.get(key) for key in range(6)} == {key: model.get(key) for key in range(6)}
