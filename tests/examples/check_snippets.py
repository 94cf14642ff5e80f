#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Code in the documentation is code that the tests compile.

A block behind `<!-- snippet: FILE REGION -->` must be the lines of FILE between two `// [REGION]` lines; every other ```cpp block
is an error. `--fix` writes the regions into the documents."""
import pathlib
import re
import sys

BLOCK = re.compile(r"(?:<!-- snippet: (\S+) (\S+) -->\n)?```cpp\n(.*?)```", re.S)


def region(root, file, name):
    parts = re.split(rf"^// \[{re.escape(name)}\]\n", (root / file).read_text(), flags=re.M)
    if len(parts) != 3:
        raise SystemExit(f"{file}: region [{name}] must begin and end once")
    return parts[1]


def main():
    fix = "--fix" in sys.argv
    root = pathlib.Path(next((a for a in sys.argv[1:] if not a.startswith("--")), "."))
    wrong = 0
    documents = [root / "README.md", *sorted((root / "docs").glob("*.md")), *sorted((root / "examples").rglob("*.md"))]
    for document in documents:
        text = document.read_text()

        def check(match):
            nonlocal wrong
            file, name, body = match.groups()
            if not file:
                wrong += 1
                print(f"{document}: a cpp block that is no snippet of a compiled file")
                return match.group(0)
            expected = region(root, file, name)
            if body != expected and not fix:
                wrong += 1
                print(f"{document}: differs from {file} [{name}]")
            return f"<!-- snippet: {file} {name} -->\n```cpp\n{expected}```"

        updated = BLOCK.sub(check, text)
        if fix and updated != text:
            document.write_text(updated)
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            if not (document.parent / link).exists():
                wrong += 1
                print(f"{document}: link to {link}, which does not exist")
    print(f"{len(documents)} documents, {wrong} offences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
