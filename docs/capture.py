"""Turn what a terminal showed into a picture of the README, or of a how-to.

tmux new-session -d -x 150 -y 110 -s up     # then, in it: disco up --yes -f examples/devnet.yaml
tmux capture-pane -e -p -t up > screen.ansi
python docs/capture.py screen.ansi docs/img/up.svg "disco up"
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text


def main(source: Path, picture: Path, title: str) -> None:
    lines = source.read_text().rstrip().splitlines()
    text = Text.from_ansi("\n".join(line.rstrip() for line in lines))
    width = max(len(line) for line in text.plain.splitlines())
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(text, soft_wrap=True)
    picture.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title=title)
    # The reader's own monospace font: a picture asks no server for anything.
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    picture.write_text(svg.replace("Fira Code", "ui-monospace"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
