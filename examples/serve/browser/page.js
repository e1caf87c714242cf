import { Forecaster, range, rowsOf, text } from "./forecast.js";

// With ?csv=<address>, that file is forecast at once.
const asked = new URLSearchParams(location.search);
const element = (id) => document.getElementById(id);
const N_SHOWN = 24 * 7; // rows before the forecast
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [900, 360, 60, 30, 10];

let forecaster, rows;
ort.env.wasm.numThreads = 1; // more need headers that a simple server does not send
ort.env.wasm.wasmPaths = new URL("node_modules/onnxruntime-web/dist/", location.href).href;
await attempt(async () => {
  const answer = await fetch(asked.get("model") ?? "load.onnx");
  if (!answer.ok) throw new Error("There is no file load.onnx beside this page.");
  forecaster = await Forecaster.of(new Uint8Array(await answer.arrayBuffer()), ort);
  say("Choose a file.");
});
if (forecaster) {
  element("file").addEventListener("change", async (event) => read(await event.target.files[0].text()));
  element("horizon").addEventListener("change", () => rows && show());
  if (asked.get("csv")) await read(await (await fetch(asked.get("csv"))).text());
}

async function read(content) {
  await attempt(async () => {
    rows = rowsOf(content);
    await show();
  });
}

async function show() {
  await attempt(async () => {
    const start = performance.now();
    const forecast = await forecaster.forecast(rows, +element("horizon").value);
    const took = Math.round(performance.now() - start);
    draw(rows.slice(-N_SHOWN), forecast);
    const lines = forecast.map(({ time, value }) => `<tr><td>${text(time)}</td><td>${value.toFixed(3)}</td></tr>`);
    element("table").innerHTML = `<tr><th>Time</th><th>Forecast</th></tr>${lines.join("")}`;
    say(`${forecast.length} steps after ${text(rows.at(-1).time)}, in ${took} ms.`);
  });
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    say(error.message, true);
    element("figure").innerHTML = element("table").innerHTML = "";
  }
}

function say(sentence, isRefused = false) {
  element("status").textContent = sentence;
  element("status").classList.toggle("refused", isRefused);
}

function draw(observed, forecast) {
  const all = [...observed, ...forecast].filter(({ value }) => !Number.isNaN(value));
  const ticks = evenTicks(Math.min(...all.map((p) => p.value)), Math.max(...all.map((p) => p.value)));
  const [low, high] = [ticks[0], ticks.at(-1)];
  const [first, last] = [all[0].time, all.at(-1).time];
  const x = (time) => LEFT + ((WIDTH - LEFT - 10) * (time - first)) / (last - first);
  const y = (value) => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * (value - low)) / (high - low);
  const path = (points) => {
    let pen = "M";
    return points.map(({ time, value }) => {
      const part = Number.isNaN(value) ? "" : `${pen}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = part ? "L" : "M"; // a gap where a value is missing
      return part;
    }).join("");
  };
  const stamps = evenStamps(first, last);
  const joined = Number.isNaN(observed.at(-1).value) ? forecast : [observed.at(-1), ...forecast];
  element("figure").innerHTML = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"
      aria-label="The last rows and their forecast">
    ${ticks.map((v) => `<line class="grid" x1="${LEFT}" x2="${WIDTH - 10}" y1="${y(v)}" y2="${y(v)}" />
      <text x="${LEFT - 8}" y="${y(v) + 4}" text-anchor="end">${+v.toPrecision(6)}</text>`).join("")}
    ${stamps.map((t) => `<line class="grid" x1="${x(t)}" x2="${x(t)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}" />
      <text x="${x(t)}" y="${HEIGHT - 8}" text-anchor="middle">${text(t).replace(" 00:00", "")}</text>`).join("")}
    <path class="observed" d="${path(observed)}" />
    <path class="forecast" d="${path(joined)}" />
    <text x="${LEFT + 10}" y="${TOP + 14}">observed</text>
    <text x="${LEFT + 80}" y="${TOP + 14}" style="fill:#d1495b">forecast</text>
  </svg>`;
}

/** About five round numbers that cover a range. */
function evenTicks(low, high) {
  const rough = (high - low || Math.abs(low) || 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((k) => k * power >= rough);
  const first = Math.floor(low / step);
  return Array.from({ length: Math.ceil(high / step) - first + 1 }, (_, k) => (first + k) * step);
}

/** A few times, at midnight where the range is longer than some days. */
function evenStamps(first, last) {
  const day = 86_400;
  const span = (last - first) / 5;
  const step = span > day / 2 ? Math.ceil(span / day) * day : span;
  const start = span > day / 2 ? Math.ceil(first / day) * day : first + span / 2;
  return range(0, Math.floor((last - start) / step)).map((k) => start + k * step)
    .filter((t) => t - first > 0.4 * span && last - t > 0.4 * span);
}
