// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/shell_words.hpp>

#include <doctest/doctest.h>

using objectcache::s3::detail::shell_words;

TEST_CASE("shell_words: what Python's shlex makes of it")
{
    using list = std::vector<std::string>;
    CHECK(shell_words("") == list{});
    CHECK(shell_words(" \t\n") == list{});
    CHECK(shell_words("/opt/bin/get --user  me") == list{"/opt/bin/get", "--user", "me"});
    CHECK(shell_words("\"/opt/my tools/get\" 'a b' c\\ d") == list{"/opt/my tools/get", "a b", "c d"});
    CHECK(shell_words("a''b \"\" ''") == list{"ab", "", ""});
    CHECK(shell_words("'\\' \"\\\\ \\\" \\n $x\"") == list{"\\", "\\ \" \\n $x"});
    CHECK(shell_words("\"it's\" 'say \"hi\"'") == list{"it's", "say \"hi\""});
    CHECK(shell_words("a;b|c $(d) `e` *") == list{"a;b|c", "$(d)", "`e`", "*"}); // nothing is done about it
    CHECK_FALSE(shell_words("a 'b"));
    CHECK_FALSE(shell_words("a \"b"));
    CHECK_FALSE(shell_words("a\\"));
}
