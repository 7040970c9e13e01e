"""A run, or several side by side, as one self-contained HTML page.

Everything on it is read from the run folders: the log, the scores, the verdict, the diagnosis, the predictions and the
task. What is not there yet is said in a line. The page fetches nothing, runs no script, and the same runs give the
same bytes.
"""

from collections.abc import Sequence
from pathlib import Path

from speechxfer.atomic import replacing
from speechxfer.errors import ConfigError


def report(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Write the page of the run folders `runs` to the file `out`, whole or not at all, and return its path.

    Raises ConfigError for a folder that is no run, or an `out` that is a folder; ScoreError for a file of a run that
    cannot be read.
    """
    from speechxfer.report.page import render
    from speechxfer.report.run import read_runs

    out = Path(out)
    if out.is_dir():
        raise ConfigError(f"--out {out}: is a folder; expected a file to write, such as {out / 'report.html'}")
    page = render(read_runs(runs))
    with replacing(out) as partial:
        # half of a surrogate pair, which JSON can hold and UTF-8 cannot, becomes the browser's replacement character
        partial.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")
    return out
