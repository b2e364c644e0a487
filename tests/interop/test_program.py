"""A program that does not start leaves nothing behind, and the error says why."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from program import PortTaken, Program


class Failing(Program):
    """Prints a line, and then does something other than becoming ready."""

    name = "failing"
    ends = "raise SystemExit(3)"

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-c", f"print('what happened', flush=True); {self.ends}"]

    def is_ready(self) -> bool:
        return False


class Hanging(Failing):
    """Runs for ever, longer than anybody waits."""

    ends = "import time; time.sleep(600)"

    def is_ready(self) -> bool:
        if "what happened" in self.log():
            raise TimeoutError("it takes too long")
        return False


class Crowded(Failing):
    """Finds its port in use each time."""

    ends = "raise SystemExit('Address already in use')"


class Missing(Failing):
    """Does not exist."""

    def command(self) -> Sequence[str | Path]:
        return [self.directory / "missing"]


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        (Failing, RuntimeError, "failing ended with 3:\nwhat happened"),
        (Hanging, TimeoutError, "it takes too long:\nwhat happened"),
        (Crowded, PortTaken, "what happened\nAddress already in use"),
        (Missing, FileNotFoundError, "missing"),
    ],
)
def test_a_program_that_does_not_start_leaves_no_directory_and_says_what_it_wrote(
    kind: type[Program], error: type[Exception], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(error) as raised:
        kind()
    assert says in str(raised.value)
    assert list(tmp_path.iterdir()) == []
