"""Hourly electricity load, public and synthetic, and panels in files for more than memory."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from skrnn.contract.parameters import check_flags
from skrnn.files.panel_file import PanelFile

__all__ = ["PanelFile", "fetch_pjm_load", "make_hourly_load"]

# Pinned to a commit, so that the files always match the checksums.
PJM_URL = (
    "https://raw.githubusercontent.com/gabrielloye/GRU_Prediction/"
    "ea3b6a811a92a781193e5ba552a8f67de8782adf/data/"
)

PJM_SHA256 = {
    "AEP": "109d122f7b485555c609eecdec2cd5a03172e0a08acd358d863acc93eb452585",
    "COMED": "2e79007e3f1be8765c92ff2b26314c0df0507bdd783110388a1e8d678d13fa1e",
    "DAYTON": "84d3397231d5819b5cf086ef9e87cadf6dd7954085f2834be7e37257702ec768",
    "DEOK": "070f9e0ece2fa97d5585f85bbf36122f5b3ab7f7f166db95fd0ebc3958d37600",
    "DOM": "aa040e6ff42029dbc6698066d1a12765b00c56f993127af22f26aa9b769373a6",
    "DUQ": "d4e09cca9f50c0c46eeef9feb8e5def5778368081c9af2a45cc0e8a798218071",
    "EKPC": "2036a4ed539b10d42b9249a662d1e55eda555bba8673745ee1f5586db5cfe6ab",
    "FE": "f2a4b89417cab06aaba451093f90d237fec911ccc70cd29a34449baaefdb8b3d",
    "NI": "8de74f28ae6d03bd5d33050b00a2a1a001a8bff37e8e7100bf790003ea61030f",
    "PJME": "4eb2b16d42bf07ec41ab55cb842191594cb69452725a6d3c0991658a628fde84",
    "PJMW": "74b9c6c03e74933bfaf1f472eea18a2a09552289317858f6b1931fbc87c3996f",
    "PJM_Load": "7dc080b7dfa4812c92f609a99cf1900cfbd49656412e744bf977d83500cebda0",
}

# Seconds to connect, and to wait for the next byte. requests tries the addresses of a host one
# after the other, so a network that drops packets takes a small multiple of the first number.
DOWNLOAD_TIMEOUT = (5, 20)

# Both data sets stamp the END of the hour: the first hour of a year is stamped 01:00.
SYNTHETIC_START = pd.Timestamp("2017-01-01 01:00")

# Hours simulated and discarded: 0.99**500 < 0.01, so the effect of the zero start has decayed.
WEATHER_SPIN_UP = 500


def fetch_pjm_load(
    regions: str | Iterable[str] | None = None,
    *,
    data_home: str | os.PathLike | None = None,
    download_if_missing: bool = True,
    regular: bool = True,
    add_observed: bool = False,
) -> pd.DataFrame:
    """Load the hourly electricity load of the twelve PJM regions as a panel.

    The files are downloaded once (30 MB for all regions), checked against their SHA-256 sums and
    kept. A file that is already in the folder is checked and read without a network. Only to
    download a file, or to find the default folder, pooch is needed
    (``pip install "skrnn[datasets]"``).

    Parameters
    ----------
    regions : str, iterable of str or None, default=None
        One or several of "AEP", "COMED", "DAYTON", "DEOK", "DOM", "DUQ", "EKPC", "FE", "NI",
        "PJME", "PJMW" and "PJM_Load". The panel has the order of this list. None loads all
        twelve in alphabetical order.
    data_home : str, path-like or None, default=None
        Folder of the files ``<REGION>_hourly.csv``, to which missing files are downloaded. None
        uses the environment variable ``SKRNN_DATA`` or, if it is not set, the user's cache folder
        ``pooch.os_cache("skrnn")``.
    download_if_missing : bool, default=True
        Whether to download a file that is not in the folder, instead of raising an error.
    regular : bool, default=True
        With True, every region has one row per hour without a gap: a duplicated hour is averaged,
        missing hours are interpolated linearly. With False, the rows are those published, sorted
        by time (rows of the same hour keep their order in the file), with duplicates and gaps;
        such a panel has no frequency, and most forecasters refuse it.
    add_observed : bool, default=False
        Whether to add a boolean column ``observed``, True where the file holds that hour (once
        or twice) and False where the load is interpolated. With ``regular=False`` nothing is
        interpolated, so the column is True throughout.

    Returns
    -------
    pandas.DataFrame
        Column ``load_mw`` (float64, megawatts) and, with ``add_observed``, ``observed`` (bool), on
        a MultiIndex ("region", "time"). With ``regular=True`` it is a panel of sktime's mtype
        "pd-multiindex". ``time`` is the end of the hour on the clock of the US East, daylight
        saving included, without a time zone.

    Raises
    ------
    TypeError
        If a parameter is of another type.
    ValueError
        If a region is unknown or named twice, or if a file does not have its SHA-256 sum.
    FileNotFoundError
        If a file is missing and ``download_if_missing=False``.
    OSError
        If a download fails; without a network this is raised within seconds.
    ImportError
        If pooch is needed and not installed.

    See Also
    --------
    make_hourly_load : Synthetic series of the same form, without a file.

    Notes
    -----
    The loads are as published. Region FE starts with one hour of 0 MW, by which a percentage error
    would divide; DOM and PJMW hold one implausibly low hour each. NI and PJM_Load end years before
    the others. ``data/README.md`` lists further peculiarities of the files.

    References
    ----------
    .. [1] R. Mulla, "Hourly Energy Consumption", Kaggle, licence CC0, from PJM Interconnection;
       https://www.kaggle.com/datasets/robikscube/hourly-energy-consumption
    .. [2] The copy that is downloaded: https://github.com/gabrielloye/GRU_Prediction

    Examples
    --------
    >>> from skrnn.datasets import fetch_pjm_load
    >>> load = fetch_pjm_load(["PJME", "AEP"])  # doctest: +SKIP
    >>> load.loc["AEP", "load_mw"].iloc[:2].tolist()  # doctest: +SKIP
    [12379.0, 11935.0]
    """
    check_flags(
        "fetch_pjm_load",
        download_if_missing=download_if_missing,
        regular=regular,
        add_observed=add_observed,
    )
    regions = _check_regions(regions)
    folder = _find_folder(data_home)
    panels = {}
    for region in regions:
        path = folder / f"{region}_hourly.csv"
        if not path.exists() and not download_if_missing:
            msg = (
                f"The file {str(path)!r} must exist with download_if_missing=False, but it does "
                "not. Set download_if_missing=True, set data_home (or the environment variable "
                "SKRNN_DATA) to the folder that holds it, or use make_hourly_load, which needs "
                "no file."
            )
            raise FileNotFoundError(msg)
        if not path.exists():
            _download(path, PJM_SHA256[region])
        panel = _read_verified(path, PJM_SHA256[region])
        panels[region] = _to_hourly_grid(panel) if regular else panel
    load = pd.concat(panels, names=["region", "time"])
    return load if add_observed else load[["load_mw"]]


def _check_regions(regions: str | Iterable[str] | None) -> list[str]:
    if regions is None:
        return sorted(PJM_SHA256)
    msg = (
        "The 'regions' parameter of fetch_pjm_load must be None, or name one or several different "
        f"regions among {', '.join(PJM_SHA256)}. Got {regions!r} instead."
    )
    if not isinstance(regions, Iterable):
        raise TypeError(msg)
    names = [regions] if isinstance(regions, str) else list(regions)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(msg)
    if not names or len(set(names)) < len(names) or not set(names) <= set(PJM_SHA256):
        raise ValueError(msg)
    return names


def _find_folder(data_home: str | os.PathLike | None) -> Path:
    if data_home is None:
        # An empty variable counts as not set, as in a shell.
        data_home = os.environ.get("SKRNN_DATA") or _import_pooch(
            "Finding the default data folder"
        ).os_cache("skrnn")
    if not isinstance(data_home, (str, os.PathLike)):
        msg = (
            f"The 'data_home' parameter of fetch_pjm_load must be a path or None. Got "
            f"{data_home!r} instead."
        )
        raise TypeError(msg)
    return Path(data_home).expanduser()


def _import_pooch(purpose: str) -> ModuleType:
    try:
        import pooch
    except ImportError as error:
        msg = (
            f'{purpose} needs pooch, which is not installed: pip install "skrnn[datasets]", or set '
            "data_home (or the environment variable SKRNN_DATA) to a folder that holds the PJM "
            "files, or use skrnn.datasets.make_hourly_load, which needs no file."
        )
        raise ImportError(msg) from error
    return pooch


def _download(path: Path, sha256: str) -> None:
    pooch = _import_pooch(f"Downloading {path.name!r} to {str(path.parent)!r}")
    url = PJM_URL + path.name
    try:
        # pooch moves the file to its place only after its sum is checked, so an interrupted
        # download leaves nothing behind.
        pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            fname=path.name,
            path=path.parent,
            downloader=pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT),
        )
    # requests' exceptions are OSErrors; so is a folder that cannot be written to.
    except OSError as error:
        msg = (
            f"{url} could not be downloaded to {str(path.parent)!r} ({type(error).__name__}). "
            "Connect to the network and try again, set data_home (or the environment variable "
            "SKRNN_DATA) to a writable folder or to one that holds the file, or use "
            "make_hourly_load, which needs no file."
        )
        raise OSError(msg) from error
    except ValueError as error:
        msg = (
            f"The download of {url} must have the SHA-256 sum {sha256}, but it does not, and was "
            "deleted. Try again, set data_home (or the environment variable SKRNN_DATA) to "
            "a folder that holds the file, or use make_hourly_load, which needs no file."
        )
        raise ValueError(msg) from error


def _read_verified(path: Path, sha256: str) -> pd.DataFrame:
    """Return the rows of one file, sorted by time, all of them observed."""
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        msg = (
            f"The file {str(path)!r} must have the SHA-256 sum {sha256}, but it has {found}: it "
            "is damaged or another version. Delete it, so that it is downloaded again, or set "
            "data_home (or the environment variable SKRNN_DATA) to a folder with the right one."
        )
        raise ValueError(msg)

    load = pd.read_csv(
        io.BytesIO(content),
        header=0,
        names=["time", "load_mw"],
        index_col="time",
        dtype={"load_mw": "float64"},
        parse_dates=["time"],
        date_format="%Y-%m-%d %H:%M:%S",
    )
    return load.sort_index(kind="stable").assign(observed=True)


def _to_hourly_grid(load: pd.DataFrame) -> pd.DataFrame:
    published = load["load_mw"].groupby(level="time").mean()
    times = published.index
    grid = pd.date_range(times[0], times[-1], freq="h", unit=times.unit, name="time")
    on_grid = published.reindex(grid)
    return pd.DataFrame({"load_mw": on_grid.interpolate("linear"), "observed": on_grid.notna()})


def make_hourly_load(
    n_series: int = 12,
    n_hours: int = 2 * 365 * 24,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> pd.DataFrame:
    r"""Simulate the hourly electricity load of several regions that share their weather.

    The load :math:`y_i(t)` of region :math:`i` in MW depends on the hour, the day of the week and
    its temperature :math:`T_i(t)` in degrees Celsius,

    .. math::

        y_i(t) &= b_i \, \bigl(1 + 0.16 \, a(t) \, g(t) + u_i \max(15 - T_i(t), 0)
                  + v_i \max(T_i(t) - 20, 0)\bigr) \, e^{0.005 \, \varepsilon_i(t)} \\
        g(t) &= 1 - \cos\frac{2\pi (h - 4)}{24} - 0.3 \cos\frac{4\pi (h - 1)}{24} \\
        T_i(t) &= 13 - 12 \cos\frac{2\pi (d - 20)}{365.25} - 4 \cos\frac{2\pi (h - 5)}{24}
                  + 5 \, \bigl(\sqrt{0.8} \, w_0(t) + \sqrt{0.2} \, w_i(t)\bigr) \\
        w_j(t) &= 1.79 \, w_j(t-1) - 0.792 \, w_j(t-2) + 0.0288 \, \eta_j(t)

    with :math:`h` the hour of the day, :math:`d` the day of the year, activity :math:`a` = 1 on
    weekdays, 0.5 on Saturdays and 0.3 on Sundays, and standard normal :math:`\varepsilon` and
    :math:`\eta`. The weather :math:`w_0`, of variance 1, is common to all regions; :math:`w_i` is
    that of region :math:`i` alone. Levels :math:`b_i` are log-uniform between 1,000 and 30,000 MW,
    the responses to heating degrees :math:`u_i` uniform in [0.007, 0.013] and to cooling degrees
    :math:`v_i` uniform in [0.03, 0.05] per degree. All factors are positive, and so is the load.

    The noise is half a percent of the load. Everything else is deterministic or weather, and most
    of it can be learnt from the past load and the calendar.

    Parameters
    ----------
    n_series : int, default=12
        Number of regions, at least 1.
    n_hours : int, default=17520
        Length of every series in hours, at least 1. The default is two years.
    random_state : int, RandomState, Generator or None, default=None
        Seed, or the NumPy generator to draw from. An int gives the same series every time. None
        gives new ones and, unlike in scikit-learn, does not draw from NumPy's global generator.

    Returns
    -------
    pandas.DataFrame
        Column ``load_mw`` (float64, megawatts), ``n_series * n_hours`` rows, on a MultiIndex
        ("region", "time"): regions "region_00", "region_01", ..., each with ``n_hours`` hours
        from 2017-01-01 01:00 on. As in :func:`fetch_pjm_load`, ``time`` is the end of the hour;
        there is no daylight saving.

    Raises
    ------
    ValueError
        If ``n_series`` or ``n_hours`` is not a positive int, or ``random_state`` is no seed.

    See Also
    --------
    fetch_pjm_load : The real series.

    Notes
    -----
    Load rises with the degrees below and above a comfortable temperature, a standard finding of
    load forecasting, see [1]_. The coefficients are chosen so that the series resemble the PJM
    regions: the correlation of the load with that of the day before is about 0.87, and the naive
    forecast of the next hour has an error of about 2.5 %.

    References
    ----------
    .. [1] T. Hong and S. Fan, "Probabilistic electric load forecasting: a tutorial review",
       International Journal of Forecasting 32 (2016) 914-938.

    Examples
    --------
    >>> from skrnn.datasets import make_hourly_load
    >>> load = make_hourly_load(n_series=2, n_hours=2, random_state=0)
    >>> load.round(-1)  # doctest: +NORMALIZE_WHITESPACE
                                   load_mw
    region    time
    region_00 2017-01-01 01:00:00  10190.0
              2017-01-01 02:00:00  10260.0
    region_01 2017-01-01 01:00:00   2800.0
              2017-01-01 02:00:00   2780.0
    """
    for name, value in [("n_series", n_series), ("n_hours", n_hours)]:
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            msg = (
                f"The {name!r} parameter of make_hourly_load must be an int in the range "
                f"[1, inf). Got {value!r} instead."
            )
            raise ValueError(msg)

    rng = _generator(random_state)

    time = pd.date_range(SYNTHETIC_START, periods=n_hours, freq="h", name="time")
    hour, day = time.hour.to_numpy(), time.dayofyear.to_numpy()  # (L,), (L,)
    # The hour stamped 00:00 belongs to the day that ends then.
    weekday = (time - pd.Timedelta(hours=1)).dayofweek.to_numpy()  # (L,)
    activity = np.select([weekday == 5, weekday == 6], [0.5, 0.3], 1.0)
    profile = 1 - np.cos(2 * np.pi * (hour - 4) / 24) - 0.3 * np.cos(4 * np.pi * (hour - 1) / 24)

    level = np.exp(rng.uniform(np.log(1_000), np.log(30_000), (n_series, 1)))  # (N, 1)
    heating = rng.uniform(0.007, 0.013, (n_series, 1))
    cooling = rng.uniform(0.03, 0.05, (n_series, 1))

    weather = _simulate_weather(1 + n_series, n_hours, rng)  # (1 + N, L)
    temperature = (
        13
        - 12 * np.cos(2 * np.pi * (day - 20) / 365.25)
        - 4 * np.cos(2 * np.pi * (hour - 5) / 24)
        + 5 * (np.sqrt(0.8) * weather[:1] + np.sqrt(0.2) * weather[1:])
    )  # (N, L)

    demand = (
        1
        + 0.16 * activity * profile
        + heating * np.maximum(15 - temperature, 0)
        + cooling * np.maximum(temperature - 20, 0)
    )
    load = level * demand * np.exp(0.005 * rng.standard_normal((n_series, n_hours)))  # (N, L)

    regions = [f"region_{index:02d}" for index in range(n_series)]
    index = pd.MultiIndex.from_product([regions, time], names=["region", "time"])
    return pd.DataFrame({"load_mw": load.ravel()}, index=index)


def _generator(random_state: Any) -> np.random.RandomState | np.random.Generator:
    # Both kinds of generator have the methods that are called.
    if isinstance(random_state, np.random.RandomState | np.random.Generator):
        return random_state
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        msg = (
            f"The 'random_state' parameter of make_hourly_load must be None, a non-negative int, a "
            f"RandomState or a Generator. Got {random_state!r} instead."
        )
        raise ValueError(msg) from error


def _simulate_weather(
    n_series: int, n_hours: int, rng: np.random.RandomState | np.random.Generator
) -> np.ndarray:
    """Draw AR(2) series of mean 0 and variance 1 with roots 0.99 and 0.8: (n_series, n_hours)."""
    innovations = 0.0288 * rng.standard_normal((n_series, WEATHER_SPIN_UP + n_hours))
    return lfilter([1], [1, -1.79, 0.792], innovations)[:, WEATHER_SPIN_UP:]
