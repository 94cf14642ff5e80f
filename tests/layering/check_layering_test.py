#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""A checker that finds nothing proves nothing: each kind of offence is planted once and must be reported."""

import pathlib
import tempfile
import unittest

import check_layering

TOP = "// SPDX-License-Identifier: BSL-1.0\n#pragma once\n"
CPP = "// SPDX-License-Identifier: BSL-1.0\n"


class Layering(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.write("include/objectcache/core/error.hpp", TOP + "#include <string>\n")
        self.write("include/objectcache/core/impl/error.ipp", TOP + "#include <objectcache/core/error.hpp>\n")
        self.write("include/objectcache/io/ring.hpp", TOP + "#include <objectcache/core/error.hpp>\n#include <liburing.h>\n")
        self.write("include/objectcache/cuda/event.hpp", TOP + "#include <cuda_runtime.h>\n")
        self.write("include/objectcache/testing/clock.hpp", TOP + "#include <objectcache/io/ring.hpp>\n")
        self.write("include/objectcache/cache.hpp", TOP + "#include <objectcache/io/ring.hpp>\n")
        self.write("include/objectcache/cuda.hpp", TOP + "#include <objectcache/cuda/event.hpp>\n")
        self.write("tests/unit/core/error_test.cpp", CPP + "#include <objectcache/core/error.hpp>\n")
        self.assertEqual(check_layering.check(self.root), [])

    def tearDown(self):
        self.folder.cleanup()

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def assert_found(self, path, text, what):
        self.write(path, text)
        offences = check_layering.check(self.root)
        self.assertEqual(len(offences), 1, offences)
        self.assertIn(path, offences[0])
        self.assertIn(what, offences[0])

    def test_an_await_in_a_conditional_expression(self):
        self.assert_found("examples/first.cpp", CPP + "auto f() {\n  // why? co_await\n  auto x = c ? a\n    : co_await b;\n}\n",
                          "first.cpp:4: co_await in a conditional")

    def test_a_room_above(self):
        self.assert_found("include/objectcache/core/ids.hpp", TOP + "#include <objectcache/io/ring.hpp>\n",
                          "core may not include io")

    def test_a_room_above_in_a_private_file(self):
        self.assert_found("include/objectcache/kv/impl/key.ipp", TOP + "#include <objectcache/io/ring.hpp>\n",
                          "kv may not include io")

    def test_the_top_level_from_below(self):
        self.assert_found("include/objectcache/io/reactor.hpp", TOP + "#include <objectcache/cache.hpp>\n",
                          "io may not include the top level")

    def test_cuda_from_the_host_side(self):
        self.assert_found("include/objectcache/pipeline/load.hpp", TOP + "#include <objectcache/cuda/event.hpp>\n",
                          "pipeline may not include cuda")

    def test_cuda_from_the_top_level(self):
        self.assert_found("include/objectcache/config.hpp", TOP + "#include <objectcache/cuda/event.hpp>\n",
                          "the top level may not include cuda")

    def test_the_test_kit_from_the_library(self):
        self.assert_found("include/objectcache/pipeline/load.hpp", TOP + "#include <objectcache/testing/clock.hpp>\n",
                          "pipeline may not include testing")

    def test_a_private_header_of_another_room(self):
        self.assert_found("include/objectcache/io/pool.hpp", TOP + "#include <objectcache/core/impl/error.ipp>\n",
                          "private to its room")

    def test_outside_headers_in_the_wrong_room(self):
        for room, header in [("core", "boost/asio/awaitable.hpp"), ("kv", "openssl/evp.h"), ("plan", "unistd.h"),
                             ("io", "boost/beast/http/read.hpp"), ("store", "openssl/evp.h"), ("s3", "liburing.h"),
                             ("device", "cuda_runtime.h"), ("pipeline", "nvrtc.h"), ("store", "xxhash.h")]:
            with self.subTest(header=header):
                self.assert_found(f"include/objectcache/{room}/x.hpp", TOP + f"#include <{header}>\n", "may not include")
                (self.root / f"include/objectcache/{room}/x.hpp").unlink()

    def test_a_whole_library(self):
        self.assert_found("include/objectcache/io/x.hpp", TOP + "#include <boost/asio.hpp>\n", "whole library")

    def test_an_unlisted_library(self):
        self.assert_found("include/objectcache/io/x.hpp", TOP + "#include <fmt/core.h>\n", "no row")

    def test_quotes(self):
        self.assert_found("include/objectcache/core/x.hpp", TOP + '#include "error.hpp"\n', "own headers")

    def test_a_missing_header(self):
        self.assert_found("include/objectcache/core/x.hpp", TOP + "#include <objectcache/core/gone.hpp>\n", "not exist")

    def test_an_unknown_room(self):
        self.assert_found("include/objectcache/attic/x.hpp", TOP, "unknown room")

    def test_licence_and_guard(self):
        self.assert_found("include/objectcache/core/x.hpp", "// hello\n#pragma once\n", "first line")
        self.assert_found("include/objectcache/core/x.hpp", TOP.replace("#pragma once\n", "\n"), "second line")

    def test_length(self):
        self.assert_found("include/objectcache/core/x.hpp", TOP + "\n" * 299, "at most 300")
        self.write("include/objectcache/core/x.hpp", TOP)
        self.assert_found("include/objectcache/core/detail/x.hpp", TOP + "\n" * 499, "at most 500")

    def test_a_test_that_sleeps(self):
        self.assert_found("tests/contract/x_test.cpp", CPP + "std::this_thread::sleep_for(1s);\n", "sleeps")

    def test_a_unit_test_of_something_else(self):
        self.assert_found("tests/unit/core/error_test.cpp", CPP + "#include <string>\n", "not the header under test")


if __name__ == "__main__":
    unittest.main()
