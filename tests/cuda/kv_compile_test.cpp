// SPDX-License-Identifier: BSL-1.0
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <objectcache/cuda/detail/kv_compile.hpp>

namespace {

using objectcache::cuda::detail::compile_kv_kernels;

TEST_CASE("NVRTC compiles the kernels without a device, from the text in the header")
{
    for (const int capability : {75, 80, 90, 100}) {
        auto image = compile_kv_kernels(capability);
        REQUIRE_MESSAGE(image.ok(), image.error().message());
        MESSAGE("sm_" << capability << ": " << image->code.size() << " bytes");
        CHECK(image->code.substr(0, 4) == "\177ELF");
        CHECK(image->code.find(image->scatter) != std::string::npos);
        CHECK(image->code.find(image->gather) != std::string::npos);
        CHECK(image->scatter != image->gather);
    }
}

TEST_CASE("a device newer than NVRTC gets PTX, one too old an error")
{
    auto image = compile_kv_kernels(999);
    REQUIRE_MESSAGE(image.ok(), image.error().message());
    CHECK(image->code.find(".version") != std::string::npos);
    CHECK(image->code.find(".entry " + image->scatter) != std::string::npos);

    const auto old = compile_kv_kernels(10);
    CHECK(old.error() == objectcache::errc::device_failed);
    CHECK(old.error().detail().find("as old as 10") != std::string::npos);
}

} // namespace
