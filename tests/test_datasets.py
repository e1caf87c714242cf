"""The real PJM files by value, every way of not getting them, and the synthetic series."""

import functools
import hashlib
import http.server
import os
import re
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sktime.datatypes import check_is_mtype

from skrnn import datasets
from skrnn.datasets import PJM_SHA256, fetch_pjm_load, make_hourly_load

REPOSITORY = Path(__file__).parents[1]
REGIONS = [
    "AEP", "COMED", "DAYTON", "DEOK", "DOM", "DUQ",
    "EKPC", "FE", "NI", "PJME", "PJMW", "PJM_Load",
]  # fmt: skip

# Read before any test changes the environment.
PJM_FOLDERS = [
    Path(folder).expanduser()
    for folder in (os.environ.get("SKRNN_DATA"), REPOSITORY.parent / "shared" / "data" / "pjm")
    if folder
]


@pytest.fixture(scope="module")
def pjm_folder():
    for folder in PJM_FOLDERS:
        if (folder / "AEP_hourly.csv").exists():
            return folder
    pytest.skip("the PJM files are neither in SKRNN_DATA nor in ../shared/data/pjm")


@pytest.fixture(scope="module")
def regular(pjm_folder):
    return fetch_pjm_load(data_home=pjm_folder, add_observed=True)


@pytest.fixture(scope="module")
def published(pjm_folder):
    return fetch_pjm_load(data_home=pjm_folder, regular=False)


@pytest.fixture
def without_pooch(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)


@pytest.fixture
def server(pjm_folder, tmp_path, monkeypatch):
    """Stand in for GitHub: serve a folder that holds EKPC, and yield that folder."""
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copyfile(pjm_folder / "EKPC_hourly.csv", folder / "EKPC_hourly.csv")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(datasets, "PJM_URL", f"http://127.0.0.1:{httpd.server_port}/")
        yield folder
        httpd.shutdown()


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


# The real files, regular


def test_checksums_are_those_of_the_files(pjm_folder):
    found = {
        region: hashlib.sha256((pjm_folder / f"{region}_hourly.csv").read_bytes()).hexdigest()
        for region in REGIONS
    }
    assert found == PJM_SHA256


def test_regular_panel_is_valid_for_sktime(regular):
    assert check_is_mtype(regular, "pd-multiindex", scitype="Panel")
    assert list(regular.index.names) == ["region", "time"]
    assert regular["load_mw"].dtype == "float64"
    assert regular["observed"].dtype == "bool"


def test_default_is_all_regions_in_alphabetical_order(regular):
    assert regular.index.unique("region").tolist() == REGIONS


def test_regular_panel_has_one_row_per_hour_between_first_and_last(regular, published):
    for region in REGIONS:
        grid = regular.loc[region].index
        times = published.loc[region].index
        assert (grid[1:] - grid[:-1] == pd.Timedelta("1h")).all()
        assert (grid[0], grid[-1]) == (times[0], times[-1])


def test_duplicated_hour_is_averaged(regular):
    # Two rows at the end of daylight saving: 12,994 and 13,190 MW.
    hour = regular.loc[("AEP", pd.Timestamp("2014-11-02 02:00"))]
    assert hour["load_mw"] == 13092.0
    assert hour["observed"]


def test_missing_hour_lies_halfway_between_its_neighbours(regular):
    # 2010-12-10 00:00 is missing; 23:00 and 01:00 have 19,078 and 17,373 MW.
    hour = regular.loc[("AEP", pd.Timestamp("2010-12-10 00:00"))]
    assert hour["load_mw"] == (19078.0 + 17373.0) / 2
    assert not hour["observed"]


def test_observed_hours_are_the_published_hours(regular, published):
    observed = regular.index[regular["observed"]]
    assert observed.equals(published.index.unique())


def test_hours_published_once_keep_their_value(regular, published):
    once = published[~published.index.duplicated(keep=False)]
    pd.testing.assert_frame_equal(regular.loc[once.index, ["load_mw"]], once)


def test_the_only_zero_is_the_first_hour_of_fe(regular):
    zeros = regular.index[regular["load_mw"] == 0]
    assert zeros.tolist() == [("FE", pd.Timestamp("2011-06-01 01:00"))]


def test_readme_table_states_what_the_files_hold(regular, published):
    readme = (REPOSITORY / "data" / "README.md").read_text(encoding="utf-8")
    for region in REGIONS:
        times = published.loc[region].index
        cells = [
            region,
            f"{len(times):,}",
            f"{times[0]:%Y-%m-%d %H:%M}",
            f"{times[-1]:%Y-%m-%d %H:%M}",
            f"{times.duplicated().sum()}",
            f"{(~regular.loc[region, 'observed']).sum()}",
        ]
        assert f"| {' | '.join(cells)} |" in readme
        assert f"{PJM_SHA256[region]}  {region}_hourly.csv" in readme


