"""Serves main.py with compressed scripts: `streamlit run` starts the server that it finds here."""

from pathlib import Path

from starlette.middleware import Middleware
from streamlit import App

from pct_mlops.explorer.compressed import CompressedScripts

app = App(Path(__file__).with_name("main.py"), middleware=[Middleware(CompressedScripts)])
