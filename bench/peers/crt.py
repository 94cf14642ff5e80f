#!/usr/bin/python3
# SPDX-License-Identifier: BSL-1.0
"""The AWS Common Runtime's S3 client (Debian's python3-awscrt). Bodies go from and to files, so that Python sees no byte
of them: what it costs is the CRT's own, and some 0.1 ms per request for the call. It takes the port from nowhere: http is 80,
https 443. An object is one request (part_size), as for the other clients."""

import os
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(__file__))
import load

from awscrt import auth, http, io, s3


def main():
    options = load.arguments(__doc__)
    url = urllib.parse.urlsplit(options.url)
    if url.port not in (None, 443 if url.scheme == "https" else 80):
        sys.exit("this CRT connects to the scheme's own port only")
    loops = io.EventLoopGroup(options.threads)
    bootstrap = io.ClientBootstrap(loops, io.DefaultHostResolver(loops))
    tls = None
    if url.scheme == "https":
        context = io.TlsContextOptions()
        context.override_default_trust_store_from_path(None, options.ca_file)
        tls = io.ClientTlsContext(context).new_connection_options()
        tls.set_server_name(url.hostname)
    who = auth.AwsCredentialsProvider.new_static(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    client = s3.S3Client(
        bootstrap=bootstrap, region="us-east-1", credential_provider=who, tls_connection_options=tls,
        tls_mode=s3.S3RequestTlsMode.ENABLED if tls else s3.S3RequestTlsMode.DISABLED,
        part_size=max(options.size, 5 << 20), throughput_target_gbps=100)
    source = None
    if options.put:
        source = f"/dev/shm/objectcache-bench-{os.getpid()}"
        with open(source, "wb") as out:
            out.write(os.urandom(options.size))

    def run(tally):
        done = threading.Event()
        lock = threading.Lock()
        state = {"active": options.in_flight, "error": None}
        requests = {}

        def begin(lane):
            object_ = None if state["error"] else tally.turn()
            if object_ is None:
                with lock:
                    state["active"] -= 1
                    if state["active"] == 0:
                        done.set()
                return
            began = time.monotonic()

            def finished(error, **_):
                tally.latencies.append(time.monotonic() - began)
                if error:
                    state["error"] = error
                begin(lane)

            headers = [("Host", url.hostname)]
            path = f"/{options.bucket}/{'put/' if options.put else ''}{options.size}/{object_}"
            if options.put:
                headers += [("Content-Length", str(options.size)), ("Content-Type", "application/octet-stream")]
                requests[lane] = client.make_request(
                    request=http.HttpRequest("PUT", path, http.HttpHeaders(headers)), type=s3.S3RequestType.PUT_OBJECT,
                    send_filepath=source, on_done=finished)
            else:
                headers += [("Range", f"bytes=0-{options.size - 1}")]
                requests[lane] = client.make_request(
                    request=http.HttpRequest("GET", path, http.HttpHeaders(headers)), type=s3.S3RequestType.GET_OBJECT,
                    recv_filepath="/dev/null", on_done=finished)

        for lane in range(options.in_flight):
            begin(lane)
        done.wait()
        if state["error"]:
            sys.exit(f"awscrt: {state['error']}")

    try:
        load.measure(options, run)
    finally:
        if source:
            os.unlink(source)
    sys.stdout.flush()
    os._exit(0)  # the runtime's threads have no other end in this version


main()
