#!/bin/bash
# SPDX-License-Identifier: BSL-1.0
# The tests of this folder under compute-sanitizer. Needs a GPU and the programs, built.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: bash tests/cuda/sanitize.sh [build folder]     default: build/dev

Runs memcheck, and for the kernels racecheck and synccheck too, over the CUDA tests that are built there. Ends with 0 if all are clean,
1 if one is not, 77 without a GPU or compute-sanitizer.

It launches one kernel at a time and waits for it: what launches kernels while it keeps a gate closed would wait for itself, so those
cases are left out, by name below.
TEXT
}
case "${1:-}" in
  -h | --help) usage; exit 0 ;;
  -*) usage >&2; exit 2 ;;
esac
programs="${1:-build/dev}/tests/cuda"

sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
[ -x "$sanitizer" ] || { echo "skipped: no compute-sanitizer (CUDA Toolkit)"; exit 77; }
[ -x "$programs/cuda_device_test" ] || { echo "sanitize.sh: $programs/cuda_device_test is not built" >&2; exit 2; }
rc=0
"$programs/cuda_device_test" --list-test-cases >/dev/null || rc=$?
[ "$rc" = 77 ] && { echo "skipped: no CUDA device"; exit 77; }

failed=0
check() { # tool, program, what else
  local tool=$1 program=$2 begun=$SECONDS log
  shift 2
  log=$(mktemp)
  # Rows of one copy may lie in several allocations: that is tried, refused by the driver, and copied otherwise.
  if timeout 300 "$sanitizer" --tool "$tool" --report-api-errors no --error-exitcode 9 "$programs/$program" "$@" >"$log" 2>&1; then
    echo "clean    $tool $program ($((SECONDS - begun)) s): $(grep -o 'test cases: .*' "$log" | tr -s ' ')"
  else
    echo "FAILED   $tool $program: $log"
    tail -n 30 "$log"
    failed=1
  fi
}
waits_for_itself='*closed gate holds the engine*,*gate opens behind the copies*'
check memcheck cuda_device_test -tce="$waits_for_itself"
check memcheck cuda_cache_test -tce="$waits_for_itself"
for tool in memcheck racecheck synccheck; do
  check "$tool" cuda_kv_kernels_test
done
exit "$failed"
