#!/usr/bin/python3
# SPDX-License-Identifier: BSL-1.0
"""Runs S3 clients against S3 servers, side by side, and makes tables of it. bench/s3.sh installs and builds what it needs.

Every client fetches the same objects in the same order, from one server at a time, in rounds: each round runs every client
once per object size and number of requests in flight, beginning with another client. A run warms up, begins requests for
--seconds, and waits for the last ones. Figures are medians over the rounds, and the extremes.

Servers are pinned to core 0, clients of one thread to core 1, of two threads to cores 1 and 2 (0 and 1 where there are two).
A run during which other processes took more than 0.3 of a core is repeated, as long as there is time for it (--patience);
if that does not help it is kept, and counted in the report.

Each run is written to <output>/s3_<suite>.jsonl as soon as it is over: the environment in the first line, then a run per
line. The pages are made from these files alone; --report-only does just that."""

import argparse
import json
import os
import pathlib
import platform
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
SERVER_CORE = "0"
CLIENT_CORES = {1: "0" if CORES == 1 else "1", 2: "1,2" if CORES > 2 else "0,1" if CORES == 2 else "0"}
NOISE = 0.3  # cores


def say(text):
    print(f"s3.py: {text}", file=sys.stderr, flush=True)


def size_name(size):
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def output_of(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip()


# --- What the machine does meanwhile

def process_times():
    """pid -> (parent, CPU seconds)"""
    out = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        out[int(entry.name)] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / TICK)
    return out


def busy_seconds():
    """Of all cores, by processes; interrupts and what the hypervisor took belong to nobody."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system = map(int, stat.readline().split()[1:4])
    return (user + nice + system) / TICK


# --- Servers

class Server:
    """A server that runs. `roots` are its processes, without their children."""
    bucket = "bench"

    def __init__(self, objects):
        self.objects = objects
        self.directory = tempfile.mkdtemp(prefix="ocb.", dir="/tmp")
        self.process = None
        self.environment = {"AWS_ACCESS_KEY_ID": "objectcache-test", "AWS_SECRET_ACCESS_KEY": "objectcache-test-secret"}
        self.ca_file = None

    def launch(self, *command):
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(["taskset", "-c", SERVER_CORE, *command], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)

    def roots(self):
        return [self.process.pid]

    def cpu_seconds(self):
        times = process_times()
        mine = set(self.roots())
        while True:
            more = {pid for pid, (parent, _) in times.items() if parent in mine} - mine
            if not more:
                return sum(times[pid][1] for pid in mine if pid in times)
            mine |= more

    def wait_until_up(self, port):
        for _ in range(200):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as log:
            sys.exit(f"{type(self).__name__} does not answer:\n{log.read()}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        shutil.rmtree(self.directory, ignore_errors=True)

    def make_certificate(self):
        self.ca_file = f"{self.directory}/tls.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                        f"{self.directory}/tls.key", "-out", self.ca_file], check=True, capture_output=True)

    def fill(self, url):
        import boto3
        import botocore.config
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", verify=self.ca_file or None,
                              aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
                              aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
                              config=botocore.config.Config(s3={"addressing_style": "path"}))
        for path in sorted(self.objects.rglob("*")):
            if path.is_file():
                client.put_object(Bucket=self.bucket, Key=str(path.relative_to(self.objects)), Body=path.read_bytes())


class Nginx(Server):
    """Files from memory with sendfile: the fastest peer, which knows nothing of S3."""

    def __init__(self, objects, port, tls):
        super().__init__(objects)
        listen = f"listen 127.0.0.1:{port} reuseport;"
        if tls:
            self.make_certificate()
            listen = (f"listen 127.0.0.1:{port} ssl; ssl_certificate {self.ca_file}; "
                      f"ssl_certificate_key {self.directory}/tls.key; ssl_protocols TLSv1.2 TLSv1.3;")
        root = pathlib.Path(self.directory, "root")
        root.mkdir()
        (root / self.bucket).symlink_to(objects)
        temporary = "".join(f"{kind}_temp_path {self.directory}/{kind}; "
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        pathlib.Path(self.directory, "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {self.directory}/pid; error_log stderr error; {"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 1024; }}
http {{
  access_log off; {temporary}
  sendfile on; tcp_nopush on; open_file_cache max=1024; keepalive_requests 1000000000; keepalive_timeout 600;
  server {{ {listen} root {root}; }}
}}""", encoding="ascii")
        os.chmod(self.directory, 0o755)
        self.launch("nginx", "-p", self.directory, "-c", f"{self.directory}/nginx.conf", "-e", "stderr")
        self.wait_until_up(port)

    @staticmethod
    def version():
        return output_of("nginx", "-v").removeprefix("nginx version: ")