# The real files, as published


def test_published_panel_keeps_every_row(published):
    assert len(published) == 1_090_167
    counts = published.groupby("region").size()
    assert counts[["AEP", "PJME", "PJM_Load"]].tolist() == [121_273, 145_366, 32_896]


def test_published_rows_are_sorted_by_time(published):
    for region in REGIONS:
        assert published.loc[region].index.is_monotonic_increasing


def test_rows_of_one_hour_keep_their_order_in_the_file(published):
    hour = published.loc[("DEOK", pd.Timestamp("2017-11-05 02:00")), "load_mw"]
    assert hour.tolist() == [2064.0, 1044.0]


def test_published_rows_are_all_observed(pjm_folder):
    load = fetch_pjm_load("EKPC", data_home=pjm_folder, regular=False, add_observed=True)
    assert len(load) == 45_334
    assert load["observed"].all()


# The regions asked for


def test_regions_keep_the_order_asked_for(pjm_folder, regular):
    load = fetch_pjm_load(["PJM_Load", "EKPC"], data_home=pjm_folder)
    assert load.index.unique("region").tolist() == ["PJM_Load", "EKPC"]
    assert load.columns.tolist() == ["load_mw"]
    expected = pd.concat([regular.loc[["PJM_Load"]], regular.loc[["EKPC"]]])
    pd.testing.assert_frame_equal(load, expected[["load_mw"]])


def test_one_region_may_be_named_without_a_list(pjm_folder, regular):
    load = fetch_pjm_load("EKPC", data_home=pjm_folder)
    pd.testing.assert_frame_equal(load, regular.loc[["EKPC"], ["load_mw"]])


@pytest.mark.parametrize("regions", ["aep", ["AEP", "ERCOT"], ["AEP", "AEP"], []])
def test_regions_that_are_unknown_repeated_or_none_are_refused(regions, tmp_path):
    expected = f"different regions among AEP, COMED, .*Got {re.escape(repr(regions))} instead"
    with pytest.raises(ValueError, match=expected):
        fetch_pjm_load(regions, data_home=tmp_path)


# Where the files are


@pytest.mark.parametrize("regions", [5, 1.5, True, [5], [["AEP"]], [None], b"AEP"])
def test_regions_that_are_no_names_are_refused(regions, tmp_path):
    with pytest.raises(TypeError, match="'regions' parameter of fetch_pjm_load must be None, or"):
        fetch_pjm_load(regions, data_home=tmp_path, download_if_missing=False)


@pytest.mark.parametrize("data_home", [5, True, ["data"]])
def test_a_folder_that_is_no_path_is_refused(data_home):
    with pytest.raises(TypeError, match="'data_home' parameter of fetch_pjm_load must be a path"):
        fetch_pjm_load("AEP", data_home=data_home, download_if_missing=False)


def test_files_in_the_folder_need_no_pooch(pjm_folder, without_pooch):
    load = fetch_pjm_load("EKPC", data_home=pjm_folder)
    assert load["load_mw"].iloc[0] == 1166.0


def test_environment_variable_names_the_folder(pjm_folder, without_pooch, monkeypatch):
    monkeypatch.setenv("SKRNN_DATA", str(pjm_folder))
    assert fetch_pjm_load("EKPC")["load_mw"].iloc[0] == 1166.0


def test_data_home_goes_before_the_environment_variable(pjm_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SKRNN_DATA", str(pjm_folder))
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "EKPC_hourly.csv"))):
        fetch_pjm_load("EKPC", data_home=tmp_path, download_if_missing=False)


