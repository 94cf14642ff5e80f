#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
set -Eeuo pipefail

usage() {
    cat <<'END'
A throw-away S3 server on 127.0.0.1: Ceph's RADOS Gateway with one monitor and one OSD, from Debian's packages
(cmake/install_deps.sh rgw). Needs no systemd and no root; any number run side by side.

  rgw.sh run COMMAND...   start one, run the command with its address in the environment, stop it
  rgw.sh start [DIR]      start one and print the file to source for its address
  rgw.sh stop DIR         stop that one and remove DIR, which holds all of it; the file will do as well

In the environment, or in the file:
  RGW_URL RGW_TLS_URL RGW_CA RGW_BUCKET     addresses, the CA of the second one, a bucket that exists
  RGW_DIR                                   logs and the processes' ids
  AWS_ENDPOINT_URL (RGW_URL) AWS_CA_BUNDLE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_DEFAULT_REGION

Settings, from the environment:
  RGW_PORT, RGW_TLS_PORT  ports (0: free ones)
  RGW_STORE_GB            capacity (4); objects are kept in memory, at about twice their size
  RGW_LOG                 0: errors only; 1: a line per request (1)
  RGW_EXTRA               more lines for the gateway's section of ceph.conf
  RGW_TIMEOUT             seconds until a start has failed (240; it takes two or three on an idle machine)

Exit status 77 of run and start: Ceph is not installed.
END
}

PATH=$PATH:/usr/sbin:/sbin
unset CEPH_ARGS
say() { echo "rgw.sh: $*" >&2; }
trap 'say "line $LINENO: status $?"' ERR

stop_daemons() {
    local name pid file
    for name in rgw osd mon; do # whoever uses goes before what it uses: none of them waits for the other
        file=$1/$name.pid
        [[ -s $file ]] || continue
        pid=$(<"$file")
        rm -f "$file"
        # Nothing of it is kept, so nothing needs to be shut down in good order. A number may have passed on to a stranger.
        [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *"--conf $1/ceph.conf"* ]] || continue
        kill -KILL "$pid" 2>/dev/null || true
        while [[ -d /proc/$pid && $(awk '$1 == "State:" { print $2 }' "/proc/$pid/status" 2>/dev/null) != [ZX] ]]; do
            sleep 0.02
        done
    done
}

# show_logs NAME...: their ends
show_logs() {
    local name
    for name in "$@"; do
        [[ ! -s $dir/$name ]] || { echo "--- $name"; tail -n 15 "$dir/$name" | cut -c 1-300; } >&2
    done
}
start_logs=({admin,mon,osd,rgw}.{out,log})

check_tools() {
    local tool
    for tool in ceph ceph-mon ceph-osd radosgw radosgw-admin monmaptool curl openssl; do
        command -v "$tool" >/dev/null || { echo "skipped: no $tool (cmake/install_deps.sh rgw)"; exit 77; }
    done
}

# Distinct free ports for the zeros; all are held until all are chosen.
choose_ports() {
    /usr/bin/python3 - "$@" <<'END'
import socket, sys
held = []
for wanted in map(int, sys.argv[1:]):
    held.append(socket.socket())
    held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held[-1].bind(("127.0.0.1", wanted))
    except OSError as error:
        sys.exit(f"port {wanted}: {error.strerror}")
print(*(s.getsockname()[1] for s in held))
END
}

write_configuration() {
    local bytes=$((${RGW_STORE_GB:-4} << 30)) log=${RGW_LOG:-1}
    cat >"$dir/ceph.conf" <<END
[global]
fsid = $fsid
mon_host = [v2:127.0.0.1:$mon_port,v1:127.0.0.1:$mon_v1_port]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv4 = true
ms_bind_ipv6 = false

# Nobody proves who he is. The gateway would encrypt its connection to the monitor, for which there is no key then:
# it would wait for ever. Hence crc.
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
keyring = /dev/null
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
ms_client_mode = crc
ms_service_mode = crc
ms_cluster_mode = crc

# All of it in one directory.
run_dir = $dir
crash_dir = $dir
admin_socket = $dir/\$name.asok
pid_file =
log_to_stderr = false
err_to_stderr = true
debug_ms = 0/0
debug_rocksdb = 0/0

# One replica, few placement groups, nobody who would scale them.
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0

[mon]
mon_data = $dir/mon
log_file = $dir/mon.log
mon_cluster_log_file = $dir/cluster.log
mon_allow_pool_size_one = true
mon_data_avail_warn = 1
mon_data_avail_crit = 0
# Every pool waits for changes of the maps, which are otherwise collected for a second.
paxos_propose_interval = 0.02
paxos_min_wait = 0.01

[osd]
osd_data = $dir/osd
log_file = $dir/osd.log
osd_objectstore = memstore
memstore_device_bytes = $bytes

[client]
log_file = $dir/admin.log

[client.rgw]
log_file = $dir/rgw.log
rgw_data = $dir/rgw
debug_rgw = $log/$log
rgw_dns_name = localhost
# Memory of deleted objects comes back after seconds, not hours.
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 5
rgw_gc_processor_max_time = 5
rgw_dynamic_resharding = false
rgw_enable_quota_threads = false
rgw_run_sync_thread = false
${RGW_EXTRA:-}
END
}

