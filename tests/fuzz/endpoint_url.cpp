// SPDX-License-Identifier: BSL-1.0
// The URL of a store, and a request that is sent there. The lines of the input:
//     a URL
//     a bucket
//     the value of a header
//     a key, to the end
#include "fuzz.hpp"

#include <objectcache/s3/request.hpp>
#include <objectcache/testing/detail/s3_wire.hpp>

#include <string>
#include <vector>

namespace objectcache::fuzz {

namespace endpoint_target {

constexpr s3::sigv4_time now{std::chrono::seconds(1440938160)};

std::string_view value_of(const std::vector<s3::field>& headers, std::string_view name)
{
    for (const s3::field& h : headers)
        if (h.name == name)
            return h.value;
    return {};
}

/** What a server makes of the head of our request. */
void check_head(std::string_view head, const s3::request& what, const s3::endpoint& where,
                std::string_view secret)
{
    require(head.ends_with("\r\n\r\n"), "a head ends");
    head.remove_suffix(2);
    const std::string_view line = head.substr(0, head.find("\r\n"));
    std::vector<s3::field> headers;
    for (std::string_view rest = head.substr(line.size() + 2); !rest.empty();) {
        const std::size_t end = rest.find("\r\n");
        const std::string_view one = rest.substr(0, end);
        const std::size_t colon = one.find(": ");
        require(colon != one.npos && s3::detail::is_header_safe(one),
                "every line is a header, and nothing else");
        headers.push_back({one.substr(0, colon), one.substr(colon + 2)});
        rest.remove_prefix(end + 2);
    }
    require(line.starts_with("GET /") && line.ends_with(" HTTP/1.1"), "the first line is a request line");
    const std::string_view target = line.substr(4, line.size() - 13);
    require(target.find_first_of(" \t\r\n#") == target.npos, "of three words");
    require(value_of(headers, "Host") == where.authority_for(what.bucket),
            "the host is the one it is sent to");

    const auto seen = testing::detail::parse_target(target, value_of(headers, "Host"), where.host);
    require(seen.has_value(), "a server can read the target");
    if (where.base_path.empty())
        require(seen->bucket == what.bucket && seen->key == what.key, "and finds bucket and key");
    std::vector<s3::field> query;
    for (const auto& [name, value] : seen->query)
        query.push_back({name, value});
    const auto claim = s3::parse_authorization(value_of(headers, "Authorization"));
    const auto at = s3::parse_amz_date(value_of(headers, "x-amz-date"));
    require(claim && at, "and the signature");
    const s3::signable_request received{"GET", seen->path, query, headers,
                                        value_of(headers, "x-amz-content-sha256")};
    require(s3::verify(*claim, received, *at, secret).ok(), "which is right");
}

} // namespace endpoint_target

void endpoint_url(std::string_view input)
{
    using namespace endpoint_target;
    const std::string_view url = take_until(input, '\n');
    const std::string_view bucket = take_until(input, '\n');
    const std::string_view header = take_until(input, '\n');
    const std::string_view key = input;
    const auto parsed = s3::endpoint::parse(url);
    if (!parsed) {
        require(parsed.error() == condition::invalid, "a URL that cannot be used is invalid");
        return;
    }
    const s3::endpoint& where = *parsed;
    require(!where.host.empty() && where.port != 0 && !where.region.empty(), "an endpoint is somewhere");
    const auto again = s3::endpoint::parse(where.url());
    require(again && again->tls == where.tls && again->host == where.host && again->port == where.port &&
                again->base_path == where.base_path && again->region == where.region,
            "its URL names the same endpoint");
    require(where.host_for(bucket).ends_with(where.host), "a bucket is at its endpoint");

    s3::credentials who;
    who.access_key_id = "AKID";
    who.secret_access_key = "secret";
    s3::signer signer(where.region);
    const s3::field extra{"x-amz-meta-note", header};
    const s3::field parameter{"prefix", header};
    s3::request what;
    what.bucket = bucket;
    what.key = key;
    what.headers = {&extra, 1};
    what.query = {&parameter, 1};
    const auto head = s3::serialize(what, where, who, signer, now);
    require(head || head.error() == condition::invalid, "what cannot be sent is invalid");
    if (head)
        check_head(*head, what, where, who.secret_access_key);
}

} // namespace objectcache::fuzz
