#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
set -euo pipefail

usage() {
    cat <<'END'
bash tests/fuzz/run.sh [--seconds N | --minutes N] [target]...

Builds the fuzzers (clang 14) and runs each target for so long (10 s), as many at once as there are processors; without
names, all of them. What is learnt stays in build/fuzz/corpus and is where the next run begins. An input that fails is
kept in build/fuzz/crashes, and the exit status is 1.

  --short    20,000 inputs each, made from the committed seeds alone with a fixed random seed: the same everywhere
  --help
END
}

seconds=10 short='' targets=()
while [[ $# -gt 0 ]]; do
    case $1 in
    --seconds) seconds=$2; shift ;;
    --minutes) seconds=$(($2 * 60)); shift ;;
    --short) short=1 seconds=120 ;;
    --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) targets+=("$1") ;;
    esac
    shift
done

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=build/fuzz
cmake --preset fuzz -DCMAKE_CXX_COMPILER="${CXX:-clang++-14}" >"$build.log" 2>&1 &&
    cmake --build --preset fuzz >>"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
if [[ ${#targets[@]} -eq 0 ]]; then
    for file in tests/fuzz/corpus/*; do
        targets+=("${file##*/}")
    done
fi

# fuzz <target>: one line when it went well, and what libFuzzer said when it did not
fuzz() {
    local seeds=tests/fuzz/corpus/$1 kept=$build/corpus/$1 crashes=$build/crashes/$1 log=$build/$1.log
    local options=(-max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$crashes/")
    case $1 in
    response) options+=(-dict=tests/fuzz/http.dict -max_len=20000) ;;
    *xml) options+=(-dict=tests/fuzz/xml.dict) ;;
    *json) options+=(-dict=tests/fuzz/json.dict) ;;
    profile) options+=(-dict=tests/fuzz/ini.dict) ;;
    esac
    if [[ $short ]]; then
        kept=$(mktemp -d)
        options+=(-seed=1 -runs=20000)
    fi
    mkdir -p "$kept" "$crashes"
    local status=0
    "$build/tests/fuzz/fuzz_$1" "${options[@]}" "$kept" "$seeds" >"$log" 2>&1 || status=$?
    [[ ! $short ]] || rm -rf "$kept"
    if [[ $status -ne 0 ]]; then
        grep -vE '^#[0-9]+\s+(NEW|REDUCE|pulse)' "$log" | tail -50
        echo "$1: FAILED; copy the input named above to tests/fuzz/crashes/$1/ and mend"
        return 1
    fi
    awk -v name="$1" '/ cov: / { for (i = 1; i < NF; ++i) { if ($i == "cov:") cov = $(i + 1); if ($i == "corp:") corp = $(i + 1) } }
                      /number_of_executed_units/ { runs = $2 }
                      END { printf "%-14s %9d runs, coverage %s, corpus %s\n", name ":", runs, cov, corp }' "$log"
}
export -f fuzz
export UBSAN_OPTIONS=print_stacktrace=1
export build seconds short
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz {}'
