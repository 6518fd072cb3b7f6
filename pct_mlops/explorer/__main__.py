"""The explorer as a process: `python .../pct_mlops/explorer/__main__.py [OLD NEW] [--model NAME] [--policy FILE] ...`.

Started by its path, so that no file of the current folder is taken for a part of it. Streamlit's own settings (port,
address) are read from its environment variables, for example STREAMLIT_SERVER_PORT.
"""

import sys


def main() -> None:
    """Check the arguments, so that a mistake is told in the terminal, and become Streamlit."""
    import os

    from streamlit.web import cli

    from pct_mlops.explorer.program import main_script
    from pct_mlops.explorer.state.options import read_options

    read_options(sys.argv[1:])
    # Predictions and images may be confidential: other machines see them only when asked for.
    os.environ.setdefault("STREAMLIT_SERVER_ADDRESS", "localhost")
    cli.main(["run", str(main_script()), "--", *sys.argv[1:]], prog_name="streamlit")


if __name__ == "__main__":
    # What Python put first on the path: this folder, whose `state` is nobody else's.
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    if not __package__:
        import os.path

        sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    main()
