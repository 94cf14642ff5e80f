// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/sigv4.hpp>

#include <objectcache/s3/detail/sha256.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

using namespace objectcache;
using namespace objectcache::s3;

namespace sigv4_test {

std::string text_of(const std::filesystem::path& file)
{
    std::ifstream in(file, std::ios::binary);
    REQUIRE_MESSAGE(in.good(), file.string());
    return {std::istreambuf_iterator<char>(in), {}};
}

// The contexts are flat enough that a value is what follows its name.
std::string string_in(const std::string& json, const std::string& name)
{
    const auto at = json.find('"' + name + '"');
    if (at == std::string::npos)
        return {};
    const auto open = json.find('"', json.find(':', at));
    return json.substr(open + 1, json.find('"', open + 1) - open - 1);
}

bool flag_in(const std::string& json, const std::string& name)
{
    return json.find('"' + name + "\": true") != std::string::npos;
}

/** One published vector: a request, and how it must be signed. */
struct vector_case {
    explicit vector_case(const std::filesystem::path& folder)
        : context(text_of(folder / "context.json"))
        , request(text_of(folder / "request.txt"))
        , canonical(text_of(folder / "header-canonical-request.txt"))
        , to_sign(text_of(folder / "header-string-to-sign.txt"))
        , signature(text_of(folder / "header-signature.txt"))
    {
        who = {string_in(context, "access_key_id"), string_in(context, "secret_access_key"),
               string_in(context, "token"), std::nullopt};
        const std::string stamp = string_in(context, "timestamp"); // 2015-08-30T12:36:00Z
        for (const char c : stamp)
            if (c != '-' && c != ':')
                date += c;
        at = parse_amz_date(date).value();
        scope = {date.substr(0, 8), string_in(context, "region"), string_in(context, "service")};

        const std::string_view all = request;
        std::size_t line_end = all.find('\n');
        const std::string_view line = all.substr(0, line_end);
        const auto first = line.find(' ');
        method = line.substr(0, first);
        const std::string_view target = line.substr(first + 1, line.rfind(' ') - first - 1);
        path = target.substr(0, target.find('?'));
        if (const auto mark = target.find('?'); mark != std::string_view::npos) {
            std::string_view rest = target.substr(mark + 1);
            while (!rest.empty()) {
                const std::string_view pair = rest.substr(0, rest.find('&'));
                rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
                query.push_back({pair.substr(0, pair.find('=')), pair.substr(pair.find('=') + 1)});
            }
        }
        while (line_end != std::string_view::npos && line_end + 1 < all.size()) {
            const auto next = std::min(all.find('\n', line_end + 1), all.size());
            const std::string_view header = all.substr(line_end + 1, next - line_end - 1);
            line_end = next;
            if (header.empty()) {
                body = all.substr(std::min(next + 1, all.size()));
                break;
            }
            headers.push_back({header.substr(0, header.find(':')), header.substr(header.find(':') + 1)});
        }
        headers.push_back({"X-Amz-Date", date});
        if (!who.session_token.empty())
            headers.push_back({"X-Amz-Security-Token", who.session_token});
        const const_byte_span bytes = std::as_bytes(std::span(body));
        payload = payload_hash(std::span(&bytes, 1));
        if (flag_in(context, "sign_body"))
            headers.push_back({"x-amz-content-sha256", payload});
    }

    signable_request signable() const
    {
        return {method, path, query, headers, payload, flag_in(context, "normalize")};
    }

