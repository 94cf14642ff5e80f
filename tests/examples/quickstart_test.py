#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The quickstart's program as a user meets it: the same text in every way, and one line and a status for every mishap.

usage: quickstart_test.py <build directory> [unittest arguments]"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from server import Server

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = BUILD / "examples/quickstart/quickstart"
SERVER = BUILD / "examples/objectcache_s3_server"
CHECKPOINT = ROOT / "examples/llama/checkpoint"
PROMPT = (ROOT / "examples/llama/prompt.txt").read_bytes()


class Quickstart(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.server = Server(SERVER, "--dir", self.folder / "objects")
        self.addCleanup(self.server.stop)
        self.environment = dict(self.server.environment)
        # Short: what is tested here is behaviour; the speed is shown by examples/quickstart.sh.
        self.prompt = self.folder / "prompt"
        self.prompt.write_bytes(PROMPT[:700])

    def run_program(self, job, *arguments, model=CHECKPOINT, prompt=None):
        command = [PROGRAM, job, "--model", model, "--prompt", prompt or self.prompt, "-n", "8", *arguments]
        return subprocess.run([str(c) for c in command], env=self.environment, capture_output=True, timeout=120)

    def good(self, *arguments, **options):
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def bad(self, expected, *arguments, **options):
        done = self.run_program(*arguments, **options)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        errors = [l for l in done.stderr.decode().splitlines() if l.startswith("error: ")]
        self.assertEqual(len(errors), 1, done.stderr)
        self.assertRegex(errors[0], expected)
        return done.stdout.decode()

    def text(self, output):
        return output.split("the same in every way:\n")[1].splitlines()[0]

    def row(self, output, way):
        """loaded and computed tokens of one way"""
        cells = next(l.split() for l in output.splitlines() if l.split()[:1] == [way])
        return int(cells[3]), int(cells[4])

    def test_three_ways_and_streaming_say_the_same(self):
        texts = set()
        for layout in "chunk_objects", "layer_objects", "segment_objects":
            # A bucket each: what is stored already is not stored again in another layout.
            where = "--layout", layout, "--bucket", layout.replace("_", "-")
            self.assertIn(f"({layout})", self.good("prefill", *where))
            output = self.good("answer", *where, "--stream-decode")
            self.assertEqual(self.row(output, "recompute"), (0, 700))
            for way in "whole", "layerwise", "stream":
                self.assertEqual(self.row(output, way), (576, 124))
            texts.add(self.text(output))
        self.assertEqual(len(texts), 1)

    def test_storing_twice_writes_nothing_new(self):
        self.good("prefill")
        before = sorted((p, p.stat().st_mtime_ns) for p in (self.folder / "objects").rglob("*") if p.is_file())
        self.good("prefill")
        after = sorted((p, p.stat().st_mtime_ns) for p in (self.folder / "objects").rglob("*") if p.is_file())
        self.assertEqual(before, after)
        self.assertEqual(len(before), 1)  # nine chunks, one segment
        self.good("prefill", "--layout", "chunk_objects")
        self.assertEqual(before, sorted((p, p.stat().st_mtime_ns)
                                        for p in (self.folder / "objects").rglob("*") if p.is_file()))

    def test_a_flipped_byte_is_recomputed_counted_and_reported(self):
        self.good("prefill")
        expected = self.text(self.good("answer"))
        self.good("damage")
        output = self.bad("checksum mismatch", "answer")
        self.assertEqual(self.text(output), expected)
        self.assertIn("1 corrupt chunks counted", output)
        for way in "whole", "layerwise":
            loaded, computed = self.row(output, way)
            self.assertEqual(loaded, 5 * 64)
            self.assertEqual(loaded + computed, 700)
        self.good("damage")  # the same bit again
        self.good("answer")

    def test_a_truncated_object_is_recomputed(self):
        self.good("prefill")
        expected = self.text(self.good("answer"))
        victim = max((p for p in (self.folder / "objects").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        with open(victim, "r+b") as file:
            file.truncate(victim.stat().st_size - 100)
        done = self.run_program("answer")  # of a wrong size: not matched, so nothing is wrong, only less is loaded
        self.assertEqual(self.text(done.stdout.decode()), expected)
        self.assertLess(self.row(done.stdout.decode(), "layerwise")[0], 640)

    def test_another_model_finds_nothing(self):
        self.good("prefill")
        other = self.folder / "model"
        shutil.copytree(CHECKPOINT, other)
        weights = bytearray((other / "model.safetensors").read_bytes())
        weights[-1000] ^= 1
        (other / "model.safetensors").write_bytes(weights)
        output = self.bad("only of other weights", "answer", model=other)
        self.assertEqual(self.row(output, "layerwise"), (0, 700))

    def test_nothing_stored(self):
        self.bad("NoSuchBucket|not found|no KV", "answer")

    def test_wrong_keys(self):
        self.good("prefill")
        self.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
        output = self.bad("SignatureDoesNotMatch|access denied|403", "answer")
        self.assertEqual(self.row(output, "layerwise"), (0, 700))
        self.bad("SignatureDoesNotMatch|access denied|403", "prefill")
        del self.environment["AWS_SECRET_ACCESS_KEY"], self.environment["AWS_ACCESS_KEY_ID"]
        self.environment["HOME"] = str(self.folder)
        self.bad("credentials", "answer")

    def test_an_unreachable_endpoint(self):
        self.server.process.terminate()
        self.server.process.wait()
        output = self.bad("refused", "answer")
        self.assertEqual(self.row(output, "whole"), (0, 700))
        self.bad("refused", "prefill")
        self.bad("endpoint", "answer", "--endpoint", "ftp://127.0.0.1")

    def test_bad_checkpoints(self):
        broken = self.folder / "model"
        self.bad("config.json", "answer", model=broken)
        shutil.copytree(CHECKPOINT, broken)
        (broken / "model.safetensors").write_bytes((CHECKPOINT / "model.safetensors").read_bytes()[:100000])
        self.bad("model.safetensors", "answer", model=broken)
        (broken / "model.safetensors").unlink()
        self.bad("model.safetensors", "answer", model=broken)
        (broken / "config.json").write_text("{")
        self.bad("config.json", "answer", model=broken)
        self.bad("prompt", "answer", prompt=self.folder / "no prompt")

    def test_a_model_with_token_ids(self):
        model = next(p.parent for p in sorted((ROOT / "tests/data/llama").rglob("config.json"))
                     if json.loads(p.read_text())["vocab_size"] != 256)
        vocab = json.loads((model / "config.json").read_text())["vocab_size"]
        ids = self.folder / "ids"
        ids.write_text(" ".join(str(i * 7 % vocab) for i in range(100)))
        options = dict(model=model, prompt=ids)
        self.good("prefill", "--chunk-tokens", "16", **options)
        output = self.good("answer", "--chunk-tokens", "16", "--stream-decode", **options)
        self.assertEqual(self.row(output, "layerwise"), (80, 20))


if __name__ == "__main__":
    unittest.main(verbosity=2)
