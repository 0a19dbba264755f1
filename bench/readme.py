"""Puts measured rows into the README's table: `python -m bench --json > rows.json; python -m bench.readme rows.json ...`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

START, STOP = "<!-- figures -->", "<!-- end of figures -->"
README = Path(__file__).parents[1] / "README.md"


def main(paths: list[str]) -> None:
    rows = [row for path in paths for row in json.loads(Path(path).read_text(encoding="utf-8"))]
    verdict = {True: "yes", False: "**no**", None: "–"}
    lines = ["| figure | measured | target | worst case or detail | holds | peer |", "|---|---|---|---|---|---|"]
    columns = ("figure", "value", "target", "worst", "holds", "peer")
    lines += [f"| {' | '.join(row[name] for name in columns)} |" for row in ({**row, "holds": verdict[row["holds"]]} for row in rows)]
    text = README.read_text(encoding="utf-8")
    body = "\n".join([START, *lines, STOP])
    README.write_text(re.sub(f"{START}.*{STOP}", lambda _: body, text, flags=re.S), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
