// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/s3/checksum.hpp>
#include <objectcache/s3/detail/chunk_signature.hpp>
#include <objectcache/s3/sigv4.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Bodies in `aws-chunked` framing: signed piece by piece while they travel, or followed by their checksum, so that no pass
// over them delays the first byte.
namespace objectcache::s3 {

struct chunked_options {
    /** Each chunk carries a signature; otherwise only TLS protects the body, and a `trailer` is compulsory. */
    bool sign_chunks = true;
    /** A checksum that follows the body. */
    checksum trailer = checksum::none;
    /** Bytes per chunk, at least `least_chunk`. A chunk is hashed and then sent: 128 KiB are still in the second-level cache
        when the kernel copies them, and cost 0.07 % of framing. */
    std::size_t chunk_bytes = std::size_t(128) << 10;

    static constexpr std::size_t least_chunk = 8 << 10; ///< S3's limit, for all chunks but the last
};

/** Encodes a body. Pure: gives out what to send, in order.

        auto body = chunked_upload::make(parts, options);
        request what{...};
        what.payload        = body->payload();
        what.content_length = body->encoded_size();
        auto headers        = body->headers(); // and others
        what.headers        = headers;
        auto head = serialize(what, where, who, signer, now);
        body->begin(signer.key_for(who, now), now, signature_in(*head));
        for (auto out = body->next(); !out.empty(); out = body->next())
            send(out);

    @par Lifetime  `parts` and their bytes are borrowed while the object lives.
    @par Threads   One at a time.
    @par Cost      No copy of the body. Per chunk a pass for the checksum, one of SHA-256 where chunks are signed, and about
                   2 us. */
class chunked_upload {
public:
    /** @par Errors  `condition::invalid` for chunks that are too small, unsigned chunks without a trailer, and a size that no
                     object can have. */
    [[nodiscard]] static result<chunked_upload> make(std::span<const const_byte_span> parts,
                                                     chunked_options options);

    /** The value of `x-amz-content-sha256`, for `request::payload`. */
    [[nodiscard]] std::string_view payload() const noexcept;
    /** Bytes that `next` will give out: Content-Length. */
    [[nodiscard]] std::uint64_t encoded_size() const noexcept { return encoded_size_; }
    /** `content-encoding`, `x-amz-decoded-content-length`, `x-amz-trailer`: to be sent and signed. Good while this object
        stays where it is. */
    [[nodiscard]] std::vector<field> headers() const;

    /** Start, or start over for another try.

        @param key   Of the request; see `signer::key_for`. Ignored where chunks are not signed, as the others.
        @param at    The request's `x-amz-date`.
        @param seed  The request's own signature: the chain of chunk signatures hangs on it. */
    void begin(const scoped_key& key, sigv4_time at, std::string_view seed);
    /** What to send next: a chunk with its framing. Good until the next call; empty at the end.

        @pre `begin` was called. */
    [[nodiscard]] std::span<const const_byte_span> next();
    /** The checksum in the trailer, once `next` gave out everything. */
    [[nodiscard]] const std::string& trailing_checksum() const noexcept { return checksum_; }

private:
    chunked_upload(std::span<const const_byte_span> parts, chunked_options options);

    void add_data(std::size_t size);
    void add_trailer();
    [[nodiscard]] std::string_view trailer_name() const noexcept { return checksum_header(options_.trailer); }

    std::span<const const_byte_span> parts_;
    chunked_options options_;
    std::uint64_t size_ = 0;
    std::uint64_t encoded_size_ = 0;
    std::string decoded_length_;

    detail::chunk_chain chain_;
    std::optional<checksum_state> running_;
    std::uint64_t left_ = 0;
    std::size_t part_ = 0;   // the next byte: in which part,
    std::size_t offset_ = 0; // and where in it
    bool ended_ = true;
    std::string framing_; // before the data of a chunk, with the end of the one before; all of the last one
    std::string checksum_;
    std::vector<const_byte_span> out_;
};

/** The signature in the head of a request that `serialize` made; empty if it is not signed. */
[[nodiscard]] std::string_view signature_in(std::string_view head) noexcept;

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/chunked_upload.ipp>
#endif
