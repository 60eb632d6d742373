"""What was measured, as JSON for programs and as a table for people."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import torch
from rich.table import Table

from pomt_ref.version import __version__
from pomt_ref.vision.comparing import Comparison
from pomt_ref.vision.measurements import Settings
from pomt_ref.vision.profiling import Curves
from pomt_ref.vision.steps import latency_steps
from pomt_ref.vision.timing import Timing

FORMAT: Final = 1
"""Of the JSON; a field that changes its meaning changes it."""

SHOWN: Final = 12
"""Rows of the table of curves: enough to see their shape."""


def machine(device: torch.device) -> Mapping[str, str | int]:
    """What the measurements were made on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "not available"
    threads, cores = torch.get_num_threads(), os.cpu_count() or 0
    return {"device": name, "cores": cores, "threads": threads, "torch": torch.__version__, "CUDA": cuda}


def curves_as_json(curves: Curves, settings: Settings, device: torch.device, *, alpha: float) -> str:
    """The curves and the choice, with what they were made from."""
    measured = [
        {"tokens": tokens, "latency": _timing(timing), "accuracy": accuracy, "utility": utility}
        for tokens, timing, accuracy, utility in zip(
            curves.tokens, curves.latency, curves.accuracy, curves.utility, strict=True
        )
    ]
    steps = [asdict(step) for step in latency_steps(curves.tokens, curves.latency)]
    chosen = curves.choice
    choice = None if chosen is None else {"remove": chosen.remove, "tokens": chosen.tokens, "alpha": alpha}
    seen = {"count": curves.images, "labelled": curves.labelled, "unreadable": list(curves.unreadable)}
    return _text({"choice": choice, "images": seen, "curves": measured, "steps": steps}, settings, device)


def comparison_as_json(comparison: Comparison, settings: Settings, device: torch.device) -> str:
    """The methods side by side, with what they were made from."""
    rows = [
        {
            "method": row.method,
            "latency": _timing(row.latency),
            "ratio": asdict(row.ratio),
            "accuracy": row.accuracy,
            "agreement": row.agreement,
        }
        for row in comparison.rows
    ]
    seen = {"count": comparison.images, "unreadable": list(comparison.unreadable)}
    return _text({"remove": comparison.remove, "images": seen, "methods": rows}, settings, device)


def curves_table(curves: Curves) -> Table:
    """A dozen token counts, the chosen one and the whole among them."""
    what = "accuracy" if curves.labelled else "agreement"
    table = Table("tokens", "removed", "latency (ms)", "quartiles", f"{what} (%)", "utility")
    for column in table.columns:
        column.justify = "right"
    stride = max(1, len(curves.tokens) // SHOWN)
    for place in reversed(range(len(curves.tokens))):
        tokens, timing, utility = curves.tokens[place], curves.latency[place], curves.utility[place]
        chosen = curves.choice is not None and tokens == curves.choice.tokens
        if chosen or (len(curves.tokens) - 1 - place) % stride == 0:
            cells = (
                f"{tokens}",
                f"{curves.tokens[-1] - tokens}",
                f"{1000 * timing.median:.2f}",
                f"{1000 * timing.low:.2f} – {1000 * timing.high:.2f}",
                f"{100 * curves.accuracy[place]:.1f}",
                "–" if utility is None else f"{utility:.4f}",
            )
            table.add_row(*cells, style="bold" if chosen else None)
    return table


def comparison_table(comparison: Comparison) -> Table:
    """A method a row."""
    table = Table("method", "tokens", "latency (ms)", "ratio", "quartiles", "accuracy (%)", "agreement (%)")
    for column in table.columns[1:]:
        column.justify = "right"
    table.columns[4].no_wrap = True  # on a narrow terminal the headings wrap, and no number does
    for row in comparison.rows:
        table.add_row(
            row.method,
            f"{row.tokens}",
            f"{1000 * row.latency.median:.2f}",
            f"{row.ratio.median:.3f}",
            f"{row.ratio.low:.3f} – {row.ratio.high:.3f}",
            "–" if row.accuracy is None else f"{100 * row.accuracy:.1f}",
            f"{100 * row.agreement:.1f}",
        )
    return table


def _timing(timing: Timing) -> Mapping[str, float | int]:
    """Seconds, named so."""
    return {"seconds": timing.median, "low": timing.low, "high": timing.high, "runs": timing.runs}


def _text(found: Mapping[str, object], settings: Settings, device: torch.device) -> str:
    """A document."""
    whole = {"format": FORMAT, "pomt_ref": __version__, "machine": dict(machine(device)), "settings": dict(settings)}
    return json.dumps(whole | dict(found), indent=2) + "\n"