    std::string context, request, canonical, to_sign, signature, date, payload;
    std::string_view method, path, body;
    std::vector<field> query, headers;
    credentials who;
    sigv4_time at;
    credential_scope scope;
};

std::vector<std::filesystem::path> folders()
{
    std::vector<std::filesystem::path> out;
    for (const auto& entry :
         std::filesystem::directory_iterator(OBJECTCACHE_TEST_DATA "/aws-signing-test-suite"))
        if (entry.is_directory())
            out.push_back(entry.path());
    return out;
}

signable_request example(std::span<const field> headers)
{
    return {"GET", "/bucket/key", {}, headers, empty_payload};
}

TEST_CASE("sigv4: the published vectors")
{
    REQUIRE(folders().size() == 30);
    for (const auto& folder : folders()) {
        CAPTURE(folder.filename().string());
        const vector_case v(folder);
        const std::string canonical = canonical_request(v.signable());
        CHECK(canonical == v.canonical);
        const std::string to_sign = string_to_sign(canonical, v.at, v.scope);
        CHECK(to_sign == v.to_sign);
        CHECK(signature(signing_key(v.who.secret_access_key, v.scope), to_sign) == v.signature);

        signer s(v.scope.region, v.scope.service);
        const std::string header = s.authorization(v.signable(), v.who, v.at);
        CHECK(text_of(folder / "header-signed-request.txt").find("Authorization:" + header + "\n") !=
              std::string::npos);

        const auto claim = parse_authorization(header);
        REQUIRE(claim);
        CHECK(claim->access_key_id == v.who.access_key_id);
        CHECK(claim->scope == v.scope);
        CHECK(verify(*claim, v.signable(), v.at, v.who.secret_access_key).ok());
        CHECK(verify(*claim, v.signable(), v.at, "another") == condition::denied);
    }
}

TEST_CASE("sigv4: S3 encodes a path once and does not normalise it")
{
    const field host{"host", "h"};
    signable_request r = example(std::span(&host, 1));
    r.path = "/b/a b/../\xc3\xbc//%25+";
    CHECK(canonical_request(r).starts_with("GET\n/b/a%20b/../%C3%BC//%2525%2B\n\nhost:h\n"));
    r.path = "";
    CHECK(canonical_request(r).starts_with("GET\n/\n"));
}

TEST_CASE("sigv4: a query is sorted as it is encoded, also by value")
{
    const field host{"host", "h"};
    const field query[] = {{"prefix", "b/"}, {"prefix", "a"}, {"a-b", ""}, {"a b", "="}};
    signable_request r = example(std::span(&host, 1));
    r.query = query;
    CHECK(canonical_request(r).starts_with("GET\n/bucket/key\na%20b=%3D&a-b=&prefix=a&prefix=b%2F\n"));
}

TEST_CASE("sigv4: the key follows the day and the credentials")
{
    const field headers[] = {{"host", "h"}, {"x-amz-date", "unused"}};
    const auto request = example(headers);
    const sigv4_time monday = parse_amz_date("20150830T235959Z").value();
    const credentials first{"A", "secret", {}, {}};
    const credentials second{"A", "other", {}, {}};
    signer s("r");
    const auto once = s.authorization(request, first, monday);
    for (const auto& [who, at] :
         {std::pair(first, monday), std::pair(first, monday + std::chrono::seconds(1)),
          std::pair(second, monday), std::pair(first, monday)}) {
        const auto claim = parse_authorization(s.authorization(request, who, at));
        REQUIRE(claim);
        CHECK(verify(*claim, request, at, who.secret_access_key).ok());
    }
    CHECK(s.authorization(request, first, monday) == once);
}

TEST_CASE("sigv4: dates")
{
    for (const char* text : {"20150830T123600Z", "19700101T000000Z", "20240229T235959Z", "99991231T235959Z"})
        CHECK(format_amz_date(parse_amz_date(text).value()) == text);
    for (const char* text :
         {"", "20150830T123600", "20150830T123600ZZ", "20150830 123600Z", "20230229T000000Z",
          "20151330T000000Z", "20150830T240000Z", "20150830T006000Z", "2015-8-3T000000Z",
          "20150830T00000\xff"
          "Z"})
        CHECK_FALSE(parse_amz_date(text));
}

TEST_CASE("sigv4: an authorization of another form is not parsed")
{
    const std::string sig(64, 'a');
    const std::string good =
        "AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws4_request, SignedHeaders=host, Signature=" + sig;
    REQUIRE(parse_authorization(good));
    CHECK(
        parse_authorization(
            "AWS4-HMAC-SHA256 Credential=A/B/20150830/r/s3/aws4_request,SignedHeaders=host,Signature=" + sig)
            ->access_key_id == "A/B");
    // Cut anywhere: either the form is broken or the signature is too short.
    for (std::size_t n = 0; n < good.size(); ++n)
        CHECK_FALSE(parse_authorization(std::string_view(good).substr(0, n)));
    for (const std::string& bad :
         {"Basic " + good, good + ", Signature=" + sig, good + ",", good + "0",
          "AWS4-HMAC-SHA256X" + good.substr(16),
          "AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws5, SignedHeaders=host, Signature=" + sig,
          "AWS4-HMAC-SHA256 Credential=/20150830/r/s3/aws4_request, SignedHeaders=host, Signature=" + sig,
          "AWS4-HMAC-SHA256 Credential=A/2015/r/s3/aws4_request, SignedHeaders=host, Signature=" + sig,
          "AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws4_request, SignedHeaders=host;;x, Signature=" + sig,
          "AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws4_request, SignedHeaders=x;host, Signature=" + sig,
          "AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws4_request, SignedHeaders=Host, Signature=" + sig,
          "AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws4_request, SignedHeaders=host, Signature=" +
              std::string(64, 'x')})
        CHECK_MESSAGE(!parse_authorization(bad), bad);
}

TEST_CASE("sigv4: what a verifier refuses")
{
    const std::string date = "20150830T123600Z";
    const sigv4_time at = parse_amz_date(date).value();
    const credentials who{"A", "secret", {}, {}};
    const std::vector<field> headers{{"host", "h"}, {"x-amz-date", date}};
    signer s("r");
    const auto claim = parse_authorization(s.authorization(example(headers), who, at)).value();
    REQUIRE(verify(claim, example(headers), at, "secret").ok());

    std::vector<field> more = headers;
    more.push_back({"Accept", "*/*"}); // not signed and not of Amazon's: the client's own business
    CHECK(verify(claim, example(more), at, "secret").ok());
    more.push_back({"X-Amz-Acl", "public-read"});
    CHECK(verify(claim, example(more), at, "secret").detail() == "the header x-amz-acl is not signed");

    const std::vector<field> fewer{headers[0]};
    CHECK(verify(claim, example(fewer), at, "secret").detail() == "the signed header x-amz-date is missing");

    authorization no_host = claim;
    no_host.signed_headers.erase(no_host.signed_headers.begin());
    CHECK(verify(no_host, example(headers), at, "secret").detail() == "the host header is not signed");
    CHECK(verify(claim, example(headers), at + std::chrono::days(1), "secret") == errc::access_denied);
    CHECK(verify(claim, example(headers), at + std::chrono::seconds(1), "secret") == errc::access_denied);

    signable_request other = example(headers);
    other.path = "/bucket/kez";
    CHECK(verify(claim, other, at, "secret").detail() == "the signature does not match");
    other = example(headers);
    other.payload = unsigned_payload;
    CHECK(verify(claim, other, at, "secret") == condition::denied);

    authorization flipped = claim;
    for (char& c : flipped.signature) {
        const char kept = c;
        c = c == '0' ? '1' : '0';
        CHECK(verify(flipped, example(headers), at, "secret") == condition::denied);
        c = kept;
    }
}

TEST_CASE("HMAC-SHA-256: vectors of RFC 4231, a short key and one of more than a block")
{
    const auto hmac = [](const std::string& key, std::string_view text) {
        return s3::detail::hmac_sha256(s3::detail::as_bytes(key), text).hex();
    };
    CHECK(hmac("Jefe", "what do ya want for nothing?") ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    CHECK(hmac(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First") ==
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

} // namespace sigv4_test
