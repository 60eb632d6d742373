"""``pomt-ref choose`` and ``bench-model``, once their arguments are understood; each returns the exit status."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pomt_ref.errors import MissingExtraError, ValuesError
from pomt_ref.vision import comparing, models, profiling, reports
from pomt_ref.vision.images import find_images
from pomt_ref.vision.measurements import Measurements, Setting, Settings, write_whole
from pomt_ref.vision.prunings import prunings


def choose(parsed: argparse.Namespace) -> int:
    """Measure, choose, and write measurements.csv, choice.json and curves.png."""
    model = _model(parsed)
    images = find_images(_data(parsed), model)
    # Before anything is written: a folder belongs to what was asked first.
    counts = profiling.checked_counts(model, parsed.tokens or profiling.token_counts(model, every=parsed.every))
    settings: Settings = _settings(parsed) | {"counts": counts}
    kept = Measurements(parsed.output, settings)
    with _progress() as progress:
        curves = profiling.profile(
            model,
            images,
            kept,
            counts=counts,
            batch=parsed.batch_size,
            rounds=parsed.rounds,
            alpha=parsed.alpha,
            seed=parsed.seed,
            progress=progress,
        )
    # Shown first: a file that cannot be written takes nothing away.
    console = _console(model, parsed)
    console.print(reports.curves_table(curves))
    _told_of_images(console, curves.images, curves.unreadable, labelled=curves.labelled)
    console.print(_choice(curves, alpha=parsed.alpha), markup=False, soft_wrap=True)
    found = reports.curves_as_json(curves, settings, model.device, alpha=parsed.alpha)
    write_whole(parsed.output / "choice.json", found)
    picture = _draw(curves, parsed, model)
    _told_of_files(console, parsed.output, ["measurements.csv", "choice.json", *picture])
    if curves.choice is None:
        got = f"0 of {curves.images} at every token count: no R can be chosen"
        raise ValuesError("choose", "CHOOSE-1", "an image that is classified right", got)
    return 0


def bench_model(parsed: argparse.Namespace) -> int:
    """Compare the methods, and write measurements.csv and comparison.json."""
    model = _model(parsed)
    images = find_images(_data(parsed), model, function="bench-model")
    methods = prunings(model, remove=parsed.remove, layer=parsed.layer, seed=parsed.seed)
    settings: Settings = _settings(parsed) | {"remove": parsed.remove, "layer": parsed.layer}
    kept = Measurements(parsed.output, settings, function="bench-model")
    with _progress() as progress:
        found = comparing.compare(
            model,
            images,
            kept,
            methods,
            remove=parsed.remove,
            batch=parsed.batch_size,
            rounds=parsed.rounds,
            seed=parsed.seed,
            progress=progress,
        )
    console = _console(model, parsed)
    console.print(reports.comparison_table(found))
    _told_of_images(console, found.images, found.unreadable, labelled=images.labelled)
    text = reports.comparison_as_json(found, settings, model.device)
    write_whole(parsed.output / "comparison.json", text, function="bench-model")
    _told_of_files(console, parsed.output, ["measurements.csv", "comparison.json"])
    return 0


def _model(parsed: argparse.Namespace) -> models.Model:
    """The model that the options name."""
    if parsed.threads is not None:
        torch.set_num_threads(parsed.threads)
    sys.path.insert(0, "")  # a model is looked for where the command is given, as `python -m` does
    return models.load(
        parsed.model,
        weights=parsed.weights,
        dtype=getattr(torch, parsed.dtype),
        device=parsed.device,
        seed=parsed.seed,
        function=parsed.command,
    )


def _data(parsed: argparse.Namespace) -> str:
    """The images that the option names; the packaged model has its own."""
    own = models.DIGITS if parsed.model == models.DIGITS else "none"
    return own if parsed.data is None else parsed.data


def _settings(parsed: argparse.Namespace) -> dict[str, Setting]:
    """What two runs share whose measurements belong together; the number of rounds may grow."""
    return {
        "model": parsed.model,
        "weights": None if parsed.weights is None else str(parsed.weights),
        "data": _data(parsed),
        "batch_size": parsed.batch_size,
        "dtype": parsed.dtype,
        "device": parsed.device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seed": parsed.seed,
    }


@contextmanager
def _progress() -> Iterator[profiling.Progress]:
    """A bar on standard error, where that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda said, done, whole: bar.update(task, description=said, completed=done, total=whole)


def _console(model: models.Model, parsed: argparse.Namespace) -> Console:
    """Standard output, under a line that says what was measured on what."""
    console = Console()
    weights = (
        "random weights"
        if parsed.weights is None and model.name != models.DIGITS and ":" not in model.name
        else "its weights"
    )
    on = ", ".join(f"{name} {value}" for name, value in reports.machine(model.device).items())
    line = f"{model.name} ({weights}), {model.tokens} tokens, batches of {parsed.batch_size}, {parsed.dtype}; {on}"
    console.print(line, markup=False, soft_wrap=True)
    return console


def _choice(curves: profiling.Curves, *, alpha: float) -> str:
    """The answer, in one line."""
    if curves.choice is None:
        return "no R can be chosen: no image was classified right"
    remove, tokens = curves.choice.remove, curves.choice.tokens
    if remove == 0:
        return f"R = 0: do not prune (alpha = {alpha:g})"
    whole, chosen = curves.latency[-1].median, curves.latency[curves.tokens.index(tokens)].median
    return (
        f"R = {remove}: {tokens} of {curves.tokens[-1]} tokens, {chosen / whole:.2f} of the latency (alpha = {alpha:g})"
    )


def _told_of_images(console: Console, count: int, unreadable: tuple[str, ...], *, labelled: bool) -> None:
    """What accuracy rests on."""
    what = "accuracy" if labelled else "no labels: agreement with the whole model"
    console.print(f"{what}, on {count} images", markup=False)
    if unreadable:
        console.print(f"{len(unreadable)} could not be read: {', '.join(unreadable)}", markup=False, soft_wrap=True)


def _told_of_files(console: Console, folder: Path, names: list[str]) -> None:
    """What was written."""
    console.print(f"wrote {', '.join(str(folder / name) for name in names)}", markup=False, soft_wrap=True)


def _draw(curves: profiling.Curves, parsed: argparse.Namespace, model: models.Model) -> list[str]:
    """The picture, where something was chosen and matplotlib is there to draw it."""
    if curves.choice is None:
        return []
    try:
        from pomt_ref.vision.curves import draw_curves  # noqa: PLC0415 -- only a picture needs matplotlib
    except MissingExtraError as error:
        Console(stderr=True).print(f"no picture: {error}", markup=False, soft_wrap=True)
        return []
    title = f"{model.name}, batches of {parsed.batch_size}, {parsed.dtype} on {reports.machine(model.device)['device']}"
    drawn = BytesIO()
    draw_curves(curves, title=title).savefig(drawn)
    write_whole(parsed.output / "curves.png", drawn.getvalue())
    return ["curves.png"]
