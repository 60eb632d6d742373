"""Measurements that outlive the process that makes them: a row of a CSV file each, written as soon as it is known.

A folder holds what was asked (``settings.json``) and what was measured (``measurements.csv``). Who asks for the same
again goes on behind the last whole row; who asks for something else is told so, and nothing is mixed.
"""

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pomt_ref.errors import OptionError

Setting = str | int | list[int] | None
Settings = Mapping[str, Setting]
"""What two runs must have in common for their measurements to belong together."""

FIELDS: Final = ("quantity", "of", "repeat", "value")
"""The columns: what was measured, of which token count or method, which time, and the number."""


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
            self._require_same(settings)
            self._read()
        except OSError as error:
            raise OptionError(*self._blame, "a folder to write to", f"{folder} ({error.strerror})") from error

    def get(self, quantity: str, of: str | int, repeat: int) -> float | None:
        """What was measured, or ``None``."""
        return self._rows.get((quantity, str(of), repeat))

    def all(self, quantity: str, of: str | int) -> list[float]:
        """Every repeat of one quantity, in order."""
        found = sorted(
            (repeat, value)
            for (what, whose, repeat), value in self._rows.items()
            if (what, whose) == (quantity, str(of))
        )
        return [value for _, value in found]

    def of(self, quantity: str) -> tuple[str, ...]:
        """Whatever has this quantity, in the order in which it was measured."""
        return tuple(dict.fromkeys(whose for what, whose, _ in self._rows if what == quantity))

    def add(self, quantity: str, of: str | int, repeat: int, value: float) -> None:
        """Keep one measurement, on the disk too."""
        self._rows[quantity, str(of), repeat] = value
        with self.file.open("a", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerow((quantity, of, repeat, repr(value)))
            stream.flush()
            os.fsync(stream.fileno())

    def _require_same(self, settings: Settings) -> None:
        """The folder is new, or was made with these settings."""
        file = self.folder / "settings.json"
        asked = json.dumps(settings, indent=2, sort_keys=True) + "\n"
        if not file.exists():
            if self.file.exists():
                raise OptionError(*self._blame, "a new folder, or one with its settings.json", f"{self.folder}")
            write_whole(file, asked)
            return
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise OptionError(
                *self._blame, "settings that an earlier run wrote", f"{file}, which is no JSON"
            ) from error
        if found != json.loads(asked):
            other = sorted(name for name in {*settings, *found} if found.get(name) != settings.get(name))
            expected = f"the {', '.join(other)} of the measurements in {self.folder}, or another folder"
            raise OptionError(*self._blame, expected, ", ".join(f"{name}={settings.get(name)}" for name in other))

    def _read(self) -> None:
        """Take over every whole row; a last one that was cut short is dropped, from the file too."""
        text = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text or not whole:
            write_whole(self.file, whole or ",".join(FIELDS) + "\n")
        for number, row in enumerate(csv.reader(io.StringIO(whole)), start=1):
            if number == 1 and tuple(row) == FIELDS:
                continue
            try:
                quantity, of, repeat, value = row
                self._rows[quantity, of, int(repeat)] = float(value)
            except ValueError as error:
                expected = f"rows of {', '.join(FIELDS)} in {self.file}"
                raise OptionError(*self._blame, expected, f"line {number}: {','.join(row)!r}") from error


def write_whole(file: Path, text: str) -> None:
    """Write a file so that whoever reads it finds all of it or what was there before."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
