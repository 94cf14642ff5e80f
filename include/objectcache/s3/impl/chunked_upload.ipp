// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/chunked_upload.hpp>
#include <objectcache/s3/detail/sha256.hpp>

#include <algorithm>
#include <charconv>

namespace objectcache::s3 {

namespace detail {

inline constexpr std::string_view chunk_signature_field = ";chunk-signature=";
inline constexpr std::string_view trailer_signature_field = "x-amz-trailer-signature:";
inline constexpr std::size_t signature_digits = 64;

[[nodiscard]] OBJECTCACHE_DECL std::string hex_number(std::uint64_t value)
{
    char digits[16];
    const auto end = std::to_chars(digits, digits + sizeof digits, value, 16).ptr;
    return {digits, end};
}

/** Bytes of a chunk on the wire. */
[[nodiscard]] OBJECTCACHE_DECL std::uint64_t framed_size(std::uint64_t size, bool is_signed)
{
    const std::uint64_t signing = is_signed ? chunk_signature_field.size() + signature_digits : 0;
    return hex_number(size).size() + signing + 2 + size + 2;
}

} // namespace detail

OBJECTCACHE_DECL chunked_upload::chunked_upload(std::span<const const_byte_span> parts,
                                                chunked_options options)
    : parts_(parts)
    , options_(options)
{}

OBJECTCACHE_DECL result<chunked_upload> chunked_upload::make(std::span<const const_byte_span> parts,
                                                             chunked_options options)
{
    if (options.chunk_bytes < chunked_options::least_chunk)
        return {errc::invalid_argument, "chunks below 8 KiB"};
    if (!options.sign_chunks && options.trailer == checksum::none)
        return {errc::invalid_argument, "chunks with neither signatures nor a trailing checksum"};
    constexpr std::uint64_t most = std::uint64_t(1)
                                   << 60; // far above any store's limit: nothing below can overflow
    chunked_upload out(parts, options);
    for (const const_byte_span part : parts) {
        if (part.size() > most - out.size_)
            return {errc::invalid_argument, "more bytes than any object can have"};
        out.size_ += part.size();
    }
    out.decoded_length_ = std::to_string(out.size_);

    const bool is_signed = options.sign_chunks;
    const std::uint64_t last = out.size_ % options.chunk_bytes;
    out.encoded_size_ = out.size_ / options.chunk_bytes * detail::framed_size(options.chunk_bytes, is_signed);
    if (last != 0)
        out.encoded_size_ += detail::framed_size(last, is_signed);
    out.encoded_size_ += detail::framed_size(0, is_signed);
    if (options.trailer != checksum::none) {
        out.encoded_size_ += out.trailer_name().size() + 1 + checksum_of(options.trailer, {}).size() + 2;
        if (is_signed)
            out.encoded_size_ += detail::trailer_signature_field.size() + detail::signature_digits + 2;
    }
    return out;
}

OBJECTCACHE_DECL std::string_view chunked_upload::payload() const noexcept
{
    if (!options_.sign_chunks)
        return detail::streaming_unsigned_trailer;
    return options_.trailer == checksum::none ? detail::streaming_signed : detail::streaming_signed_trailer;
}

OBJECTCACHE_DECL std::vector<field> chunked_upload::headers() const
{
    std::vector<field> out{{"content-encoding", "aws-chunked"},
                           {"x-amz-decoded-content-length", decoded_length_}};
    if (options_.trailer != checksum::none)
        out.push_back({"x-amz-trailer", trailer_name()});
    return out;
}

OBJECTCACHE_DECL void chunked_upload::begin(const scoped_key& key, sigv4_time at, std::string_view seed)
{
    chain_ = detail::chunk_chain(key, at, seed);
    running_.emplace(options_.trailer);
    left_ = size_;
    part_ = 0;
    offset_ = 0;
    ended_ = false;
    framing_.clear();
    checksum_.clear();
    out_.clear();
}

/** The next `size` bytes, as they lie in the parts. */
OBJECTCACHE_DECL void chunked_upload::add_data(std::size_t size)
{
    left_ -= size;
    while (size != 0) {
        const const_byte_span rest = parts_[part_].subspan(offset_);
        const const_byte_span piece = rest.first(std::min(size, rest.size()));
        if (!piece.empty()) {
            out_.push_back(piece);
            running_->update(piece);
        }
        size -= piece.size();
        offset_ += piece.size();
        if (piece.size() == rest.size()) {
            ++part_;
            offset_ = 0;
        }
    }
}

OBJECTCACHE_DECL void chunked_upload::add_trailer()
{
    checksum_ = running_->finish();
    std::string line(trailer_name());
    line += ':';
    line += checksum_;
    framing_.append(line).append("\r\n");
    if (options_.sign_chunks)
        framing_.append(detail::trailer_signature_field)
            .append(chain_.sign_trailer(detail::sha256(line + '\n')))
            .append("\r\n");
}

OBJECTCACHE_DECL std::span<const const_byte_span> chunked_upload::next()
{
    const bool first = out_.empty();
    out_.clear();
    if (ended_)
        return out_;
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, options_.chunk_bytes));
    out_.emplace_back(); // the framing
    add_data(size);
    framing_ = first ? "" : "\r\n";
    framing_ += detail::hex_number(size);
    if (options_.sign_chunks)
        framing_.append(detail::chunk_signature_field)
            .append(chain_.sign_chunk(detail::sha256(std::span(out_).subspan(1))));
    framing_ += "\r\n";
    if (size == 0) {
        ended_ = true;
        if (options_.trailer != checksum::none)
            add_trailer();
        framing_ += "\r\n";
    }
    out_.front() = detail::as_bytes(framing_);
    return out_;
}

OBJECTCACHE_DECL std::string_view signature_in(std::string_view head) noexcept
{
    constexpr std::string_view line = "\r\nAuthorization: ";
    constexpr std::string_view name = "Signature=";
    const auto begin = head.find(line);
    if (begin == head.npos)
        return {};
    head = head.substr(begin + line.size());
    head = head.substr(0, head.find("\r\n"));
    const auto at = head.rfind(name);
    return at == head.npos ? std::string_view() : head.substr(at + name.size());
}

} // namespace objectcache::s3
