// SPDX-License-Identifier: BSL-1.0
#include <hostile/reader.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace hostile;
using namespace std::chrono_literals;

namespace reader_test {

const std::string beginning = "about: it is odd\noperation: get 10-19 x 3\nexpect: ok or corrupt\n";

/** What is said of a script with one more line, in its settings or in its only connection. */
std::string setting_error(const std::string& line)
{
    return parse_script("s", beginning + line + "\nconnection\n").error().detail();
}
std::string step_error(const std::string& line)
{
    return parse_script("s", beginning + "connection\n" + line + "\n").error().detail();
}

} // namespace reader_test

TEST_CASE("hostile: a script says what it says")
{
    const auto read = parse_script("s", reader_test::beginning + R"(message: odd
etag: "one"
operation: put 70
expect: timeout
deadline: none
requests: <=4
connections: >=2
idle: 1
tls: yes

# a comment
connection x 2
  handshake expired
  read head with "A: \"b\"" with "C" at -1h   # another
  respond 503 SlowDown "Retry-After: 1" also "X: y" -ETag
  respond 500 body "ab" x 3
  body 7 by 2 every 250ms
connection always
  send "\r\n\t\\\"\x00\xfF" x 1000
  again 5
)");
    REQUIRE_MESSAGE(read.ok(), read.error().message());
    const script& s = *read;
    CHECK(s.about == "it is odd");
    REQUIRE(s.operations.size() == 2);
    CHECK(s.operations[0].what == operation::kind::get_range);
    CHECK(s.operations[0].range == byte_range{10, 10});
    CHECK(s.operations[0].times == 3);
    REQUIRE(s.operations[0].outcomes.size() == 2);
    CHECK(name_of(s.operations[0].outcomes[0]) == "ok");
    CHECK(name_of(s.operations[0].outcomes[1]) == "corrupt");
    CHECK(s.operations[0].message == "odd");
    CHECK(s.operations[0].etag == "\"one\"");
    CHECK(s.operations[1].what == operation::kind::put);
    CHECK(s.operations[1].size == 70);
    CHECK_FALSE(s.until);
    CHECK(s.requests.contains(0));
    CHECK_FALSE(s.requests.contains(5));
    CHECK_FALSE(s.connections.contains(1));
    CHECK(s.connections.contains(2));
    CHECK(s.idle == 1);
    CHECK(s.tls);

    REQUIRE(s.blocks.size() == 2);
    CHECK(s.blocks[0].times == 2);
    CHECK(s.blocks[1].times == for_ever);
    const auto& steps = s.blocks[0].steps;
    REQUIRE(steps.size() == 5);
    CHECK(steps[0].word == "expired");
    CHECK(steps[1].line == 17);
    CHECK(steps[1].word == "head");
    CHECK(steps[1].texts == std::vector<std::string>{"A: \"b\"", "C"});
    REQUIRE(steps[1].ahead);
    CHECK(*steps[1].ahead == -1h);
    CHECK(steps[2].status == 503);
    CHECK(steps[2].word == "SlowDown");
    REQUIRE(steps[2].fields.size() == 3);
    CHECK(steps[2].fields[0].what == field_change::kind::set);
    CHECK(steps[2].fields[1].what == field_change::kind::add);
    CHECK(steps[2].fields[2].what == field_change::kind::remove);
    CHECK(steps[2].fields[2].text == "ETag");
    CHECK(steps[3].texts == std::vector<std::string>{"ab"});
    CHECK(steps[3].count == 3);
    CHECK(steps[4].count == 7);
    CHECK(steps[4].size == 2);
    CHECK(steps[4].every == 250ms);
    const auto& other = s.blocks[1].steps;
    REQUIRE(other.size() == 2);
    CHECK(other[0].texts[0] == std::string("\r\n\t\\\"\0\xff", 7));
    CHECK(other[0].count == 1000);
    CHECK(other[1].count == 5);
}

TEST_CASE("hostile: what is no script is refused, with its line")
{
    using namespace reader_test;
    CHECK(setting_error("deadline: 5s").empty());
    CHECK(step_error("wait 5s").empty());
    CHECK(setting_error("colour: red") == "s:4: not a setting: colour: red");
    for (const char* const line : {"deadline: soon", "deadline: 5", "requests: many", "tls: maybe",
                                   "expect: happiness", "operation: post", "operation: get 5",
                                   "operation: get 9-5", "operation: get x 0", "operation: put", "no colon"})
        CHECK_MESSAGE(setting_error(line).starts_with("s:4: not a setting"), line);
    for (const char* const line :
         {"dance",      "wait",          "wait 5",         "wait 5s 5s",       "send",
          "send text",  "send \"a\" x",  "send \"a\" x 0", "read with",        "read with text",
          "read at 1h", "read at +soon", "respond 500",    "respond 500 body", "respond also",
          "head -",     "head X",        "body by",        "body by 5",        "body by 5 every",
          "body five",  "stall now",     "again often"})
        CHECK_MESSAGE(step_error(line).starts_with("s:5: not a step"), line);
    for (const char* const line : {"send \"", "send \"\\", "send \"\\q\"", "send \"\\x1\"", "send \"\\xgg\""})
        CHECK_MESSAGE(step_error(line).starts_with("s:5: quotes"), line);
    CHECK(step_error("connection x 0").starts_with("s:5: not a number of connections"));
    CHECK(step_error("connection twice").starts_with("s:5: not a number of connections"));
    CHECK(parse_script("s", "").error() == condition::invalid);
    CHECK(parse_script("s", beginning).error() == condition::invalid);
    CHECK(parse_script("s", beginning + "refuse\n").ok());
    CHECK(parse_script("s", "about: -\noperation: get\nrefuse\n").error() == condition::invalid);
}
