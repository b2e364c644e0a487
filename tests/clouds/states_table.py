"""The results of calls by key state, as the page of a provider lists them. Our servers must behave in the same way.
"""

from __future__ import annotations

import re
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "providers"


def states_table(provider: str) -> list[tuple[str, str, set[str]]]:
    """All cells: the call, the state, and the possible error codes. No codes mean that the call succeeds."""
    page = (PAGES / f"{provider}.md").read_text()
    found = re.search(r"<!-- key states -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert found, f"{provider}.md has no table of key states"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]
    head, cells = rows[0], []
    for row in rows[2:]:
        for call in re.findall(r"`([A-Za-z]+)`", row[0]):
            for state, cell in zip(head[1:], row[1:], strict=True):
                codes = set(re.findall(r"`([A-Za-z_]+)`", cell))
                assert (cell == "answers") != bool(codes), cell
                cells.append((call, state, codes))
    return cells
