"""Measurements that outlive the process that makes them: a row of a CSV file each, written as soon as it is known.

A folder holds what was asked (``settings.json``) and what was measured (``measurements.csv``). Who asks for the same
again goes on behind the last whole row; who asks for something else is told so, and nothing is mixed. As long
as nothing was measured, nothing binds.
"""

import csv
import io
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pomt_ref.errors import OptionError

Setting = str | int | list[int] | None
Settings = Mapping[str, Setting]
"""What two runs must have in common for their measurements to belong together."""

FIELDS: Final = ("quantity", "of", "repeat", "value")
"""The columns: what was measured, of which token count or method, which time, and the number."""

HEADER: Final = ",".join(FIELDS) + "\n"

MISSING: Final = object()
"""Unlike every setting."""

QUANTITIES: Final[Mapping[str, Callable[[float], bool]]] = {
    "latency": lambda value: 0 < value < math.inf,
    "images": lambda value: value >= 1 and value.is_integer(),
    "right": lambda value: value >= 0 and value.is_integer(),
    "agreeing": lambda value: value >= 0 and value.is_integer(),
    "unreadable": lambda value: value == 1,
}
"""What is measured, and which numbers it can be: seconds, and counts of images."""


class Measurements:
    """What is known so far; :meth:`add` writes a row and reaches the disk before it returns."""

    def __init__(self, folder: Path, settings: Settings, *, function: str = "choose", clause: str = "CHOOSE-2") -> None:
        """Open a folder, or make it.

        Arguments:
            folder: where both files are.
            settings: what is asked.
            function: whom an error names.
            clause: what an error names.

        Raises:
            OptionError: the folder holds measurements that were made with other settings, or is none.
        """
        self.folder: Final = folder
        self.file: Final = folder / "measurements.csv"
        self._blame: Final = (function, clause)
        self._rows: Final[dict[tuple[str, str, int], float]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found, text = self._asked_before(), self._text()
            whole = text[: text.rfind("\n") + 1]  # a last row that was cut short is dropped, from the file too
            if found is None and self.file.exists():
                raise OptionError(*self._blame, "a new folder, or one with its settings.json", f"{self.folder}")
            self._read(whole)
            self._require_same(found, settings)
            if found != settings:
                write_whole(folder / "settings.json", _as_json(settings), function=function)
            if whole != text or not whole:
                write_whole(self.file, whole or HEADER, function=function)
        except OSError as error:
            raise OptionError(*self._blame, "a folder to write to", f"{folder} ({error.strerror})") from error

    def get(self, quantity: str, of: str | int, repeat: int) -> float | None:
        """What was measured, or ``None``."""
        return self._rows.get((quantity, str(of), repeat))

    def all(self, quantity: str, of: str | int) -> list[float]:
        """Every repeat of one quantity, in order."""
        return list(self.repeats(quantity, of).values())

    def of(self, quantity: str) -> tuple[str, ...]:
        """Whatever has this quantity, in the order in which it was measured."""
        return tuple(dict.fromkeys(whose for what, whose, _ in self._rows if what == quantity))

    def repeats(self, quantity: str, of: str | int) -> dict[int, float]:
        """Every repeat of one quantity, by its number, in order."""
        found = sorted(
            (repeat, value)
            for (what, whose, repeat), value in self._rows.items()
            if (what, whose) == (quantity, str(of))
        )
        return dict(found)

    def require_counts(self, *quantities: str) -> None:
        """Wherever the number of images is known, these counts are too, and none is larger.

        Raises:
            OptionError: a count is missing or too large: the file was changed.
        """
        for whose in self.of("images"):
            seen = self.get("images", whose, 0) or 0.0
            for quantity in quantities:
                count = self.get(quantity, whose, 0)
                if count is None or count > seen:
                    expected = f"images,{whose} in {self.file} with as many {quantity}, or fewer"
                    raise OptionError(*self._blame, expected, "none" if count is None else f"{count:g} of {seen:g}")

    def add(self, quantity: str, of: str | int, repeat: int, value: float) -> None:
        """Keep one measurement, on the disk too.

        Raises:
            OptionError: it cannot be written.
        """
        try:
            with self.file.open("a", encoding="utf-8", newline="") as stream:
                csv.writer(stream, lineterminator="\n").writerow((quantity, of, repeat, repr(value)))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise OptionError(*self._blame, "a file to write to", f"{self.file} ({error.strerror})") from error
        self._rows[quantity, str(of), repeat] = value

    def _asked_before(self) -> Settings | None:
        """The settings of an earlier run, if there was one."""
        file = self.folder / "settings.json"
        if not file.exists():
            return None
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise OptionError(
                *self._blame, "settings that an earlier run wrote", f"{file}, which is no JSON"
            ) from error
        if not isinstance(found, dict):
            raise OptionError(*self._blame, "settings that an earlier run wrote", f"{file}, which is no JSON object")
        return found

    def _require_same(self, found: Settings | None, settings: Settings) -> None:
        """The folder is new, has no measurement yet, or was made with these settings."""
        if found is None or found == settings:
            return
        # Without a measurement nothing binds, but settings of another program are not ours to replace.
        if self._rows or not (self.file.exists() or found.keys() == settings.keys()):
            other = sorted(
                name for name in {*settings, *found} if found.get(name, MISSING) != settings.get(name, MISSING)
            )
            expected = f"the {', '.join(other)} of the measurements in {self.folder}, or another folder"
            raise OptionError(*self._blame, expected, ", ".join(f"{name}={settings.get(name)}" for name in other))

    def _text(self) -> str:
        """What the file holds."""
        if not self.file.exists():
            return ""
        try:
            return self.file.read_text(encoding="utf-8")
        except ValueError as error:
            raise OptionError(*self._blame, self._rows_expected(), "bytes that are no UTF-8") from error

    def _read(self, text: str) -> None:
        """Take over every row."""
        number = 0
        try:
            for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
                if number > 1 or tuple(row) != FIELDS:
                    self._take(number, row)
        except csv.Error as error:
            raise OptionError(*self._blame, self._rows_expected(), f"line {number + 1}: {error}") from error

    def _take(self, number: int, row: list[str]) -> None:
        """One row, if it is one."""
        try:
            quantity, of, repeat, value = row[0], row[1], int(row[2]), float(row[3])
            if len(row) == len(FIELDS) and repeat >= 0 and QUANTITIES[quantity](value):
                self._rows[quantity, of, repeat] = value
                return
        except (ValueError, IndexError, KeyError):
            pass
        raise OptionError(*self._blame, self._rows_expected(), f"line {number}: {','.join(row)[:200]!r}")

    def _rows_expected(self) -> str:
        """What the file should hold."""
        return f"rows of {', '.join(FIELDS)} in {self.file}"


def write_whole(file: Path, content: str | bytes, *, function: str = "choose") -> None:
    """Write a file so that whoever reads it finds all of it or what was there before.

    Raises:
        OptionError: it cannot be written, or is a folder.
    """
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(file)
    except OSError as error:
        told = f"{error.filename2 or error.filename} ({error.strerror})"
        raise OptionError(function, "CHOOSE-2", "a file to write to", told) from error


def _as_json(settings: Settings) -> str:
    """As it stands in the file."""
    return json.dumps(settings, indent=2, sort_keys=True) + "\n"
