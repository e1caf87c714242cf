"""The page of examples/serve/browser, in headless Chromium: it forecasts what the forecaster does.

Run `npm install` in its folder first, and install Chromium; without, the test is skipped.
"""

import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from skrnn import GRUForecaster
from skrnn.datasets import make_hourly_load

PAGE = Path(__file__).parents[1] / "examples" / "serve" / "browser"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not (PAGE / "node_modules").is_dir(), reason="needs npm install"),
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Address of the page, its folder, the data and the forecaster whose file is there."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("index.html", "page.js", "forecast.js"):
        shutil.copy(PAGE / name, folder)
    (folder / "node_modules").symlink_to(PAGE / "node_modules")
    y = make_hourly_load(n_series=1, n_hours=700, random_state=0).droplevel(0)
    y.iloc[300:303] = np.nan
    settings = {"hidden_size": 4, "num_epochs": 1, "window_length": 24, "random_state": 0}
    forecaster = GRUForecaster(**settings).fit(y)
    forecaster.to_onnx(folder / "load.onnx")
    y.to_csv(folder / "load.csv", date_format="%Y-%m-%d %H:%M")
    y.drop(y.index[500]).to_csv(folder / "uneven.csv", date_format="%Y-%m-%d %H:%M")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html", folder, y, forecaster
    server.shutdown()


def page(address, folder, profile):
    """The page when all is done, as HTML."""
    options = ["--virtual-time-budget=60000", "--dump-dom", f"--user-data-dir={folder / profile}"]
    command = [CHROMIUM, *QUIET, *options, address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_csv_file_is_forecast_and_drawn(site):
    address, folder, _y, forecaster = site
    html = page(f"{address}?csv=load.csv", folder, "good")
    rows = re.findall(r"<tr><td>(.{16})</td><td>(.*?)</td></tr>", html)
    expected = forecaster.predict(fh=range(1, 49))
    assert [stamp for stamp, _ in rows] == expected.index.strftime("%Y-%m-%d %H:%M").tolist()
    values = [float(value) for _, value in rows]
    np.testing.assert_allclose(values, expected["load_mw"], rtol=1e-5, atol=1e-3)
    line = re.search(r'class="forecast" d="(.*?)"', html).group(1)
    assert len(line.split("L")) == 49  # the last row, and 48 steps


def test_a_bad_file_is_refused_in_a_sentence(site):
    address, folder, y, _ = site
    html = page(f"{address}?csv=uneven.csv", folder, "bad")
    before, after = (y.index[k].strftime("%Y-%m-%d %H:%M") for k in (499, 501))
    assert f"must be evenly spaced in time and ascend, but {after} follows {before}" in html
    assert "<svg" not in html
