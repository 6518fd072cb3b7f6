"""`python -m pct_mlops`, and this file by its path: the same as `pct`."""

import sys


def forget_current_folder() -> None:
    """Take out of the path what Python put first there: the current folder, or the one that holds this file.

    Nothing of either is to be imported by its bare name: a user's torch.py or mlflow.py, or our own `data`. Where this
    file was started by its path from a checkout that is not installed, the checkout itself takes its place.
    """
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    if not __package__:
        import os.path

        # Last: whatever is installed goes before a folder of the same name in the checkout.
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


if __name__ == "__main__":
    forget_current_folder()
    from pct_mlops.cli import main

    sys.exit(main())
