"""What pyproject.toml cannot say: the explorer's program and the demo's recipes travel inside the package.

They lie at the top of the repository, and a wheel must install one top-level name alone.
"""

from setuptools import find_packages, setup

INSIDE = {
    "pct_mlops.app": "app",
    "pct_mlops.app.pages": "app/pages",
    "pct_mlops.projects.fashion_mnist": "projects/fashion_mnist",
}

setup(
    packages=[*find_packages(include=["pct_mlops", "pct_mlops.*"]), *INSIDE],
    package_dir=INSIDE,
    package_data={
        "pct_mlops": ["py.typed", "**/*.schema.json"],
        "pct_mlops.app": ["icon.png", ".streamlit/config.toml"],
        "pct_mlops.projects.fashion_mnist": ["*.yaml", "MLproject"],
    },
)
