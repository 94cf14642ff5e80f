// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/detail/s3_put.hpp>

#include <memory>
#include <utility>

namespace objectcache::testing::detail {

inline constexpr std::string_view checksum_prefix = "x-amz-checksum-";

/** Takes in what the headers say of the body's checksums. */
[[nodiscard]] inline std::optional<s3_error> plan_checksums(const s3_call& call, const auth_outcome& who,
                                                            put_plan& plan)
{
    plan.content_md5 = call.header("content-md5");
    if (!plan.content_md5.empty() && !s3::detail::is_base64_of(plan.content_md5, 16))
        return s3_error{400, "InvalidDigest", "The Content-MD5 you specified is not valid."};
    for (const auto& [algorithm, header] : checksum_headers) {
        const std::string_view value = call.header(header);
        if (value.empty())
            continue;
        if (!plan.checksum_algorithm.empty())
            return errors::invalid_request("Expecting a single x-amz-checksum- header.");
        plan.checksum_algorithm = algorithm;
        plan.checksum = value;
    }
    plan.trailer = s3::detail::lower_case(call.header("x-amz-trailer"));
    if (!plan.trailer.empty()) {
        const std::string_view name = plan.trailer;
        const bool known =
            name.starts_with(checksum_prefix) && is_checksum_algorithm(name.substr(checksum_prefix.size()));
        if (!known || !who.payload.ends_with("-TRAILER"))
            return errors::invalid_request(
                "The value specified in the x-amz-trailer header is not supported");
        if (!plan.checksum_algorithm.empty())
            return errors::invalid_request("Expecting a single x-amz-checksum- header.");
        plan.checksum_algorithm = name.substr(checksum_prefix.size());
    }
    if (plan.checksum_algorithm.empty() && !call.header("x-amz-sdk-checksum-algorithm").empty())
        return errors::invalid_request("x-amz-sdk-checksum-algorithm specified, but no corresponding "
                                       "x-amz-checksum-* or x-amz-trailer headers were found.");
    return std::nullopt;
}

[[nodiscard]] inline std::optional<s3_error> plan_payload(const auth_outcome& who, put_plan& plan)
{
    const std::string_view payload = who.payload;
    plan.aws_chunked = payload.starts_with("STREAMING-");
    if (declares_hash(payload))
        plan.sha256 = payload;
    if (!plan.aws_chunked || payload == s3::detail::streaming_unsigned_trailer)
        return std::nullopt;
    if (payload != s3::detail::streaming_signed && payload != s3::detail::streaming_signed_trailer)
        return errors::not_implemented(payload);
    if (!who.chunks)
        return refuse("AccessDenied", "Chunks can only be signed in a request that is signed in its header.");
    return std::nullopt;
}

[[nodiscard]] inline std::optional<s3_error> plan_part(const s3_backend& to, const s3_call& call,
                                                       put_plan& plan)
{
    const std::string* const id = call.target.parameter("uploadId");
    const std::string* const number = call.target.parameter("partNumber");
    if (!id && !number)
        return std::nullopt;
    const auto part = number ? parse_decimal(*number) : std::nullopt;
    if (!id || !part || *part < 1 || *part > most_parts)
        return errors::invalid_argument("Part number must be an integer between 1 and 10000, inclusive");
    const auto upload = to.uploads.find(*id, call.target.bucket, call.target.key);
    if (!upload)
        return errors::no_such_upload();
    plan.upload_id = *id;
    plan.part = static_cast<unsigned>(*part);
    if (upload->checksum_algorithm.empty())
        return std::nullopt;
    if (!plan.checksum_algorithm.empty() && plan.checksum_algorithm != upload->checksum_algorithm)
        return errors::invalid_request(
            "Checksum Type mismatch occurred, expected checksum Type: " + upload->checksum_algorithm +
            ", actual checksum Type: " + plan.checksum_algorithm);
    plan.checksum_algorithm = upload->checksum_algorithm;
    return std::nullopt;
}

inline put_plan plan_put(const s3_backend& to, const s3_call& call, const auth_outcome& who,
                         std::optional<std::uint64_t> content_length)
{
    put_plan plan;
    const auto plan_rest = [&]() -> std::optional<s3_error> {
        if (const std::string* foreign = foreign_subresource(call.target))
            return errors::not_implemented("?" + *foreign);
        if (call.target.parameter("uploads") || call.target.parameter("delete"))
            return errors::not_implemented("PUT of this subresource");
        if (auto bad = plan_payload(who, plan))
            return bad;
        const auto size =
            plan.aws_chunked ? parse_decimal(call.header("x-amz-decoded-content-length")) : content_length;
        if (!size)
            return s3_error{411, "MissingContentLength", "You must provide the Content-Length HTTP header."};
        if (*size > to.max_object_bytes)
            return s3_error{400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."};
        plan.size = *size;
        if (call.target.key.size() > 1024)
            return s3_error{400, "KeyTooLongError", "Your key is too long"};
        if (!to.store.has_bucket(call.target.bucket))
            return errors::no_such_bucket();
        if (auto bad = plan_checksums(call, who, plan))
            return bad;
        if (auto bad = plan_part(to, call, plan))
            return bad;
        return plan_condition(to, call, plan.condition);
    };
    plan.refused = plan_rest();
    return plan;
}

/** What is wrong with what arrived, if anything. */
[[nodiscard]] inline std::optional<s3_error> check_digests(const put_plan& plan, const upload& arrived,
                                                           std::string_view trailing)
{
    if (!plan.sha256.empty() && plan.sha256 != arrived.sha256())
        return errors::wrong_hash();
    if (!plan.content_md5.empty() && plan.content_md5 != base64_of(arrived.md5()))
        return errors::bad_digest("Content-MD5");
    const std::string_view said = plan.trailer.empty() ? std::string_view(plan.checksum) : trailing;
    if (plan.checksum_algorithm.empty() || (said.empty() && plan.trailer.empty()) ||
        said == arrived.checksum())
        return std::nullopt;
    // As long as ours and of the same alphabet, or no checksum at all?
    const std::size_t padding = arrived.checksum().size() - arrived.checksum().find_last_not_of('=') - 1;
    if (!s3::detail::is_base64_of(said, arrived.checksum().size() / 4 * 3 - padding))
        return errors::invalid_request("Value for x-amz-checksum-" + plan.checksum_algorithm +
                                       " header is invalid.");
    return errors::bad_digest(plan.checksum_algorithm);
}

inline s3_answer finish_put(const s3_backend& to, const s3_call& call, const put_plan& plan, upload arrived,
                            std::string_view trailing, std::string_view request_id)
{
    arrived.seal();
    if (const auto wrong = check_digests(plan, arrived, trailing))
        return error_answer(*wrong, call, request_id);
    s3_answer answer;
    const std::string checksum = arrived.checksum();
    std::string etag = hex_of(arrived.md5());
    if (plan.part != 0) {
        const multipart_part part{std::make_shared<const upload>(std::move(arrived)), to.now};
        if (!to.uploads.add(plan.upload_id, plan.part, part))
            return error_answer(errors::no_such_upload(), call, request_id);
    } else {
        stored_object about;
        about.modified = to.now;
        about.checksum_algorithm = plan.checksum_algorithm;
        about.checksum = checksum;
        const auto stored = to.store.commit(call.target.bucket, call.target.key, std::move(arrived),
                                            plan.condition, std::move(about));
        if (!stored)
            return error_answer(errors::of_commit(stored.error()), call, request_id);
        etag = *stored;
    }
    answer.headers.emplace_back("ETag", '"' + etag + '"');
    add_checksum(answer, plan.checksum_algorithm, checksum);
    return answer;
}

} // namespace objectcache::testing::detail
