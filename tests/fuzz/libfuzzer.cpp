// SPDX-License-Identifier: BSL-1.0
// What libFuzzer calls: the target that OBJECTCACHE_FUZZ_TARGET names.
#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    objectcache::fuzz::OBJECTCACHE_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
    return 0;
}
