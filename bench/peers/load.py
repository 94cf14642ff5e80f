# SPDX-License-Identifier: BSL-1.0
"""What the Python clients share: the command line and the report of support/load.hpp."""

import argparse
import json
import resource
import threading
import time


def arguments(about):
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--url", required=True)
    parser.add_argument("--bucket", default="bench")
    parser.add_argument("--ca-file")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warm-up", type=float, default=0.2)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--put", action="store_true")
    return parser.parse_args()


class Tally:
    """Which request is next, and how long those before took."""

    def __init__(self, objects, seconds):
        self.lock = threading.Lock()
        self.objects = objects
        self.next = 0
        self.until = time.monotonic() + seconds
        self.latencies = []

    def turn(self):
        """The object that is next; None: begin no more."""
        if time.monotonic() >= self.until:
            return None
        with self.lock:
            object_ = self.next % self.objects
            self.next += 1
        return object_


def measure(options, run):
    """run(tally): begins no request once tally.turn() says so, and returns when all have ended."""
    run(Tally(options.objects, options.warm_up))
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.monotonic()
    tally = Tally(options.objects, options.seconds)
    run(tally)
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    latencies = sorted(tally.latencies)
    print(json.dumps({
        "requests": len(latencies),
        "bytes": len(latencies) * options.size,
        "seconds": round(seconds, 6),
        "cpu_user": round(after.ru_utime - before.ru_utime, 6),
        "cpu_system": round(after.ru_stime - before.ru_stime, 6),
        "p50_ms": round(1e3 * latencies[int(0.50 * (len(latencies) - 1))], 4),
        "p99_ms": round(1e3 * latencies[int(0.99 * (len(latencies) - 1))], 4),
    }))
