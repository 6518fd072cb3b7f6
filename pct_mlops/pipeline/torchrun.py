"""torchrun without its report: the process that failed has said why, and its exit code is kept.

Started as `python -m pct_mlops.pipeline.torchrun`, with torchrun's own arguments.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run torchrun; 0, or the exit code of the process that failed first (2 when a signal ended it)."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # It would show a traceback of its own for every process that exits with an error.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        run.main(list(arguments))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return failure.exitcode
        sys.stderr.write(f"Error: process {rank} was ended by signal {-failure.exitcode}; was there memory enough?\n")
        return 2
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
