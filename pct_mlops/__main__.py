"""`python -m pct_mlops`: the same as `pct`."""

import sys

from pct_mlops.cli import main

if __name__ == "__main__":
    sys.exit(main())
