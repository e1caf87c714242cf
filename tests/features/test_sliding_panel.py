"""The sliding panel reads, at every row, what a panel made of all rows reads."""

import numpy as np
import pandas as pd
import torch

from builders import CPU, features_of, panel_of
from skrnn.data.latest_rows import LatestRows
from skrnn.data.scaling import Scaler
from skrnn.features.device_panel import DevicePanel
from skrnn.features.sliding_panel import SlidingPanel


def test_steps_and_targets_are_those_of_the_whole_panel(monkeypatch):
    monkeypatch.setattr("skrnn.data.latest_rows.MOST_SPARE_ROWS", 3)
    monkeypatch.setattr("skrnn.data.latest_rows.FEWEST_SPARE_ROWS", 3)
    features = features_of(
        sp=(4,),
        lags=(4, 7),
        naive=("last", "leveled", "mean"),
        calendar=("dayofweek",),
        n_numbers=1,
    )
    hours = pd.date_range("2024-01-01", periods=70, freq="D")
    rng = np.random.default_rng(0)
    values, X = rng.normal(size=70), pd.DataFrame({"x": rng.normal(size=70)}, hours)
    whole = panel_of(hours, values, X)
    group = np.zeros(70, dtype=int)
    scaler, known_scaler = (Scaler("standard").fit(v, group) for v in (whole.values, whole.known))
    start = panel_of(hours[:30], values[:30], X[:30])
    latest = LatestRows(start, (4,), n_kept=features.history + 2, n_ahead=1)
    sliding = SlidingPanel(latest, features, scaler, known_scaler, CPU, None)
    one = np.zeros(1, dtype=int)
    n_moved = 0
    for k in range(30, 70):
        if latest.is_full:
            sliding.make_room(latest, latest.make_room())
            n_moved += 1
        row = latest.count[one]
        sliding.announce(one, row, X.iloc[[k]].to_numpy()[None])
        expected = DevicePanel(whole, features, scaler, known_scaler, CPU)
        first, at = torch.zeros(1, dtype=torch.long), torch.tensor([[k]])
        here = torch.from_numpy(row)
        for ours, theirs in (
            (sliding.steps(first, here, 1), expected.steps(first, at[0], 1)),
            (sliding.targets(first, here[None]), expected.targets(first, at)),
        ):
            for name in ("past", "known", "means"):
                part, other = getattr(ours, name, None), getattr(theirs, name, None)
                if other is not None:
                    torch.testing.assert_close(part, other, msg=f"{name} at {k}")
        latest.append(one, values[k : k + 1, None], X.iloc[[k]].to_numpy())
        sliding.append(one, row, values[k : k + 1, None], np.ones((1, 1), bool))
    assert n_moved > 5
