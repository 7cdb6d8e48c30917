"""Windows of the week: as written, over midnight, over Sunday night."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.config.arming import DAYS, MINUTES_A_WEEK, armed, parse_window
from streamwatch.config.schema import Config


def at(day: str, hour: int, minute: int = 0) -> int:
    return DAYS.index(day) * 1440 + 60 * hour + minute


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("Mon-Fri 08:00-18:00", [at("Mon", 8), at("Fri", 17, 59)], [at("Mon", 7, 59), at("Fri", 18), at("Sat", 12)]),
        ("Mon-Fri 18:00-07:00", [at("Mon", 18), at("Tue", 6, 59), at("Sat", 6)], [at("Mon", 6), at("Sat", 7), at("Sun", 1)]),
        ("Sun 22:00-06:00", [at("Sun", 23), at("Mon", 5)], [at("Mon", 6), at("Sat", 23)]),
        ("Sat,Sun 00:00-24:00", [at("Sat", 0), at("Sun", 23, 59)], [at("Mon", 0), at("Fri", 23, 59)]),
        ("Fri-Mon 00:00-00:00", [at("Fri", 0), at("Mon", 23)], [at("Tue", 0), at("Thu", 23)]),
    ],
)
def test_windows(text: str, inside: list[int], outside: list[int]) -> None:
    window = parse_window(text)
    assert all(window.covers(minute) for minute in inside)
    assert not any(window.covers(minute) for minute in outside)


@given(st.sampled_from(DAYS), st.integers(0, 1439), st.integers(0, 1439))
def test_a_day_window_is_as_long_as_it_says(day: str, start: int, end: int) -> None:
    window = parse_window(f"{day} {start // 60:02d}:{start % 60:02d}-{end // 60:02d}:{end % 60:02d}")
    covered = sum(window.covers(minute) for minute in range(MINUTES_A_WEEK))
    assert covered == ((end - start) % 1440 or 1440)


@pytest.mark.parametrize("text", ["always", "Mon 8:00-9:00", "Mon 25:00-26:00", "Mon 08:60-09:00", "Moon 08:00-09:00", "", 3])
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="Mon-Fri 18:00-07:00"):
        parse_window(text)


def test_local_time_decides_and_no_window_is_always() -> None:
    noon = datetime(2026, 6, 1, 12, 0).astimezone()
    assert armed([], 0.0)
    assert armed([parse_window("Mon 11:00-13:00")], noon.timestamp())
    assert not armed([parse_window("Tue 11:00-13:00")], noon.timestamp())


def test_it_is_a_key_of_cameras_and_zones() -> None:
    polygon = [[0, 0], [1, 0], [1, 1]]
    camera = {
        "source": "x",
        "schedule": ["Mon 08:00-09:00"],
        "zones": {"z": {"polygon": polygon, "schedule": ["Tue 08:00-09:00"]}},
    }
    config = Config.model_validate({"version": 1, "cameras": {"a": camera}})
    assert config.cameras["a"].schedule[0].text == "Mon 08:00-09:00"
    assert config.cameras["a"].zones["z"].schedule[0].days == {1}
    assert config.model_dump(mode="json")["cameras"]["a"]["schedule"] == ["Mon 08:00-09:00"]
