// SPDX-License-Identifier: BSL-1.0
// Values of single headers and fields: each line of the input is read as each of them.
#include "fuzz.hpp"

#include <objectcache/s3/checksum.hpp>
#include <objectcache/s3/detail/http_date.hpp>
#include <objectcache/s3/detail/iso8601.hpp>
#include <objectcache/s3/detail/outcome.hpp>
#include <objectcache/s3/retry.hpp>
#include <objectcache/testing/detail/s3_wire.hpp>

#include <string>

namespace objectcache::fuzz {

namespace fields_target {

void content_range(std::string_view text)
{
    const auto range = s3::detail::parse_content_range(text);
    if (!range)
        return;
    require(range->bytes.size != 0 && range->bytes.end() > range->bytes.offset, "a range is not empty");
    require(!range->total || range->bytes.end() <= *range->total, "nor larger than its object");
    const std::string again =
        s3::detail::text_of(range->bytes) + '/' + (range->total ? std::to_string(*range->total) : "*");
    const auto second = s3::detail::parse_content_range(again);
    require(second && second->bytes == range->bytes && second->total == range->total,
            "written again it is the same");
}

void dates(std::string_view text)
{
    using clock = std::chrono::system_clock;
    const auto can_be_counted = [](std::chrono::sys_seconds at) { // the system's clock ends in 2262
        return at > std::chrono::sys_days(std::chrono::year(1700) / 1 / 1) &&
               at < std::chrono::sys_days(std::chrono::year(2200) / 1 / 1);
    };
    const auto date = s3::detail::parse_http_date(text);
    if (date && can_be_counted(*date) && text.substr(23, 2) != "60") // no leap second
        require(testing::detail::http_date(*date).substr(5) == text.substr(5), "a date of HTTP has one form");
    if (const auto at = s3::detail::parse_iso8601(text)) {
        require(*at >= clock::time_point(), "times before the epoch are at it");
        if (*at != clock::time_point::max()) {
            const auto again = s3::detail::parse_iso8601(testing::detail::iso_date(*at));
            require(again == at, "written again it is the same");
        }
    }
    constexpr std::chrono::sys_seconds now{std::chrono::seconds(1440938160)};
    if (const auto wait = s3::parse_retry_after(text, now))
        require(*wait >= duration::zero(), "nobody can ask to be called in the past");
}

void checksums(std::string_view text)
{
    for (const auto kind : {s3::checksum::crc32c, s3::checksum::crc64nvme, s3::checksum::sha256}) {
        const std::string ours = s3::checksum_of(kind, {});
        const auto match = s3::compare_checksum(kind, text, ours);
        require((match == s3::checksum_match::equal) == (text == ours), "only the same text is equal");
        require(!s3::is_checksum(kind, text) || text.size() == ours.size(), "a checksum has one length");
    }
    if (const auto kind = s3::parse_checksum_name(text))
        require(s3::parse_checksum_name(s3::checksum_name(*kind)) == kind, "and one name");
}

} // namespace fields_target

void fields(std::string_view input)
{
    while (!input.empty()) {
        const std::string_view line = take_until(input, '\n');
        fields_target::content_range(line);
        fields_target::dates(line);
        fields_target::checksums(line);
    }
}

} // namespace objectcache::fuzz
