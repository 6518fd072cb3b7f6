"""Runs `python -m pct_mlops`, or this file by its path, as `pct`."""

import sys


def forget_current_folder() -> None:
    """Remove the folder that Python put first on the path: the current folder, or the one that holds this file.

    Nothing in it may be imported by its bare name: neither a user's torch.py or mlflow.py, nor our own `data`. If this
    file is started by its path, the checkout's folder is appended instead, for a checkout that is not installed.
    """
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    if not __package__:
        import os.path

        # Append it, so that an installed package comes before a folder of the same name in the checkout.
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


if __name__ == "__main__":
    forget_current_folder()
    from pct_mlops.cli import main

    sys.exit(main())
