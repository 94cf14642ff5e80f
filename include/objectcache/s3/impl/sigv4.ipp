// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/sha256.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/sigv4.hpp>

#include <openssl/crypto.h>

#include <algorithm>

namespace objectcache::s3 {

namespace detail {

inline constexpr std::string_view sigv4_algorithm = "AWS4-HMAC-SHA256";
inline constexpr std::string_view sigv4_terminator = "aws4_request";
inline constexpr std::size_t usual_request = 512; // bytes of its text: room that is made at once

struct canonical_field {
    std::string name;
    std::string value;
};

/** The headers of a canonical request. */
struct canonical_head {
    std::string names; ///< "host;x-amz-date"
    std::string lines; ///< "host:example\nx-amz-date:20150830T123600Z\n"
};

/** Without the blanks at either end, and with one in place of several. */
OBJECTCACHE_DECL void append_canonical_value(std::string& out, std::string_view value)
{
    bool blank = true;
    for (const char c : trimmed(value)) {
        if (c != ' ' || !blank)
            out += c;
        blank = c == ' ';
    }
}

[[nodiscard]] OBJECTCACHE_DECL canonical_head canonical_headers(std::span<const field> headers)
{
    // The names in lower case, one behind the other: made once, compared and copied from there.
    struct place {
        std::size_t begin, size;
        std::string_view value;
    };
    std::size_t names = 0, values = 0;
    for (const field& h : headers) {
        names += h.name.size();
        values += h.value.size();
    }
    std::string lowered;
    lowered.reserve(names);
    std::vector<place> sorted;
    sorted.reserve(headers.size());
    const auto name_of = [&](const place& p) { return std::string_view(lowered).substr(p.begin, p.size); };
    for (const field& h : headers) {
        const place mine{lowered.size(), h.name.size(), h.value};
        for (const char c : h.name)
            lowered += lower_case(c);
        // Behind its equals: the values of a repeated header are joined in the order in which they travel.
        const auto at =
            std::upper_bound(sorted.begin(), sorted.end(), name_of(mine),
                             [&](std::string_view name, const place& p) { return name < name_of(p); });
        sorted.insert(at, mine);
    }
    canonical_head out;
    out.names.reserve(names + headers.size());
    out.lines.reserve(names + values + 2 * headers.size());
    std::string_view last;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        const std::string_view name = name_of(sorted[i]);
        if (i != 0 && name == last) {
            out.lines.back() = ',';
        } else {
            if (i != 0)
                out.names += ';';
            out.names += name;
            out.lines.append(name) += ':';
        }
        append_canonical_value(out.lines, sorted[i].value);
        out.lines += '\n';
        last = name;
    }
    return out;
}

OBJECTCACHE_DECL void append_canonical_query(std::string& out, std::span<const field> query)
{
    std::vector<canonical_field> encoded;
    encoded.reserve(query.size());
    for (const field& q : query) {
        canonical_field& e = encoded.emplace_back();
        append_uri_encoded(e.name, q.name, slash::encode);
        append_uri_encoded(e.value, q.value, slash::encode);
    }
    // Sorted as encoded, not as sent: that is the order the verifier sees.
    std::sort(encoded.begin(), encoded.end(), [](const auto& a, const auto& b) {
        return a.name != b.name ? a.name < b.name : a.value < b.value;
    });
    for (std::size_t i = 0; i < encoded.size(); ++i) {
        if (i != 0)
            out += '&';
        out += encoded[i].name;
        out += '=';
        out += encoded[i].value;
    }
}

[[nodiscard]] OBJECTCACHE_DECL std::string normalized_path(std::string_view path)
{
    std::vector<std::string_view> kept;
    std::string_view last;
    for (std::size_t at = 0; at <= path.size();) {
        const std::size_t end = std::min(path.find('/', at), path.size());
        last = path.substr(at, end - at);
        if (last == "..") {
            if (!kept.empty())
                kept.pop_back();
        } else if (!last.empty() && last != ".") {
            kept.push_back(last);
        }
        at = end + 1;
    }
    std::string out;
    for (const std::string_view segment : kept)
        out.append("/").append(segment);
    const bool directory = last.empty() || last == "." || last == "..";
    if (directory || out.empty())
        out += '/';
    return out;
}

[[nodiscard]] OBJECTCACHE_DECL std::string canonical_request(const signable_request& request,
                                                             const canonical_head& headers)
{
    std::string out;
    out.reserve(usual_request + headers.lines.size());
    out += request.method;
    out += '\n';
    const std::string normalized = request.normalize_path ? normalized_path(request.path) : std::string();
    const std::string_view path = request.normalize_path ? std::string_view(normalized) : request.path;
    append_uri_encoded(out, path.empty() ? "/" : path, slash::keep);
    out += '\n';
    append_canonical_query(out, request.query);
    out += '\n';
    out += headers.lines;
    out += '\n';
    out += headers.names;
    out += '\n';
    out += request.payload;
    return out;
}

} // namespace detail