# An authority of its own, so that a client has to be told to trust it. (OpenSSL takes no wildcard for *.localhost.)
make_certificates() {
    local names='subjectAltName=DNS:localhost,DNS:interop.localhost,IP:127.0.0.1'
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=objectcache interop CA" \
            -keyout "$dir/ca.key" -out "$dir/ca.pem"
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
            -keyout "$dir/tls.key" -out "$dir/tls.csr"
        openssl x509 -req -in "$dir/tls.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
            -extfile <(echo "$names") -out "$dir/tls.pem"
    } 2>>"$dir/admin.log"
}

# daemon NAME COMMAND...: in the background, with none of our descriptors; in `run` it dies with us, whatever happens to us
daemon() {
    local with_us=()
    [[ $mode != run ]] || with_us=(setpriv --pdeathsig KILL)
    setsid "${with_us[@]}" "${@:2}" </dev/null >"$dir/$1.out" 2>&1 &
    echo $! >"$dir/$1.pid"
    disown
}

left() {
    local seconds=$((${RGW_TIMEOUT:-240} - SECONDS))
    ((seconds > 0)) || { say "not up after ${RGW_TIMEOUT:-240} s"; return 1; }
    echo "$seconds"
}

# wait_for NAME COMMAND...: until it succeeds, as long as that daemon lives
wait_for() {
    until "${@:2}" >/dev/null 2>>"$dir/admin.log"; do
        kill -0 "$(<"$dir/$1.pid")" 2>/dev/null || { say "$1 died"; return 1; }
        left >/dev/null
        sleep 0.1
    done
}

tool() { timeout "$(left)" "$1" --conf "$dir/ceph.conf" "${@:2}" 2>>"$dir/admin.log"; }
osd_is_up() { [[ $(tool ceph osd stat) == *' 1 up '* ]]; }

# curl 7.88 signs for S3, but leaves out a header that S3 wants.
signed_curl() {
    curl -q -K "$dir/curlrc" -sS --noproxy '*' --cacert "$dir/ca.pem" --fail --max-time "$(left)" "$@"
}

