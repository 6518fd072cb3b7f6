"""Start the explorer: `python -m app [OLD NEW] [--model NAME] [--tracking-uri URI] [--policy FILE]
[--images PATH] [--read-only]`.

Streamlit's own settings (port, address) are read from its environment variables, for example STREAMLIT_SERVER_PORT.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from app.options import read_options

FLAGS = (
    # The page number has a default and is also set from the address, on purpose.
    "--global.disableWidgetStateDuplicationWarning=true",
    "--browser.gatherUsageStats=false",
    # Each new session would look through all modules of the process for files that changed, and pages for bare values.
    "--server.fileWatcherType=none",
    "--runner.magicEnabled=false",
    "--server.showEmailPrompt=false",
    "--client.toolbarMode=viewer",
    "--client.showErrorDetails=type",
    "--client.showErrorLinks=false",
    '--theme.headingFontSizes=["2rem", "1.4rem", "1.2rem"]',
    "--theme.light.primaryColor=#1F6FB2",
    "--theme.dark.primaryColor=#6BB2E8",
)


def main() -> None:
    """Check the arguments, so that a mistake is told in the terminal, and become Streamlit."""
    read_options(sys.argv[1:])
    # Predictions and images may be confidential: other machines see them only when asked for.
    os.environ.setdefault("STREAMLIT_SERVER_ADDRESS", "localhost")
    script = str(Path(__file__).with_name("main.py"))
    command = [sys.executable, "-m", "streamlit", "run", *FLAGS, script, "--", *sys.argv[1:]]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
