// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/object_check.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace objectcache {

OBJECTCACHE_DECL object_check::object_check(object_name name, std::uint64_t size)
    : name_(std::move(name))
    , size_(size)
{
    if (name_.kind == object_kind::layer) {
        record_bytes_ = size_;
        chunks_ = {name_.chunk};
        if (size_ <= trailer_bytes)
            failed_ = status(errc::length_mismatch, "record of " + std::to_string(size_) + " bytes");
        return;
    }
    head_size_ = name_.kind == object_kind::segment
                     ? static_cast<std::size_t>(segment_head_bytes(name_.segment.chunks))
                     : header_bytes;
    head_.reserve(head_size_);
}

OBJECTCACHE_DECL void object_check::begin_records()
{
    head_size_ = 0;
    auto header = decode_header(head_);
    if (!header) {
        failed_ = header.error();
        return;
    }
    header_ = *header;
    if (name_.kind != object_kind::segment) {
        chunks_ = {header->chunk};
        failed_ = match_name(name_, size_, *header);
    } else if (failed_ = match_name(name_, size_, *header); failed_.ok()) {
        auto head = decode_segment_head(head_);
        failed_ = head ? match_name(name_, size_, *head) : head.error();
        if (head)
            chunks_ = std::move(head->chunks);
    }
    record_bytes_ = name_.kind == object_kind::manifest ? 0 : record_bytes(header->geometry);
}

OBJECTCACHE_DECL void object_check::end_record()
{
    const auto layer =
        name_.kind == object_kind::layer ? name_.layer : static_cast<layer_id>(record_ / chunks_.size());
    failed_ =
        verify_trailer(trailer_, hash_.value(), layer, chunks_[record_ % chunks_.size()], name_.where());
    hash_.reset();
    in_record_ = 0;
    ++record_;
}

OBJECTCACHE_DECL void object_check::update(const_byte_span bytes)
{
    if (seen_ += bytes.size(); seen_ > size_ && failed_.ok())
        failed_ = status(errc::length_mismatch, "more than its " + std::to_string(size_) + " bytes");
    while (!bytes.empty() && failed_.ok()) {
        if (head_size_ != 0) {
            const std::size_t n = std::min(bytes.size(), head_size_ - head_.size());
            head_.insert(head_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
            bytes = bytes.subspan(n);
            if (head_.size() == head_size_)
                begin_records();
            continue;
        }
        const std::uint64_t slice = record_bytes_ - trailer_bytes;
        if (in_record_ < slice) {
            const auto n =
                static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), slice - in_record_));
            hash_.update(bytes.first(n));
            bytes = bytes.subspan(n);
            in_record_ += n;
            continue;
        }
        const auto at = static_cast<std::size_t>(in_record_ - slice);
        const std::size_t n = std::min(bytes.size(), trailer_bytes - at);
        std::copy_n(bytes.begin(), n, trailer_.begin() + static_cast<std::ptrdiff_t>(at));
        bytes = bytes.subspan(n);
        in_record_ += n;
        if (in_record_ == record_bytes_)
            end_record();
    }
}

OBJECTCACHE_DECL status object_check::finish()
{
    if (failed_.ok() && seen_ != size_)
        failed_ = status(errc::length_mismatch, std::to_string(seen_) + " bytes instead of the " +
                                                    std::to_string(size_) + " of the listing");
    if (failed_.ok() && head_size_ != 0)
        failed_ = status(errc::length_mismatch, "object of " + std::to_string(size_) + " bytes");
    return failed_;
}

} // namespace objectcache
