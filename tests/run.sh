#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
set -uo pipefail

usage() {
    cat <<'END'
bash tests/run.sh [option]    installs what is missing, builds, and runs every test; asks nothing

  --quick        one build and its tests; no sanitizers, no second compiler
  --format       only check the formatting
  --no-install   install nothing (not Ceph either, the real S3 server); parts whose tools are missing are skipped
  --help

Works on a bare Debian 12, as root or with sudo. The last line is "N passed, N failed, N skipped", over all runs of
ctest; a build that fails counts as a failed test. The exit status is 0 only if nothing failed.
END
}

quick='' format_only='' install=1
for argument in "$@"; do
    case $argument in
    --quick) quick=1 ;;
    --format) format_only=1 ;;
    --no-install) install='' ;;
    --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
exec </dev/null
export CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(nproc)}
if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER-ccache}
fi
logs=build/logs
mkdir -p "$logs"

passed=0 failed=0 skipped=0
failures=()
stages=() stage_began=0
minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }
say() { echo "==> [$(minutes $SECONDS)] $*"; }
# stage <name>: what comes now; the time of each stage is listed at the end
stage() {
    local count=${#stages[@]}
    [[ $count -eq 0 ]] || stages[count - 1]+=" $(minutes $((SECONDS - stage_began)))"
    stages+=("$1")
    stage_began=$SECONDS
    say "$1"
}
fail() { failed=$((failed + 1)); failures+=("$1"); say "FAILED: $1"; }
skip() { skipped=$((skipped + 1)); say "skipped: $*"; }

# quiet <what> <command>...: the output is shown only if the command fails
quiet() {
    local log=$logs/${1// /-}.log
    if "${@:2}" >"$log" 2>&1; then
        grep '^-- objectcache:' "$log"
        return 0
    fi
    cat "$log"
    fail "$1"
    return 1
}

check_format() {
    stage "format"
    local tool=clang-format-14
    if ! command -v $tool >/dev/null; then
        skip "format: no $tool"
        return
    fi
    local files
    mapfile -t files < <(git ls-files -- '*.hpp' '*.ipp' '*.cpp' '*.cu' '*.cuh' 2>/dev/null ||
        find include tests examples bench -name '*.[hic]pp' -o -name '*.cu' -o -name '*.cuh')
    local file differing=()
    for file in "${files[@]}"; do
        $tool "$file" | cmp -s - "$file" || differing+=("$file")
    done
    if [[ ${#differing[@]} -eq 0 ]]; then
        passed=$((passed + 1))
    else
        fail "format"
        echo "$tool -i ${differing[*]}"
    fi
}

# build <preset> [cmake argument]... fails only if there is nothing to test: what did not build shows as tests that did
# not run, and the others run all the same.
build() {
    stage "$1 configure"
    quiet "$1 configure" cmake --preset "$1" "${@:2}" || return
    stage "$1 build"
    quiet "$1 build" cmake --build --preset "$1" -- -k 0
    return 0
}

# run_tests <preset> [command to run ctest under]...
run_tests() {
    local report=$PWD/$logs/$1.xml name status why
    stage "$1 test"
    rm -f "$report"
    "${@:2}" ctest --preset "$1" --output-junit "$report"
    if [[ ! -s $report ]]; then
        fail "$1: ctest"
        return
    fi
    # A test that could not be run is reported as "notrun" like one that skipped itself; only the latter is harmless.
    while IFS=$'\t' read -r name status why; do
        case $status/$why in
        run/*) passed=$((passed + 1)) ;;
        notrun/SKIP_* | disabled/*) skipped=$((skipped + 1)) ;;
        *) failed=$((failed + 1)); failures+=("$1: $name") ;;
        esac
    done < <(awk -F'"' '/<testcase / { name = $2; status = $(NF - 1); why = "" }
                        /<skipped / { why = $2 }
                        /<\/testcase>/ { print name "\t" status "\t" why }' "$report")
}

finish() {
    local name
    for name in "${failures[@]}"; do
        echo "failed: $name"
    done
    stage "done"
    printf '    %s\n' "${stages[@]}"
    echo "$passed passed, $failed failed, $skipped skipped"
    [[ $failed -eq 0 ]]
    exit
}

if [[ $format_only ]]; then
    check_format
    finish
fi

expect=(-DOBJECTCACHE_URING=ON)
if [[ $install ]]; then
    stage "packages"
    bash cmake/install_deps.sh build test rgw || fail "packages"
else
    expect=(-DOBJECTCACHE_URING=AUTO)
fi

check_format
build ci "${expect[@]}" && run_tests ci
if [[ ! $quick ]]; then
    # On epoll only: half the compile time, and io_uring was tested above. By clang: the second compiler, and half as long as
    # GCC with these sanitizers. Its check of function types needs data in front of functions that coroutines cannot have.
    second=() second_threads=()
    runtimes=$(clang++-14 -print-resource-dir 2>/dev/null)/lib/linux
    if compgen -G "$runtimes/libclang_rt.asan-*" >/dev/null; then
        second=(-DCMAKE_CXX_COMPILER=clang++-14
                "-DCMAKE_CXX_FLAGS=-fsanitize=address,undefined -fno-sanitize=function -fno-sanitize-recover=all")
        second_threads=(-DCMAKE_CXX_COMPILER=clang++-14)
    else
        skip "the second compiler: no clang++-14 with libclang-rt-14-dev"
    fi
    build asan -DOBJECTCACHE_URING=OFF "${second[@]}" && run_tests asan
    # By clang, too, for the same reason. ThreadSanitizer of GCC 12 does not survive the address layouts of newer kernels.
    fixed_addresses=()
    if setarch -R true 2>/dev/null; then
        fixed_addresses=(setarch -R)
    fi
    build tsan -DOBJECTCACHE_URING=OFF "${second_threads[@]}" && run_tests tsan "${fixed_addresses[@]}"
    stage "fuzz"
    if ! compgen -G "$runtimes/libclang_rt.fuzzer-*" >/dev/null; then
        skip "fuzz: no clang++-14 with libclang-rt-14-dev"
    elif bash tests/fuzz/run.sh --short; then
        passed=$((passed + 1))
    else
        fail "fuzz"
    fi
fi
finish