class Ours(Server):
    """The server of the test kit, objects in memory."""

    def __init__(self, objects, port, tls):
        super().__init__(objects)
        command = [str(build / "examples/objectcache_s3_server"), "--port", str(port), "--bucket", self.bucket]
        if tls:
            self.make_certificate()
            command += ["--certificate", self.ca_file, "--key", f"{self.directory}/tls.key"]
        self.launch(*command)
        self.wait_until_up(port)
        self.fill(f"{'https' if tls else 'http'}://127.0.0.1:{port}")

    @staticmethod
    def version():
        return "examples/objectcache_s3_server, one thread"


class Rgw(Server):
    """Ceph's gateway, one monitor, one OSD in memory: all of it on the one core."""
    bucket = "interop"

    def __init__(self, objects, port, tls):
        super().__init__(objects)
        script = str(HERE.parent / "tests/interop/rgw.sh")
        environment = os.environ | {"RGW_LOG": "0", "RGW_STORE_GB": "8", "RGW_TLS_PORT" if tls else "RGW_PORT": str(port)}
        started = subprocess.run(["taskset", "-c", SERVER_CORE, script, "start", f"{self.directory}/rgw"], env=environment,
                                 stdout=subprocess.PIPE, text=True, check=False)
        if started.returncode != 0:
            sys.exit("rgw.sh: no RADOS Gateway")
        settings = {}
        for line in pathlib.Path(started.stdout.strip()).read_text(encoding="utf-8").splitlines():
            word, _, assignment = line.partition(" ")
            if word == "export":
                name, _, value = assignment.partition("=")
                settings[name] = shlex.split(value)[0]
        self.environment = {name: settings[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        self.ca_file = settings["RGW_CA"] if tls else None
        self.pids = [int(path.read_text()) for path in pathlib.Path(self.directory, "rgw").glob("*.pid")]
        self.fill(f"{'https' if tls else 'http'}://127.0.0.1:{port}")

    def roots(self):
        return self.pids

    def stop(self):
        subprocess.run([str(HERE.parent / "tests/interop/rgw.sh"), "stop", f"{self.directory}/rgw"], check=False)
        super().stop()

    @staticmethod
    def version():
        return " ".join(output_of("radosgw", "--version").split()[:3]) + ", one OSD in memory"


SERVERS = {"nginx": Nginx, "ours": Ours, "rgw": Rgw}


# --- Clients

class Client:
    def __init__(self, title, command, threads=1, sizes=None, in_flight=None, servers=None, most=None):
        self.title = title
        self.command = command  # a function of the case
        self.threads = threads
        self.sizes, self.in_flight, self.servers = sizes, in_flight, servers  # None: any
        self.most = most  # bytes in flight

    def takes_part(self, server, size, in_flight):
        return all(wanted is None or have in wanted for have, wanted in (
            (server, self.servers), (size, self.sizes), (in_flight, self.in_flight))) and (
                self.most is None or size * in_flight <= self.most)


def bench_program(name, *extra):
    return lambda case: [str(build / "bench" / name), *extra]


def verifying(name):
    return lambda case: [str(build / "bench" / name), "--verify", str(case["objects_directory"])]


def python_program(name, *extra):
    return lambda case: ["/usr/bin/python3", str(HERE / "peers" / name), *extra]


KIB, MIB = 1 << 10, 1 << 20
SIZES = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB]
FEW = [64 * KIB, MIB, 16 * MIB]
A_LOT = 256 * MIB  # in flight at once: a wave of them takes a second or two


def two(title, command):
    return Client(title + ", 2 threads", command, 2, FEW, (16,), ("nginx", "ours"))


def kernel_offers_tls():
    try:
        with open("/proc/sys/net/ipv4/tcp_available_ulp", encoding="ascii") as offered:
            return "tls" in offered.read().split()
    except OSError:
        return False


# `sizes` and `in_flight`: what is run by default. `notes` say what of the whole product is left out, and why.
SUITES = {
    "get": {
        "title": "GET over HTTP",
        "tls": False,
        "servers": {
            "nginx": {"sizes": SIZES, "most": None},
            "ours": {"sizes": SIZES, "most": A_LOT},
            "rgw": {"sizes": SIZES, "most": A_LOT},
        },
        "in_flight": (1, 16, 64),
        "notes": "64 requests of 16 MiB, a gigabyte in flight, are tried over nginx alone, and not by boto3. Two threads: three "
                 "sizes, 16 in flight. Unverified and unsigned: 16 in flight.",
        "clients": {
            "raw": Client("raw recv", bench_program("bench_peer_raw")),
            "raw-verified": Client("raw recv, verified", verifying("bench_peer_raw")),
            "epoll": Client("ours, epoll", verifying("s3_get")),
            "uring": Client("ours, io_uring", verifying("s3_get_uring")),
            "unverified": Client("ours, epoll, unverified", bench_program("s3_get"), in_flight=(16,), servers=("nginx", "ours")),
            "libcurl": Client("libcurl", bench_program("bench_peer_libcurl")),
            "libcurl-unsigned": Client("libcurl, unsigned", bench_program("bench_peer_libcurl", "--unsigned"),
                                       in_flight=(16,), servers=("nginx",)),
            "crt": Client("AWS CRT", python_program("crt.py")),
            "boto3": Client("boto3", python_program("boto3_client.py"), most=A_LOT),
            "raw2": two("raw recv", bench_program("bench_peer_raw")),
            "epoll2": two("ours, epoll", verifying("s3_get")),
            "uring2": two("ours, io_uring", verifying("s3_get_uring")),
            "libcurl2": two("libcurl", bench_program("bench_peer_libcurl")),
        },
    },
    "tls": {
        "title": "GET over TLS",
        "tls": True,
        "servers": {"nginx": {"sizes": SIZES, "most": A_LOT}, "rgw": {"sizes": SIZES, "most": A_LOT}},
        "in_flight": (1, 16, 64),
        "notes": "No more than 256 MiB in flight.",
        "clients": {
            "raw": Client("raw OpenSSL", bench_program("bench_peer_raw")),
            "epoll": Client("ours, epoll", verifying("s3_get")),
            "uring": Client("ours, io_uring", verifying("s3_get_uring")),
            "libcurl": Client("libcurl", bench_program("bench_peer_libcurl")),
            "crt": Client("AWS CRT", python_program("crt.py")),
            **({"ktls": Client("raw, kTLS 1.2", bench_program("bench_peer_raw", "--ktls"), servers=("nginx",))}
               if kernel_offers_tls() else {}),
        },
    },
    "put": {
        "title": "PUT over HTTP",
        "tls": False,
        "servers": {"ours": {"sizes": SIZES, "most": A_LOT}, "rgw": {"sizes": SIZES, "most": 16 * MIB}},
        "in_flight": (1, 16, 64),
        "notes": "No more than 256 MiB in flight; the gateway, which removes what was replaced only hours later, gets 16 MiB.",
        "clients": {
            "raw": Client("raw send", bench_program("bench_peer_raw", "--put")),
            "epoll": Client("ours, epoll", bench_program("s3_put")),
            "uring": Client("ours, io_uring", bench_program("s3_put_uring")),
            "signed": Client("ours, epoll, body signed", bench_program("s3_put", "--sign-payload")),
            "libcurl": Client("libcurl", bench_program("bench_peer_libcurl", "--put")),
            "crt": Client("AWS CRT", python_program("crt.py", "--put")),
            "boto3": Client("boto3", python_program("boto3_client.py", "--put")),
        },
    },
}
PAGES = {"s3_get": ("get", "tls"), "s3_put": ("put",)}


# --- Running

def object_count(size):
    return max(8, min(64, (128 << 20) // size))


def make_objects(sizes):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ocb-objects.", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    for size in sizes:
        (directory / str(size)).mkdir()
        for i in range(object_count(size)):
            (directory / str(size) / str(i)).write_bytes(os.urandom(size))
    os.chmod(directory, 0o755)
    return directory


def run_client(client, case, server, url):
    """One run: its report, or None with the reason printed."""
    command = ["taskset", "-c", CLIENT_CORES[client.threads], *client.command(case), "--url", url, "--bucket", server.bucket,
               "--size", str(case["size"]), "--objects", str(object_count(case["size"])), "--in-flight",
               str(case["in_flight"]), "--threads", str(client.threads), "--seconds", str(case["seconds"]), "--warm-up",
               str(case["warm_up"])]
    if server.ca_file:
        command += ["--ca-file", server.ca_file]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and not k.lower().endswith("_proxy")}
    environment |= server.environment | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null"}
    busy, server_cpu, mine = busy_seconds(), server.cpu_seconds(), sum(os.times()[:4])
    began = time.monotonic()
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        say(f"no end in sight: {shlex.join(command)}")
        return None
    wall = time.monotonic() - began
    mine = sum(os.times()[:4]) - mine  # with the client
    server_cpu = server.cpu_seconds() - server_cpu
    if done.returncode != 0:
        say(f"failed: {shlex.join(command)}\n{done.stderr[-500:]}")
        return None
    report = json.loads(done.stdout)
    report["server_cpu"] = round(server_cpu, 3)  # with the warm-up
    report["wall"] = round(wall, 3)
    report["others"] = round(max(0.0, busy_seconds() - busy - mine - server_cpu) / wall, 3)
    return report


def cells_of(suite, server, options):
    """(size, requests in flight) of the default, or what the command line wants."""
    mine = suite["servers"][server]
    return [(size, in_flight) for size in options.sizes or mine["sizes"] for in_flight in options.in_flight or suite["in_flight"]
            if mine["most"] is None or size * in_flight <= mine["most"]]


def run_suite(name, options, objects, record):
    suite = SUITES[name]
    scheme = "https" if suite["tls"] else "http"
    own_port = 443 if suite["tls"] else 80
    for server_name in suite["servers"]:
        if server_name not in options.servers:
            continue
        port = free_port(own_port)
        try:
            server = SERVERS[server_name](objects, port, suite["tls"])
        except OSError as error:
            sys.exit(f"{server_name}: {error}")
        try:
            url = f"{scheme}://127.0.0.1" + ("" if port == own_port else f":{port}")
            failed = set()
            for round_ in range(options.rounds):
                began = time.monotonic()
                for size, in_flight in cells_of(suite, server_name, options):
                    taking_part = [key for key, c in suite["clients"].items()
                                   if c.takes_part(server_name, size, in_flight) and key not in failed
                                   and (not options.clients or key in options.clients)
                                   and not (key == "crt" and port != own_port)]
                    first = round_ % max(1, len(taking_part))
                    for key in taking_part[first:] + taking_part[:first]:
                        case = {"size": size, "in_flight": in_flight, "seconds": options.seconds,
                                "warm_up": options.warm_up, "objects_directory": objects}
                        report = run_patiently(suite["clients"][key], case, server, url, options)
                        if report is None:
                            failed.add(key)
                            continue
                        record({"suite": name, "server": server_name, "client": key, "size": size, "in_flight": in_flight,
                                "round": round_, "threads": suite["clients"][key].threads, **report})
                say(f"{suite['title']}, {server_name}, round {round_ + 1} of {options.rounds}: "
                    f"{time.monotonic() - began:.0f} s")
        finally:
            server.stop()


def run_patiently(client, case, server, url, options):
    """The least disturbed of a few runs, while --patience lasts."""
    best = None
    for _ in range(3):
        began = time.monotonic()
        report = run_client(client, case, server, url)
        if report is None:
            return best
        if best is None or report["others"] < best["others"]:
            best = report
        if best["others"] <= NOISE or options.patience <= 0:
            break
        options.patience -= time.monotonic() - began
    return best


def free_port(wanted):
    """The scheme's own if it can be had: one of the clients knows no other."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port == 0:
                say(f"port {wanted} cannot be had: the CRT is left out")
            return probe.getsockname()[1]
    sys.exit("no port")


# --- Tables

def gigabytes_per_second(run):
    return run["bytes"] / run["seconds"] / 1e9


def cpu_per_gigabyte(run):
    return (run["cpu_user"] + run["cpu_system"]) / (run["bytes"] / 1e9)


def spread(values, digits):
    if not values:
        return "-"
    return f"**{statistics.median(values):.{digits}f}** {min(values):.{digits}f}..{max(values):.{digits}f}"


def markdown_table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def select(runs, **wanted):
    return [run for run in runs if all(run[key] == value for key, value in wanted.items())]


def tables(name, versions, runs):
    suite = SUITES[name]
    parts = []
    for server in suite["servers"]:
        mine = select(runs, server=server)
        if not mine:
            continue
        clients = [key for key in suite["clients"] if select(mine, client=key)]
        cells = sorted({(run["size"], run["in_flight"]) for run in mine})
        header = ["object", "in flight"] + [suite["clients"][key].title for key in clients]

        def rows(cell):
            return [[size_name(size), str(in_flight)] +
                    [cell(select(mine, client=key, size=size, in_flight=in_flight)) for key in clients]
                    for size, in_flight in cells]

        noisy = sum(run["others"] > NOISE for run in mine)
        parts.append(f"## {suite['title']}: {server}\n\n{versions[server]}. " +
                     (f"**{noisy} of {len(mine)} runs were disturbed by other processes.**" if noisy else
                      f"{len(mine)} runs, none disturbed."))
        parts.append("Client CPU seconds per GB, median and extremes:\n\n" + markdown_table(
            header, rows(lambda some: spread([cpu_per_gigabyte(run) for run in some], 3))))
        parts.append("GB/s:\n\n" + markdown_table(
            header, rows(lambda some: spread([gigabytes_per_second(run) for run in some], 2))))
        parts.append("Latency of a request, p50 / p99, ms:\n\n" + markdown_table(header, rows(
            lambda some: " / ".join(f"{statistics.median(run[p] for run in some):.3g}" for p in ("p50_ms", "p99_ms"))
            if some else "-")))
    return "\n\n".join(part for part in parts if part)


# --- Verdicts: what is expected of ours, against what was measured

class Medians:
    """Of one suite: figure(client, server, size, in_flight)."""

    def __init__(self, runs):
        grouped = {}
        for run in runs:
            grouped.setdefault((run["client"], run["server"], run["size"], run["in_flight"]), []).append(run)
        self.cells = sorted({key[1:] for key in grouped})
        self.cpu = {key: statistics.median(map(cpu_per_gigabyte, some)) for key, some in grouped.items()}
        self.rate = {key: statistics.median(map(gigabytes_per_second, some)) for key, some in grouped.items()}
        self.range = {key: (min(map(gigabytes_per_second, some)), max(map(gigabytes_per_second, some)))
                      for key, some in grouped.items()}

    def ratios(self, figures, over, under):
        """cell -> figure of the one client / that of the other, where both were measured."""
        return {cell: figures[(over, *cell)] / figures[(under, *cell)] for cell in self.cells
                if (over, *cell) in figures and (under, *cell) in figures}


def place(cell):
    server, size, in_flight = cell
    return f"{server}, {size_name(size)}, {in_flight} in flight"


def verdict(ratios, good, worst):
    """One line: is it so in every cell, and where is it least so?"""
    if not ratios:
        return "not measured"
    missed = [cell for cell, ratio in ratios.items() if not good(ratio)]
    cell = worst(ratios, key=ratios.get)
    return (f"**pass**, {len(ratios)} cells" if not missed else f"**miss** in {len(missed)} of {len(ratios)} cells") + \
        f"; worst {ratios[cell]:.2f} ({place(cell)}), median {statistics.median(ratios.values()):.2f}"


def against_best_peer(m, client):
    out, beyond = {}, 0
    for cell in m.cells:
        peers = [(m.rate[(p, *cell)], p) for p in ("libcurl", "crt", "boto3") if (p, *cell) in m.rate]
        if not peers or (client, *cell) not in m.rate:
            continue
        rate, best = max(peers)
        out[cell] = m.rate[(client, *cell)] / rate
        beyond += m.range[(client, *cell)][1] < m.range[(best, *cell)][0]
    return out, beyond


def extremes(ratios):
    low, high = min(ratios, key=ratios.get), max(ratios, key=ratios.get)
    return (f"median {statistics.median(ratios.values()):.2f}, from {ratios[low]:.2f} ({place(low)}) to {ratios[high]:.2f} "
            f"({place(high)})")


def verdicts(name, runs):
    m = Medians(runs)
    raw = "the raw loop" if name != "tls" else "the raw OpenSSL loop"
    below, large = (lambda r: r < 1), [cell for cell in m.cells if cell[1] >= MIB]
    lines = []
    for client in ("epoll", "uring"):
        title = SUITES[name]["clients"][client].title
        lines.append(f"{title}: CPU per GB below libcurl's (< 1): " + verdict(m.ratios(m.cpu, client, "libcurl"), below, max))
        over_raw = m.ratios(m.cpu, client, "raw")
        lines.append(f"{title}: CPU per GB at most 1.5 times {raw}'s from 1 MiB on (<= 1.5): " +
                     verdict({c: r for c, r in over_raw.items() if c in large}, lambda r: r <= 1.5, max))
        if over_same := m.ratios(m.cpu, client, "raw-verified"):
            lines.append(f"{title}: CPU per GB over that of {raw} which verifies, too: {extremes(over_same)}; from 1 MiB on "
                         f"{extremes({c: r for c, r in over_same.items() if c in large})}")
        crt = m.ratios(m.cpu, "crt", client)
        if name == "get" and crt:
            worst = min(crt, key=crt.get)
            bound = m.ratios(m.cpu, "crt", "raw").get(worst)
            lines.append(f"{title}: CPU per GB of the CRT over ours (>= 3): " + verdict(crt, lambda r: r >= 3, min) +
                         (f"; over the raw loop's it is {bound:.2f} there" if bound else ""))
        elif crt:
            lines.append(f"{title}: CPU per GB of the CRT over ours: {extremes(crt)}")
        rates, beyond = against_best_peer(m, client)
        lines.append(f"{title}: throughput over that of the best of libcurl, CRT and boto3 (>= 1): " +
                     verdict(rates, lambda r: r >= 1, min) +
                     (f"; in {beyond} cells every round of ours was below every round of that peer" if rates else ""))
    for what, figures in (("CPU per GB", m.cpu), ("throughput", m.rate)):
        ratios = m.ratios(figures, "uring", "epoll")
        if ratios:
            ahead = sum(r < 1 for r in ratios.values()) if figures is m.cpu else sum(r > 1 for r in ratios.values())
            lines.append(f"io_uring over epoll, {what}: {extremes(ratios)}; io_uring ahead in {ahead} of {len(ratios)} cells")
    for one, titled in (("epoll", "ours, epoll"), ("uring", "ours, io_uring"), ("libcurl", "libcurl"), ("raw", "raw recv")):
        for what, figures in (("throughput", m.rate), ("CPU per GB", m.cpu)):
            if ratios := m.ratios(figures, one + "2", one):
                lines.append(f"two threads over one, {titled}, {what}: {extremes(ratios)}")
    if name == "tls":
        ktls = m.ratios(m.cpu, "ktls", "raw")
        lines.append(f"kTLS (TLS 1.2) over OpenSSL in the process, raw loop, CPU per GB: {extremes(ktls)}" if ktls else
                     "kTLS: not measured, the kernel does not offer it" if not kernel_offers_tls() else
                     "kTLS: the kernel offers it, but it could not be used")
    return "\n".join(f"- {line}" for line in lines)


def commit_id():
    git = ("git", "-C", str(HERE.parent))
    changed = output_of(*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")
    return output_of(*git, "rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def page_reporting():
    """Free blocks of 2**order pages and more that a virtual machine gives back to its host cost much when they are taken again."""
    try:
        order = pathlib.Path("/sys/module/page_reporting/parameters/page_reporting_order").read_text(encoding="ascii").strip()
    except OSError:
        order = "-1"
    return "" if order == "-1" else f", free page reporting from order {order}"


def environment_of(options):
    model = next((line.partition(":")[2].strip() for line in output_of("lscpu").splitlines()
                  if line.startswith("Model name")), platform.processor())

    def package(name):
        return output_of("dpkg-query", "-W", "-f=${Version}", name)

    return {
        "command": "bash bench/s3.sh " + shlex.join(options.arguments),
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "commit": commit_id(),
        "machine": f"{CORES} cores, {model}, {platform.system()} {platform.release()}{page_reporting()}",
        "compiler": output_of("c++", "--version").splitlines()[0],
        "libcurl": package("libcurl4"), "awscrt": package("python3-awscrt"), "boto3": package("python3-boto3"),
        "openssl": package("libssl3"), "liburing": package("liburing2"), "boost": package("libboost1.81-dev"),
        "rounds": options.rounds, "seconds": options.seconds, "warm_up": options.warm_up,
        "servers": {name: SERVERS[name].version() for name in options.servers},
    }


def page(parts):
    """parts: (suite, environment, runs)"""
    out = [f"# {' and '.join(SUITES[name]['title'] for name, _, _ in parts)}"]
    for name, environment, runs in parts:
        about = ", ".join(f"{key} {environment[key]}" for key in ("libcurl", "awscrt", "boto3", "openssl", "liburing", "boost"))
        out.append(f"""{SUITES[name]["title"]}: `{environment["command"]}`, commit {environment["commit"]}, {environment["date"]} UTC.
{environment["machine"]}; {environment["compiler"]}; {about}.
{environment["rounds"]} rounds of {environment["seconds"]} s after a warm-up of {environment["warm_up"]} s, interleaved; the server
on core {SERVER_CORE}, clients on core {CLIENT_CORES[1]} (two threads: {CLIENT_CORES[2]}). GB are 10^9 bytes. What each client does
is in [README.md](../README.md). {SUITES[name]["notes"]}""")
    out += [tables(name, environment["servers"], runs) for name, environment, runs in parts]
    for name, _, runs in parts:
        out.append(f"## Expected and measured: {SUITES[name]['title']}\n\nFrom the medians of each cell.\n\n"
                   f"{verdicts(name, runs)}")
    return "\n\n".join(out) + "\n"


def results_file(options, suite):
    return options.output / f"s3_{suite}.jsonl"


def make_pages(options):
    for file, suites in PAGES.items():
        parts = []
        for suite in suites:
            if not results_file(options, suite).exists():
                continue
            first, *runs = results_file(options, suite).read_text(encoding="ascii").splitlines()
            if runs:
                parts.append((suite, json.loads(first)["environment"], [json.loads(run) for run in runs]))
        if parts:
            text = page(parts)
            (options.output / f"{file}.md").write_text(text, encoding="utf-8")
            print(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def words(text):
        return text.split(",")

    def numbers(text):
        return [int(word) for word in words(text)]

    def sizes(text):
        unit = {"k": 1 << 10, "m": 1 << 20}
        return [int(word[:-1]) * unit[word[-1].lower()] if word[-1].lower() in unit else int(word) for word in words(text)]

    parser.add_argument("--quick", action="store_true", help="few short rounds: to see that everything runs")
    parser.add_argument("--what", type=words, default=list(SUITES), help="get,tls,put")
    parser.add_argument("--servers", type=words, default=list(SERVERS), help="nginx,ours,rgw")
    parser.add_argument("--clients", type=words, default=[], help="only these, by the names in the JSON")
    parser.add_argument("--sizes", type=sizes, help="64k,256k,1m,4m,16m")
    parser.add_argument("--in-flight", type=numbers, help="1,16,64")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of a run")
    parser.add_argument("--patience", type=float, help="seconds that repetitions of disturbed runs may take in all")
    parser.add_argument("--report-only", action="store_true", help="make the pages of the results there are")
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parent / "build/release")
    parser.add_argument("--output", type=pathlib.Path, help="default: bench/results, with --quick: in the build")
    options = parser.parse_args()
    options.arguments = sys.argv[1:]
    quick = options.quick
    options.sizes = options.sizes or (sizes("64k,4m") if quick else None)
    options.in_flight = options.in_flight or ([1, 16] if quick else None)
    options.rounds = options.rounds or (1 if quick else 3)
    options.seconds = options.seconds or (0.2 if quick else 0.4)
    options.warm_up = options.seconds / 4
    options.patience = options.patience if options.patience is not None else (0 if quick else 90)
    global build
    build = options.build.resolve()
    options.output = options.output or (build / "bench/results" if quick else HERE / "results")
    if options.report_only:
        make_pages(options)
        return

    began = time.monotonic()
    objects = make_objects(options.sizes or SIZES)
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        for suite in SUITES:
            if suite not in options.what:
                continue
            with open(results_file(options, suite), "w", encoding="ascii", buffering=1) as out:
                def record(line, out=out):
                    out.write(json.dumps(line) + "\n")

                record({"environment": environment_of(options)})
                run_suite(suite, options, objects, record)
        make_pages(options)
    finally:
        shutil.rmtree(objects, ignore_errors=True)
    say(f"{(time.monotonic() - began) / 60:.1f} minutes")


build = pathlib.Path()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
main()
