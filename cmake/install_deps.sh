#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
#
#   cmake/install_deps.sh build          what building the library's examples needs
#   cmake/install_deps.sh build test     and what the test suite needs
#   cmake/install_deps.sh rgw            a real S3 server, and the clients it is shared with: Ceph, boto3, s3cmd
#   cmake/install_deps.sh bench          what bench/ compares us with: nginx, libcurl, the AWS CRT
#   cmake/install_deps.sh --list ...     print the packages that are missing, install nothing
#
# Debian 12 or a later relative of it. Installs only what is missing, asks nothing, and needs root or sudo only then.
set -euo pipefail

build=(cmake ninja-build g++ pkg-config libboost1.81-dev libssl-dev libxxhash-dev liburing-dev libcli11-dev libopenblas-dev)
test=(doctest-dev python3 clang-14 libclang-rt-14-dev clang-format-14)
rgw=(ceph-mon ceph-osd radosgw ceph-common curl openssl python3-boto3 python3-xxhash s3cmd)
bench=(nginx-light libcurl4-openssl-dev python3-awscrt)

list_only=''
packages=()
for argument in "$@"; do
    case $argument in
    --list) list_only=1 ;;
    build) packages+=("${build[@]}") ;;
    test) packages+=("${test[@]}") ;;
    rgw) packages+=("${rgw[@]}") ;;
    bench) packages+=("${bench[@]}") ;;
    *) echo "usage: $0 [--list] build [test] [rgw] [bench]" >&2; exit 2 ;;
    esac
done

if ! command -v apt-get dpkg-query >/dev/null; then
    echo "not a Debian system; needed are the equivalents of: ${packages[*]}" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
    exit 0
fi
if [[ $list_only ]]; then
    printf '%s\n' "${missing[@]}"
    exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "missing: ${missing[*]}; install them as root" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt_get() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
}
apt_get update
apt_get install -y --no-install-recommends "${missing[@]}"
