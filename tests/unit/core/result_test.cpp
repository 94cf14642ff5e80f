// SPDX-License-Identifier: BSL-1.0
#include <objectcache/core/result.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace result_test {

using namespace objectcache;

result<std::string> greet(bool known)
{
    if (!known)
        return {errc::not_found, "who?"};
    return std::string("hello");
}

TEST_CASE("a result holds a value and no failure")
{
    result<std::string> r = greet(true);
    CHECK(r.ok());
    CHECK(static_cast<bool>(r));
    CHECK(*r == "hello");
    CHECK(r->size() == 5);
    CHECK(r.error().ok());
    CHECK_FALSE(r.code());
    *r += "!";
    CHECK(std::as_const(r).value() == "hello!");
}

TEST_CASE("a result holds a failure with its cause and detail")
{
    const result<std::string> r = greet(false);
    CHECK_FALSE(r.ok());
    CHECK(r.code() == condition::absent);
    CHECK(r.error() == errc::not_found);
    CHECK(r.error().detail() == "who?");
}

TEST_CASE("a result gives up a value that can only be moved")
{
    result<std::unique_ptr<int>> r = std::make_unique<int>(7);
    const std::unique_ptr<int> taken = std::move(r).value();
    CHECK(*taken == 7);
}

} // namespace result_test
