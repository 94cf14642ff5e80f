// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/json.hpp>

#include <doctest/doctest.h>

using objectcache::s3::detail::json_object;

namespace json_test {

bool is_json(std::string_view text)
{
    return json_object::parse(text).has_value();
}

TEST_CASE("json: strings and numbers of the outermost object")
{
    const auto json = json_object::parse(
        " {\"a\" : \"x\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\" ,\r\n"
        "\t\"n\":-1.5e+3, \"t\":true,\"f\":false,\"z\":null,\"o\":{\"a\":\"inner\"},"
        "\"l\":[1,[\"a\"],{}, []],\"twice\":1,\"twice\":\"2\",\"\":\"empty\"} \n");
    REQUIRE(json);
    CHECK((*json)["a"] == "x\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    CHECK((*json)["n"] == "-1.5e+3");
    for (const char* name : {"t", "f", "z", "o", "l", "missing"})
        CHECK((*json)[name].empty());
    CHECK((*json)["twice"] == "2");
    CHECK((*json)[""] == "empty");
    CHECK(is_json("{}"));
}

TEST_CASE("json: what is none")
{
    for (const char* text : {"",
                             " ",
                             "[]",
                             "\"a\"",
                             "1",
                             "{",
                             "}",
                             "{}{}",
                             "{} x",
                             "{\"a\"}",
                             "{\"a\":}",
                             "{\"a\":1,}",
                             "{,}",
                             "{\"a\" 1}",
                             "{a:1}",
                             "{'a':1}",
                             "{\"a\":1 \"b\":2}",
                             "{\"a\":[}",
                             "{\"a\":[1,]}",
                             "{\"a\":[1 2]}",
                             "{\"a\":01}",
                             "{\"a\":-}",
                             "{\"a\":1.}",
                             "{\"a\":.5}",
                             "{\"a\":1e}",
                             "{\"a\":+1}",
                             "{\"a\":tru}",
                             "{\"a\":True}",
                             "{\"a\":NaN}",
                             "{\"a\":\"}",
                             "{\"a\":\"\\\"}",
                             "{\"a\":\"\\x\"}",
                             "{\"a\":\"\\u12g4\"}",
                             "{\"a\":\"\\u123\"}",
                             "{\"a\":\"\\ud83d\"}",
                             "{\"a\":\"\\ud83dx\"}",
                             "{\"a\":\"\\ud83d\\u0041\"}",
                             "{\"a\":\"\\ude00\"}",
                             "{\"a\":\"\n\"}",
                             "{\"a\":1}//",
                             "\xef\xbb\xbf{}"})
        CHECK_MESSAGE(!is_json(text), text);
    const std::string whole = "{\"a\":{\"b\":[1,\"\\u0041\",null]},\"c\":-1.5e3}";
    REQUIRE(is_json(whole));
    for (std::size_t n = 0; n < whole.size(); ++n)
        CHECK_FALSE(is_json(whole.substr(0, n)));
}

TEST_CASE("json: nesting is bounded")
{
    const auto nested = [](int depth, const std::string& open, const std::string& close) {
        std::string text = "{\"a\":";
        for (int i = 0; i < depth; ++i)
            text += open;
        text += "1";
        for (int i = 0; i < depth; ++i)
            text += close;
        return text + "}";
    };
    CHECK(is_json(nested(json_object::max_depth - 1, "[", "]")));
    CHECK_FALSE(is_json(nested(json_object::max_depth, "[", "]")));
    CHECK_FALSE(is_json(nested(100'000, "[", "]")));
    CHECK(is_json(nested(json_object::max_depth - 1, "{\"a\":", "}")));
    CHECK_FALSE(is_json(nested(100'000, "{\"a\":", "}")));
}

} // namespace json_test
