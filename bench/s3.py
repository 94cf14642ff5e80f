#!/usr/bin/python3
# SPDX-License-Identifier: BSL-1.0
"""Runs S3 clients against S3 servers, side by side, and makes tables of it. bench/s3.sh installs and builds what it needs.

Every client fetches the same objects in the same order, from one server at a time, in rounds: each round runs every client
once per object size and number of requests in flight, beginning with another client. A run warms up, begins requests for
--seconds, and waits for the last ones. Figures are medians over the rounds, and the extremes.

Servers are pinned to core 0, clients of one thread to core 1, of two threads to cores 1 and 2 (0 and 1 where there are two).
A run during which other processes took more than 0.3 of a core is repeated; if that does not help it is kept, and marked."""

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
                      f"ssl_certificate_key {self.directory}/tls.key; ssl_protocols TLSv1.3;")
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
    def __init__(self, title, command, threads=1, in_flight=None, servers=None):
        self.title = title
        self.command = command  # a function of the case
        self.threads = threads
        self.in_flight = in_flight  # None: any
        self.servers = servers

    def takes_part(self, server, in_flight):
        return (self.servers is None or server in self.servers) and (self.in_flight is None or in_flight in self.in_flight)


def bench_program(name, *extra):
    return lambda case: [str(build / "bench" / name), *extra]


def verifying(name):
    return lambda case: [str(build / "bench" / name), "--verify", str(case["objects_directory"])]


def python_program(name, *extra):
    return lambda case: ["/usr/bin/python3", str(HERE / "peers" / name), *extra]


