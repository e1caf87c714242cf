"""Draw architecture.svg, the figure of the page "How it works", beside this file."""

from pathlib import Path

import matplotlib.pyplot as plt

BLUE, ORANGE, GREY = "#cfe2f3", "#fce5cd", "#eeeeee"
BOXES = {  # centre, width, colour and text
    "past": (1.5, 6.6, 2.9, GREY, "past values\ns[t-1], s[t-2], ..."),
    "known": (5.0, 6.6, 2.9, GREY, "calendar and X at t"),
    "inputs": (5.0, 5.2, 3.4, BLUE, "inputs x[t]: last change,\nlags, calendar and X"),
    "layer": (5.0, 3.7, 3.4, BLUE, "GRU or LSTM: h[t]"),
    "naive": (1.5, 3.7, 2.9, ORANGE, "naive forecasts and\nlinear forecast: n[t,j]"),
    "weights": (3.45, 2.2, 2.8, BLUE, "weights\nw = softmax(M h + m)"),
    "correction": (6.55, 2.2, 2.8, BLUE, "correction\nu (A relu(h) + b)"),
    "mix": (1.5, 0.8, 2.9, ORANGE, "mix: sum of w n"),
    "forecast": (5.1, 0.8, 2.6, GREY, "forecast f[t]"),
}
ARROWS = [
    ("past", "inputs"),
    ("known", "inputs"),
    ("inputs", "layer"),
    ("past", "naive"),
    ("layer", "weights"),
    ("layer", "correction"),
    ("naive", "mix"),
    ("weights", "mix"),
    ("mix", "forecast"),
    ("correction", "forecast"),
]
HEIGHT = 0.85


def draw() -> plt.Figure:
    """Boxes from the inputs at the top to the forecast at the bottom."""
    figure, ax = plt.subplots(figsize=(5.6, 5.2), layout="constrained")
    for x, y, width, color, text in BOXES.values():
        corner = (x - width / 2, y - HEIGHT / 2)
        ax.add_patch(plt.Rectangle(corner, width, HEIGHT, facecolor=color, edgecolor="0.3"))
        ax.text(x, y, text, ha="center", va="center", fontsize=11)
    for start, end in ARROWS:
        (x0, y0, width0, *_), (x1, y1, width1, *_) = BOXES[start], BOXES[end]
        if y0 == y1:  # from side to side
            tail, head = (x0 + width0 / 2, y0), (x1 - width1 / 2, y1)
        else:
            tail, head = (x0, y0 - HEIGHT / 2), (x1, y1 + HEIGHT / 2)
        ax.annotate("", head, tail, arrowprops={"arrowstyle": "-|>", "color": "0.3"})
    ax.set(xlim=(0, 8.1), ylim=(0.2, 7.2))
    ax.axis("off")
    return figure


if __name__ == "__main__":
    path = Path(__file__).with_suffix(".svg")
    with plt.rc_context({"svg.hashsalt": "skrnn"}):  # the same file at every run
        draw().savefig(path, metadata={"Date": None})
