#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
set -euo pipefail

usage() {
    cat <<'END'
bash examples/quickstart.sh [option]...    installs what is missing, builds, and takes one prompt all the way through

  process A prefills a text and stores its KV cache in S3; process B, which has never seen it, answers a longer prompt
  without a cache, with load-then-compute, and layer by layer; then one stored byte is flipped and B answers again.

  --endpoint URL     a real S3 store instead of the embedded server; credentials from the usual AWS_* variables or profile
  --bucket NAME      bucket to use (made if missing; default objectcache-quickstart)
  --latency-ms N     time to first byte of the embedded server (default 20)
  --mbit N           its link, Mbit/s, both directions (default 400)
  --model DIR        a Hugging Face Llama checkpoint instead of the small one in the repository
  --prompt FILE      its prompt: text for a byte-level model, decimal token ids otherwise
  --layout NAME      segment_objects, chunk_objects or layer_objects (default: as suits the model)
  --stream-decode    also decode with only two layers of the prefix on the device, fetched again at every step
  -n N               tokens to generate (default 96)
  --no-install       install nothing
  --help

Exit status 0 only if all texts are the same, everything came from the cache, and the flipped byte was noticed.
END
}

latency=20 mbit=400 endpoint='' install=1
arguments=()
while (($#)); do
    case $1 in
    --help) usage; exit 0 ;;
    --no-install) install='' ;;
    --stream-decode) arguments+=("$1") ;;
    --endpoint | --bucket | --latency-ms | --mbit | --model | --prompt | --layout | -n)
        (($# >= 2)) || { echo "error: $1 needs a value" >&2; exit 2; }
        case $1 in
        --latency-ms) latency=$2 ;;
        --mbit) mbit=$2 ;;
        --endpoint) endpoint=$2 arguments+=("$1" "$2") ;;
        --model | --prompt) arguments+=("$1" "$(realpath "$2")") ;;
        *) arguments+=("$1" "$2") ;;
        esac
        shift
        ;;
    *) echo "error: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { printf '\n==> %s\n' "$*"; }

build=${OBJECTCACHE_BUILD_DIR:-build/quickstart}
if [[ -z ${OBJECTCACHE_PREBUILT:-} ]]; then # the tests have built it already
    [[ -z $install ]] || bash cmake/install_deps.sh build
    say "building in $build"
    mkdir -p "$build"
    cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DOBJECTCACHE_BUILD_TESTS=OFF >"$build/configure.log" 2>&1 ||
        { cat "$build/configure.log" >&2; exit 1; }
    cmake --build "$build" --parallel "$(nproc)" --target quickstart objectcache_s3_server
fi
quickstart=$build/examples/quickstart/quickstart

output=$(mktemp -d)
server=''
cleanup() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    rm -rf "$output"
}
trap cleanup EXIT

if [[ -z $endpoint ]]; then
    say "an S3 server on this machine: $latency ms to the first byte, a link of $mbit Mbit/s"
    "$build/examples/objectcache_s3_server" --latency-ms "$latency" --mbit "$mbit" >"$output/server" 2>&1 &
    server=$!
    for ((i = 0; i < 100; ++i)); do
        ! grep -q AWS_SECRET_ACCESS_KEY "$output/server" || break
        kill -0 "$server" 2>/dev/null || { cat "$output/server" >&2; exit 1; }
        sleep 0.05
    done
    # Its address and its keys; whatever else the environment says about S3 does not concern this server.
    unset AWS_ENDPOINT_URL_S3 AWS_SESSION_TOKEN AWS_PROFILE
    while read -r line; do export "${line?}"; done < <(sed -n 's/^export //p' "$output/server")
    arguments+=(--mbit "$mbit" --latency-ms "$latency")
fi

say "process A"
"$quickstart" prefill "${arguments[@]}"
say "process B"
"$quickstart" answer "${arguments[@]}"

say "the same after a stored byte was flipped"
"$quickstart" damage "${arguments[@]}"
status=0
"$quickstart" answer "${arguments[@]}" >"$output/damaged" 2>"$output/error" || status=$?
"$quickstart" damage "${arguments[@]}" >/dev/null # flips it back
grep -A1 'generated, the same' "$output/damaged" || true
grep 'corrupt chunks counted' "$output/damaged" || { cat "$output"/{damaged,error}; echo "error: the damage went unnoticed" >&2; exit 1; }
tail -n 1 "$output/error"
[[ $status -ne 0 ]] || { echo "error: the damage went unreported" >&2; exit 1; }

say "done: every way generated the same text"
