// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/ids.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/chunk_signature.hpp>
#include <objectcache/s3/detail/sha256.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/testing/detail/s3_upload.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The receiving end of bodies in aws-chunked framing: "size[;chunk-signature=...]\r\n data \r\n ... 0\r\n trailer \r\n".
namespace objectcache::testing::detail {

/** Decodes piece by piece, and checks the signatures of the chunks and of the trailer. */
class aws_chunked_decoder {
public:
    enum class verdict {
        unfinished,
        complete,  ///< the blank line at the end was seen
        malformed, ///< broken framing, or another trailer than the one announced
        forged     ///< a signature is wrong or missing
    };

    /** @param chain   The signatures that the chunks must have; none: they are not signed.
        @param trailer The announced trailing field, in lower case; empty: none. */
    explicit aws_chunked_decoder(std::optional<s3::detail::chunk_chain> chain = {}, std::string trailer = {})
        : chain_(std::move(chain))
        , trailer_(std::move(trailer))
    {}

    /** Takes wire bytes from the front of `in` and returns the run of payload bytes at its front, possibly empty; both are
        cut off `in`. Call until `in` is empty. The payload of a chunk is given out before its signature is known. */
    [[nodiscard]] std::string_view next(std::string_view& in)
    {
        while (!in.empty() && state_ != state::over) {
            if (state_ == state::data) {
                const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size()));
                const std::string_view run = in.substr(0, n);
                in.remove_prefix(n);
                left_ -= n;
                if (chain_)
                    content_->update(s3::detail::as_bytes(run));
                if (left_ == 0)
                    state_ = state::data_end;
                return run;
            }
            take(in.front());
            in.remove_prefix(1);
        }
        if (!in.empty() && verdict_ == verdict::complete)
            end(verdict::malformed); // bytes after the end
        in = {};
        return {};
    }

    [[nodiscard]] verdict judge() const noexcept { return verdict_; }
    /** The value of the trailing field. */
    [[nodiscard]] const std::string& trailing_value() const noexcept { return value_; }

private:
    enum class state { head, data, data_end, trailer, over };

    static constexpr std::size_t longest_line = 1024;

    void end(verdict how)
    {
        verdict_ = how;
        state_ = state::over;
    }

    // One more character of what is not data: lines that end with CR LF.
    void take(char c)
    {
        line_ += c;
        if (line_.size() > longest_line)
            return end(verdict::malformed);
        if (c != '\n')
            return;
        if (!line_.ends_with("\r\n"))
            return end(verdict::malformed);
        const std::string line = std::exchange(line_, {});
        const std::string_view text = std::string_view(line).substr(0, line.size() - 2);
        if (state_ == state::head)
            take_head(text);
        else if (state_ == state::data_end)
            take_data_end(text);
        else
            take_trailer(text);
    }

    void take_head(std::string_view line)
    {
        const std::size_t digits = std::min(line.find(';'), line.size());
        left_ = 0;
        bool good = digits > 0 && digits <= 15;
        for (const char c : line.substr(0, digits)) {
            const int value = s3::detail::hex_value(c);
            good = good && value >= 0;
            left_ = left_ << 4 | static_cast<unsigned>(value & 15);
        }
        if (!good)
            return end(verdict::malformed);
        if (chain_) {
            constexpr std::string_view name = ";chunk-signature=";
            const std::string_view extension = line.substr(digits);
            if (!extension.starts_with(name))
                return end(verdict::forged);
            signature_ = extension.substr(name.size());
            content_.emplace(EVP_sha256());
        }
        if (left_ != 0)
            state_ = state::data;
        else if (is_signed())
            state_ = state::trailer;
    }

    void take_data_end(std::string_view line)
    {
        if (!line.empty())
            return end(verdict::malformed);
        if (is_signed())
            state_ = state::head;
    }

    // Is the chunk's signature the right one? If not, it is over.
    [[nodiscard]] bool is_signed()
    {
        if (!chain_ || signature_ == chain_->sign_chunk(digest_of(*content_)))
            return true;
        end(verdict::forged);
        return false;
    }

    void take_trailer(std::string_view line)
    {
        if (line.empty()) {
            const bool missing = !trailer_.empty() && !found_;
            const bool unproved = chain_ && found_ && !proved_;
            return end(missing ? verdict::malformed : unproved ? verdict::forged : verdict::complete);
        }
        const std::size_t colon = std::min(line.find(':'), line.size());
        const std::string name = s3::detail::lower_case(line.substr(0, colon));
        const std::string value(s3::detail::trimmed(line.substr(std::min(colon + 1, line.size()))));
        if (chain_ && found_ && !proved_ && name == "x-amz-trailer-signature") {
            running_digest content(EVP_sha256());
            const std::string canonical = trailer_ + ':' + value_ + '\n';
            content.update(s3::detail::as_bytes(canonical));
            proved_ = value == chain_->sign_trailer(digest_of(content));
            if (!proved_)
                end(verdict::forged);
        } else if (!found_ && name == trailer_) {
            found_ = true;
            value_ = value;
        } else {
            end(verdict::malformed);
        }
    }

    [[nodiscard]] static digest digest_of(running_digest& content)
    {
        digest out;
        const std::string bytes = content.finish();
        std::memcpy(out.bytes.data(), bytes.data(), out.bytes.size());
        return out;
    }

    std::optional<s3::detail::chunk_chain> chain_;
    std::string trailer_;
    std::string value_;
    bool found_ = false;  // the trailing field,
    bool proved_ = false; // and its signature

    state state_ = state::head;
    verdict verdict_ = verdict::unfinished;
    std::uint64_t left_ = 0; // of the chunk's data
    std::string line_;
    std::string signature_;
    std::optional<running_digest> content_;
};

/** Unwraps an aws-chunked body into an upload. */
class aws_chunked_sink final : public body_sink {
public:
    aws_chunked_sink(upload& target, aws_chunked_decoder decoder)
        : target_(target)
        , decoder_(std::move(decoder))
    {}

    [[nodiscard]] byte_span window() override { return room_; }
    [[nodiscard]] status filled(std::size_t n) override
    {
        using enum aws_chunked_decoder::verdict;
        std::string_view wire(reinterpret_cast<const char*>(room_.data()), n);
        while (!wire.empty()) {
            std::string_view run = decoder_.next(wire);
            while (!run.empty()) {
                const byte_span to = target_.window();
                if (to.empty())
                    return {errc::length_mismatch, "the body is longer than x-amz-decoded-content-length"};
                const std::size_t size = std::min(run.size(), to.size());
                std::memcpy(to.data(), run.data(), size);
                run.remove_prefix(size);
                if (status good = target_.filled(size); !good.ok())
                    return good;
            }
        }
        if (decoder_.judge() == forged)
            return {errc::access_denied, "a signature in the body does not match"};
        return decoder_.judge() == malformed ? status(errc::malformed_response, "broken aws-chunked framing")
                                             : status();
    }
    [[nodiscard]] const aws_chunked_decoder& decoder() const noexcept { return decoder_; }

private:
    upload& target_;
    aws_chunked_decoder decoder_;
    std::vector<std::byte> room_ = std::vector<std::byte>(64 << 10);
};

} // namespace objectcache::testing::detail
