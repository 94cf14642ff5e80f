#!/usr/bin/python3
# SPDX-License-Identifier: BSL-1.0
"""boto3 on as many threads as there are to be requests in flight."""

import io
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
import load

import boto3
import botocore.config

def main():
    options = load.arguments(__doc__)
    client = boto3.client(
        "s3", endpoint_url=options.url, region_name="us-east-1", verify=options.ca_file,
        config=botocore.config.Config(max_pool_connections=options.in_flight, s3={"addressing_style": "path"},
                                      retries={"total_max_attempts": 1}))
    body = os.urandom(options.size) if options.put else b""
    failures = []

    def lane(tally):

        while not failures and (object_ := tally.turn()) is not None:
            began = time.monotonic()
            try:
                key = f"{options.size}/{object_}"
                if options.put:
                    client.put_object(Bucket=options.bucket, Key="put/" + key, Body=io.BytesIO(body))
                else:
                    got = client.get_object(Bucket=options.bucket, Key=key, Range=f"bytes=0-{options.size - 1}")
                    if len(got["Body"].read()) != options.size:
                        raise RuntimeError("not of that size")
            except Exception as error:
                failures.append(error)
            tally.latencies.append(time.monotonic() - began)

    def run(tally):
        threads = [threading.Thread(target=lane, args=(tally,)) for _ in range(options.in_flight)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            sys.exit(f"boto3: {failures[0]}")

    load.measure(options, run)

main()
