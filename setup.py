"""What pyproject.toml cannot say: the explorer's program and the demo's recipes travel inside the package.

They lie at the top of the repository, and a wheel must install one top-level name alone.
"""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

INSIDE = {
    "pct_mlops.app": "app",
    "pct_mlops.app.views": "app/views",
    "pct_mlops.projects.fashion_mnist": "projects/fashion_mnist",
}


class BuildWithProject(build_py):
    """Adds the repository's MLproject; the installed package is its environment, so it names no other."""

    def run(self):
        """Build, then add the file."""
        super().run()
        if not self.editable_mode:
            lines = Path("MLproject").read_text(encoding="utf-8").splitlines(keepends=True)
            text = "".join(line for line in lines if not line.startswith(("conda_env", "# The same file")))
            Path(self.build_lib, "pct_mlops", "projects", "MLproject").write_text(text, encoding="utf-8")


setup(
    cmdclass={"build_py": BuildWithProject},
    packages=[*find_packages(include=["pct_mlops", "pct_mlops.*"]), *INSIDE],
    package_dir=INSIDE,
    package_data={
        "pct_mlops": [
            *("py.typed", "**/*.schema.json", "reports/report.html.j2"),
            *("data/font_packages.txt", "workflows/advice/evidence.csv"),
        ],
        "pct_mlops.app": ["icon.png", ".streamlit/config.toml"],
        "pct_mlops.projects.fashion_mnist": ["*.yaml"],
    },
)