SUITES = {
    "get": {
        "title": "GET over HTTP",
        "tls": False,
        "servers": ("nginx", "ours", "rgw"),
        "clients": {
            "raw": Client("raw recv", bench_program("bench_peer_raw")),
            "epoll": Client("ours, epoll", verifying("s3_get")),
            "uring": Client("ours, io_uring", verifying("s3_get_uring")),
            "unverified": Client("ours, epoll, unverified", bench_program("s3_get")),
            "libcurl": Client("libcurl", bench_program("bench_peer_libcurl")),
            "libcurl-unsigned": Client("libcurl, unsigned", bench_program("bench_peer_libcurl", "--unsigned"),
                                       servers=("nginx",)),
            "crt": Client("AWS CRT", python_program("crt.py")),
            "boto3": Client("boto3", python_program("boto3_client.py")),
            "raw2": Client("raw recv, 2 threads", bench_program("bench_peer_raw"), 2, (16, 64)),
            "epoll2": Client("ours, epoll, 2 threads", verifying("s3_get"), 2, (16, 64)),
            "uring2": Client("ours, io_uring, 2 threads", verifying("s3_get_uring"), 2, (16, 64)),
            "libcurl2": Client("libcurl, 2 threads", bench_program("bench_peer_libcurl"), 2, (16, 64)),
        },
    },
    "tls": {
        "title": "GET over TLS",
        "tls": True,
        "servers": ("nginx", "rgw"),
        "clients": {
            "raw": Client("raw OpenSSL", bench_program("bench_peer_raw")),
            "epoll": Client("ours, epoll", verifying("s3_get")),
            "uring": Client("ours, io_uring", verifying("s3_get_uring")),
            "libcurl": Client("libcurl", bench_program("bench_peer_libcurl")),
            "crt": Client("AWS CRT", python_program("crt.py")),
        },
    },
    "put": {
        "title": "PUT over HTTP",
        "tls": False,
        "servers": ("ours", "rgw"),
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
    report["others"] = round(max(0.0, busy_seconds() - busy - mine - server_cpu) / wall, 3)
    return report


def run_suite(name, options, objects, runs):
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
                say(f"{suite['title']}, {server_name}, round {round_ + 1} of {options.rounds}")
                for size in options.sizes:
                    for in_flight in options.in_flight:
                        taking_part = [key for key, c in suite["clients"].items()
                                       if c.takes_part(server_name, in_flight) and key not in failed
                                       and (not options.clients or key in options.clients)
                                       and not (key == "crt" and port != own_port)]
                        first = round_ % max(1, len(taking_part))
                        for key in taking_part[first:] + taking_part[:first]:
                            case = {"size": size, "in_flight": in_flight, "seconds": options.seconds,
                                    "warm_up": options.warm_up, "objects_directory": objects}
                            for attempt in range(1 + options.retries):
                                report = run_client(suite["clients"][key], case, server, url)
                                if report is None or report["others"] <= NOISE:
                                    break
                            if report is None:
                                failed.add(key)
                                continue
                            runs.append({"suite": name, "server": server_name, "client": key, "size": size,
                                         "in_flight": in_flight, "round": round_, "threads": suite["clients"][key].threads,
                                         **report})
        finally:
            server.stop()


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


def tables(name, runs):
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
        parts.append(f"## {suite['title']}: {server}\n\n{SERVERS[server].version()}. " +
                     (f"**{noisy} of {len(mine)} runs were disturbed by other processes.**" if noisy else
                      f"{len(mine)} runs, none disturbed."))
        parts.append("Client CPU seconds per GB, median and extremes:\n\n" + markdown_table(
            header, rows(lambda some: spread([cpu_per_gigabyte(run) for run in some], 3))))
        parts.append("GB/s:\n\n" + markdown_table(
            header, rows(lambda some: spread([gigabytes_per_second(run) for run in some], 2))))
        parts.append("Latency of a request, p50 / p99, ms:\n\n" + markdown_table(header, rows(
            lambda some: " / ".join(f"{statistics.median(run[p] for run in some):.3g}" for p in ("p50_ms", "p99_ms"))
            if some else "-")))
        parts.append(budgets(mine, cells))
    return "\n\n".join(part for part in parts if part)


def budgets(runs, cells):
    """Ours, verified, against each peer: CPU per GB, and throughput."""

    def median(client, size, in_flight, figure):
        some = [figure(run) for run in select(runs, client=client, size=size, in_flight=in_flight)]
        return statistics.median(some) if some else None

    rows = []
    for size, in_flight in cells:
        ours = median("epoll", size, in_flight, cpu_per_gigabyte)
        if not ours:
            continue
        row = [size_name(size), str(in_flight)]
        for peer, turned in (("raw", False), ("libcurl", False), ("crt", True)):
            theirs = median(peer, size, in_flight, cpu_per_gigabyte)
            row.append("-" if not theirs else f"{theirs / ours if turned else ours / theirs:.2f}")
        peers = [median(p, size, in_flight, gigabytes_per_second) for p in ("libcurl", "crt", "boto3")]
        best = max((p for p in peers if p), default=None)
        row.append("-" if not best else f"{median('epoll', size, in_flight, gigabytes_per_second) / best:.2f}")
        rows.append(row)
    if not rows:
        return ""
    return "Ours (epoll, one thread) against the others:\n\n" + markdown_table(
        ["object", "in flight", "CPU, ours / raw", "CPU, ours / libcurl", "CPU, CRT / ours", "GB/s, ours / best peer"], rows)


def environment_of(options):
    model = next((line.partition(":")[2].strip() for line in output_of("lscpu").splitlines()
                  if line.startswith("Model name")), platform.processor())

    def package(name):
        return output_of("dpkg-query", "-W", "-f=${Version}", name)

    return {
        "command": "bash bench/s3.sh " + shlex.join(options.arguments),
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "commit": output_of("git", "-C", str(HERE), "describe", "--always", "--dirty"),
        "machine": f"{CORES} cores, {model}, {platform.system()} {platform.release()}",
        "compiler": output_of("c++", "--version").splitlines()[0],
        "libcurl": package("libcurl4"), "awscrt": package("python3-awscrt"), "boto3": package("python3-boto3"),
        "openssl": package("libssl3"), "liburing": package("liburing2"), "boost": package("libboost1.81-dev"),
        "rounds": options.rounds, "seconds": options.seconds, "warm_up": options.warm_up,
    }


def page(name, environment, runs):
    about = ", ".join(f"{key} {environment[key]}" for key in ("libcurl", "awscrt", "boto3", "openssl", "liburing", "boost"))
    return f"""# {' and '.join(SUITES[part]['title'] for part in name)}

`{environment['command']}`, commit {environment['commit']}, {environment['date']} UTC.
{environment['machine']}; {environment['compiler']}; {about}.
{environment['rounds']} rounds of {environment['seconds']} s after a warm-up of {environment['warm_up']} s, interleaved; the server
on core {SERVER_CORE}, clients on core {CLIENT_CORES[1]} (two threads: {CLIENT_CORES[2]}). GB are 10^9 bytes. What each client does
is in [README.md](../README.md).

""" + "\n\n".join(tables(part, select(runs, suite=part)) for part in name) + "\n"


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
    parser.add_argument("--retries", type=int, help="of a disturbed run")
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parent / "build/release")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results")
    options = parser.parse_args()
    options.arguments = sys.argv[1:]
    quick = options.quick
    options.sizes = options.sizes or sizes("64k,4m" if quick else "64k,256k,1m,4m,16m")
    options.in_flight = options.in_flight or ([1, 16] if quick else [1, 16, 64])
    options.rounds = options.rounds or (2 if quick else 5)
    options.seconds = options.seconds or (0.4 if quick else 1.0)
    options.warm_up = options.seconds / 4
    options.retries = options.retries if options.retries is not None else (0 if quick else 5)
    global build
    build = options.build.resolve()

    objects = make_objects(options.sizes)
    environment = environment_of(options)
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        # Reading and writing are two files; the first has the TLS row beside the plain one.
        for file, suites in (("s3_get", ("get", "tls")), ("s3_put", ("put",))):
            wanted = [suite for suite in suites if suite in options.what]
            runs = []
            for suite in wanted:
                run_suite(suite, options, objects, runs)
            if not runs:
                continue
            with open(options.output / f"{file}.json", "w", encoding="ascii") as out:
                out.write('{"environment": ' + json.dumps(environment, indent=1) + ',\n"runs": [\n')
                out.write(",\n".join(json.dumps(run) for run in runs) + "\n]}\n")
            text = page(wanted, environment, runs)
            (options.output / f"{file}.md").write_text(text, encoding="utf-8")
            print(text)
    finally:
        shutil.rmtree(objects, ignore_errors=True)


build = pathlib.Path()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
main()