OBJECTCACHE_DECL std::string payload_hash(std::span<const const_byte_span> parts)
{
    return detail::sha256(parts).hex();
}

OBJECTCACHE_DECL std::string format_amz_date(sigv4_time at)
{
    const auto day = std::chrono::floor<std::chrono::days>(at);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss time(at - day);
    std::string out = "00000000T000000Z";
    const auto put = [&](std::size_t first, std::size_t digits, unsigned value) {
        for (std::size_t i = first + digits; i-- > first; value /= 10)
            out[i] = static_cast<char>('0' + value % 10);
    };
    put(0, 4, static_cast<unsigned>(static_cast<int>(date.year())));
    put(4, 2, static_cast<unsigned>(date.month()));
    put(6, 2, static_cast<unsigned>(date.day()));
    put(9, 2, static_cast<unsigned>(time.hours().count()));
    put(11, 2, static_cast<unsigned>(time.minutes().count()));
    put(13, 2, static_cast<unsigned>(time.seconds().count()));
    return out;
}

OBJECTCACHE_DECL std::optional<sigv4_time> parse_amz_date(std::string_view text)
{
    if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z')
        return std::nullopt;
    bool digits = true;
    const auto number = [&](std::size_t first, std::size_t count) {
        unsigned value = 0;
        for (const char c : text.substr(first, count)) {
            digits = digits && c >= '0' && c <= '9';
            value = value * 10 + static_cast<unsigned>(c - '0');
        }
        return value;
    };
    const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(number(0, 4))),
                                           std::chrono::month(number(4, 2)), std::chrono::day(number(6, 2)));
    const unsigned hours = number(9, 2);
    const unsigned minutes = number(11, 2);
    const unsigned seconds = number(13, 2);
    if (!digits || !date.ok() || hours > 23 || minutes > 59 || seconds > 59)
        return std::nullopt;
    return std::chrono::sys_days(date) + std::chrono::hours(hours) + std::chrono::minutes(minutes) +
           std::chrono::seconds(seconds);
}

OBJECTCACHE_DECL std::string credential_scope::text() const
{
    return day + '/' + region + '/' + service + '/' + std::string(detail::sigv4_terminator);
}

OBJECTCACHE_DECL std::string signed_header_names(std::span<const field> headers)
{
    return detail::canonical_headers(headers).names;
}

OBJECTCACHE_DECL std::string canonical_request(const signable_request& request)
{
    return detail::canonical_request(request, detail::canonical_headers(request.headers));
}

namespace detail {

[[nodiscard]] OBJECTCACHE_DECL std::string string_to_sign(sha256_hasher& hash, std::string_view canonical,
                                                          std::string_view date, std::string_view scope)
{
    std::string out;
    out.reserve(256);
    out += sigv4_algorithm;
    out += '\n';
    out += date;
    out += '\n';
    out += scope;
    out += '\n';
    out += hash(canonical).hex();
    return out;
}

} // namespace detail

OBJECTCACHE_DECL std::string string_to_sign(std::string_view canonical, sigv4_time at,
                                            const credential_scope& scope)
{
    detail::sha256_hasher hash;
    return detail::string_to_sign(hash, canonical, format_amz_date(at), scope.text());
}

OBJECTCACHE_DECL digest signing_key(std::string_view secret_access_key, const credential_scope& scope)
{
    std::string root = "AWS4";
    root += secret_access_key;
    digest key = detail::hmac_sha256(detail::as_bytes(root), scope.day);
    OPENSSL_cleanse(root.data(), root.size());
    key = detail::hmac_sha256(key.bytes, scope.region);
    key = detail::hmac_sha256(key.bytes, scope.service);
    return detail::hmac_sha256(key.bytes, detail::sigv4_terminator);
}

OBJECTCACHE_DECL std::string signature(const digest& key, std::string_view text_to_sign)
{
    return detail::hmac_sha256(key.bytes, text_to_sign).hex();
}

OBJECTCACHE_DECL signer::signer(std::string region, std::string service)
    : key_{{{}, std::move(region), std::move(service)}, {}}
{}

OBJECTCACHE_DECL const std::string& signer::date(sigv4_time at)
{
    if (date_.empty() || at != date_at_) {
        date_ = format_amz_date(at);
        date_at_ = at;
    }
    return date_;
}

OBJECTCACHE_DECL const scoped_key& signer::key_for(const credentials& who, sigv4_time at)
{
    const std::string_view day = std::string_view(date(at)).substr(0, 8);
    if (key_.scope.day != day || secret_ != who.secret_access_key) {
        key_.scope.day = day;
        scope_ = key_.scope.text();
        secret_ = who.secret_access_key;
        key_.key = signing_key(secret_, key_.scope);
    }
    return key_;
}

