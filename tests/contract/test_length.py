"""The length of training, chosen on held-out rows, and the final training on all rows."""

import numpy as np
import pandas as pd
import pytest
import torch

from skrnn import GRUForecaster

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"hidden_size": 8, "window_length": 24, "sp": 6, "random_state": 0}
STRATEGIES = pytest.mark.parametrize("strategy", ["recursive", "multioutput"])


def series(n=400, seed=0, noise=0.3):
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    return pd.Series(
        np.abs(np.sin(t / 5)) + np.tile(np.arange(6.0), n // 6 + 1)[:n] + noise * rng.normal(size=n)
    )


def weights(network):
    return torch.cat([p.detach().ravel() for p in network.parameters()])


@STRATEGIES
def test_held_out_values_choose_the_length_and_nothing_else_of_the_first_training(strategy):
    y = series()
    other = y.copy()
    other.iloc[-5:] += 0.01
    early = [
        GRUForecaster(strategy=strategy, **SMALL).fit(values, fh=[1, 2]).fitted_.early.network
        for values in (y, other)
    ]
    assert torch.equal(weights(early[0]), weights(early[1]))


@STRATEGIES
def test_all_rows_are_trained_on_in_the_end(strategy):
    y = series(seed=3)
    forecaster = GRUForecaster(strategy=strategy, **SMALL).fit(y, fh=[1, 2])
    fitted = forecaster.fitted_
    held_out = fitted.held_out
    assert (held_out.stop - held_out.first).tolist() == [60]  # 15 %
    assert forecaster.num_epochs_ > 0
    # Targets begin where the lags of two seasons and one step exist.
    assert fitted.model.network.n_observations == 400 - 13
    assert fitted.early.network.n_observations == 340 - 13
    assert not torch.equal(weights(fitted.early.network), weights(fitted.model.network))
    linear = [f.network.naive_forecasts.linear.coefficients for f in (fitted.early, fitted.model)]
    assert not torch.equal(*linear)


@STRATEGIES
def test_the_mix_starts_again_from_all_rows_and_keeps_what_was_learned(strategy):
    y = series(seed=3)
    chosen, untrained, fewer = (
        GRUForecaster(strategy=strategy, num_epochs=epochs, **SMALL).fit(rows, fh=[1, 2])
        for epochs, rows in (("auto", y), (0, y), (0, y[:340]))
    )
    assert chosen.num_epochs_ > 0
    # Chunks are drawn anew; beside the 60 rows more, their draw says nothing.
    moved = np.abs(fewer.naive_ - untrained.naive_).to_numpy().max()
    assert np.abs(chosen.naive_ - untrained.naive_).to_numpy().max() < 0.02 * moved
    early = chosen.fitted_.early.initial_weights
    np.testing.assert_array_equal(early, fewer.fitted_.model.initial_weights)
    # With a rate of nothing, nothing is learned: the mix is the new start.
    still = GRUForecaster(strategy=strategy, lr=1e-12, **SMALL).fit(y, fh=[1, 2])
    initial = still.fitted_.model.initial_weights
    np.testing.assert_allclose(still.network_.initial_weights(), initial, rtol=1e-4)


def test_history_shows_both_trainings_and_the_validations_at_milestones():
    forecaster = GRUForecaster(**SMALL).fit(series(seed=3))
    history = forecaster.history_
    validated = history["validation_loss"].notna()
    best = history.loc[history["validation_loss"].idxmin(), "epoch"]
    assert best == forecaster.num_epochs_
    assert validated[:5].all()
    assert not validated.iloc[-1]  # of the last training
    assert history["epoch"].tolist() == list(range(1, len(history) + 1))


@STRATEGIES
def test_nothing_is_trained_where_training_cannot_help(strategy):
    # Of a random walk the last value is all that is known.
    y = pd.Series(np.random.default_rng(3).normal(size=3_000).cumsum())
    forecaster = GRUForecaster(strategy=strategy, **SMALL | {"sp": None}).fit(y, fh=[1, 2])
    walk = np.abs(np.diff(y[-300:])).mean()
    table = forecaster.predict(fh=[1, 2])
    assert np.abs(table - y.iloc[-1]).max() < walk


@STRATEGIES
def test_same_seed_repeats_the_choice_to_the_bit(strategy):
    one, other = (GRUForecaster(strategy=strategy, **SMALL).fit(series(), fh=[1]) for _ in "ab")
    assert one.num_epochs_ == other.num_epochs_
    assert torch.equal(weights(one.network_), weights(other.network_))


def test_short_series_and_given_epochs_hold_nothing_out():
    assert GRUForecaster(**SMALL).fit(series(40)).fitted_.held_out.is_empty
    assert not GRUForecaster(**SMALL).fit(series(60)).fitted_.held_out.is_empty
    assert GRUForecaster(**SMALL, num_epochs=2).fit(series()).fitted_.held_out.is_empty
    assert GRUForecaster(**SMALL, validation_split=None).fit(series()).fitted_.held_out.is_empty


def test_intervals_after_a_plain_fit_hold_what_they_claim_or_say_that_the_series_is_too_short():
    y = series(1_200)
    forecaster = GRUForecaster(**SMALL).fit(y[:1_000])
    interval = forecaster.predict_interval(fh=range(1, 13), coverage=0.9).to_numpy()
    # The noise alone is 0.98 wide.
    assert 0.8 < (interval[:, 1] - interval[:, 0]).mean() < 1.6
    with pytest.raises(ValueError, match="Pass longer series"):
        GRUForecaster(**SMALL).fit(y[:40]).predict_interval(fh=[1])


@STRATEGIES
def test_update_trains_on_one_new_row_with_the_rows_before_it(strategy):
    y = series(seed=3)
    forecaster = GRUForecaster(strategy=strategy, **SMALL).fit(y[:399], fh=[1, 5])
    assert forecaster.num_epochs_ > 0
    before = weights(forecaster.network_)
    forecaster.update(y[399:])
    assert not torch.equal(weights(forecaster.network_), before)
    early = forecaster.fitted_.early.network
    assert not torch.equal(weights(early), weights(forecaster.network_))


def test_update_does_not_train_where_fit_chose_no_epochs():
    y = series(seed=0)
    forecaster = GRUForecaster(strategy="multioutput", **SMALL).fit(y[:399], fh=[1, 5])
    assert forecaster.num_epochs_ == 0
    before = weights(forecaster.network_)
    forecaster.update(y[399:])
    assert torch.equal(weights(forecaster.network_), before)
    assert forecaster.fitted_.panel.lengths.tolist() == [400]
