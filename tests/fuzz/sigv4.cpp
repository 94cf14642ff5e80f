// SPDX-License-Identifier: BSL-1.0
// Canonicalisation, signing and verifying. The lines of the input:
//     an Authorization header
//     a path
//     a query: name=value&name=value, not encoded
//     headers: name:value
#include "fuzz.hpp"

#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/sigv4.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace objectcache::fuzz {

namespace sigv4_target {

using s3::field;

constexpr s3::sigv4_time now{std::chrono::seconds(1440938160)}; // 20150830T123600Z

void claims(std::string_view header)
{
    const auto claim = s3::parse_authorization(header);
    if (!claim)
        return;
    std::string again = "AWS4-HMAC-SHA256 Credential=" + claim->access_key_id + '/' + claim->scope.text() +
                        ", SignedHeaders=";
    for (const std::string& name : claim->signed_headers)
        again += name + (&name == &claim->signed_headers.back() ? "" : ";");
    const auto second = s3::parse_authorization(again + ", Signature=" + claim->signature);
    require(second && second->access_key_id == claim->access_key_id && second->scope == claim->scope &&
                second->signed_headers == claim->signed_headers && second->signature == claim->signature,
            "a claim written again says the same");
}

void dates(std::string_view text)
{
    if (const auto at = s3::parse_amz_date(text))
        require(s3::format_amz_date(*at) == text, "a date has one form");
}

void paths(std::string_view path)
{
    std::string encoded;
    s3::detail::append_uri_encoded(encoded, path, s3::detail::slash::keep);
    require(s3::detail::uri_decoded(encoded) == path, "encoding can be undone");
    require(std::all_of(encoded.begin(), encoded.end(),
                        [](char c) {
                            return c == '/' || c == '%' ||
                                   s3::detail::is_unreserved(static_cast<unsigned char>(c));
                        }),
            "what is encoded needs no encoding");
    if (const auto decoded = s3::detail::uri_decoded(path))
        require(decoded->size() <= path.size(), "decoding makes nothing longer");

    const std::string normal = s3::detail::normalized_path(path);
    require(s3::detail::normalized_path(normal) == normal, "normalising twice changes nothing");
    require(normal.starts_with('/') && normal.find("//") == normal.npos &&
                (normal + '/').find("/./") == normal.npos && (normal + '/').find("/../") == normal.npos,
            "and leaves no dots");
}

struct request_fields {
    std::vector<field> query, headers;
};

void order(std::string_view path, request_fields f)
{
    const auto canonical = [&] {
        return s3::canonical_request({"GET", path, f.query, f.headers, s3::empty_payload});
    };
    const std::string before = canonical();
    std::reverse(f.query.begin(), f.query.end());
    // Of a header that is there twice, the order counts.
    std::stable_sort(f.headers.begin(), f.headers.end(), [](const field& a, const field& b) {
        return s3::detail::lower_case(a.name) > s3::detail::lower_case(b.name);
    });
    require(canonical() == before, "the order of parameters and headers does not matter");

    std::vector<std::string> shouted, padded;
    for (const field& h : f.headers) {
        shouted.emplace_back(h.name);
        std::transform(h.name.begin(), h.name.end(), shouted.back().begin(),
                       [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
        padded.push_back("  " + std::string(h.value) + " \t");
    }
    for (std::size_t i = 0; i < f.headers.size(); ++i)
        f.headers[i] = {shouted[i], padded[i]};
    require(canonical() == before, "nor do the case of names and blanks around values");
}

void signatures(std::string_view path, request_fields f)
{
    std::erase_if(f.headers, [](const field& h) {
        const bool named = !h.name.empty() && std::all_of(h.name.begin(), h.name.end(), [](char c) {
            return s3::detail::is_unreserved(static_cast<unsigned char>(c));
        });
        return !named ||
               !s3::detail::is_header_safe(h.value); // a request with it is refused before it is signed
    });
    const std::string date = s3::format_amz_date(now);
    f.headers.push_back({"Host", "example.com"});
    f.headers.push_back({"x-amz-date", date});
    s3::credentials who;
    who.access_key_id = "AKID";
    who.secret_access_key = "secret";
    s3::signer signer("us-east-1");
    const s3::signable_request request{"GET", path, f.query, f.headers, s3::unsigned_payload};
    const auto claim = s3::parse_authorization(signer.authorization(request, who, now));
    require(claim.has_value(), "our own header can be read");
    require(s3::verify(*claim, request, now, "secret").ok(), "and is right");
    require(s3::verify(*claim, request, now, "Secret") == condition::denied, "with another key it is not");
    const std::string longer = std::string(path) + 'x';
    s3::signable_request other = request;
    other.path = longer;
    require(s3::verify(*claim, other, now, "secret") == condition::denied, "nor for another path");
    f.query.push_back({"versionId", "1"});
    other = request;
    other.query = f.query;
    require(s3::verify(*claim, other, now, "secret") == condition::denied, "nor with one parameter more");
}

} // namespace sigv4_target

void sigv4(std::string_view input)
{
    using namespace sigv4_target;
    const std::string_view authorization = take_until(input, '\n');
    const std::string_view path = take_until(input, '\n');
    std::string_view query = take_until(input, '\n');
    request_fields fields;
    while (!query.empty()) {
        std::string_view value = take_until(query, '&');
        const std::string_view name = take_until(value, '=');
        fields.query.push_back({name, value});
    }
    while (!input.empty()) {
        std::string_view value = take_until(input, '\n');
        const std::string_view name = take_until(value, ':');
        dates(value);
        fields.headers.push_back({name, value});
    }
    claims(authorization);
    dates(authorization);
    paths(path);
    order(path, fields);
    signatures(path, fields);
}

} // namespace objectcache::fuzz
