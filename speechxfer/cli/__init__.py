"""The command line: `speechxfer VERB ...`, and the same verbs as `python tasks/X.py VERB`.

Nothing here imports torch before a verb needs it, so `--help` answers at once. A user's mistake is printed
without a traceback and exits 2; a failed gate exits 1.
"""

import os
import sys
from collections.abc import Sequence

from speechxfer.cli.acts import Prepare
from speechxfer.cli.parser import parser
from speechxfer.cli.task_flags import resolved
from speechxfer.errors import SpeechxferError
from speechxfer.task import Task

__all__ = ["main", "parser", "resolved"]


def main(task: Task | None = None, prepare: Prepare | None = None, argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit. `task` is a task module's own; `prepare` writes its data where it is missing."""
    arguments = parser(task).parse_args(argv)
    if os.environ.get("RANK", "0") != "0":  # the first of several ranks talks for all
        sys.stdout = open(os.devnull, "w")
    try:
        code = arguments.act(arguments, task, prepare)
        sys.stdout.flush()
    except SpeechxferError as error:
        print(f"speechxfer: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as error:
        if error.errno is None:  # raised by a library for reasons of its own
            raise
        print(f"speechxfer: {error.filename or 'writing'}: {os.strerror(error.errno)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("speechxfer: interrupted; what was saved is kept", file=sys.stderr)
        code = 130
    sys.exit(code)
