// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/sigv4.hpp>
#include <objectcache/testing/detail/s3_multipart.hpp>
#include <objectcache/testing/detail/s3_objects.hpp>
#include <objectcache/testing/detail/s3_wire.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// From a request to its answer, without I/O but for the store's.
namespace objectcache::testing::detail {

struct s3_error {
    unsigned status;
    std::string code;
    std::string message;
};

/** A request with its body, if it has one that is not an object's. */
struct s3_call {
    std::string method;
    s3_target target;
    std::vector<s3::field> headers; ///< views into the parsed head

    /** Its value; empty if the header is absent. Names are compared as HTTP does. */
    [[nodiscard]] std::string_view header(std::string_view name) const noexcept
    {
        for (const s3::field& f : headers)
            if (f.name.size() == name.size() &&
                std::equal(name.begin(), name.end(), f.name.begin(), [](char a, char b) {
                    return a == b || ((a ^ b) == 0x20 && ((a | 0x20) >= 'a' && (a | 0x20) <= 'z'));
                }))
                return f.value;
        return {};
    }
    /** Is the body that of an object, or of a part of one? */
    [[nodiscard]] bool puts_object() const noexcept
    {
        return method == "PUT" && !target.key.empty() && header("x-amz-copy-source").empty();
    }
};

/** What to send. */
struct s3_answer {
    unsigned status = 200;
    std::vector<std::pair<std::string_view, std::string>> headers; ///< names are literals
    std::string text;                                              ///< the body, unless it is an object's
    std::optional<stored_object> object;
    byte_range part;       ///< of the object
    bool headless = false; ///< answer to HEAD: lengths, but no body
    std::string error_code;

    [[nodiscard]] std::uint64_t body_size() const noexcept { return object ? part.size : text.size(); }
};

/** The error as S3 sends it. */
[[nodiscard]] s3_answer error_answer(const s3_error& error, const s3_call& call, std::string_view request_id);

/** Carries out everything but a PUT with the body of an object or a part. */
[[nodiscard]] s3_answer answer_call(const s3_backend& to, const s3_call& call, const_byte_span body,
                                    std::string_view request_id);

/** @name Its parts. */
/** @{ */
[[nodiscard]] s3_answer answer_copy(const s3_backend& to, const s3_call& call, std::string_view request_id);
[[nodiscard]] s3_answer answer_subresource(const s3_backend& to, const s3_call& call, const_byte_span body,
                                           std::string_view request_id);
/** @} */

/** The head of an answer, with the blank line. `content_length` is a parameter because servers may lie. */
[[nodiscard]] std::string serialize_head(const s3_answer& answer, std::uint64_t content_length,
                                         bool keep_alive, std::string_view request_id, system_time now);

namespace errors {

[[nodiscard]] inline s3_error no_such_bucket()
{
    return {404, "NoSuchBucket", "The specified bucket does not exist."};
}
[[nodiscard]] inline s3_error no_such_key()
{
    return {404, "NoSuchKey", "The specified key does not exist."};
}
[[nodiscard]] inline s3_error precondition_failed()
{
    return {412, "PreconditionFailed", "At least one of the preconditions you specified did not hold."};
}
[[nodiscard]] inline s3_error not_implemented(std::string_view what)
{
    return {501, "NotImplemented", "This server does not implement " + std::string(what) + "."};
}
[[nodiscard]] inline s3_error internal(const status& why)
{
    return {500, "InternalError", why.message()};
}
/** Of `object_store::commit`. */
[[nodiscard]] inline s3_error of_commit(const status& why)
{
    if (why == errc::already_exists)
        return precondition_failed();
    return why == errc::not_found ? no_such_bucket() : internal(why);
}
[[nodiscard]] inline s3_error wrong_hash()
{
    return {400, "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed."};
}
[[nodiscard]] inline s3_error bad_digest(std::string_view what)
{
    return {400, "BadDigest",
            "The " + std::string(what) + " you specified did not match the calculated checksum."};
}
[[nodiscard]] inline s3_error no_such_upload()
{
    return {404, "NoSuchUpload",
            "The specified upload does not exist. It may have been aborted or completed."};
}
[[nodiscard]] inline s3_error invalid_argument(std::string what)
{
    return {400, "InvalidArgument", std::move(what)};
}
[[nodiscard]] inline s3_error invalid_request(std::string what)
{
    return {400, "InvalidRequest", std::move(what)};
}

} // namespace errors

} // namespace objectcache::testing::detail

#include <objectcache/testing/detail/s3_answer.ipp>
#include <objectcache/testing/detail/s3_copy.ipp>
#include <objectcache/testing/detail/s3_multipart.ipp>
