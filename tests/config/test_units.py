"""Units as people write them."""

from __future__ import annotations

from datetime import time

import pytest

from streamwatch.config.units import parse_budget_per_day, parse_duration_s, parse_share, parse_size_bytes, parse_time_of_day


@pytest.mark.parametrize(("text", "seconds"), [("200ms", 0.2), ("1s", 1), ("1.5m", 90), ("2h", 7200), ("30d", 2592000)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "per_day"), [("1/day", 1), ("2/hour", 48), ("0.5/week", 0.5 / 7)])
def test_budgets(text: str, per_day: float) -> None:
    assert parse_budget_per_day(text) == pytest.approx(per_day)


def test_sizes_and_shares() -> None:
    assert (parse_size_bytes("20GB"), parse_size_bytes(5), parse_share("5%")) == (20 * 10**9, 5, 0.05)


@pytest.mark.parametrize("value", ["", "1", "1 parsec", "-1s", 3, None, "s"])
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration_s(value)


@pytest.mark.parametrize("value", ["0/day", "1/year", 1, "x/day"])
def test_what_is_no_budget(value: object) -> None:
    with pytest.raises(ValueError, match="rate"):
        parse_budget_per_day(value)


@pytest.mark.parametrize("value", ["20XB", True, None, "-1GB"])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size_bytes(value)


def test_times_of_the_day() -> None:
    assert (parse_time_of_day("03:00"), parse_time_of_day("23:59:00")) == (time(3), time(23, 59))


@pytest.mark.parametrize("value", ["3:00", "24:00", 780, None, "noon"])
def test_what_is_no_time_of_the_day(value: object) -> None:
    with pytest.raises(ValueError, match="in quotes"):
        parse_time_of_day(value)
