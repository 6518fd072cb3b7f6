"""Runs torchrun without its error report, because the process that failed has said why. Keeps that exit code.

It is started by its path, with torchrun's own arguments, so that nothing of the current folder is imported.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    # Python puts this folder first on the path. Its modules, such as `session`, must not hide others of the same name.
    del sys.path[0]

import logging
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run torchrun and return its exit code.

    That is 0, or the code of the process that failed first (2 when a signal ended it), or 128 + signal when a signal
    stopped torchrun.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # torchrun would show a traceback of its own for every process that exits with an error.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        run.main(list(arguments))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return failure.exitcode
        sys.stderr.write(
            f"Error: process {rank} was ended by signal {-failure.exitcode}: check that there is enough memory.\n"
        )
        return 2
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
