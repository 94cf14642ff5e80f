#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
#
#   bash bench/layouts.sh [--quick] [--contexts 4096,65536] [--ways segment_objects,slices] [--layers N] ...
#
# What the three layouts cost in requests, bytes, time and money, beside one GET per slice: installs what is missing (Debian),
# builds the preset `release`, and writes bench/results/layouts.md. Some twenty minutes on two quiet cores; half a minute with --quick.
set -euo pipefail
cd "$(dirname "$0")/.."
program=build/release/bench/layouts
if [[ " $* " != *' --help '* && " $* " != *' --report-only '* ]]; then
    cmake/install_deps.sh build
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    {
        cmake --preset release
        cmake --build --preset release --target layouts
    } >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
/usr/bin/python3 bench/layouts.py --program "$program" "$@"
