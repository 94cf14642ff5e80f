// SPDX-License-Identifier: BSL-1.0
// Bodies in aws-chunked framing, from both ends. The first line of the input says how: four characters (digits in the seeds),
// for the trailer, the signing, the size of a body made of the rest, and the sizes of the pieces. The rest is also read as
// if it was framed already.
#include "fuzz.hpp"

#include <objectcache/s3/chunked_upload.hpp>
#include <objectcache/testing/detail/aws_chunked.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace objectcache::fuzz {

namespace chunked_target {

using testing::detail::aws_chunked_decoder;
using verdict = aws_chunked_decoder::verdict;

constexpr s3::sigv4_time now{std::chrono::seconds(1440938160)};
const std::string seed(64, 'a');

struct settings {
    s3::chunked_options options;
    std::size_t body_bytes = 0, piece_bytes = 1;

    explicit settings(std::string_view line)
    {
        constexpr std::size_t sizes[] = {0, 1, 100, 8191, 8192, 8193, 16384, 20000};
        const auto digit = [&](std::size_t i) {
            return i < line.size() ? static_cast<unsigned char>(line[i]) - unsigned('0') : 0U;
        };
        options.trailer = static_cast<s3::checksum>(digit(0) % 4);
        options.sign_chunks = digit(1) % 2 != 0;
        options.chunk_bytes = s3::chunked_options::least_chunk;
        body_bytes = sizes[digit(2) % 8];
        piece_bytes = std::size_t(1) << digit(3) % 16;
    }
};

struct decoded {
    verdict how = verdict::unfinished;
    std::string payload, trailer;
    friend bool operator==(const decoded&, const decoded&) = default;
};

decoded decode(const settings& s, const s3::scoped_key& key, std::string_view wire, std::size_t piece_bytes)
{
    std::optional<s3::detail::chunk_chain> chain;
    if (s.options.sign_chunks)
        chain.emplace(key, now, seed);
    aws_chunked_decoder decoder(std::move(chain), std::string(s3::checksum_header(s.options.trailer)));
    decoded out;
    while (!wire.empty()) {
        std::string_view piece = wire.substr(0, piece_bytes);
        wire.remove_prefix(piece.size());
        while (!piece.empty())
            out.payload += decoder.next(piece);
    }
    out.how = decoder.judge();
    out.trailer = decoder.trailing_value();
    return out;
}

void round_trip(const settings& s, s3::signer& signer, const s3::credentials& who, std::string_view pattern)
{
    const s3::scoped_key& key = signer.key_for(who, now);
    std::string body;
    while (!pattern.empty() && body.size() < s.body_bytes)
        body += pattern.substr(0, s.body_bytes - body.size());
    const const_byte_span bytes = std::as_bytes(std::span(body));
    const std::size_t cut = body.size() / 3;
    const const_byte_span parts[] = {bytes.first(cut), {}, bytes.subspan(cut)};
    auto upload = s3::chunked_upload::make(parts, s.options);
    require(upload.ok() == (s.options.sign_chunks || s.options.trailer != s3::checksum::none),
            "something protects a body");
    if (!upload)
        return;
    std::string wire;
    upload->begin(key, now, seed);
    for (auto out = upload->next(); !out.empty(); out = upload->next())
        for (const const_byte_span part : out)
            wire.append(reinterpret_cast<const char*>(part.data()), part.size());
    require(wire.size() == upload->encoded_size(), "the size is known before");
    const decoded seen = decode(s, key, wire, s.piece_bytes);
    require(seen.how == verdict::complete && seen.payload == body, "the other end gets the body");
    require(seen.trailer == upload->trailing_checksum() &&
                seen.trailer == s3::checksum_of(s.options.trailer, parts),
            "and its checksum");
    if (!s.options.sign_chunks)
        return;
    wire[wire.size() * 2 / 3] ^= 1;
    const decoded forged = decode(s, key, wire, s.piece_bytes);
    require(forged.how != verdict::complete, "a signed body cannot be changed");
}

} // namespace chunked_target

void aws_chunked(std::string_view input)
{
    using namespace chunked_target;
    const settings s(take_until(input, '\n'));
    s3::credentials who;
    who.access_key_id = "AKID";
    who.secret_access_key = "secret";
    s3::signer signer("us-east-1");
    const decoded in_pieces = decode(s, signer.key_for(who, now), input, s.piece_bytes);
    require(in_pieces == decode(s, signer.key_for(who, now), input, input.size() + 1),
            "how the bytes were cut up makes no difference");
    require(in_pieces.payload.size() <= input.size(), "a body is smaller than its framing");
    round_trip(s, signer, who, input);
}

} // namespace objectcache::fuzz
