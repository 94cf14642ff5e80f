// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/detail/s3_answer.hpp>
#include <objectcache/testing/detail/s3_auth.hpp>
#include <objectcache/testing/detail/s3_multipart.hpp>
#include <objectcache/testing/detail/s3_objects.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// PUT of an object or of a part: what is decided before its body, and after it.
namespace objectcache::testing::detail {

struct put_plan {
    std::optional<s3_error> refused; ///< the body is not worth reading
    std::uint64_t size = 0;
    put_condition condition;
    bool aws_chunked = false;
    std::string trailer;            ///< the field that follows an aws-chunked body
    std::string sha256;             ///< that the body must have, in hex; empty: any
    std::string content_md5;        ///< likewise, base64
    std::string checksum_algorithm; ///< of the checksum to compute; empty: none
    std::string checksum;           ///< that it must be; empty: the trailer says, or nobody
    std::string upload_id;          ///< of a part
    unsigned part = 0;
};

[[nodiscard]] put_plan plan_put(const s3_backend& to, const s3_call& call, const auth_outcome& who,
                                std::optional<std::uint64_t> content_length);

/** Check what arrived against the plan, and store it.

    @param trailing The value of `plan.trailer`. */
[[nodiscard]] s3_answer finish_put(const s3_backend& to, const s3_call& call, const put_plan& plan,
                                   upload arrived, std::string_view trailing, std::string_view request_id);

/** Whether a body must hash to what the request declared. */
[[nodiscard]] inline bool declares_hash(std::string_view payload) noexcept
{
    return !payload.empty() && payload != s3::unsigned_payload && !payload.starts_with("STREAMING-");
}

} // namespace objectcache::testing::detail

#include <objectcache/testing/detail/s3_put.ipp>
