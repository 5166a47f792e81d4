#!/usr/bin/env python3
"""The shape of the repository: its top level, and a README.md of at most a page in every folder.

Usage: layout_rules.py [ROOT]. Prints one line per violation and exits 1 if there is any. Looks at the
files that git tracks or would track; without git, at every file outside build/.
"""

import pathlib
import subprocess
import sys

TOP_LEVEL = {
    "proto", "server", "client", "core", "tests", "deploy",
    "CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md",
}
# Trees whose folders follow protobuf package names; the README of proto/ speaks for them.
WITHOUT_README = ("proto/emserve", "proto/google")
PAGE = 60  # lines


def files_of(root: pathlib.Path) -> list[str]:
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others",
                   "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return sorted(f for f in listed.split("\0") if f and (root / f).exists())
    found = (p.relative_to(root) for p in root.rglob("*") if p.is_file())
    return sorted(p.as_posix() for p in found if p.parts[0] != "build" and "__pycache__" not in p.parts)


def check(root: pathlib.Path) -> list[str]:
    files = files_of(root)
    top = {file.split("/")[0] for file in files}
    violations = [f"{name}: not among the top-level entries of the architecture"
                  for name in sorted(top - TOP_LEVEL) if not name.startswith(".")]
    violations += [f"{name}: missing from the top level" for name in sorted(TOP_LEVEL - top)]

    folders = {file.rpartition("/")[0] for file in files}
    for folder in sorted(folders):
        if not folder or folder.startswith((".",) + WITHOUT_README):
            continue
        readme = root / folder / "README.md"
        if not readme.exists():
            violations.append(f"{folder}: has no README.md that says what lives there and why")
            continue
        lines = len(readme.read_text().splitlines())
        if not 0 < lines <= PAGE:
            violations.append(f"{folder}/README.md: has {lines} lines, must be 1 to {PAGE}, a page")
    return violations


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    violations = check(root)
    for violation in violations:
        print(violation)
    print(f"layout rules: {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