bring_up() {
    local secret fsid osd_uuid chosen port tls_port mon_port mon_v1_port
    SECONDS=0
    chosen=$(choose_ports "${RGW_PORT:-0}" "${RGW_TLS_PORT:-0}" 0 0)
    read -r port tls_port mon_port mon_v1_port <<<"$chosen"
    fsid=$(</proc/sys/kernel/random/uuid)
    osd_uuid=$(</proc/sys/kernel/random/uuid)
    secret=$(openssl rand -base64 30) # often with / and +
    mkdir "$dir"/{mon,osd,rgw}
    write_configuration
    make_certificates

    monmaptool --create --fsid "$fsid" --set-min-mon-release 16 \
        --addv a "[v2:127.0.0.1:$mon_port,v1:127.0.0.1:$mon_v1_port]" "$dir/monmap" >>"$dir/admin.log"
    ceph-mon --conf "$dir/ceph.conf" -i a --mkfs --monmap "$dir/monmap" >>"$dir/admin.log" 2>&1
    daemon mon ceph-mon --conf "$dir/ceph.conf" -i a -f
    wait_for mon tool ceph --connect-timeout 5 mon stat

    local id
    id=$(tool ceph osd new "$osd_uuid")
    ceph-osd --conf "$dir/ceph.conf" -i "$id" --mkfs --osd-uuid "$osd_uuid" >>"$dir/admin.log" 2>&1
    daemon osd ceph-osd --conf "$dir/ceph.conf" -i "$id" -f
    wait_for osd osd_is_up

    tool radosgw-admin user create --uid=interop --display-name=interop --access-key=interop --secret-key="$secret" \
        >>"$dir/admin.log"
    # Debian's Ceph uses glibc's malloc, which maps and unmaps every buffer of 4 MiB unless told otherwise.
    MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=1073741824 \
        daemon rgw radosgw --conf "$dir/ceph.conf" -n client.rgw -f --rgw-frontends="beast endpoint=127.0.0.1:$port tcp_nodelay=1 \
ssl_endpoint=127.0.0.1:$tls_port ssl_certificate=$dir/tls.pem ssl_private_key=$dir/tls.key"
    cat >"$dir/curlrc" <<END
user = "interop:$secret"
aws-sigv4 = "aws:amz:us-east-1:s3"
header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"
END
    wait_for rgw signed_curl -X PUT "http://127.0.0.1:$port/interop"
    wait_for rgw signed_curl "https://127.0.0.1:$tls_port/interop"

    cat >"$dir/env" <<END
export RGW_DIR='$dir'
export RGW_URL=http://127.0.0.1:$port
export RGW_TLS_URL=https://127.0.0.1:$tls_port
export RGW_CA='$dir/ca.pem'
export RGW_BUCKET=interop
export AWS_ENDPOINT_URL=http://127.0.0.1:$port
export AWS_CA_BUNDLE='$dir/ca.pem'
export AWS_ACCESS_KEY_ID=interop
export AWS_SECRET_ACCESS_KEY='$secret'
export AWS_REGION=us-east-1
export AWS_DEFAULT_REGION=us-east-1
export AWS_EC2_METADATA_DISABLED=true
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
unset AWS_ENDPOINT_URL_S3 AWS_SESSION_TOKEN AWS_PROFILE
END
    say "up after $SECONDS s: http://127.0.0.1:$port https://127.0.0.1:$tls_port"
}

# make_directory [DIR]: sets dir. It goes into ceph.conf, and the paths of sockets in it have to fit into 107 bytes.
make_directory() {
    dir=${1:-$(mktemp -d "${TMPDIR:-/tmp}/rgw.XXXXXX")}
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd -P)
    [[ $dir =~ ^[A-Za-z0-9/._+-]{1,80}$ ]] || { say "$dir: a shorter path, and plain characters, please"; exit 2; }
    [[ -z $(ls -A "$dir") ]] || { say "$dir is not empty"; exit 2; }
    chmod 700 "$dir"
}

mode=${1:-help}
case $mode in
start)
    check_tools
    make_directory "${2:-}"
    trap 'trap - EXIT; show_logs "${start_logs[@]}"; stop_daemons "$dir"; say "failed; logs are in $dir"; exit 1' EXIT
    trap 'exit 1' INT TERM
    bring_up
    trap - EXIT
    echo "$dir/env"
    ;;
run)
    (($# >= 2)) || { usage >&2; exit 2; }
    check_tools
    make_directory
    status=1
    command=''
    logs=("${start_logs[@]}")
    trap 'trap - EXIT
          [[ ! $command ]] || kill "$command" 2>/dev/null || true
          [[ $status -eq 0 || $status -eq 77 ]] || show_logs "${logs[@]}"
          stop_daemons "$dir"
          rm -rf "$dir"
          exit "$status"' EXIT
    trap 'exit 1' INT TERM
    bring_up
    logs=(rgw.log) # what the command printed says what failed; this is the other side of it
    (
        . "$dir/env"
        exec setpriv --pdeathsig TERM "${@:2}"
    ) <&0 &
    command=$!
    status=0
    wait "$command" || status=$?
    command=''
    ;;
stop)
    dir=${2:?$(usage)}
    [[ -d $dir ]] || dir=$(dirname "$dir")
    dir=$(cd "$dir" && pwd -P)
    [[ -f $dir/ceph.conf ]] || { say "$dir holds no server"; exit 2; }
    stop_daemons "$dir"
    rm -rf "$dir"
    ;;
*)
    usage
    [[ $mode == help || $mode == --help ]] || exit 2
    ;;
esac
