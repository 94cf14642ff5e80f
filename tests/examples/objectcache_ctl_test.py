#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""objectcache_ctl as a user meets it: over data that the pure headers wrote, whole, damaged, and as a crash leaves it.

usage: objectcache_ctl_test.py <build directory> [unittest arguments]"""
import http.client
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from server import Server

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
PROGRAM = BUILD / "examples/objectcache_ctl"
COPY = BUILD / "examples/s3_cp"
SERVER = BUILD / "examples/objectcache_s3_server"
WRITER = BUILD / "tests/interop/interop_prefix_writer"
TOKENS = " ".join(str(i) for i in range(400))
AT = "s3://bucket/team/"


class ObjectcacheCtl(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.start_server()

    def start_server(self, *arguments):
        server = Server(SERVER, "--bucket", "bucket", "--anonymous", *arguments)
        self.addCleanup(server.stop)
        self.environment = server.environment
        self.environment["HOME"] = str(self.folder)

    def request(self, method, key, body=None, query=""):
        connection = http.client.HTTPConnection(self.environment["AWS_ENDPOINT_URL"].removeprefix("http://"))
        connection.request(method, f"/bucket/{key}{query}", body)
        answer = connection.getresponse()
        content = answer.read()
        self.assertLess(answer.status, 300, content)
        connection.close()
        return content

    def write(self, layout, first, chunks):
        data = self.folder / "data"
        subprocess.run([WRITER, data, "team/", layout, "16", str(first), str(chunks)], input=TOKENS, text=True, check=True)
        subprocess.run([COPY, "cp", "-r", data, "s3://bucket/"], env=self.environment, check=True, capture_output=True)
        keys = {str(p.relative_to(data)) for p in data.rglob("*") if p.is_file()}
        shutil.rmtree(data)
        return keys

    def write_all(self):
        return {layout: self.write(layout, 0, 6) for layout in ("chunk_objects", "layer_objects", "segment_objects")}

    def ctl(self, *arguments, status=0):
        done = subprocess.run([PROGRAM, *arguments], env=self.environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        if status == 0:
            self.assertEqual(done.stderr, "")  # no terminal, no progress
        return done

    def json(self, *arguments, status=0):
        return [json.loads(line) for line in self.ctl(*arguments, "--json", status=status).stdout.splitlines()]

    def one(self, lines, kind):
        found = [line for line in lines if line["type"] == kind]
        self.assertEqual(len(found), 1, lines)
        return found[0]

    def keys(self):
        done = subprocess.run([COPY, "ls", "s3://bucket/"], env=self.environment, capture_output=True, text=True, check=True)
        return {line[17:] for line in done.stdout.splitlines()}

    def test_scopes_and_their_objects(self):
        keys = set().union(*self.write_all().values())
        scope, = self.json("ls", AT)
        self.assertEqual(scope["layouts"], ["chunk_objects", "layer_objects", "segment_objects"])
        self.assertEqual((scope["layers"], scope["kv_heads"], scope["head_size"], scope["tokens_per_chunk"]), (3, 2, 8, 16))
        self.assertRegex(self.ctl("ls", AT).stdout, r"\A[0-9a-f]{32}  .*3 layers, 2 KV heads of 8 bf16, 16 tokens per chunk\n\Z")
        objects = self.json("ls", AT, "--scope", scope["scope"])
        self.assertEqual([o["key"] for o in objects], sorted(keys))
        self.assertEqual({o["verdict"] for o in objects}, {"keep"})
        self.assertEqual({o["kind"] for o in objects}, {"chunk", "layer", "manifest", "segment"})
        self.assertEqual(len(self.ctl("ls", AT, "--scope", scope["scope"]).stdout.splitlines()), len(keys))

    def test_bytes_by_layout(self):
        all_keys = self.write_all()
        small = self.write("segment_objects", 0, 2)
        lines = self.json("du", AT)
        sizes = {o["key"]: o["bytes"] for o in self.json("ls", AT, "--scope", lines[0]["scope"])}
        for line in lines[:-1]:
            keys = all_keys[line["layout"]] | (small if line["layout"] == "segment_objects" else set())
            self.assertEqual((line["objects"], line["bytes"]), (len(keys), sum(sizes[k] for k in keys)))
            self.assertEqual(line["undecided_bytes"], sizes[min(small)] if small <= keys else 0)
        total = self.one(lines, "total")
        self.assertEqual((total["objects"], total["bytes"]), (len(sizes), sum(sizes.values())))
        self.assertIn("perhaps superseded", self.ctl("du", AT).stdout)

    def test_what_an_object_says_of_itself(self):
        for layout, keys in self.write_all().items():
            for key in keys:
                said, = self.json("stat", "s3://bucket/" + key)
                self.assertEqual((said["key"], said["layout"]), (key, layout))
                self.assertNotIn("trouble", said)
                if said["kind"] != "layer":
                    self.assertEqual(said["slice_bytes"], 1024)
                    self.assertTrue(said["scope_id"].startswith(said["scope"]))
                if said["kind"] == "segment":
                    self.assertEqual(len(said["chunk_ids"]), 6)
                    self.assertIn("tokens       0 to 95", self.ctl("stat", "s3://bucket/" + key).stdout)
        key = next(iter(keys))
        body = bytearray(self.request("GET", key))
        body[300] ^= 1
        self.request("PUT", key, bytes(body))
        self.assertIn("ids of a segment", self.json("stat", "s3://bucket/" + key, status=1)[0]["trouble"])

    def test_verify_finds_every_kind_of_damage(self):
        all_keys = self.write_all()
        summary, = self.json("verify", AT)
        self.assertEqual((summary["corrupt"], summary["objects"]), (0, sum(map(len, all_keys.values()))))
        for layout, keys in all_keys.items():
            for key in sorted(keys)[:4]:
                good = self.request("GET", key)
                for name, bad in {
                    "flipped": good[:-1] + bytes([good[-1] ^ 1]), "middle": good[:200] + bytes([good[200] ^ 1]) + good[201:],
                    "short": good[:-1], "long": good + b"x", "empty": b"",
                }.items():
                    with self.subTest(layout=layout, damage=name):
                        self.request("PUT", key, bad)
                        found = self.one(self.json("verify", AT, status=1), "corrupt")
                        self.assertEqual(found["key"], key)
                        self.assertTrue(found["reason"])
                self.request("PUT", key, good)
        self.ctl("verify", AT)
        layers = sorted(k for k in all_keys["layer_objects"] if not k.endswith("manifest"))
        for layer in layers[:3]:  # of one chunk: the first, the middle, the last
            good = self.request("GET", layer)
            self.request("DELETE", layer)
            found = self.one(self.json("verify", AT, status=1), "corrupt")
            self.assertRegex(found["reason"], f"layer {int(layer[-4:])} is missing")
            self.request("PUT", layer, good)
        self.request("PUT", "team/oc2/of/a/later/version", b"?")
        self.request("PUT", "team/other", b"?")
        summary = self.one(self.json("verify", AT), "summary")
        self.assertEqual((summary["unknown_version"], summary["foreign"]), (1, 1))

    def leave_garbage(self):
        """As crashes and merges leave it: what is alive, and what is not."""
        all_keys = self.write_all()
        live, dead = set().union(*all_keys.values()), set()
        for segment in (0, 2), (3, 2), (2, 4):
            dead |= self.write("segment_objects", *segment)
        manifests = sorted(k for k in live if k.endswith("manifest"))
        self.request("DELETE", manifests[0])  # never published
        orphans = {k for k in live if k.startswith(manifests[0].removesuffix("manifest"))} - {manifests[0]}
        dead |= orphans
        live -= orphans | {manifests[0]}
        for foreign in "team/other", "team/oc2/later", "else/oc1/x", orphans.pop() + ".bak":
            self.request("PUT", foreign, b"not ours")
            live.add(foreign)
        chunk = next(iter(all_keys["chunk_objects"]))
        for key in chunk, "team/foreign":
            self.request("POST", key, query="?uploads")
        return live, dead

    def test_garbage_goes_and_the_rest_stays(self):
        live, dead = self.leave_garbage()
        before = self.keys()
        self.assertEqual(before, live | dead)
        self.assertIn("too young", self.ctl("gc", AT, "--delete").stdout)  # within the grace of an hour
        self.assertEqual(self.keys(), before)

        dry = self.json("gc", AT, "--grace", "0s")
        self.assertEqual({g["key"] for g in dry if g["type"] == "garbage" and g["why"] != "upload"}, dead)
        self.assertFalse(any(g.get("removed") for g in dry))
        self.assertIn("--delete does", self.ctl("gc", AT, "--grace", "0").stdout)
        self.assertEqual(self.keys(), before)

        done = self.json("gc", AT, "--grace", "0", "--settle", "10ms", "--delete")
        self.assertEqual(self.keys(), live)
        summary = self.one(done, "summary")
        self.assertEqual((summary["removed_objects"], summary["uploads_aborted"]), (len(dead), 1))
        self.assertEqual((summary["foreign_objects"], summary["other_version_objects"]), (2, 1))
        self.assertEqual(self.request("GET", "", query="?uploads").count(b"<Upload>"), 1)
        self.assertEqual(self.one(self.json("verify", AT), "summary")["corrupt"], 0)
        self.assertEqual(self.one(self.json("gc", AT, "--grace", "0", "--delete"), "summary")["removed_objects"], 0)

    def test_errors_say_what_to_do(self):
        self.write("chunk_objects", 0, 1)
        for command in "ls", "du", "verify", "gc":
            self.assertRegex(self.ctl(command, "s3://bucket/", status=2).stderr, r"\Aobjectcache_ctl: .*key_prefix.* team/.*\n\Z")
            self.assertRegex(self.ctl(command, AT, "--scope", "0" * 32, status=2).stderr, r"`ls` without --scope")
            self.assertRegex(self.ctl(command, "s3://nobody/", status=2).stderr, r"\Aobjectcache_ctl: .*NoSuchBucket.*\n\Z")
        self.assertRegex(self.ctl("stat", "s3://bucket/team/other", status=2).stderr, "no key of objectcache's")
        self.assertRegex(self.ctl("stat", "s3://bucket/oc1/" + "0" * 32 + "/c/" + "0" * 64, status=2).stderr, "404|not found")
        self.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
        self.assertRegex(self.ctl("gc", AT, "--delete", status=2).stderr, "SignatureDoesNotMatch")
        for bad in (["ls", AT, "--scope", "xyz"], ["gc", AT, "--grace", "1y"], ["du", "team/"], ["gc", "s3://bucket//x"], []):
            done = subprocess.run([PROGRAM, *bad], env=self.environment, capture_output=True, text=True)
            self.assertGreater(done.returncode, 3, bad)
            self.assertIn("--help", done.stdout + done.stderr)

    def test_interrupted(self):
        self.write("layer_objects", 0, 6)
        for command in ["verify"], ["du"], ["gc", "--delete"], ["ls"]:
            with self.subTest(command=command):
                self.start_slow_and_interrupt(command)

    def start_slow_and_interrupt(self, command):
        self.start_server("--latency-ms", "60000")
        process = subprocess.Popen([PROGRAM, *command, AT], env=self.environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        while not self.is_connected(process.pid):  # then it waits for its first answer
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 3, error)
        self.assertEqual(error, "objectcache_ctl: interrupted\n")

    def is_connected(self, pid):
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(fd).startswith("socket:"):
                    return True
            except FileNotFoundError:
                pass  # closed by now
        return False

    def test_progress_on_a_terminal(self):
        self.write("chunk_objects", 0, 6)
        ours, theirs = pty.openpty()
        done = subprocess.run([PROGRAM, "verify", AT, "--json"], env=self.environment, stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        drawn = os.read(ours, 1 << 16).decode()
        os.close(ours)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(drawn, "█.*6 objects, 0.0 of 0.0 MB, .* MB/s")
        self.assertEqual(json.loads(done.stdout)["objects"], 6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
