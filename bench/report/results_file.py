"""What a benchmark leaves behind: the numbers as JSON and a bar chart as PNG, under bench/results/."""

import json
from collections.abc import Iterable, Mapping
from math import ceil
from pathlib import Path

from bench.report.console import say
from bench.system.machine import machine
from bench.system.paths import CHECKOUT

OURS = ("edge", "live", "websocket", "pure")
COLOR, GREY = "#d9480f", "#868e96"  # ours, and all others
CHARTS_IN_A_LINE = 3

Rows = Mapping[str, Mapping[str, float]]


def save(folder: Path, name: str, title: str, rows: Rows, **detail: object) -> None:
    """Write `name`.json and .png into a folder.

    `rows` maps what was measured (with its unit: "CPU/delivery, µs") to one number for each column ("edge", "nchan");
    each row that compares becomes a small chart with a bar per column. `detail` (the plan, the rounds, the bars) goes
    into the JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result = {"benchmark": name, "title": title, "machine": machine(), "rows": rows, **detail}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    say(f"wrote {_shown(path)}")
    draw(folder / f"{name}.png", title, rows)


def draw(path: Path, title: str, rows: Rows) -> None:
    """Draw one small bar chart for each row, if matplotlib is there; a chart of older numbers must not stay."""
    path.unlink(missing_ok=True)
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  # optional; a Figure of its own needs no display
    except ImportError:
        say("NO CHART: matplotlib is missing; `make bench` installs it, and so does pip install -e '.[bench]'", "red")
        return
    drawn = {label: row for label, row in rows.items() if len(row) > 1 and any(row.values())} or rows
    lines, width = ceil(len(drawn) / CHARTS_IN_A_LINE), min(len(drawn), CHARTS_IN_A_LINE)
    figure = Figure(figsize=(4 * width, 2.8 * lines + 0.6), layout="constrained")
    figure.suptitle(title)
    for number, (label, values) in enumerate(drawn.items(), 1):
        axes = figure.add_subplot(lines, width, number)
        bars = axes.barh(list(values), list(values.values()), color=colors(values))
        axes.bar_label(bars, fmt=short, padding=3, fontsize=8)
        axes.set_title(label, fontsize=9)
        axes.invert_yaxis()
        axes.margins(x=0.3)
        axes.tick_params(labelsize=8)
    figure.savefig(path, dpi=120)
    say(f"wrote {_shown(path)}")


def colors(columns: Iterable[str]) -> list[str]:
    """Return a colour for each column: ours stands out, and all are ours where no other server is compared."""
    ours = [name.startswith(OURS) for name in columns]
    return [COLOR if own or not any(ours) else GREY for own in ours]


def short(value: float) -> str:
    """Return a number as it stands beside its bar."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _shown(path: Path) -> Path:
    return path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path
