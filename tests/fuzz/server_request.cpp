// SPDX-License-Identifier: BSL-1.0
// What the test kit's server reads of a request: target, host, range, and the size of an object, one line each.
#include "fuzz.hpp"

#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/testing/detail/s3_wire.hpp>

#include <string>

namespace objectcache::fuzz {

void server_request(std::string_view input)
{
    namespace kit = testing::detail;
    const std::string_view target = take_until(input, '\n');
    const std::string_view host = take_until(input, '\n');
    const std::string_view range = take_until(input, '\n');
    const std::uint64_t size = kit::parse_decimal(input).value_or(input.size());

    if (const auto read = kit::parse_target(target, host, "localhost")) {
        require(read->path.starts_with('/') && read->path.size() <= target.size(),
                "a path is a part of its target");
        std::string again;
        s3::detail::append_uri_encoded(again, read->path, s3::detail::slash::keep);
        for (const auto& [name, value] : read->query) {
            again += again.find('?') == again.npos ? '?' : '&';
            s3::detail::append_uri_encoded(again, name, s3::detail::slash::encode);
            again += '=';
            s3::detail::append_uri_encoded(again, value, s3::detail::slash::encode);
        }
        const auto second = kit::parse_target(again, host, "localhost");
        require(second && second->path == read->path && second->query == read->query &&
                    second->bucket == read->bucket && second->key == read->key,
                "written again it is the same");
        require(!kit::valid_bucket_name(read->bucket) || read->bucket.find('/') == std::string::npos,
                "a bucket is a file name");
    }

    const kit::range_answer asked = kit::parse_range(range, size);
    if (asked.what == kit::range_answer::kind::part)
        require(asked.bytes.size != 0 && asked.bytes.offset < size &&
                    asked.bytes.size <= size - asked.bytes.offset,
                "a part is within its object");
    if (asked.what == kit::range_answer::kind::whole)
        require(asked.bytes.offset == 0 && asked.bytes.size == size, "the whole is the whole");
}

} // namespace objectcache::fuzz
