import numpy as np
import pandas as pd
import pytest

import skrnn
from skrnn import GRUForecaster, LSTMForecaster

pytestmark = pytest.mark.usefixtures("one_thread")
UNTRAINED = {"num_epochs": 0, "sp": 4, "linear_lags": None, "random_state": 0}


def values(n, n_series=1, n_columns=1):
    rng = np.random.default_rng(0)
    index = pd.date_range("2020-01-01", periods=n, freq="D")
    columns = [f"y{c}" for c in range(n_columns)]
    return pd.concat(
        {s: pd.DataFrame(rng.normal(size=(n, n_columns)), index, columns) for s in range(n_series)}
    )


@pytest.mark.parametrize("cls", [GRUForecaster, LSTMForecaster])
@pytest.mark.parametrize(
    ("n", "n_units"),
    [(10, 64), (144, 64), (500, 64), (2000, 80), (5000, 112), (8760, 128), (30_000, 128)],
)
def test_auto_takes_more_units_for_more_values(cls, n, n_units):
    forecaster = cls(**UNTRAINED).fit(values(n))
    assert forecaster.hidden_size_ == n_units
    assert forecaster.network_.recurrent.layers[0].hidden_size == n_units
    assert forecaster.summary().loc["hidden_size"].tolist() == [n_units, "auto"]


@pytest.mark.parametrize(("n_series", "n_columns"), [(4, 1), (1, 4), (2, 2)])
def test_auto_counts_the_values_of_all_series_and_columns(n_series, n_columns):
    assert GRUForecaster(**UNTRAINED).fit(values(500, n_series, n_columns)).hidden_size_ == 80


def test_local_networks_have_the_units_of_their_series():
    y = pd.concat([values(40).rename({0: "short"}), values(2000).rename({0: "long"})])
    local = GRUForecaster(**UNTRAINED, pooling="local").fit(y)
    assert local.of_series("short").hidden_size_ == 64
    assert local.of_series("long").hidden_size_ == 80


def test_a_number_of_units_is_taken_for_any_data():
    forecaster = GRUForecaster(**UNTRAINED, hidden_size=7).fit(values(2000))
    assert forecaster.hidden_size_ == 7
    assert forecaster.summary().loc["hidden_size"].tolist() == [7, "given"]


def test_pretrained_network_keeps_its_units_on_fewer_values():
    forecaster = GRUForecaster(**UNTRAINED).pretrain(values(2000)).fit(values(60))
    assert forecaster.hidden_size_ == 80
    other = GRUForecaster(**UNTRAINED, hidden_size=32).set_params(hidden_size="auto")
    assert other.fit(values(60)).hidden_size_ == 64


def test_a_file_holds_the_units_that_were_chosen(tmp_path):
    forecaster = GRUForecaster(**UNTRAINED).fit(values(500))
    skrnn.save(forecaster, tmp_path / "model.skrnn")
    loaded = skrnn.load(tmp_path / "model.skrnn")
    assert (loaded.hidden_size, loaded.hidden_size_) == ("auto", 64)
    pd.testing.assert_frame_equal(loaded.predict(fh=[1, 2]), forecaster.predict(fh=[1, 2]))
