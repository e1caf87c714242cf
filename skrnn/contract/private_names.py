"""Private names of sktime and scikit-learn on which the package depends, all in one place.

No public name does the same in the oldest supported versions (sktime 1.0, scikit-learn 1.6). Each
name has a test in ``tests/contract/test_private_names.py`` that says what to look at when a new
version changes it.

Imported here, and from here by the rest of the package:

- ``BaseForecastingErrorMetric``: base class of the metric `SMAPE`.
- ``DtypeKind``: the kind of a column in sktime's metadata of y, which a saved file names.
- ``Interval``, ``StrOptions``, ``validate_parameter_constraints``: the table of what
  each parameter may be, and the one sentence of every error about it.

Attributes, which a class must spell out where it sets, calls or overrides them:

- `FORECASTER_METHODS`: methods of sktime's ``BaseForecaster`` that our forecasters override or
  call.
- `FORECASTER_ATTRIBUTES`: attributes in which sktime's ``BaseForecaster`` keeps data.
- `SEARCH_METHODS`: methods of sktime's ``ForecastingGridSearchCV`` that `RecurrentGridSearchCV`
  overrides.
- `METRIC_METHODS`: methods of ``BaseForecastingErrorMetric`` that `SMAPE` overrides or calls.
- `PARENT_CALLBACK`: attribute that scikit-learn's searches set on a clone and delete again.

Methods that sktime documents as the way to write a forecaster (``_fit``, ``_predict``, ``_update``,
``_predict_quantiles``, ..., the class attributes ``_tags`` and ``_config``) are no private names in
this sense: its extension templates promise them.
"""

from __future__ import annotations

# scikit-learn has no public validation of parameters. Its table of constraints and its error
# messages are the ones that users of its estimators know.
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

# The kind of a column in the metadata that sktime keeps of y, which a saved file names.
from sktime.datatypes._dtypekind import DtypeKind

# sktime exports its metrics but not their base class; its extension template for metrics imports
# the base class from this module, too.
from sktime.performance_metrics.forecasting._base import BaseForecastingErrorMetric

__all__ = [
    "FORECASTER_ATTRIBUTES",
    "FORECASTER_METHODS",
    "METRIC_METHODS",
    "PARENT_CALLBACK",
    "SEARCH_METHODS",
    "BaseForecastingErrorMetric",
    "DtypeKind",
    "Interval",
    "StrOptions",
    "validate_parameter_constraints",
]

FORECASTER_METHODS = {
    "_check_X_y": "overridden: adds the series, the column and the row to sktime's errors about y",
    "_update_y_X": "overridden: sktime 1.0 moves the cutoff only if it remembers the data itself",
    "_set_cutoff_from_y": "overridden: sktime copies the whole index of a panel for the cutoff",
    "_check_fh": "called: explain takes fh as predict does",
    "_get_varnames": "called: column names of quantile and variance forecasts",
}

FORECASTER_ATTRIBUTES = {
    "_y": "None in the class: the forecaster keeps its own context, so that sktime need not keep a "
    "copy; put back after an update that fails",
    "_X": "None in the class, and put back, as _y",
    "_cutoff": "put back after an update that fails",
}

SEARCH_METHODS = {
    "_run_search": "overridden: calls what evaluates candidates, which gives a row for each",
}

METRIC_METHODS = {
    "_evaluate_by_index": "overridden: the errors of each time; the template documents it",
    "_get_weighted_df": "called: applies sample_weight; the template documents it",
    "_handle_multioutput": "called: averages the variables; the template documents it",
}

# scikit-learn deletes the attribute after `fit`. sktime's `fit` resets the instance first, which
# deletes it too, so the class needs the attribute for the second deletion to succeed.
PARENT_CALLBACK = "_parent_callback_ctx"
