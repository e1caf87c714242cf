import numpy as np
import onnxruntime
import pandas as pd
import pytest

from skrnn.data.holidays import Holidays
from skrnn.data.timeline import Timeline
from skrnn.export.clock import Clock, check_timeline, seconds_of
from skrnn.export.graph import FLOAT, INT, Graph
from skrnn.features.calendar import CALENDAR, encode_calendar, ordinals

INDEXES = {
    "integers": pd.RangeIndex(-5, 900, 3),
    "seconds": pd.date_range("1969-12-31 23:59:01", periods=300, freq="7s"),
    "hours": pd.date_range("2019-12-30 01:00", periods=300, freq="5h"),
    "hours where clocks change": pd.date_range("2024-03-30", periods=300, freq="h", tz="Asia/Gaza"),
    "a zone of half hours": pd.date_range(
        "2024-04-06", periods=60, freq="h", tz="Australia/Lord_Howe"
    ),
    "days where clocks change": pd.date_range(
        "2024-01-01", periods=400, freq="D", tz="America/New_York"
    ),
    "days of four centuries": pd.date_range("1799-02-01", periods=500, freq="293D"),
    "pairs of business days": pd.date_range("1969-12-01", periods=90, freq="2B"),
    "business days": pd.date_range("2023-12-29", periods=90, freq="B"),
    "weeks": pd.period_range("2023-12-29", periods=90, freq="W-WED"),
    "months": pd.date_range("1959-11-30", periods=90, freq="ME"),
    "pairs of months": pd.date_range("1959-11-30", periods=90, freq="2MS"),
    "quarters": pd.period_range("1959Q3", periods=90, freq="Q-NOV"),
    "years": pd.date_range("1700-06-30", periods=300, freq="YE-JUN"),
}
HOLIDAYS = Holidays(["1960-02-29", "2024-03-31", "2020-01-01", "2023-12-29"])


def computed(index, read, n_axes=2):
    """What is read from stamps by a graph, and where in the index they are."""
    timeline = Timeline.of(index, np.array([0, len(index)]))
    check_timeline(timeline)
    graph = Graph()
    clock = Clock(graph.input("time", INT, ("series", "rows")), timeline)
    graph.output("result", read(clock), ("series", "rows", "channels")[:n_axes])
    session = onnxruntime.InferenceSession(graph.model({}).SerializeToString())
    positions = np.arange(-20, len(index) + 20)
    stamps = seconds_of(timeline.stamps(positions))
    return session.run(None, {"time": stamps[None]})[0][0], timeline, positions


@pytest.mark.parametrize("name", INDEXES)
def test_positions_and_ordinals_are_those_of_the_timeline(name):
    found, _, positions = computed(INDEXES[name], Clock.positions)
    np.testing.assert_array_equal(found, positions)
    found, timeline, positions = computed(INDEXES[name], Clock.ordinals)
    np.testing.assert_array_equal(found, ordinals(timeline, positions))


@pytest.mark.parametrize("name", INDEXES)
def test_calendar_and_holidays_are_those_of_the_features(name):
    found, timeline, positions = computed(
        INDEXES[name], lambda clock: clock.encoded(tuple(CALENDAR), HOLIDAYS), 3
    )
    expected = encode_calendar(tuple(CALENDAR), HOLIDAYS, timeline, positions)
    assert found.dtype == FLOAT
    np.testing.assert_allclose(found, expected, atol=1e-7)
