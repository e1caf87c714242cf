"""Native sktime and scikit-learn forecasters around PyTorch's recurrent networks."""

from skrnn.backtesting import backtest
from skrnn.evaluation import evaluate
from skrnn.explanation import explain, importance
from skrnn.forecasters import GRUForecaster, LSTMForecaster, RNNForecaster
from skrnn.metrics import SMAPE, smape, smape_scorer
from skrnn.paths import sample_paths
from skrnn.saving import load, save
from skrnn.search import RecurrentGridSearchCV
from skrnn.streams import Stream

__version__ = "0.1.0"
__all__ = [
    "SMAPE",
    "GRUForecaster",
    "LSTMForecaster",
    "RNNForecaster",
    "RecurrentGridSearchCV",
    "Stream",
    "backtest",
    "evaluate",
    "explain",
    "importance",
    "load",
    "sample_paths",
    "save",
    "smape",
    "smape_scorer",
]
