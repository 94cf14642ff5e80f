#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The AWS Common Runtime's S3 client (the wheel awscrt; Debian's is too old, it knows no ports) reading objects from the
test kit's S3 server, as far as: `discard`, /dev/null: the CRT alone; `file`, into files in /dev/shm, by the CRT itself;
`memory`, ordinary memory, by on_body; `pinned`, the same into pinned memory; `device`, and from there to a GPU, each object
as soon as it is complete. The last two need torch with CUDA.

The binding hands Python a copy of each part, made under Python's lock; it is copied to its place without that lock. With
--processes the work is shared among several Pythons, each with a client and --threads / --processes event loops."""

import argparse
import json
import multiprocessing
import os
import queue
import resource
import subprocess
import sys
import threading
import time
import urllib.parse

BUCKET = "crt-bench"


def size_of(text):
    units = {"k": 10, "m": 20, "g": 30}
    return int(text[:-1]) << units[text[-1]] if text[-1:].lower() in units else int(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--server", help="the program objectcache_s3_server, which is started on cores of its own")
    where.add_argument("--url", help="http://address:port of one that runs; credentials as AWS_ACCESS_KEY_ID ...")
    parser.add_argument("--server-threads", type=int, default=6)
    parser.add_argument("--bucket", default=BUCKET)
    parser.add_argument("--size", type=size_of, default=8 << 20, help="bytes of an object (8m)")
    parser.add_argument("--part", type=size_of, default=8 << 20, help="bytes of a GET (8m)")
    parser.add_argument("--bytes", type=size_of, default=4 << 30, help="of all objects, which are read in turn (4g)")
    parser.add_argument("--in-flight", type=int, default=32, help="objects, over all processes (32)")
    parser.add_argument("--threads", type=int, default=8, help="event loops, over all processes (8)")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--target-gbps", type=float, default=400, help="throughput_target_gbps of the client (400)")
    parser.add_argument("--seconds", type=float, default=4, help="of each mode (4)")
    parser.add_argument("--modes", default="discard,file,memory,pinned,device")
    parser.add_argument("--json", help="append a line for each mode")
    options = parser.parse_args()
    options.objects = max(1, options.bytes // options.size)
    for mode in options.modes.split(","):
        if mode not in ("discard", "file", "memory", "pinned", "device"):
            parser.error(f"no such mode: {mode}")
    if not 1 <= options.processes <= min(options.threads, options.in_flight):
        parser.error("--processes: at least one, and no more than threads or objects in flight")
    return options


class Server:
    """The test kit's, on the last cores; `own` is what is left."""

    def __init__(self, options):
        cores = sorted(os.sched_getaffinity(0))
        n = options.server_threads
        theirs, self.own = (cores[-n:], cores[:-n]) if len(cores) > n + 1 else (cores, cores)
        self.child = None
        self.url = options.url
        if options.server:
            self.child = subprocess.Popen(
                [options.server, "--bucket", options.bucket, "--threads", str(n), "--port", "0"],
                stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, theirs))
            for line in self.child.stdout:
                if line.startswith("listening on "):
                    self.url = line.split()[-1]
                if line.startswith("export "):
                    name, value = line.split(None, 1)[1].strip().split("=", 1)
                    os.environ[name] = value
                    if name == "AWS_SECRET_ACCESS_KEY":
                        break
            if not self.url:
                sys.exit("the server does not start")

    def stop(self):
        if self.child:
            self.child.terminate()
            self.child.wait()


