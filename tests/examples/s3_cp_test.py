#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""s3_cp as a user meets it: what goes up comes down the same, and one line, a status and no half file for every mishap.

usage: s3_cp_test.py <build directory> [unittest arguments]"""
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from server import Server

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
PROGRAM = BUILD / "examples/s3_cp"
SERVER = BUILD / "examples/objectcache_s3_server"
MIB = 1 << 20


class S3Cp(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.start_server()

    def start_server(self, *arguments):
        self.server = Server(SERVER, "--bucket", "bucket", *arguments)
        self.addCleanup(self.server.stop)
        self.environment = dict(self.server.environment)
        self.environment["HOME"] = str(self.folder)

    def run_program(self, *arguments, **options):
        return subprocess.run([PROGRAM, *map(str, arguments)], env=self.environment, capture_output=True, timeout=60,
                              **options)

    def good(self, *arguments, **options):
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def bad(self, expected, *arguments, **options):
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        error = done.stderr.decode(errors="replace")
        self.assertRegex(error, r"\As3_cp: .*\n\Z")
        self.assertRegex(error, expected)

    def put(self, key, content):
        self.good("cp", "-", "s3://bucket/" + key, input=content)

    def content(self, key):
        return self.good("cp", "s3://bucket/" + key, "-")

    def keys(self, prefix=""):
        return [line[17:].decode() for line in self.good("ls", "s3://bucket/" + prefix).splitlines()]

    def files(self, below):
        return sorted(str(p.relative_to(below)) for p in below.rglob("*") if not p.is_dir())

    def test_round_trips(self):
        for size in 0, 1, 5 * MIB + 1:
            there, back = self.folder / "there", self.folder / f"back-{size}"
            there.write_bytes(random.Random(size).randbytes(size))
            self.good("cp", there, "s3://bucket/key")
            self.assertEqual(self.good("ls", "s3://bucket/"), b"%15d  key\n" % size)
            for pieces in [], ["--piece-mib", "1"], ["-j", "1"]:
                self.good("cp", *pieces, "s3://bucket/key", back)
                self.assertEqual(back.read_bytes(), there.read_bytes())
            self.assertEqual(back.stat().st_mode, there.stat().st_mode)
            self.good("cp", "--piece-mib", "1", "s3://bucket/key", "s3://bucket/other")
            self.assertEqual(self.content("other"), there.read_bytes())
            self.good("rm", "s3://bucket/other")

    def test_a_hundred_files_and_odd_names(self):
        up, down = self.folder / "up", self.folder / "down"
        odd = ["a b", "plus+percent%20", "ümläut", "日本", "quote'\"&<>", "new\nline", "-r", "~", "x" * 255, "a;b=c?d#e",
               "trailing.", ".hidden", "back\\slash", "..dots", "sub/.s3/deep/er"]
        names = odd + [f"{i % 7}/{i}" for i in range(100 - len(odd))]
        for i, name in enumerate(names):
            (up / name).parent.mkdir(parents=True, exist_ok=True)
            (up / name).write_bytes(name.encode() * i)
        done = self.run_program("cp", "-r", up, "s3://bucket/some/where")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr.decode(), r"\A100 objects, .* MB/s\n\Z")
        self.assertNotIn(b"\r", done.stderr)  # no terminal
        self.put("some/whereelse", b"not below some/where/")
        self.put("some/where/folder/", b"")  # as consoles mark folders
        self.good("cp", "-r", "s3://bucket/some/where", down)
        self.assertEqual(self.files(down), sorted(names))
        for name in names:
            self.assertEqual((down / name).read_bytes(), (up / name).read_bytes())
        self.good("cp", "-r", "s3://bucket/some/where", "s3://bucket/copy/")
        self.assertEqual(self.content("copy/new\nline"), (up / "new\nline").read_bytes())
        self.good("rm", "-r", "s3://bucket/some/where")
        self.assertEqual(self.keys("some"), ["some/whereelse"])

    def test_folders_as_destinations(self):
        file = self.folder / "file"
        file.write_bytes(b"content")
        self.good("cp", file, "s3://bucket")
        self.good("cp", file, "s3://bucket/folder/")
        self.assertEqual(self.keys(), ["file", "folder/file"])
        self.good("cp", "s3://bucket/folder/file", str(self.folder / "new/folder") + "/")
        self.assertEqual((self.folder / "new/folder/file").read_bytes(), b"content")
        self.good("cp", "s3://bucket/file", ".", cwd=self.folder / "new")
        self.assertEqual((self.folder / "new/file").read_bytes(), b"content")

    def test_keys_that_would_leave_the_folder(self):
        for key in "p/../../escaped", "p//absolute", "p/a/../b", "p/.", "p/a//b", "p/folder/x/":
            self.put(key, b"hostile")
            self.bad("no file can have this name", "cp", "-r", "s3://bucket/p", self.folder / "down")
            self.good("rm", "s3://bucket/" + key)
        self.assertEqual(self.files(self.folder), [])

    def test_what_is_not_there(self):
        self.bad("404|not found", "cp", "s3://bucket/missing", self.folder / "file")
        self.bad("404|NoSuchBucket", "cp", "s3://nobody/missing", self.folder / "file")
        self.bad("NoSuchBucket", "ls", "s3://nobody/")
        self.bad("No such file", "cp", self.folder / "missing", "s3://bucket/key")
        self.bad("No such file", "cp", "-r", self.folder / "missing", "s3://bucket/key")
        self.bad("Is a directory", "cp", self.folder, "s3://bucket/key")
        self.bad("s3://", "cp", self.folder, self.folder)
        self.bad("s3://", "ls", self.folder)
        self.bad("s3://", "rm", "-r", self.folder)
        self.bad("no key", "rm", "s3://bucket")
        self.assertEqual(self.files(self.folder), [])
        self.assertEqual(self.keys(), [])

    def test_wrong_keys_and_endpoints(self):
        self.put("key", b"content")
        self.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
        self.bad("SignatureDoesNotMatch", "ls", "s3://bucket/")
        self.bad("403|denied", "cp", "s3://bucket/key", self.folder / "file")
        self.bad("SignatureDoesNotMatch", "cp", "-", "s3://bucket/key", input=b"other")
        del self.environment["AWS_SECRET_ACCESS_KEY"], self.environment["AWS_ACCESS_KEY_ID"]
        self.bad("credentials", "ls", "s3://bucket/")
        self.environment = dict(self.server.environment)
        self.bad("endpoint", "--endpoint", "ftp://127.0.0.1", "ls", "s3://bucket/")
        self.bad("refused", "ls", "s3://bucket/", "--endpoint", "http://127.0.0.1:1")
        self.assertEqual(self.content("key"), b"content")
        self.assertEqual(self.files(self.folder), [])

    def test_targets_that_cannot_be_written(self):
        self.put("key", b"x" * 3 * MIB)
        target = self.folder / "kept"
        target.write_bytes(b"as it was")
        # No more space, here a limit on the size of files: posix_fallocate fails as on a full disk.
        limit = lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                         resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB)))
        self.bad("kept: File too large", "cp", "s3://bucket/key", target, preexec_fn=limit, restore_signals=False)
        self.bad("full: No space left", "cp", "s3://bucket/key", "/dev/full")
        self.assertTrue(pathlib.Path("/dev/full").is_char_device())
        self.bad("kept/below: Not a directory", "cp", "s3://bucket/key", target / "below")
        self.bad("File name too long", "cp", "s3://bucket/key", self.folder / ("x" * 256))
        self.bad("No such file|Permission denied|Read-only", "cp", "s3://bucket/key", "/proc/nowhere")
        self.assertEqual(target.read_bytes(), b"as it was")
        self.assertEqual(self.files(self.folder), ["kept"])

    # One piece after the other, half a second each: there is time to do something to it.
    def test_an_interrupted_download_leaves_nothing(self):
        self.server.stop()
        self.start_server("--latency-ms", "500")
        self.put("key", b"x" * 8 * MIB)
        (self.folder / "down").mkdir()
        process = subprocess.Popen([PROGRAM, "cp", "-j", "1", "--piece-mib", "1", "s3://bucket/key", self.folder / "down/file"],
                                   env=self.environment, stderr=subprocess.PIPE)
        while not self.files(self.folder / "down"):  # its temporary file
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 1)
        self.assertRegex(error.decode(), r"\As3_cp: .*cancel.*\n\Z")
        self.assertEqual(self.files(self.folder / "down"), [])

    def test_a_server_that_goes_away(self):
        self.server.stop()
        self.start_server("--latency-ms", "500")
        self.put("key", b"x" * 8 * MIB)
        process = subprocess.Popen([PROGRAM, "cp", "-j", "1", "--piece-mib", "1", "s3://bucket/key", self.folder / "file"],
                                   env=self.environment, stderr=subprocess.PIPE)
        while not self.files(self.folder):
            self.assertIsNone(process.poll())
        self.server.process.kill()
        error = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 1, error)
        self.assertRegex(error.decode(), r"\As3_cp: GET .*\n\Z")
        self.assertEqual(self.files(self.folder), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
