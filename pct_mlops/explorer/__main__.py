"""Runs the explorer: `python .../pct_mlops/explorer/__main__.py [OLD NEW] [--model NAME] [--policy FILE] ...`.

It is started by its path, so that Python imports no file of the current folder. Streamlit reads its own settings (port,
address) from environment variables, for example STREAMLIT_SERVER_PORT.
"""

import sys


def main() -> None:
    """Check the arguments, so that the terminal shows a mistake, and run Streamlit in this process."""
    import os
    import signal

    from streamlit.web import cli

    from pct_mlops.explorer.program import server_script
    from pct_mlops.explorer.state.options import read_options

    read_options(sys.argv[1:])
    # Predictions and images may be confidential: other machines reach them only if the user sets another address.
    os.environ.setdefault("STREAMLIT_SERVER_ADDRESS", "localhost")
    # The server closes its connections first, and then sends the signal to itself again. To end it is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    cli.main(["run", str(server_script()), "--", *sys.argv[1:]], prog_name="streamlit")


def _end(number: int, frame: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    # Python put this folder first on the path, where `state` would hide every other module of that name.
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    if not __package__:
        import os.path

        sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    main()
