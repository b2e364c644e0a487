"""Makes the table of `docs/providers/README.md` from the records of the conformance kit, or checks that the table is
current.

usage: providers_table.py [--check] RECORDS README
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path

BEGIN, END = "<!-- made by the tests -->\n", "<!-- end -->\n"
PROVIDERS = ["local", "vault", "aws-kms", "azure-key-vault", "gcp-kms"]
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
WORDS = {"passed": "✓", "refused": "–"}

Row = tuple[str, str, str]
Outcomes = dict[Row, dict[str, str]]


def read(records: Path) -> Outcomes:
    found: Outcomes = defaultdict(dict)
    for file in sorted(records.glob("*.tsv")):
        for line in file.read_text().splitlines():
            provider, custody, against, algorithm, outcome = line.split("\t")
            # The kit also runs with providers that exist only in tests.
            if provider in PROVIDERS:
                found[provider, custody, against][algorithm] = WORDS[outcome]
    return found


def order(row: Row) -> tuple[int, str, str]:
    provider, custody, against = row
    return PROVIDERS.index(provider), custody, against


def table(outcomes: Outcomes) -> str:
    head = ["provider", "custody", "tested against", *ALGORITHMS]
    lines = [head, ["---"] * 3 + [":-:"] * len(ALGORITHMS)]
    for row in sorted(outcomes, key=order):
        # An algorithm without a result was not tried, which the table says.
        lines.append([*row, *(outcomes[row].get(algorithm, "not tested") for algorithm in ALGORITHMS)])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def main(arguments: list[str]) -> int:
    check = arguments[:1] == ["--check"]
    records, readme = map(Path, arguments[1 if check else 0 :])
    outcomes = read(records)
    text = readme.read_text()
    before, rest = text.split(BEGIN, 1)
    old, after = rest.split(END, 1)
    if not check:
        readme.write_text(before + BEGIN + table(outcomes) + END + after)
        return 0
    # On a machine without some server there are fewer rows. Each of them must be in the table.
    wrong = [line for line in table(outcomes).splitlines() if line not in old.splitlines()]
    if "CI" in os.environ and not wrong and table(outcomes) != old:
        wrong = ["the documentation has rows that no test made"]
    for line in wrong:
        print(f"{readme} lacks: {line}", file=sys.stderr)
    if wrong:
        print(f"write it again: python3 {sys.argv[0]} RECORDS {readme}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
