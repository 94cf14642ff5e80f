#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
#
#   bash bench/s3.sh [--quick] [--sizes 64k,4m] [--servers nginx,ours,rgw] [--what get,tls,put] ...
#
# The S3 client beside others, over several servers: installs what is missing (Debian), builds the preset `release`, and writes
# bench/results. All options, and how it measures: bench/s3.sh --help. Some half an hour on two quiet cores, a few minutes with --quick.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ " $* " != *' --help '* && " $* " != *' --build '* && " $* " != *' --report-only '* ]]; then
    cmake/install_deps.sh build rgw bench
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    {
        cmake --preset release
        cmake --build --preset release --target bench_programs objectcache_s3_server
    } >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
/usr/bin/python3 bench/s3.py "$@"
