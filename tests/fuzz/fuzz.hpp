// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

// A fuzz target is a function of its input that returns, whatever the input: it states what must hold with `require`.
namespace objectcache::fuzz {

#define OBJECTCACHE_FUZZ_TARGETS(X)                                                                          \
    X(response)                                                                                              \
    X(error_xml)                                                                                             \
    X(list_xml)                                                                                              \
    X(multipart_xml)                                                                                         \
    X(sts_xml)                                                                                               \
    X(credentials_json)                                                                                      \
    X(profile)                                                                                               \
    X(fields)                                                                                                \
    X(aws_chunked)                                                                                           \
    X(server_request)                                                                                        \
    X(endpoint_url)                                                                                          \
    X(sigv4)                                                                                                 \
    X(segment)

#define OBJECTCACHE_FUZZ_DECLARE(name) void name(std::string_view input);
OBJECTCACHE_FUZZ_TARGETS(OBJECTCACHE_FUZZ_DECLARE)
#undef OBJECTCACHE_FUZZ_DECLARE

/** Like assert, in every build. */
inline void require(bool holds, const char* what)
{
    if (holds)
        return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

/** Cuts the text up to `mark` off the front of `input`; all of it if there is no mark. */
inline std::string_view take_until(std::string_view& input, char mark)
{
    const std::size_t end = input.find(mark);
    const std::string_view out = input.substr(0, end);
    input.remove_prefix(end == input.npos ? input.size() : end + 1);
    return out;
}

} // namespace objectcache::fuzz
