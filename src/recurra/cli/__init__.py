"""The command line: list the library, describe, explain and run models without writing Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from recurra.errors import DivergenceError, RecurraError

__all__ = ["main"]

BAD_INPUT, FAILED = 2, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of the command line.

    Arguments:
        argv: the words after `recurra`; `None` takes them from the process.

    Returns:
        The exit code: 0, 1 if a run failed, 2 for bad input, 130 after Ctrl-C. Errors go to stderr.

    >>> main(["--version"])
    recurra 0.1.0
    0
    """
    from recurra.cli.arguments import parser
    from recurra.cli.commands import INTERRUPTED

    try:
        options = parser().parse_args(argv)
        code = options.command(options)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse leaves in this way, after --help and after an error
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except DivergenceError as error:
        return _fail(str(error), FAILED)
    except RecurraError as error:
        return _fail(str(error), BAD_INPUT)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has what it wanted; Python would complain when it
        # flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        return _fail(f"{type(error).__name__}: {error}", FAILED)


def _fail(message: str, code: int) -> int:
    print(f"recurra: error: {message}", file=sys.stderr)
    return code
