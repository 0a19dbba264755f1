"""Puts measured rows, and the papers' tables, into the README:

python -m bench --json > rows.json; ridgeline reproduce all --json > papers.json; python -m bench.readme rows.json papers.json

Rows of some figures only take the place of those with the same name, or come after the others.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
VERDICT = {True: "yes", False: "**no**", None: "–"}


def main(paths: list[str]) -> None:
    """Raises ValueError for a file that holds neither."""
    found = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    rows = [row for item in found if isinstance(item, list) for row in item]
    papers = [paper for item in found if isinstance(item, dict) for paper in item["papers"]]
    text = README.read_text(encoding="utf-8")
    if rows:
        text = _replaced(text, "figures", _figures(text, rows))
    if papers:
        text = _replaced(text, "papers", _papers(papers))
    README.write_text(text, encoding="utf-8")


def _replaced(text: str, name: str, lines: list[str]) -> str:
    start, stop = f"<!-- {name} -->", f"<!-- end of {name} -->"
    return re.sub(f"{start}.*{stop}", lambda _: "\n".join([start, *lines, stop]), text, flags=re.S)


def _figures(text: str, rows: list[dict[str, Any]]) -> list[str]:
    head = ["| figure | measured | target | worst case or detail | holds | peer |", "|---|---|---|---|---|---|"]
    inside = text.partition("<!-- figures -->")[2].partition("<!-- end of figures -->")[0]
    lines = {line.split("|")[1].strip(): line for line in inside.splitlines() if line.startswith("| ")}
    lines.pop("figure", None)
    columns = ("figure", "value", "target", "worst", "holds", "peer")
    for row in ({**row, "holds": VERDICT[row["holds"]]} for row in rows):
        lines[row["figure"].strip()] = f"| {' | '.join(row[name] for name in columns)} |"
    return head + list(lines.values())


def _papers(papers: list[dict[str, Any]]) -> list[str]:
    lines = ["| paper | quantity | published | ours | error | tolerance | holds |", "|---|---|---|---|---|---|---|"]
    for paper in papers:
        for row in paper["rows"]:
            numbers = (_number(row["published"], row["unit"]), _number(row["ours"], ""), _percent(row["error"]), _percent(row["tolerance"]))
            lines.append(f"| {' | '.join((paper['paper'], row['quantity'], *numbers, VERDICT[row['holds']]))} |")
    return lines


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    digits = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return f"{digits} {unit}".rstrip()


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"


if __name__ == "__main__":
    main(sys.argv[1:])
