"""The command line: it writes what the package computes, and answers errors in one sentence."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import skrnn
from skrnn import GRUForecaster, LSTMForecaster, backtest, load
from skrnn.command.arguments import layout_of, parser
from skrnn.command_line import main

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = {"hidden_size": 4, "num_epochs": 2}
SET = ["--set", "hidden_size=4", "num_epochs=2"]
DAYS = pd.date_range("2024-01-01", periods=70, name="date")
N_KNOWN = 60  # later rows have no sales yet


def sales(shop="a"):
    """Two months of sales and ten days of plans, as rows of a file."""
    rng = np.random.default_rng(ord(shop))
    price = rng.choice([8.0, 10.0], len(DAYS))
    sold = 20 + 3.0 * (DAYS.dayofweek == 5) - price + rng.random(len(DAYS))
    table = pd.DataFrame(
        {
            "shop": shop,
            "date": DAYS,
            "sold": sold,
            "returned": sold / 10,
            "price": price,
            "plan": np.where(DAYS.dayofweek == 5, "market", "quiet"),
            "sun": rng.random(len(DAYS)),
        }
    )
    table.loc[N_KNOWN:, ["sold", "returned", "sun"]] = np.nan
    return table


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sales.csv"
    sales().to_csv(path, index=False)
    return str(path)


@pytest.fixture
def panel_file(tmp_path):
    path = tmp_path / "shops.csv"
    pd.concat([sales("b"), sales("a")]).to_csv(path, index=False)
    return str(path)


def run(command, path, *options, target="sold", horizon=3):
    return main(
        [
            command,
            path,
            "--time=date",
            "--target",
            *target.split(),
            f"--horizon={horizon}",
            "--quiet",
            *options,
        ]
    )


def output(capsys, **options):
    return pd.read_csv(io.StringIO(capsys.readouterr().out), **options)


def series(name="sold"):
    return sales().set_index("date")[[name]][:N_KNOWN].asfreq("D")


def test_forecasts_are_those_of_the_package(file, capsys):
    assert run("forecast", file, *SET) == 0
    expected = GRUForecaster(**SETTINGS, random_state=0).fit(series()).predict(fh=[1, 2, 3])
    table = output(capsys, parse_dates=["date"])
    assert list(table.columns) == ["date", "sold"]
    assert list(table["date"]) == list(DAYS[N_KNOWN : N_KNOWN + 3])
    np.testing.assert_allclose(table["sold"], expected["sold"], rtol=1e-6)


def test_covariates_intervals_cell_strategy_and_seed_reach_the_forecaster(file, tmp_path):
    out = tmp_path / "forecast.csv"
    options = [
        "--known",
        "price",
        "plan",
        "--past=sun",
        "--interval",
        "0.5",
        "0.9",
        "--cell=lstm",
        "--strategy=multioutput",
        "--seed=7",
        "--set",
        "validation_split=0.3",
        f"--out={out}",
    ]
    assert run("forecast", file, *SET, *options) == 0
    X = sales().set_index("date")[["price", "plan", "sun"]]
    forecaster = LSTMForecaster(
        **SETTINGS,
        strategy="multioutput",
        past_covariates=["sun"],
        validation_split=0.3,
        random_state=7,
    )
    forecaster.fit(series(), X[:N_KNOWN], fh=[1, 2, 3])
    ahead = X[["price", "plan"]]
    expected = forecaster.predict_interval(X=ahead, coverage=[0.5, 0.9]).to_numpy()
    table = pd.read_csv(out)
    ends = [f"sold_{end}_{c}" for c in (0.5, 0.9) for end in ("lower", "upper")]
    assert list(table.columns) == ["date", "sold", *ends]
    np.testing.assert_allclose(table["sold"], forecaster.predict(X=ahead)["sold"], rtol=1e-6)
    np.testing.assert_allclose(table[ends], expected, rtol=1e-6)


def test_a_panel_of_two_targets_is_forecast_series_by_series(panel_file, capsys):
    assert run("forecast", panel_file, "--series=shop", *SET, target="sold returned") == 0
    known = pd.concat([sales("a")[:N_KNOWN], sales("b")[:N_KNOWN]]).set_index(["shop", "date"])
    forecaster = GRUForecaster(**SETTINGS, random_state=0).fit(known[["sold", "returned"]])
    table = output(capsys)
    assert list(table["shop"]) == ["a"] * 3 + ["b"] * 3
    expected = forecaster.predict(fh=[1, 2, 3])
    np.testing.assert_allclose(table[["sold", "returned"]], expected, rtol=1e-6)


def test_a_saved_forecaster_forecasts_from_later_rows_without_training(file, tmp_path, capsys):
    whole, start, model = sales()[:N_KNOWN], tmp_path / "start.csv", tmp_path / "sales.skrnn"
    whole[: N_KNOWN - 5].to_csv(start, index=False)
    assert run("forecast", str(start), *SET, f"--save={model}") == 0
    capsys.readouterr()
    assert run("forecast", file, f"--load={model}") == 0
    forecaster = load(model).update(series()[N_KNOWN - 5 :], update_params=False)
    np.testing.assert_allclose(
        output(capsys)["sold"], forecaster.predict(fh=[1, 2, 3])["sold"], rtol=1e-6
    )


def test_a_forecaster_saved_in_python_takes_the_names_of_the_file(file, tmp_path, capsys):
    forecaster = GRUForecaster(**SETTINGS, validation_split=0.3, random_state=0)
    forecaster.fit(series()["sold"].rename("units"))
    skrnn.save(forecaster, tmp_path / "units.skrnn")
    assert run("forecast", file, f"--load={tmp_path / 'units.skrnn'}", "--interval=0.9") == 0
    table = output(capsys)
    assert list(table.columns) == ["date", "sold", "sold_lower_0.9", "sold_upper_0.9"]
    expected = forecaster.predict_interval(fh=[1, 2, 3], coverage=0.9)
    np.testing.assert_allclose(table.iloc[:, 2:], expected, rtol=1e-6)


def test_backtest_prints_the_scores_of_the_backtest_of_the_package(file, capsys):
    assert run("backtest", file, "--train=0.75", "--every=2", *SET) == 0
    lines = capsys.readouterr().out.splitlines()
    y = series()
    forecaster = GRUForecaster(**SETTINGS, random_state=0).fit(y[:46])
    table = backtest(forecaster, y, fh=[1, 2, 3], start=45, step_length=2)
    error = (table["y_true"] - table["y_pred"]).abs()
    printed = dict(zip(lines[0].split(), lines[-1].split()[1:], strict=True))
    assert lines[-1].split()[0] == "all"
    assert float(printed["MAE"]) == pytest.approx(error.mean(), rel=1e-3)
    naive = [
        abs(y["sold"][t] - y["sold"][t - pd.Timedelta(days=7)])
        for t in table.index.get_level_values("time")
    ]
    assert float(printed["MAE_naive"]) == pytest.approx(np.mean(naive), rel=1e-3)
    assert int(printed["forecasts"]) == len(table)


def test_backtest_writes_the_scores_of_each_target_and_interval(panel_file, tmp_path):
    out = tmp_path / "scores.csv"
    options = ["--series=shop", "--set", "validation_split=0.3", "--interval=0.8", f"--out={out}"]
    assert run("backtest", panel_file, *SET, *options, target="sold returned", horizon=2) == 0
    table = pd.read_csv(out)
    assert list(table["target"]) == ["sold"] * 3 + ["returned"] * 3
    assert list(table["horizon"]) == ["1", "2", "all"] * 2
    assert table["inside_0.8"].between(0, 1).all()


def test_the_figure_shows_every_series(panel_file, tmp_path, capsys):
    import matplotlib.image

    path = tmp_path / "forecast.png"
    assert run("forecast", panel_file, "--series=shop", *SET, f"--plot={path}") == 0
    height, width, _ = matplotlib.image.imread(path).shape
    assert (height, width) == (150 * 7, 150 * 10)  # two axes of 3 inches, and 1


def test_notes_are_on_standard_error(file, tmp_path, capsys):
    out = tmp_path / "forecast.csv"
    arguments = ["forecast", file, "--time=date", "--target=sold", "--horizon=3", f"--out={out}"]
    assert main([*arguments, *SET]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"3 rows of forecasts are in {out}.\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--set", "hiden_size=4"], "Got 'hiden_size' instead; did you mean hidden_size"),
        (["--set", "hidden_size=0"], "The 'hidden_size' parameter of GRUForecaster must be"),
        (["--known=price", "--horizon=11"], "11 times to forecast, but 1 are missing"),
        (["--out=/nowhere/forecast.csv"], "in a folder that exists, but /nowhere/forecast.csv"),
        (["--plot=forecast.docx"], "a file of one of the kinds"),
        (["--load=none.skrnn", "--cell=gru"], "--cell cannot be given with it"),
        (["--load=none.skrnn"], "No such file or directory: 'none.skrnn'"),
        (["--target=solt"], "one column 'solt', but its columns are"),
    ],
)
def test_what_is_refused_is_one_sentence_and_code_1(file, capsys, options, sentence):
    assert run("forecast", file, *options) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("skrnn: ")
    assert sentence in captured.err
    assert captured.err.count("\n") == 1


def test_a_backtest_without_room_is_refused_before_training(file, capsys):
    assert run("backtest", file, horizon=20) == 1
    assert "At least 20 rows must follow the training rows, but these are 49 of 60. Lower" in (
        capsys.readouterr().err
    )


def test_debug_shows_where_an_error_comes_from(file):
    with pytest.raises(ValueError, match="hiden_size"):
        run("forecast", file, "--set", "hiden_size=4", "--debug")


@pytest.mark.parametrize(
    "arguments",
    [
        ["forecast"],
        ["forecast", "a.csv", "--time=t", "--target=y"],
        ["forecast", "a.csv", "--time=t", "--target=y", "--horizon=0"],
        ["forecast", "a.csv", "--time=t", "--target=y", "--horizon=1", "--interval=90"],
        ["forecast", "a.csv", "--time=t", "--target=y", "--horizon=1", "--set", "hidden_size"],
        ["forecast", "a.csv", "--time=t", "--target=y", "--horizon=1", "--time-zone=Berlin"],
        ["predict"],
    ],
)
def test_wrong_usage_is_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "usage: skrnn" in capsys.readouterr().err


def test_ctrl_c_is_code_130(file, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("skrnn.command_line.read_data", interrupted)
    assert run("forecast", file) == 130


def test_warnings_are_one_line(tmp_path, capsys):
    table = sales()[["date", "sold"]][:N_KNOWN]
    table.loc[30, "sold"] = 1e9
    table.to_csv(tmp_path / "glitch.csv", index=False)
    assert run("forecast", str(tmp_path / "glitch.csv"), *SET) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("skrnn: warning: ")
    assert "2024-01-31" in line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("hidden_size=32", 32),
        ("lr=1e-3", 1e-3),
        ("scaler=None", None),
        ("holidays=US", "US"),
        ("sp=24,168", (24, 168)),
        ("calendar=hour,dayofweek", ["hour", "dayofweek"]),
        ("holidays=2024-02-19,2024-12-25", ["2024-02-19", "2024-12-25"]),
        ("forecast_range=(0, None)", (0, None)),
        ("criterion=a=b", "a=b"),
    ],
)
def test_settings_are_read_as_python_or_as_text(text, value):
    arguments = ["forecast", "a.csv", "--time=t", "--target=y", "--horizon=1", "--set", text]
    ((_, read),) = parser().parse_args(arguments).set
    assert read == value


def test_a_category_is_known_in_advance():
    arguments = [
        "forecast",
        "a.csv",
        "--time=t",
        "--target=y",
        "--horizon=1",
        "--known",
        "price",
        "kind",
        "--category",
        "kind",
        "shelf",
    ]
    layout = layout_of(parser().parse_args(arguments))
    assert layout.known == ["price", "kind", "shelf"]
    assert layout.category == ["kind", "shelf"]


def test_the_module_is_the_same_program(file):
    arguments = ["forecast", file, "--time=date", "--target=sold", "--horizon=1", "--set", "lr=-1"]
    command = [sys.executable, "-m", "skrnn", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("skrnn: The 'lr' parameter of GRUForecaster must be")
    assert "Traceback" not in done.stderr


def test_without_a_command_the_report_is_printed(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.startswith(f"skrnn {skrnn.__version__}\n")
