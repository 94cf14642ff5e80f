#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Readers that share no code with the library find what it wrote, in every layout: format_reader.py, which names what is wrong,
and the short one of the examples.

usage: read_prefix_test.py <examples/read_prefix.py> <objectcache_s3_server> <interop_prefix_writer> [unittest arguments]"""
import json
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
from server import Server

try:
    import boto3
    import xxhash
except ImportError as error:
    print(f"skipped: {error} (cmake/install_deps.sh rgw)")
    sys.exit(77)

SHORT, SERVER, WRITER = (str(pathlib.Path(sys.argv.pop(1)).resolve()) for _ in range(3))
READER = str(pathlib.Path(__file__).with_name("format_reader.py"))
BUCKET = "bucket"
G, N, LAYERS, RECORD = 256, 16, 3, 256 * 2 * 2 * 8 * 2 + 32  # of the writer's scope
SCOPE = {"model": "interop", "revision": "r\u00e9vision 1", "layers": LAYERS, "kv_heads": 2, "head_size": 8,
         "tokens_per_chunk": G, "dtype": "bf16", "form": "separate", "shard": [2, 8, 1, 6], "config": "rope",
         "tenant_salt": ""}


def sequence(chunks, per_chunk=G, parts_at=None):
    """tokens of that many chunks and a few more; those from chunk `parts_at` on are of another sequence"""
    out = [(i * 2654435761) & 0xffffffff for i in range(chunks * per_chunk + 7)]
    if parts_at is not None:
        out[parts_at * per_chunk] ^= 1
    return out


def with_checksum(header):
    return header[:248] + struct.pack("<Q", xxhash.xxh3_64_intdigest(header[:248])) + header[256:]


def sealed(record):
    seed = xxhash.xxh3_64_intdigest(record[:-32])
    return record[:-32] + struct.pack("<Q", xxhash.xxh3_64_intdigest(record[-24:], seed=seed)) + record[-24:]


class ReadPrefix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(SERVER, "--bucket", BUCKET)
        cls.environment = cls.server.environment
        said = cls.environment
        cls.s3 = boto3.client("s3", endpoint_url=said["AWS_ENDPOINT_URL"], region_name="us-east-1",
                              aws_access_key_id=said["AWS_ACCESS_KEY_ID"],
                              aws_secret_access_key=said["AWS_SECRET_ACCESS_KEY"])

    @classmethod
    def tearDownClass(cls):
        cls.s3.close()
        cls.server.stop()

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.prefix = self.id().split(".")[-1] + "/"
        self.told_shortly, self.found_shortly = False, set()

    def put(self, key, data):
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=data)

    def get(self, key):
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def write(self, layout, tokens, first, chunks, per_chunk=G):
        """keys of what was written, in the order of their names"""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        done = subprocess.run([WRITER, folder, self.prefix, layout, str(per_chunk), str(first), str(chunks)],
                              input=" ".join(map(str, tokens)), text=True, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in files:
            self.put(str(path.relative_to(folder)), path.read_bytes())
        return [str(path.relative_to(folder)) for path in files]

    def read(self, tokens, status=0, **scope):
        scope_file, tokens_file = self.folder / "scope.json", self.folder / "tokens.txt"
        scope_file.write_text(json.dumps({**SCOPE, **scope}))
        tokens_file.write_text("\n".join(map(str, tokens)))
        done = subprocess.run([sys.executable, "-B", READER, "--endpoint", self.environment["AWS_ENDPOINT_URL"], "--bucket",
                               BUCKET, "--prefix", self.prefix, scope_file, tokens_file],
                              env=self.environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout.splitlines() if status == 0 else done.stderr.strip()

    def read_shortly(self):
        """the other reader, of what `read` has read"""
        return subprocess.run([sys.executable, "-B", SHORT, BUCKET, self.prefix, self.folder / "scope.json",
                               self.folder / "tokens.txt"], env=self.environment, capture_output=True, text=True, timeout=60)

    def assert_read(self, tokens, *objects, **scope):
        """objects: of each line, the key's end or a pattern of it, and its chunks"""
        lines = self.read(tokens, **scope)
        self.assertEqual(len(lines), len(objects) + 1, lines)
        for line, (pattern, first, last) in zip(lines, objects):
            self.assertRegex(line, f"{pattern}.*: chunks {first} to {last}: ")
        per_chunk = scope.get("tokens_per_chunk", G)
        n = objects[-1][2] + 1 if objects else 0
        self.assertRegex(lines[-1], f"^{n} chunks = {n * per_chunk} tokens of {LAYERS} layers verified, "
                                    r"\d+ bytes, in \d+ requests$")
        if (n, bool(scope)) in self.found_shortly:
            return lines
        self.found_shortly.add((n, bool(scope)))
        done = self.read_shortly()
        self.assertEqual((done.stdout, done.stderr), (f"{n} chunks = {n * per_chunk} tokens of {LAYERS} layers found and verified, "
                                                      f"of {len(tokens) // per_chunk} chunks\n", ""))
        return lines

    def assert_damaged(self, tokens, reason):
        said = self.read(tokens, status=1)
        self.assertRegex(said, f"^damaged: [sclm]/[^ ]+: {reason}$")
        if self.told_shortly:
            return
        self.told_shortly = True  # once in a test: it only says that something is wrong
        done = self.read_shortly()
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stderr, "^damaged, or of another format version: ")

    def test_nothing_is_a_miss(self):
        self.assert_read(sequence(3))
        self.assert_read([])
        self.assert_read(sequence(1)[:G - 1])

    def test_segments_whole_tail_extension_and_branch(self):
        long = sequence(N + 9)
        self.write("segment_objects", long, 0, N)
        self.assert_read(long, ("/000-016", 0, N - 1))
        self.write("segment_objects", long, N, 5)
        self.write("segment_objects", long, N + 5, 4)
        whole, tail, extension = ("/000-016", 0, N - 1), ("/000-005", N, N + 4), ("/005-004", N + 5, N + 8)
        lines = self.assert_read(long, whole, tail, extension)
        requests = int(lines[-1].split()[-2])
        # one listing of each region, a head and a range per layer of each segment; what ends the prefix is not asked for
        self.assertEqual(requests, 2 + 3 * (1 + LAYERS))
        self.assert_read(sequence(N + 20), whole, tail, extension)  # a longer one finds the same
        self.assert_read(sequence(N + 7), whole, tail, ("/005-004", N + 5, N + 6))  # a shorter one, its part
        self.assert_read(sequence(7), ("/000-016", 0, 6))

        branch = sequence(N + 9, parts_at=N + 2)
        self.assert_read(branch, whole, ("/000-005", N, N + 1))
        self.write("segment_objects", branch, N + 2, 7)
        self.assert_read(branch, whole, ("/000-005", N, N + 1), ("/002-007", N + 2, N + 8))
        self.assert_read(long, whole, tail, extension)  # no less than before
        early = sequence(N, parts_at=3)
        self.assert_read(early, ("/000-016", 0, 2))

    def test_merged_segments_beside_those_they_replace(self):
        tokens = sequence(9)
        self.write("segment_objects", tokens, 0, 5)
        self.write("segment_objects", tokens, 5, 4)
        self.write("segment_objects", tokens, 0, 9)
        self.assert_read(tokens, ("/000-009", 0, 8))

    def test_only_every_fourth_chunk_is_marked(self):
        small = {"tokens_per_chunk": 16}
        self.write("segment_objects", sequence(256, 16), 0, 256, 16)
        self.assert_read(sequence(256, 16), ("/000-256", 0, 255), **small)
        for shared in 1, 3, 4, 7, 8, 255:  # the ids in the head are exact; the marks need only lead there
            with self.subTest(shared=shared):
                self.assert_read(sequence(256, 16, shared), ("/000-256", 0, shared - 1), **small)
                self.assert_read(sequence(shared, 16), ("/000-256", 0, shared - 1), **small)

    def test_chunk_objects_and_layer_objects(self):
        tokens = sequence(4)
        for layout, kind in ("chunk_objects", "c/"), ("layer_objects", "l/.*/manifest"):
            with self.subTest(layout=layout):
                self.prefix = f"{self.prefix}{layout}/"
                self.write(layout, tokens, 0, 3)
                found = [(f"^{kind}", i, i) for i in range(3)]
                self.assert_read(tokens, *found)
                self.assert_read(sequence(3, parts_at=2), *found[:2])

    def test_layouts_side_by_side(self):
        tokens = sequence(8)
        self.write("layer_objects", tokens, 0, 2)
        self.write("chunk_objects", tokens, 2, 2)
        self.write("segment_objects", tokens, 4, 4)
        self.assert_read(tokens, ("^l/", 0, 0), ("^l/", 1, 1), ("^c/", 2, 2), ("^c/", 3, 3), ("/004-004", 4, 7))

    def test_holes_end_the_prefix(self):
        tokens = sequence(4)
        keys = self.write("layer_objects", tokens, 0, 4)
        chunk = re.search("l/([0-9a-f]+)/", next(k for k in keys if k.endswith("0001")))[1]
        self.s3.delete_object(Bucket=BUCKET, Key=next(k for k in keys if f"{chunk}/0001" in k))
        lines = self.read(tokens)
        self.assertEqual(sum("its object of layer 1: not there" in line for line in lines), 1)
        self.assertRegex(lines[-1], "^[0-3] chunks")

    def test_another_scope_has_nothing(self):
        tokens = sequence(2)
        self.write("chunk_objects", tokens, 0, 2)
        self.assert_read(tokens, ("^c/", 0, 0), ("^c/", 1, 1))
        for change in {"model": "other"}, {"config": None}, {"tenant_salt": None}, {"adapter": ""}, {"shard": [0, 8, 1, 6]}:
            with self.subTest(change=change):
                self.assert_read(tokens, **change)

    def test_names_that_nobody_wrote_are_passed_over(self):
        tokens = sequence(4)
        key, = self.write("segment_objects", tokens, 0, 4)
        folder = key.rsplit("/", 1)[0]
        for name in "", "x", "000-004", "999-999..", "000-004." + "0" * 32 + ".AAA/", "\u00fc":
            self.put(f"{folder}/{name}", b"x")
        self.assert_read(tokens, ("/000-004", 0, 3))

    def test_damaged_segments(self):
        tokens, head = sequence(5), 264 + 32 * 5
        key, = self.write("segment_objects", tokens, 0, 5)
        good = self.get(key)
        self.assertEqual(len(good), head + LAYERS * 5 * RECORD)

        def flipped(at):
            return good[:at] + bytes([good[at] ^ 16]) + good[at + 1:]

        at_record = head + (1 * 5 + 3) * RECORD  # layer 1, chunk 3
        swapped = good[:at_record] + good[at_record + RECORD:at_record + 2 * RECORD] + \
            good[at_record:at_record + RECORD] + good[at_record + 2 * RECORD:]
        other_layer = good[:head] + good[head + 5 * RECORD:head + 10 * RECORD] + good[head + 5 * RECORD:]
        for data, reason in (
                (flipped(0), "checksum mismatch in the header"),
                (flipped(70), "checksum mismatch in the header"),
                (flipped(255), "checksum mismatch in the header"),
                (flipped(256), "checksum mismatch in the ids"),
                (flipped(head - 1), "checksum mismatch in the ids"),
                (flipped(at_record), "checksum mismatch in the record of layer 1"),
                (flipped(at_record + RECORD - 1), "checksum mismatch in the record of layer 1"),
                (flipped(len(good) - 40), "checksum mismatch in the record of layer 2"),
                (swapped, "record of another chunk"),
                (other_layer, "record of layer 1, not 0"),
                (b"", "truncated: 0 bytes where a header of 256 should be"),
                (good[:100], "truncated: 100 bytes where a header of 256 should be"),
                (good[:300], f"truncated: 300 bytes, not {len(good)}"),
                (good[:-1], f"truncated: {len(good) - 1} bytes, not {len(good)}"),
                (good + b"x", f"too long: {len(good) + 1} bytes, not {len(good)}"),
                (b"<html>502 Bad Gateway</html>" * 20, "checksum mismatch in the header"),
                (with_checksum(good[:40] + struct.pack("<I", 4) + good[44:]), "header of another number of chunks"),
                (with_checksum(good[:10] + b"\2" + good[11:]), "header of another layout")):
            with self.subTest(reason=reason):
                self.put(key, data)
                self.assert_damaged(tokens, reason)
        self.put(key, good)
        self.assert_read(tokens, ("/000-005", 0, 4))

    def test_contents_of_two_keys_exchanged(self):
        def exchange(a, b):
            first, second = self.get(a), self.get(b)
            self.put(a, second)
            self.put(b, first)

        tokens = sequence(N + 4)
        keys = self.write("segment_objects", tokens, 0, N) + self.write("segment_objects", tokens, N, 4)
        exchange(*keys)
        self.assert_damaged(tokens, "header of another first token")
        exchange(*keys)
        branch = sequence(N, parts_at=1)  # the same place, the same size, and a first chunk in common
        other, = self.write("segment_objects", branch, 0, N)
        exchange(keys[0], other)
        self.assert_damaged(tokens, "ids that contradict the header or the name")

        self.prefix += "chunks/"
        exchange(*self.write("chunk_objects", tokens, 0, 2))
        self.assert_damaged(tokens, "header of another first token")
        self.prefix += "layers/"
        keys = self.write("layer_objects", tokens, 0, 1)
        exchange(keys[0], keys[1])
        self.assert_damaged(tokens, "its object of layer 0: record of layer 1, not 0")

    def test_damaged_chunk_objects_and_layer_objects(self):
        tokens = sequence(1)
        key, = self.write("chunk_objects", tokens, 0, 1)
        good = self.get(key)
        for data, reason in ((good[:-1], f"truncated: {len(good) - 1} bytes, not {len(good)}"),
                             (good[:300] + b"\0\0\0\0" + good[304:], "checksum mismatch in the record of layer 0")):
            self.put(key, data)
            self.assert_damaged(tokens, reason)
        self.s3.delete_object(Bucket=BUCKET, Key=key)

        *layers, manifest = self.write("layer_objects", tokens, 0, 1)
        good = self.get(layers[2])
        for data, reason in ((good[:-1], f"truncated: record of {RECORD - 1} bytes, not {RECORD}"),
                             (b"", f"truncated: record of 0 bytes, not {RECORD}"),
                             (good + b"x", f"too long: {RECORD + 1} bytes, not {RECORD}"),
                             (b"\0" + good[1:] if good[0] else b"\1" + good[1:], "checksum mismatch in the record of layer 2")):
            self.put(layers[2], data)
            self.assert_damaged(tokens, f"its object of layer 2: {reason}")
        self.put(manifest, self.get(manifest)[:-1])
        self.assert_damaged(tokens, "truncated: 255 bytes where a header of 256 should be")

    def test_another_version_is_a_miss_and_no_damage(self):
        tokens = sequence(2)
        chunk_keys = self.write("chunk_objects", tokens, 0, 2)
        key, = self.write("segment_objects", tokens, 0, 2)
        good, head = self.get(key), 264 + 64
        later_record = good[head:head + RECORD - 20] + b"\2\0" + good[head + RECORD - 18:head + RECORD]
        for data, reason in ((with_checksum(good[:8] + b"\2\0" + good[10:]), "format version 2"),
                             (with_checksum(good[:8] + b"\2\0" + good[10:])[:256], "format version 2"),  # whatever its size
                             (with_checksum(good[:10] + b"\4" + good[11:]), "header that is not of format version 1"),
                             (with_checksum(good[:200] + b"\1" + good[201:]), "header that is not of format version 1"),
                             (good[:head] + sealed(later_record) + good[head + RECORD:], "record of format version 2")):
            with self.subTest(reason=reason):
                self.put(key, data)
                first, *rest = self.read(tokens)
                self.assertTrue(first.endswith(f": a miss: {reason}"), first)
                self.assertRegex(rest[0], "^c/.*: chunks 0 to 0: ")  # another object has it
                self.assertTrue(rest[-1].startswith("2 chunks"), rest)
        for other in chunk_keys:
            self.s3.delete_object(Bucket=BUCKET, Key=other)
        self.put(key, with_checksum(good[:8] + b"\2\0" + good[10:]))
        self.assertTrue(self.read(tokens)[-1].startswith("0 chunks = 0 tokens"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
