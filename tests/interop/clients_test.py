#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""What we write, boto3 and s3cmd read, and the other way round: bytes, ETags and listings. In the clear and over TLS.

usage: rgw.sh run clients_test.py <interop_s3_tool> <s3_cp> [unittest arguments]"""
import hashlib
import io
import os
import pathlib
import random
import shutil
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

try:
    import boto3
    import boto3.s3.transfer
    import botocore.config
except ImportError as error:
    print(f"skipped: {error} (cmake/install_deps.sh rgw)")
    sys.exit(77)
if not shutil.which("s3cmd"):
    print("skipped: no s3cmd (cmake/install_deps.sh rgw)")
    sys.exit(77)

TOOL, S3_CP = (str(pathlib.Path(sys.argv.pop(1)).resolve()) for _ in range(2))
MIB = 1 << 20

KEYS = [
    "plain",
    "a b",
    "a+b",
    "100%",
    "%41%2F",
    "a//b",
    "trailing/",
    "a/./b",
    "x'()*!$,:;@[]{}~_-.",
    "?uploads&key=value#part",
    "<&>\"&amp;",
    "\u00fc\u1234\U0001f600",
    "u\u0308 is not \u00fc",
    "k" * 1024,
]


def md5(data):
    return '"' + hashlib.md5(data).hexdigest() + '"'


def md5_of_parts(data, size):
    parts = [hashlib.md5(data[at:at + size]).digest() for at in range(0, len(data), size)]
    return f'"{hashlib.md5(b"".join(parts)).hexdigest()}-{len(parts)}"'


def random_bytes(size, seed=1):
    return random.Random(seed).randbytes(size)


class Clients:
    """Run for every transport, each in a bucket of its own."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.bucket = self.id().split(".")[-1].replace("_", "-")[:50] + "-" + self.transport
        self.url = os.environ[self.address]
        self.environment = dict(os.environ, AWS_ENDPOINT_URL=self.url)
        self.boto3 = boto3.client(
            "s3", endpoint_url=self.url, verify=os.environ["RGW_CA"],
            config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}))
        self.addCleanup(self.boto3.close)
        host = self.url.split("//")[1]
        self.s3cfg = self.folder / "s3cfg"
        self.s3cfg.write_text(f"""[default]
access_key = {os.environ["AWS_ACCESS_KEY_ID"]}
secret_key = {os.environ["AWS_SECRET_ACCESS_KEY"]}
host_base = {host}
host_bucket = {host}
use_https = {self.url.startswith("https")}
ca_certs_file = {os.environ["RGW_CA"]}
multipart_chunk_size_mb = 5
guess_mime_type = False
progress_meter = False
""")
        self.ours("mb", None)

    def ours(self, what, key, *arguments, data=b"", status=0):
        command = [TOOL, what, self.bucket] + ([key] if key is not None else []) + list(arguments)
        done = subprocess.run(command, env=self.environment, input=data, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout if status == 0 else done.stderr.decode()

    def our_head(self, key):
        size, etag = self.ours("head", key).decode().split()
        return int(size), etag

    def our_list(self, prefix=""):
        """key -> (size, ETag), in the order they came"""
        entries = [e.decode().split(" ", 2) for e in self.ours("ls", prefix).split(b"\0")[:-1]]
        return {key: (int(size), etag) for size, etag, key in entries}

    def boto3_list(self):
        pages = self.boto3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, PaginationConfig={"PageSize": 7})
        return {o["Key"]: (o["Size"], o["ETag"]) for page in pages for o in page.get("Contents", [])}

    def s3cmd(self, *arguments):
        done = subprocess.run(["s3cmd", "--config", self.s3cfg, *arguments], env=self.environment, capture_output=True,
                              timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def uri(self, key):
        return f"s3://{self.bucket}/{key}"

    def file(self, data):
        path = self.folder / "file"
        path.write_bytes(data)
        return path

    def assert_same_listing(self, expected):
        self.assertEqual(list(self.our_list()), sorted(expected, key=lambda k: k.encode()))
        self.assertEqual(self.our_list(), expected)
        self.assertEqual(self.boto3_list(), expected)

    def test_boto3_reads_what_we_wrote(self):
        expected = {}
        for seed, key in enumerate(KEYS):
            data = random_bytes(10000 + seed, seed)
            self.ours("put", key, data=data)
            with self.subTest(key=key):
                answer = self.boto3.get_object(Bucket=self.bucket, Key=key)
                self.assertEqual(answer["Body"].read(), data)
                self.assertEqual(answer["ETag"], md5(data))
            expected[key] = (len(data), md5(data))
        self.assert_same_listing(expected)

    def test_we_read_what_boto3_wrote(self):
        expected = {}
        for seed, key in enumerate(KEYS):
            data = random_bytes(10000 + seed, seed)
            self.boto3.put_object(Bucket=self.bucket, Key=key, Body=data)
            with self.subTest(key=key):
                self.assertEqual(self.ours("get", key), data)
                self.assertEqual(self.our_head(key), (len(data), md5(data)))
            expected[key] = (len(data), md5(data))
        self.assert_same_listing(expected)
        for key in KEYS[::2]:
            self.ours("rm", key)
            del expected[key]
        for key in KEYS[1::2]:
            self.boto3.delete_object(Bucket=self.bucket, Key=key)
            self.assertIn("404", self.ours("head", key, status=1))
            del expected[key]
        self.assert_same_listing(expected)

    def test_sizes_both_ways(self):
        for size in 0, 1, 65536, 5 * MIB, 9 * MIB + 1:
            data = random_bytes(size)
            with self.subTest(size=size):
                self.ours("put", "ours", data=data)
                answer = self.boto3.get_object(Bucket=self.bucket, Key="ours")
                self.assertEqual(answer["Body"].read(), data)
                self.assertEqual((answer["ContentLength"], answer["ETag"]), (size, md5(data)))
                self.boto3.put_object(Bucket=self.bucket, Key="theirs", Body=data)
                self.assertEqual(self.ours("get", "theirs"), data)
                self.assertEqual(self.our_head("theirs"), (size, md5(data)))

    def test_multipart_objects_of_boto3(self):
        data = random_bytes(12 * MIB + 5)
        settings = boto3.s3.transfer.TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
        self.boto3.upload_fileobj(io.BytesIO(data), self.bucket, "parts", Config=settings)
        etag = self.boto3.head_object(Bucket=self.bucket, Key="parts")["ETag"]
        self.assertRegex(etag, r'^"[0-9a-f]{32}-3"$')
        self.assertEqual(self.our_head("parts"), (len(data), etag))
        self.assertEqual(self.our_list(), {"parts": (len(data), etag)})
        self.assertEqual(self.ours("get", "parts"), data)
        for first, last in (0, 0), (5 * MIB - 1, 5 * MIB), (1, 11 * MIB), (len(data) - 1, len(data) - 1):
            self.assertEqual(self.ours("get", "parts", f"{first}-{last}"), data[first:last + 1])
        self.assertIn("length", self.ours("get", "parts", f"0-{len(data)}", status=1))

    def test_an_upload_that_boto3_has_not_completed(self):
        upload = self.boto3.create_multipart_upload(Bucket=self.bucket, Key="parts")["UploadId"]
        self.boto3.upload_part(Bucket=self.bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
        self.assertEqual(self.our_list(), {})
        self.assertIn("404", self.ours("get", "parts", status=1))
        self.boto3.abort_multipart_upload(Bucket=self.bucket, Key="parts", UploadId=upload)

    def test_objects_with_headers_of_their_own(self):
        data = random_bytes(1000)
        self.boto3.put_object(Bucket=self.bucket, Key="k", Body=data, Metadata={"layer": "7", "name": "a, b"},
                              ContentType="text/plain", ContentEncoding="gzip", CacheControl="no-store")
        self.assertEqual(self.ours("get", "k"), data)  # as stored: what gzip would make of it is not our affair
        self.assertEqual(self.our_head("k"), (1000, md5(data)))
        self.boto3.copy_object(Bucket=self.bucket, Key="copy", CopySource={"Bucket": self.bucket, "Key": "k"})
        self.assertEqual(self.ours("get", "copy"), data)

    def test_a_conditional_put_respects_what_boto3_wrote(self):
        self.boto3.put_object(Bucket=self.bucket, Key="k", Body=b"first")
        self.assertIn("already exists", self.ours("put-new", "k", data=b"second", status=1))
        self.assertEqual(self.ours("get", "k"), b"first")
        self.boto3.delete_object(Bucket=self.bucket, Key="k")
        self.ours("put-new", "k", data=b"second")
        self.assertEqual(self.boto3.get_object(Bucket=self.bucket, Key="k")["Body"].read(), b"second")

    def test_anybody_may_use_our_presigned_urls(self):
        trusted = ssl.create_default_context(cafile=os.environ["RGW_CA"])

        def fetch(url, method="GET", body=None):
            request = urllib.request.Request(url, data=body, method=method)
            with urllib.request.urlopen(request, timeout=30, context=trusted) as answer:
                return answer.read()

        for key in KEYS:
            with self.subTest(key=key):
                put, get = (self.ours("presign", key, method).decode().strip() for method in ("PUT", "GET"))
                fetch(put, "PUT", b"hello " + key.encode())
                self.assertEqual(fetch(get), b"hello " + key.encode())
                self.assertEqual(self.ours("get", key), b"hello " + key.encode())
        for url, method in (get, "DELETE"), (get.replace("k" * 1024, "plain"), "GET"), (get[:-1] + "~", "GET"):
            with self.assertRaisesRegex(urllib.error.HTTPError, "403"):
                fetch(url, method)

    def test_s3cmd_both_ways(self):
        expected = {}
        for seed, key in enumerate(k for k in KEYS if not k.endswith("/")):  # to s3cmd these are folders
            data = random_bytes(10000 + seed, seed)
            with self.subTest(key=key):
                self.ours("put", key, data=data)
                path = self.folder / "got"
                self.s3cmd("get", "--force", self.uri(key), path)
                self.assertEqual(path.read_bytes(), data)
                self.s3cmd("put", self.file(data + b"s3cmd"), self.uri(key))
                self.assertEqual(self.ours("get", key), data + b"s3cmd")
                expected[key] = (len(data) + 5, md5(data + b"s3cmd"))
                self.assertEqual(self.our_head(key), expected[key])
        self.assert_same_listing(expected)
        listed = [line.split("s3://")[1].split("/", 1)[1] for line in self.s3cmd("ls", "--recursive", self.uri("")).splitlines()]
        self.assertEqual(listed, list(self.our_list()))
        self.s3cmd("del", self.uri("a+b"))
        self.assertIn("404", self.ours("get", "a+b", status=1))

    def test_a_folder_there_by_s3_cp_and_back_by_s3cmd_and_the_other_way_round(self):
        tree = {"a b/c+d": b"", "100%": b"percent", "\u00fc/\u1234": random_bytes(100), "large": random_bytes(20 * MIB)}
        tree.update({f"many/{i}": random_bytes(i, i) for i in range(150)})
        here, there, back = (self.folder / name for name in ("here", "there", "back"))
        for name, data in tree.items():
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).write_bytes(data)
        there.mkdir()

        def content(folder):
            return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

        def s3_cp(*arguments):
            done = subprocess.run([S3_CP, *arguments], env=self.environment, capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout.decode()

        s3_cp("cp", "-r", str(here), self.uri("ours"))
        expected = {"ours/" + name: (len(data), md5(data)) for name, data in tree.items()}
        expected["ours/large"] = (20 * MIB, md5_of_parts(tree["large"], 8 * MIB))
        self.assertEqual(self.boto3_list(), expected)
        self.s3cmd("sync", self.uri("ours/"), str(there) + "/")
        self.assertEqual(content(there), tree)
        self.s3cmd("sync", str(here) + "/", self.uri("theirs/"))  # the large one in parts
        s3_cp("cp", "-r", self.uri("theirs"), str(back))
        self.assertEqual(content(back), tree)
        self.assertEqual(s3_cp("ls", self.uri("theirs/many/")).count("\n"), 150)
        s3_cp("rm", "-r", self.uri("ours"))
        s3_cp("rm", "-r", self.uri("theirs"))
        self.assertEqual(self.boto3_list(), {})

    def test_multipart_objects_of_s3cmd(self):
        data = random_bytes(11 * MIB)
        self.s3cmd("put", self.file(data), self.uri("parts"))
        size, etag = self.our_head("parts")
        self.assertEqual(size, len(data))
        self.assertRegex(etag, r'^"[0-9a-f]{32}-3"$')
        self.assertEqual(self.ours("get", "parts"), data)


class InTheClear(Clients, unittest.TestCase):
    transport, address = "http", "RGW_URL"


class OverTls(Clients, unittest.TestCase):
    transport, address = "tls", "RGW_TLS_URL"


if __name__ == "__main__":
    unittest.main(verbosity=2)
