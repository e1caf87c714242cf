// From the text of a CSV file to forecasts, by a file that skrnn's `to_onnx` has written.

export class Forecaster {
  /** @param {Uint8Array} content of the file */
  static async of(content, ort) {
    const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
    return new Forecaster(session, metadataOf(content), ort);
  }

  constructor(session, about, ort) {
    [this.session, this.about, this.ort] = [session, about, ort];
    const { columns, series, past_covariates, X_numbers, X_categories } = about;
    const X = [...past_covariates, ...X_numbers, ...Object.keys(X_categories)];
    refuse(columns.length > 1 || series || X.length, "This page forecasts one series without X, " +
      "but the model was fitted to more.");
  }

  /** Forecast so many steps after the last row; [{time, value}]. */
  async forecast(rows, steps) {
    const { about, ort } = this;
    if (about.horizons !== "any") steps = about.horizons.at(-1);
    refuse(!(steps >= 1 && steps <= 1000), "The number of steps must be between 1 and 1000.");
    // More rows do not change the forecast; gaps are filled from a season before.
    rows = rows.slice(-(about.context + about.longest_season));
    const step = evenStep(rows);
    const times = rows.map((row) => row.time);
    for (let k = 1; k <= steps; k++) times.push(times[rows.length - 1] + k * step);
    const values = Float64Array.from(rows, (row) => row.value);
    const { forecast } = await this.session.run({
      y: new ort.Tensor("float64", values, [1, rows.length, 1]),
      time: new ort.Tensor("int64", BigInt64Array.from(times, BigInt), [1, times.length]),
      series: new ort.Tensor("int64", BigInt64Array.of(0n), [1]),
    }, ["forecast"]);
    const horizons = about.horizons === "any" ? range(1, steps) : about.horizons;
    return horizons.map((h, j) => ({ time: times[rows.length - 1 + h], value: forecast.data[j] }));
  }
}

/** Rows of a CSV file with a header: seconds since 1970 and a number, NaN where none is given. */
export function rowsOf(text) {
  const lines = text.trim().split(/\r?\n/).slice(1);
  refuse(!lines.length, "The file must hold a header and rows, but it has none.");
  return lines.map((line, k) => {
    const [stamp, value = ""] = line.split(",");
    const time = Date.parse(/T|\d \d/.test(stamp) ? `${stamp.trim().replace(" ", "T")}Z` : stamp) / 1000;
    const missing = ["", "nan", "na"].includes(value.trim().toLowerCase());
    refuse(Number.isNaN(time), `Row ${k + 2} must begin with a date, but has "${stamp}".`);
    refuse(!missing && !Number.isFinite(+value), `Row ${k + 2} must hold a number, but has "${value}".`);
    return { time, value: missing ? NaN : +value };
  });
}

/** Seconds from row to row. */
function evenStep(rows) {
  refuse(rows.length < 2, "The file must hold two rows at least.");
  const step = rows[1].time - rows[0].time;
  const odd = rows.findIndex((row, k) => k > 0 && row.time - rows[k - 1].time !== step);
  refuse(!(step > 0) || odd > 0, `Rows must be evenly spaced in time and ascend, but ` +
    `${text(rows[Math.max(odd, 1)].time)} follows ${text(rows[Math.max(odd, 1) - 1].time)}. ` +
    `Leave the value empty where one is missing.`);
  return step;
}

export const text = (seconds) => new Date(1000 * seconds).toISOString().slice(0, 16).replace("T", " ");
export const range = (first, last) => Array.from({ length: last - first + 1 }, (_, k) => first + k);

export function refuse(isWrong, sentence) {
  if (isWrong) throw new Error(sentence);
}

/**
 * The metadata of an ONNX file, which onnxruntime-web does not give: field 14 of its protocol buffer
 * is a list of pairs of texts, whose second one is JSON.
 */
function metadataOf(content) {
  const about = {};
  for (const [field, value] of fieldsOf(content)) {
    if (field !== 14) continue;
    const pair = new Map(fieldsOf(value));
    const [name, json] = [pair.get(1), pair.get(2)].map((part) => new TextDecoder().decode(part));
    about[name] = JSON.parse(json);
  }
  return about;
}

/** Fields of a message that are bytes, as [number, content]; numbers are passed over. */
function* fieldsOf(bytes) {
  let at = 0;
  const varint = () => {
    let result = 0, scale = 1, byte;
    do {
      byte = bytes[at++];
      result += (byte & 127) * scale;
      scale *= 128;
    } while (byte & 128);
    return result;
  };
  while (at < bytes.length) {
    const key = varint();
    const kind = key % 8;
    if (kind === 0) varint();
    else if (kind === 2) {
      const length = varint();
      yield [(key - kind) / 8, bytes.subarray(at, at + length)];
      at += length;
    } else at += kind === 1 ? 8 : 4;
  }
}