OBJECTCACHE_DECL std::string signer::authorization(const signable_request& request, const credentials& who,
                                                   sigv4_time at)
{
    const digest& key = key_for(who, at).key;
    const detail::canonical_head headers = detail::canonical_headers(request.headers);
    const std::string canonical = detail::canonical_request(request, headers);
    const std::string to_sign = detail::string_to_sign(hash_, canonical, date_, scope_);
    std::string out;
    out.reserve(detail::usual_request);
    out += detail::sigv4_algorithm;
    out.append(" Credential=").append(who.access_key_id).append("/").append(scope_);
    out.append(", SignedHeaders=").append(headers.names);
    out.append(", Signature=").append(detail::hmac_sha256(hash_, key.bytes, to_sign).hex());
    return out;
}

OBJECTCACHE_DECL std::optional<authorization> parse_authorization(std::string_view header)
{
    header = detail::trimmed(header);
    if (!header.starts_with(detail::sigv4_algorithm))
        return std::nullopt;
    header.remove_prefix(detail::sigv4_algorithm.size());
    if (header.empty() || header.front() != ' ')
        return std::nullopt;

    std::string_view credential;
    std::string_view names;
    std::string_view signature;
    for (std::size_t at = 0; at <= header.size();) {
        const std::size_t end = std::min(header.find(',', at), header.size());
        const std::string_view part = detail::trimmed(header.substr(at, end - at));
        at = end + 1;
        std::string_view* value = part.starts_with("Credential=")      ? &credential
                                  : part.starts_with("SignedHeaders=") ? &names
                                  : part.starts_with("Signature=")     ? &signature
                                                                       : nullptr;
        if (!value || !value->empty())
            return std::nullopt;
        *value = part.substr(part.find('=') + 1);
    }
    if (credential.empty() || names.empty() || signature.size() != 64)
        return std::nullopt;
    for (const char c : signature)
        if (detail::hex_value(c) < 0)
            return std::nullopt;

    authorization out;
    out.signature = signature;
    // From the right: an access key id may itself contain a slash.
    std::string_view tail[4];
    for (std::size_t i = 4; i-- > 0;) {
        const std::size_t cut = credential.rfind('/');
        if (cut == std::string_view::npos)
            return std::nullopt;
        tail[i] = credential.substr(cut + 1);
        credential = credential.substr(0, cut);
    }
    if (credential.empty() || tail[0].size() != 8 || tail[3] != detail::sigv4_terminator)
        return std::nullopt;
    out.access_key_id = credential;
    out.scope = {std::string(tail[0]), std::string(tail[1]), std::string(tail[2])};

    for (std::size_t at = 0; at <= names.size();) {
        const std::size_t end = std::min(names.find(';', at), names.size());
        const std::string_view name = names.substr(at, end - at);
        if (name.empty() || name != detail::lower_case(name) ||
            (!out.signed_headers.empty() && name <= out.signed_headers.back()))
            return std::nullopt;
        out.signed_headers.emplace_back(name);
        at = end + 1;
    }
    return out;
}

OBJECTCACHE_DECL status verify(const authorization& claim, const signable_request& request, sigv4_time at,
                               std::string_view secret_access_key)
{
    const auto is_signed = [&](const std::string& name) {
        return std::binary_search(claim.signed_headers.begin(), claim.signed_headers.end(), name);
    };
    if (!is_signed("host"))
        return {errc::access_denied, "the host header is not signed"};
    if (std::string_view(format_amz_date(at)).substr(0, 8) != claim.scope.day)
        return {errc::access_denied, "the credential scope is of another day than the request"};

    std::vector<field> covered;
    std::vector<bool> found(claim.signed_headers.size());
    for (const field& h : request.headers) {
        const std::string name = detail::lower_case(h.name);
        const auto place = std::lower_bound(claim.signed_headers.begin(), claim.signed_headers.end(), name);
        if (place != claim.signed_headers.end() && *place == name) {
            covered.push_back(h);
            found[static_cast<std::size_t>(place - claim.signed_headers.begin())] = true;
        } else if (name.starts_with("x-amz-")) {
            return {errc::access_denied, "the header " + name + " is not signed"};
        }
    }
    for (std::size_t i = 0; i < found.size(); ++i)
        if (!found[i])
            return {errc::access_denied, "the signed header " + claim.signed_headers[i] + " is missing"};

    signable_request signed_part = request;
    signed_part.headers = covered;
    const std::string expected = signature(signing_key(secret_access_key, claim.scope),
                                           string_to_sign(canonical_request(signed_part), at, claim.scope));
    if (claim.signature.size() != expected.size() ||
        CRYPTO_memcmp(claim.signature.data(), expected.data(), expected.size()) != 0)
        return {errc::access_denied, "the signature does not match"};
    return {};
}

} // namespace objectcache::s3
