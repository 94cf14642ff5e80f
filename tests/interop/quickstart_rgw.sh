#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
#
#   rgw.sh run quickstart_rgw.sh BUILD_DIRECTORY     the quickstart with a real store, in the clear and over TLS
set -euo pipefail

prompt=$(mktemp)
trap 'rm -f "$prompt"' EXIT
root=$(dirname "${BASH_SOURCE[0]}")/../..
head -c 1000 "$root/examples/llama/prompt.txt" >"$prompt" # what is tested is the store, not the engine
for url in "$RGW_URL" "$RGW_TLS_URL"; do
    OBJECTCACHE_PREBUILT=1 OBJECTCACHE_BUILD_DIR=$1 \
        bash "$root/examples/quickstart.sh" --endpoint "$url" --bucket "quickstart-${url%%:*}" --prompt "$prompt" -n 16
done