@pytest.mark.parametrize("value", [None, ""])
def test_default_folder_is_the_cache_of_pooch(value, tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(pooch, "os_cache", tmp_path.joinpath)
    monkeypatch.delenv("SKRNN_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("SKRNN_DATA", value)
    expected = re.escape(str(tmp_path / "skrnn" / "EKPC_hourly.csv"))
    with pytest.raises(FileNotFoundError, match=expected):
        fetch_pjm_load("EKPC", download_if_missing=False)


# Every way of not getting them


def test_damaged_file_is_refused(pjm_folder, tmp_path):
    path = tmp_path / "EKPC_hourly.csv"
    shutil.copyfile(pjm_folder / path.name, path)
    flip_a_byte(path)
    with pytest.raises(ValueError, match=f"{PJM_SHA256['EKPC']}, but it has .*Delete it"):
        fetch_pjm_load("EKPC", data_home=tmp_path)


def test_missing_file_without_download_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"set data_home .*or use make_hourly_load"):
        fetch_pjm_load("EKPC", data_home=tmp_path, download_if_missing=False)


def test_missing_file_without_pooch_says_how_to_install_it(tmp_path, without_pooch):
    expected = r"Downloading 'EKPC_hourly.csv' .* needs pooch.*pip install \"skrnn\[datasets\]\""
    with pytest.raises(ImportError, match=expected):
        fetch_pjm_load("EKPC", data_home=tmp_path)


def test_default_folder_without_pooch_says_how_to_install_it(without_pooch, monkeypatch):
    monkeypatch.delenv("SKRNN_DATA", raising=False)
    with pytest.raises(ImportError, match=r"default data folder needs pooch.*set data_home"):
        fetch_pjm_load("EKPC")


def test_without_a_network_the_way_out_is_named(tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    requests = pytest.importorskip("requests")

    def refuse(*args, **kwargs):
        raise requests.exceptions.ConnectionError("name resolution failed")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(OSError, match=r"\(ConnectionError\)\. Connect .*or use make_hourly_load"):
        fetch_pjm_load("EKPC", data_home=tmp_path)


def test_silent_server_is_given_up(tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    assert sum(datasets.DOWNLOAD_TIMEOUT) <= 30
    monkeypatch.setattr(datasets, "DOWNLOAD_TIMEOUT", (0.2, 0.2))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(datasets, "PJM_URL", url)
        start = time.perf_counter()
        with pytest.raises(OSError, match=r"could not be downloaded .*\(ReadTimeout\)"):
            fetch_pjm_load("EKPC", data_home=tmp_path)
    assert time.perf_counter() - start < 5


def test_url_is_pinned_to_a_commit_over_https():
    assert re.fullmatch(
        r"https://raw\.githubusercontent\.com/gabrielloye/GRU_Prediction/[0-9a-f]{40}/data/",
        datasets.PJM_URL,
    )


def test_download_is_kept_for_the_next_time(server, tmp_path, regular, monkeypatch):
    pytest.importorskip("pooch")
    folder = tmp_path / "not" / "there" / "yet"
    load = fetch_pjm_load("EKPC", data_home=folder)
    pd.testing.assert_frame_equal(load, regular.loc[["EKPC"], ["load_mw"]])

    monkeypatch.setitem(sys.modules, "pooch", None)
    pd.testing.assert_frame_equal(fetch_pjm_load("EKPC", data_home=folder), load)


def test_damaged_download_is_thrown_away(server, tmp_path):
    pytest.importorskip("pooch")
    flip_a_byte(server / "EKPC_hourly.csv")
    with pytest.raises(ValueError, match=f"{PJM_SHA256['EKPC']}, but it does not.*Try again"):
        fetch_pjm_load("EKPC", data_home=tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_file_the_server_does_not_have_is_an_error(server, tmp_path):
    pytest.importorskip("pooch")
    with pytest.raises(OSError, match=r"AEP_hourly\.csv could not be downloaded .*\(HTTPError\)"):
        fetch_pjm_load("AEP", data_home=tmp_path / "data")


# The synthetic series


@pytest.fixture(scope="module")
def synthetic():
    """Hourly loads of four regions over two years: time by region."""
    return make_hourly_load(n_series=4, random_state=0)["load_mw"].unstack("region")


def test_synthetic_panel_is_valid_for_sktime():
    load = make_hourly_load(n_series=3, n_hours=50, random_state=0)
    assert check_is_mtype(load, "pd-multiindex", scitype="Panel")
    assert list(load.index.names) == ["region", "time"]
    assert load.columns.tolist() == ["load_mw"]
    assert load.index.unique("region").tolist() == ["region_00", "region_01", "region_02"]
    assert load.index[0][1] == pd.Timestamp("2017-01-01 01:00")
    assert load.index[-1][1] == pd.Timestamp("2017-01-03 02:00")


def test_synthetic_and_real_panels_have_the_same_dtypes(regular):
    load = make_hourly_load(n_series=1, n_hours=1)
    assert load.index.dtypes.tolist() == regular.index.dtypes.tolist()
    assert load.dtypes["load_mw"] == regular.dtypes["load_mw"]


def test_default_is_twelve_series_of_two_years():
    load = make_hourly_load(random_state=0)
    assert load.groupby("region").size().tolist() == [2 * 365 * 24] * 12
    assert load.index[-1][1] == pd.Timestamp("2019-01-01 00:00")


def test_same_seed_gives_the_same_series():
    first, again, other = (make_hourly_load(2, 100, random_state=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first, other, rtol=0.01)


def test_no_seed_gives_new_series():
    assert not np.allclose(make_hourly_load(2, 100), make_hourly_load(2, 100), rtol=0.01)


@pytest.mark.parametrize("generator", [np.random.RandomState, np.random.default_rng])
def test_generator_is_drawn_from(generator):
    rng = generator(3)
    first, second = make_hourly_load(2, 100, rng), make_hourly_load(2, 100, rng)
    pd.testing.assert_frame_equal(first, make_hourly_load(2, 100, generator(3)))
    assert not np.allclose(first, second, rtol=0.01)


@pytest.mark.parametrize("random_state", [None, 0])
def test_global_rng_is_untouched(random_state):
    before = np.random.get_state()
    make_hourly_load(2, 100, random_state)
    after = np.random.get_state()
    assert before[2:] == after[2:]
    np.testing.assert_array_equal(before[1], after[1])


def test_synthetic_load_is_positive():
    for seed in range(5):
        assert make_hourly_load(random_state=seed)["load_mw"].min() > 500


def test_regions_differ_in_level(synthetic):
    means = synthetic.mean()
    assert means.max() / means.min() > 3


def test_load_repeats_after_a_day_and_turns_after_half_a_day(synthetic):
    within_day = synthetic - synthetic.rolling(24, center=True).mean()
    for region in within_day:
        assert within_day[region].autocorr(24) > 0.85
        assert within_day[region].autocorr(12) < -0.7


def test_daily_mean_repeats_after_a_week_only(synthetic):
    # The days by the hours they contain: the hour stamped 00:00 is the last of its day.
    changes = synthetic.resample("D", closed="right").mean().diff()
    for region in changes:
        autocorrelation = [changes[region].autocorr(lag) for lag in range(1, 8)]
        assert autocorrelation[6] > 0.35
        assert max(autocorrelation[:6]) < 0.2


def test_hour_stamped_midnight_belongs_to_the_day_that_ends(synthetic):
    # So the last step of a Friday, 23:00 to Saturday 00:00, is a working day's like a Tuesday's;
    # with Saturday's activity it would be 2 % lower.
    steps = np.log(synthetic).diff().mean(axis=1)
    steps = steps[steps.index.hour == 0]
    means = steps.groupby(steps.index.dayofweek).mean()
    assert abs(means[5] - means[2]) < 0.005


def test_load_is_higher_in_winter_and_summer_than_between(synthetic):
    months = synthetic.groupby(synthetic.index.month).mean()
    assert (months.loc[[1, 2]].mean() > 1.03 * months.loc[[4, 10]].mean()).all()
    assert (months.loc[[7, 8]].mean() > 1.05 * months.loc[[4, 10]].mean()).all()


def test_regions_share_their_weather(synthetic):
    # Changes from one week to the next, free of the working week.
    changes = synthetic.resample("W").mean().diff().corr()
    assert changes.min(axis=None) > 0.6


def test_next_hour_can_be_learnt(synthetic):
    load = synthetic["region_00"]
    inputs = pd.concat([load.shift(lag) for lag in (1, 2, 3, 24, 25, 168, 169)], axis=1).dropna()
    target = load[inputs.index]
    half = len(target) // 2
    weights = np.linalg.lstsq(inputs[:half], target[:half], rcond=None)[0]
    learnt = (inputs[half:] @ weights - target[half:]).abs().mean()
    naive = (inputs.iloc[half:, 0] - target[half:]).abs().mean()
    assert learnt < 0.012 * target.mean()
    assert learnt < naive / 2


@pytest.mark.parametrize("parameter", ["n_series", "n_hours"])
@pytest.mark.parametrize("value", [0, 2.5, True, "3", None])
def test_sizes_must_be_positive_ints(parameter, value):
    expected = re.escape(f"The '{parameter}' parameter of make_hourly_load must be an int")
    with pytest.raises(ValueError, match=f"{expected}.*Got {value!r} instead"):
        make_hourly_load(**{parameter: value})


@pytest.mark.parametrize("random_state", ["a", -1, 1.5])
def test_random_state_must_be_a_seed_or_a_generator(random_state):
    with pytest.raises(ValueError, match="'random_state' parameter of make_hourly_load must be"):
        make_hourly_load(2, 5, random_state)
