// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/ids.hpp>
#include <objectcache/s3/sigv4.hpp>

#include <string>
#include <string_view>

namespace objectcache::s3::detail {

inline constexpr std::string_view streaming_signed = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
inline constexpr std::string_view streaming_signed_trailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
inline constexpr std::string_view streaming_unsigned_trailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/** The signatures of a body's chunks: each covers the one before it, the first that of the request, so that chunks can be
    neither dropped nor exchanged. */
class chunk_chain {
public:
    chunk_chain() = default;
    /** @param seed The request's signature. */
    chunk_chain(const scoped_key& key, sigv4_time at, std::string_view seed)
        : key_(key.key)
        , stamp_(format_amz_date(at) + '\n' + key.scope.text() + '\n')
        , last_(seed)
    {}

    /** The signature of the next chunk. */
    const std::string& sign_chunk(const digest& content)
    {
        return sign("AWS4-HMAC-SHA256-PAYLOAD\n", std::string(empty_payload) + '\n' + content.hex());
    }
    /** The signature of the trailer.

        @param content Of its fields, as "name:value\n" each. */
    const std::string& sign_trailer(const digest& content)
    {
        return sign("AWS4-HMAC-SHA256-TRAILER\n", content.hex());
    }

private:
    const std::string& sign(std::string_view kind, const std::string& hashes)
    {
        std::string text(kind);
        text.append(stamp_).append(last_).append("\n").append(hashes);
        last_ = signature(key_, text);
        return last_;
    }

    digest key_;
    std::string stamp_; // date and scope
    std::string last_;
};

} // namespace objectcache::s3::detail
