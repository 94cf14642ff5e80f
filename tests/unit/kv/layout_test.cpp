// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/layout.hpp>

#include <doctest/doctest.h>

namespace layout_test {

using namespace objectcache;

TEST_CASE("layouts have stable numbers and names")
{
    static_assert(static_cast<int>(layout::layer_objects) == 1);
    static_assert(static_cast<int>(layout::chunk_objects) == 2);
    static_assert(static_cast<int>(layout::segment_objects) == 3);
    for (int number = 0; number < 256; ++number) {
        const auto value = static_cast<layout>(number);
        CHECK(name(value).empty() == (number < 1 || number > 3));
        if (!name(value).empty())
            CHECK(parse_layout(name(value)) == value);
        CHECK(supported(value) == (number >= 1 && number <= 3));
    }
    CHECK_FALSE(parse_layout("chunk"));
    CHECK_FALSE(parse_layout(""));
}

} // namespace layout_test