class Client:
    def __init__(self, options, url, share=1):
        from awscrt import auth, io, s3
        self.options = options
        self.host = urllib.parse.urlsplit(url).netloc
        loops = io.EventLoopGroup(max(1, options.threads // share))
        bootstrap = io.ClientBootstrap(loops, io.DefaultHostResolver(loops))
        who = auth.AwsCredentialsProvider.new_static(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        self.s3 = s3.S3Client(
            bootstrap=bootstrap, region="us-east-1", credential_provider=who, tls_mode=s3.S3RequestTlsMode.DISABLED,
            part_size=options.part, multipart_upload_threshold=max(options.size, options.part) + 1,
            throughput_target_gbps=options.target_gbps / share)

    def request(self, method, object_, done, **how):
        """done(error) on a thread of the client."""
        from awscrt import http, s3
        headers = [("Host", self.host)]
        if method == "PUT":
            headers += [("Content-Length", str(self.options.size)), ("Content-Type", "application/octet-stream")]
        kind = s3.S3RequestType.PUT_OBJECT if method == "PUT" else s3.S3RequestType.GET_OBJECT
        return self.s3.make_request(
            request=http.HttpRequest(method, f"/{self.options.bucket}/{self.options.size}/{object_}", http.HttpHeaders(headers)),
            type=kind, on_done=lambda error=None, **_: done(error), **how)


class Contents:
    """Of object i; each another one, so that a wrong one is noticed."""

    def __init__(self, size, objects):
        import numpy
        self.noise = numpy.random.default_rng(1).integers(0, 256, size + 8 * objects, dtype=numpy.uint8)
        self.size = size

    def of(self, object_):
        return self.noise[8 * object_:8 * object_ + self.size]


def put_all(options, url, contents):
    client = Client(options, url)
    errors, room, kept = [], threading.Semaphore(8), {}

    def finished(object_, path):
        def done(error):
            os.unlink(path)
            if error:
                errors.append(error)
            room.release()
        return done

    for object_ in range(options.objects):
        room.acquire()
        path = f"/dev/shm/crt-{os.getpid()}-{object_}"
        contents.of(object_).tofile(path)
        kept[object_] = client.request("PUT", object_, finished(object_, path), send_filepath=path)
    for _ in range(8):
        room.acquire()
    if errors:
        raise RuntimeError(f"PUT: {errors[0]}")


class Lanes:
    """Keeps objects in flight, each with memory of its own, until a time."""

    def __init__(self, options, client, mode, rank):
        import numpy
        self.options, self.client, self.mode = options, client, mode
        self.count = options.in_flight // options.processes + (rank < options.in_flight % options.processes)
        self.step, self.next = options.processes, rank
        self.lock = threading.Lock()
        self.kept, self.holds = {}, {}
        self.files = [f"/dev/shm/crt-{os.getpid()}-{lane}" for lane in range(self.count)]
        size = self.count * options.size
        if mode == "memory":
            self.memory = numpy.ones(size, dtype=numpy.uint8)  # every page is there
        elif mode in ("pinned", "device"):
            import torch
            self.pinned = torch.ones(size, dtype=torch.uint8, pin_memory=True)
            self.memory = self.pinned.numpy()
        if mode == "device":
            self.device = torch.zeros(size, dtype=torch.uint8, device="cuda")
            self.stream = torch.cuda.Stream()
            self.copied = queue.SimpleQueue()
            threading.Thread(target=self.wait_for_copies, daemon=True).start()

    def run(self, until):
        self.until, self.active, self.bytes, self.error = until, self.count, 0, None
        self.over = threading.Event()
        for lane in range(self.count):
            self.begin(lane)
        self.over.wait()
        if self.error:
            raise RuntimeError(str(self.error))
        return self.bytes

    def part_of(self, lane):
        return slice(lane * self.options.size, (lane + 1) * self.options.size)

    def begin(self, lane):
        with self.lock:
            if self.error or time.monotonic() >= self.until:
                self.active -= 1
                if self.active == 0:
                    self.over.set()
                return
            object_ = self.next % self.options.objects
            self.next += self.step
        self.holds[lane] = object_
        how = {}
        if self.mode == "discard":
            how["recv_filepath"] = "/dev/null"
        elif self.mode == "file":
            how["recv_filepath"] = self.files[lane]
        else:
            import numpy
            begin = lane * self.options.size

            def arrived(chunk, offset, **_):
                self.memory[begin + offset:begin + offset + len(chunk)] = numpy.frombuffer(chunk, dtype=numpy.uint8)

            how["on_body"] = arrived
        self.kept[lane] = self.client.request("GET", object_, lambda error: self.received(lane, error), **how)

    def received(self, lane, error):
        if error:
            self.error = error
        elif self.mode == "device":
            import torch
            try:
                with torch.cuda.stream(self.stream):
                    self.device[self.part_of(lane)].copy_(self.pinned[self.part_of(lane)], non_blocking=True)
                    event = torch.cuda.Event(blocking=True)
                    event.record()
                self.copied.put((lane, event))
                return
            except Exception as failure:  # of another thread than the caller's: told there
                self.error = failure
        self.arrived(lane)

    def wait_for_copies(self):
        while True:
            lane, event = self.copied.get()
            event.synchronize()
            self.arrived(lane)

    def arrived(self, lane):
        with self.lock:
            self.bytes += self.options.size
        self.begin(lane)

    def verify(self, contents):
        """What each lane has received last."""
        import numpy
        for lane, object_ in self.holds.items():
            if self.mode == "discard":
                continue
            if self.mode == "file":
                got = numpy.fromfile(self.files[lane], dtype=numpy.uint8)
                os.unlink(self.files[lane])
            elif self.mode == "device":
                got = self.device[self.part_of(lane)].cpu().numpy()
            else:
                got = self.memory[self.part_of(lane)]
            if not numpy.array_equal(got, contents.of(object_)):
                raise RuntimeError(f"{self.mode}: object {object_} did not arrive as it was stored")


def work(options, url, mode, rank, ready, results):
    """One process."""
    try:
        contents = Contents(options.size, options.objects)
        lanes = Lanes(options, Client(options, url, options.processes), mode, rank)
        lanes.run(time.monotonic() + 0.5)
        ready.wait(60)
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.monotonic()
        moved = lanes.run(began + options.seconds)
        seconds = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        lanes.verify(contents)
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        results.put((moved, seconds, cpu, None))
    except BaseException as e:
        ready.abort()
        results.put((0, 0, 0, f"{type(e).__name__}: {e}"))
    results.close()
    results.join_thread()
    os._exit(0)  # the runtime's threads need no other end


def measure(options, url, mode):
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(options.processes), context.Queue()
    children = [context.Process(target=work, args=(options, url, mode, rank, ready, results))
                for rank in range(options.processes)]
    for child in children:
        child.start()
    try:
        rows = [results.get(timeout=60 + options.seconds) for _ in children]
    except queue.Empty:
        for child in children:
            child.kill()
        raise RuntimeError(f"{mode}: no answer") from None
    for child in children:
        child.join()
    errors = [row[3] for row in rows if row[3]]
    if errors:  # an aborted barrier is not the cause
        raise RuntimeError(f"{mode}: " + next((e for e in errors if "BrokenBarrier" not in e), errors[0]))
    moved = sum(row[0] for row in rows)
    return moved, max(row[1] for row in rows), sum(row[2] for row in rows)


def can_pin():
    try:
        import torch
        return torch.cuda.is_available()
    except ImportError:
        return False


def main():
    options = arguments()
    import awscrt
    server = Server(options)
    try:
        os.sched_setaffinity(0, server.own)
        began = time.monotonic()
        # In a process of its own: its client would keep threads beside those that are measured.
        putting = multiprocessing.get_context("spawn").Process(target=fill, args=(options, server.url))
        putting.start()
        putting.join()
        if putting.exitcode != 0:
            raise RuntimeError("the objects could not be stored")
        print(f"awscrt {awscrt.__version__}: {options.objects} objects of {options.size} bytes stored in "
              f"{time.monotonic() - began:.1f} s; {options.in_flight} in flight, parts of {options.part}, "
              f"{options.threads} event loops, {options.processes} processes; server: {options.server_threads} threads\n"
              f"{'as far as':<10} {'GB/s':>8} {'CPU s/GB':>9}", flush=True)
        for mode in options.modes.split(","):
            if mode in ("pinned", "device") and not can_pin():
                print(f"{mode:<10}  skipped: no torch with a CUDA device", flush=True)
                continue
            moved, seconds, cpu = measure(options, server.url, mode)
            print(f"{mode:<10} {moved / 1e9 / seconds:8.2f} {cpu / (moved / 1e9):9.3f}", flush=True)
            if options.json:
                with open(options.json, "a") as out:
                    out.write(json.dumps({
                        "bench": "s3_to_device", "part": "peer", "what": "awscrt " + awscrt.__version__, "mode": mode,
                        "gbps": round(moved / 1e9 / seconds, 4), "cpu_s_per_gb": round(cpu / (moved / 1e9), 4),
                        "seconds": round(seconds, 3), "size": options.size, "part_size": options.part,
                        "objects": options.objects, "in_flight": options.in_flight, "threads": options.threads,
                        "processes": options.processes, "server_threads": options.server_threads}) + "\n")
    except RuntimeError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    finally:
        server.stop()
    return 0


def fill(options, url):
    put_all(options, url, Contents(options.size, options.objects))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
