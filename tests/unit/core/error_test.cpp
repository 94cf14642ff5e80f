// SPDX-License-Identifier: BSL-1.0
#include <objectcache/core/error.hpp>

#include <doctest/doctest.h>

using namespace objectcache;

TEST_CASE("every errc has a message of its own and belongs to exactly one condition")
{
    for (int value = 1; value <= static_cast<int>(errc::shut_down); ++value) {
        const error_code code = make_error_code(static_cast<errc>(value));
        CHECK(code.message() != "unknown objectcache error");
        int conditions = 0;
        for (int c = 1; c <= static_cast<int>(condition::device); ++c)
            conditions += code == static_cast<condition>(c);
        CHECK(conditions == 1);
    }
}

TEST_CASE("codes of the system map to conditions and keep their cause")
{
    CHECK(std::make_error_code(std::errc::operation_canceled) == condition::cancelled);
    CHECK(std::make_error_code(std::errc::timed_out) == condition::timeout);
    CHECK(std::make_error_code(std::errc::connection_refused) == condition::unavailable);
    CHECK(std::make_error_code(std::errc::not_enough_memory) == condition::exhausted);
    CHECK(std::make_error_code(std::errc::connection_refused) != condition::corrupt);
    CHECK(error_code() != condition::cancelled);
}

TEST_CASE("a status is ok by default and says what happened otherwise")
{
    CHECK(status().ok());
    CHECK(status().message().empty());
    const status bad(errc::checksum_mismatch, "chunk 3, layer 7");
    CHECK_FALSE(bad.ok());
    CHECK(bad == condition::corrupt);
    CHECK(bad == errc::checksum_mismatch);
    CHECK(bad.message() == "chunk 3, layer 7: checksum mismatch");
}

TEST_CASE("damage is what the stored bytes say, not who brought them or who can read them")
{
    for (const errc e :
         {errc::length_mismatch, errc::checksum_mismatch, errc::wrong_chunk, errc::wrong_geometry})
        CHECK(tells_of_damage(e));
    for (const errc e : {errc::unknown_version, errc::malformed_response, errc::not_found, errc::throttled})
        CHECK_FALSE(tells_of_damage(e));
    CHECK_FALSE(tells_of_damage(status()));
}
