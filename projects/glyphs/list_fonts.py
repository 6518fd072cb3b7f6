"""Writes the table of docs/reference/glyphs.md: packages, families and licences, from the packages installed here.

Run it from the repository's root after a change of pct_mlops/data/font_packages.txt:
python projects/glyphs/list_fonts.py
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

from pct_mlops.data.fonts import chosen_faces, read_face
from pct_mlops.data.glyphs import DEFAULT_SIZE, fonts_of_package, package_names

PAGE = Path("docs/reference/glyphs.md")
HEAD = "| package | families | licence |\n|---|---|---|\n"
# What copyright files that are not machine-readable say, and what it is called elsewhere.
SAID = {
    "Open Font License": "OFL-1.1",
    "GNU Lesser General Public License": "LGPL",
    "GNU General Public License": "GPL",
    "LaTeX Project Public License": "LPPL",
    "GUST Font License": "GUST-Font-License",
    "Apache License": "Apache-2.0",
    "Bitstream Vera": "Bitstream-Vera",
    "Creative Commons": "CC",
    "public domain": "public-domain",
}


def licence(text: str) -> str:
    """Return the licences of a package's files, without those of its packaging."""
    if not text.startswith("Format"):
        said = " ".join(text.split()).lower()
        return ", ".join(name for words, name in SAID.items() if words.lower() in said) or "see its copyright file"
    found: dict[str, None] = {}
    for paragraph in re.split(r"\n\s*\n", text):
        files = re.search(r"^Files:(.*?)(?=^\S|\Z)", paragraph, re.MULTILINE | re.DOTALL)
        name = re.search(r"^License: *(.*)$", paragraph, re.MULTILINE | re.IGNORECASE)
        if files and name and not all(file.startswith("debian") for file in files[1].replace(",", " ").split()):
            found[name[1].strip().replace("|", "or")] = None
    return ", ".join(found) or "see its copyright file"


def main() -> int:
    """Rewrite the table. Return 1 where a package gives no family, and so need not be listed."""
    package_of = {}
    for package in package_names():
        for path in fonts_of_package(package) or ():
            if (face := read_face(path, DEFAULT_SIZE)) is not None:
                package_of[face] = package
    families: dict[str, set[str]] = defaultdict(set)
    for face in chosen_faces(package_of):
        families[package_of[face]].add(face.family)
    lines = []
    for package in package_names():
        text = Path(f"/usr/share/doc/{package}/copyright").read_text(encoding="utf-8", errors="replace")
        lines.append(f"| {package} | {', '.join(sorted(families[package]))} | {licence(text)} |\n")
    before = PAGE.read_text(encoding="utf-8").split(HEAD)[0]
    PAGE.write_text(before + HEAD + "".join(lines), encoding="utf-8")
    useless = [package for package in package_names() if not families[package]]
    sys.stdout.write(f"{sum(map(len, families.values()))} families; packages without one: {useless or 'none'}\n")
    return 1 if useless else 0


if __name__ == "__main__":
    sys.exit(main())
