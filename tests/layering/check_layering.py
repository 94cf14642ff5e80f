#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The written physical structure of the library, enforced.

    check_layering.py [ROOT]     prints one line per offence, "path:line: what", and exits 1 if there is any

What is checked, over include/objectcache unless said otherwise:
  - a room (folder) includes only the rooms of its row in ROOMS;
  - headers of others appear only in the rooms that may need them (OUTSIDE);
  - private headers (detail/, impl/) are not included by other rooms (the top level and the test kit may);
  - include lines are <objectcache/...> with an existing file, and no header of Boost that pulls in a whole library;
  - the first line is the licence, the second the include guard; public headers stay short, private files readable;
  - nothing is awaited inside a conditional expression: g++ 12 destroys the wrong temporaries there;
  - tests do not sleep, and a unit test includes the header it is named after first.
"""

import pathlib
import re
import sys

# room -> rooms it may include, beside itself and version.hpp
ROOMS = {
    "core": set(),
    "kv": {"core"},
    "plan": {"core", "kv"},
    "io": {"core"},
    "s3": {"core", "io"},
    "store": {"core", "kv", "plan", "io", "s3"},
    "device": {"core", "io"},
    "cuda": {"core", "kv", "io", "device"},
    "pipeline": {"core", "kv", "plan", "io", "s3", "store", "device"},
}
HOST = set(ROOMS) - {"cuda"}
ROOMS[""] = HOST  # what a host embeds: the headers that lie in include/objectcache itself
ROOMS["adapter"] = set(ROOMS)  # skins and test kit lean on everything, nothing leans on them
ROOMS["testing"] = set(ROOMS) - {"adapter"}

PURE = {"core", "kv", "plan"}

# (pattern of an included header, rooms where it may appear)
EVERYWHERE = set(ROOMS)
OUTSIDE = [
    (r"boost/beast/", {"s3", "testing"}),
    (r"boost/url", {"s3", "testing"}),
    (r"boost/", EVERYWHERE - PURE),
    (r"openssl/", {"s3", "testing"}),
    (r"liburing", {"io"}),
    (r"(cuda|nvrtc|nvtx|cooperative_groups|cub/|thrust/)", {"cuda"}),
    (r"xxhash\.h$", {"core", "kv", "plan", "testing"}),
    (r"(sys|netinet|arpa|linux|net)/|(unistd|fcntl|pthread|sched|poll|dlfcn|netdb|signal|spawn)\.h$", EVERYWHERE - PURE),
    (r"(immintrin|x86intrin|cpuid|arm_neon|arm_acle)\.h$", EVERYWHERE),
    (r"[a-z0-9_]+$", EVERYWHERE),  # the standard library
]
WHOLE_LIBRARIES = {"boost/asio.hpp", "boost/beast.hpp", "boost/beast/http.hpp", "boost/json.hpp", "boost/url.hpp"}

PUBLIC_LINES = 300
PRIVATE_LINES = 500
LICENCE = "// SPDX-License-Identifier: BSL-1.0"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SLEEP = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\s*\(")
# `c ? co_await a : b`, looked for in one statement, comments and strings taken out
CONDITIONAL_AWAIT = re.compile(r"\?[^;{}?]*\bco_await\b")
NOT_CODE = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"", re.S)
CODE = {".hpp", ".ipp", ".cpp", ".cu", ".cuh"}


def room_of(path):
    """`path` is relative to include/: objectcache/<room>/... or objectcache/<file>."""
    parts = pathlib.PurePosixPath(path).parts
    return parts[1] if len(parts) > 2 else ""


def is_private(path):
    return bool({"detail", "impl"} & set(pathlib.PurePosixPath(path).parts))


def includes(text):
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1], match[2]


def check_own_include(room, header, target, include_dir):
    other = room_of(target)
    if not (include_dir / target).is_file():
        return f"<{target}> does not exist"
    if other != room and target != "objectcache/version.hpp":
        # objectcache/<room>.hpp, if there is one, is the umbrella of that room
        umbrella = room == "" and other == pathlib.PurePosixPath(header).stem
        if other not in ROOMS[room] and not umbrella:
            return f"{room or 'the top level'} may not include {other or 'the top level'} ({target})"
        # the top level is made of the rooms' parts; the test kit is the other end of our own protocols
        if is_private(target) and room not in ("", "testing"):
            return f"{target} is private to its room"
    return None


def check_outside_include(room, target):
    if target in WHOLE_LIBRARIES:
        return f"<{target}> pulls in a whole library, include what is used"
    for pattern, rooms in OUTSIDE:
        if re.match(pattern, target):
            return None if room in rooms else f"{room or 'the top level'} may not include <{target}>"
    return f"<{target}> is in no row of the table of outside headers"


def conditional_awaits(text):
    code = NOT_CODE.sub(lambda m: "\n" * m[0].count("\n"), text)
    for found in CONDITIONAL_AWAIT.finditer(code):
        yield code.count("\n", 0, found.start()) + 1, "co_await in a conditional expression: g++ 12 miscompiles it"


def check_header(path, include_dir):
    header = path.relative_to(include_dir).as_posix()
    room = room_of(header)
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if room not in ROOMS:
        yield 1, f"unknown room '{room}'"
        return
    if lines[:1] != [LICENCE]:
        yield 1, f"the first line is not '{LICENCE}'"
    if lines[1:2] != ["#pragma once"]:
        yield 2, "the second line is not '#pragma once'"
    limit = PRIVATE_LINES if is_private(header) else PUBLIC_LINES
    if len(lines) > limit:
        yield limit + 1, f"{len(lines)} lines, at most {limit}"
    for number, quote, target in includes(text):
        if quote == '"':
            problem = f'"{target}": own headers are included as <objectcache/...>'
        elif target.startswith("objectcache/"):
            problem = check_own_include(room, header, target, include_dir)
        else:
            problem = check_outside_include(room, target)
        if problem:
            yield number, problem


def check_test(path, root, include_dir):
    text = path.read_text(encoding="utf-8")
    if text.splitlines()[:1] != [LICENCE]:
        yield 1, f"the first line is not '{LICENCE}'"
    for number, line in enumerate(text.splitlines(), 1):
        if SLEEP.search(line):
            yield number, "a test that sleeps"
    parts = path.relative_to(root).parts
    if parts[:2] == ("tests", "unit") and path.name.endswith("_test.cpp"):
        # tests/unit/<room>/<header>_test.cpp; a longer name (pool_shutdown_test for pool.hpp) is fine, and headers of the
        # top level (cache.hpp) are tested in the room they are made of
        first = next((target for _, _, target in includes(text)), "")
        name = pathlib.PurePosixPath(first).stem
        of_room = first.startswith(f"objectcache/{parts[2]}/") or first == f"objectcache/{name}.hpp"
        if not of_room or not path.name.startswith(name + "_"):
            yield 1, f"the first include is <{first}> and not the header under test"


def check(root):
    include_dir = root / "include"
    offences = []
    for path in sorted((include_dir / "objectcache").rglob("*")):
        if path.suffix in CODE:
            offences += [(path, *offence) for offence in check_header(path, include_dir)]
    for path in sorted((root / "tests").rglob("*")):
        if path.suffix in CODE:
            offences += [(path, *offence) for offence in check_test(path, root, include_dir)]
    for folder in ("examples", "bench"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in CODE and path.read_text(encoding="utf-8").splitlines()[:1] != [LICENCE]:
                offences.append((path, 1, f"the first line is not '{LICENCE}'"))
    for folder in ("include", "tests", "examples", "bench"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in CODE:
                offences += [(path, *offence) for offence in conditional_awaits(path.read_text(encoding="utf-8"))]
    return [f"{path.relative_to(root)}:{line}: {what}" for path, line, what in offences]


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    offences = check(root.resolve())
    print(*offences, sep="\n", end="\n" if offences else "")
    print(f"{len(offences)} offences")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
