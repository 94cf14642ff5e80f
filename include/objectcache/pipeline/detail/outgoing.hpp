// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/format.hpp>
#include <objectcache/kv/object_key.hpp>
#include <objectcache/kv/pages.hpp>
#include <objectcache/kv/segment.hpp>
#include <objectcache/plan/store_plan.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace objectcache::detail {

/** The bytes of one object that is to be written, or of all objects of one chunk under layout::layer_objects: a head, then
    records, layer-major. They are made part by part: a part is a run of records, the first one with the head. */
class outgoing {
public:
    /** @param chain all ids of the sequence; must outlive this
        @param part_bytes aimed at for a part; one record and the head at least */
    outgoing(const key_space& keys, const kv_pages& pages, layout where, std::span<const chunk_id> chain,
             store_object what, std::uint64_t part_bytes)
        : pages_(pages)
        , where_(where)
        , scope_(keys.scope)
        , ids_(chain.subspan(what.first, what.chunks))
        , previous_(what.first == 0 ? keys.scope : chain[what.first - 1])
        , what_(what)
    {
        const kv_geometry& geometry = pages_.geometry();
        const std::uint64_t records = std::uint64_t{geometry.layers} * what.chunks;
        records_per_part_ = records;
        if (where == layout::segment_objects) {
            const std::uint32_t per_region = segment_chunks(geometry);
            const std::size_t region = what.first / per_region * per_region;
            const auto name = name_segment(geometry, chain.subspan(region, what.end() - region),
                                           static_cast<std::uint32_t>(what.first - region),
                                           static_cast<std::uint32_t>(what.chunks));
            key_ = segment_key(keys, name);
            head_ = static_cast<std::size_t>(segment_head_bytes(name.chunks));
            if (bytes() > 2 * part_bytes)
                records_per_part_ = std::min((part_bytes + record() - 1) / record(), records);
        } else {
            key_ = commit_key(keys, where, ids_.front());
            head_ = where == layout::chunk_objects ? header_bytes : 0;
        }
    }

    [[nodiscard]] const store_object& what() const noexcept { return what_; }
    /** Of the object whose presence publishes the chunks. */
    [[nodiscard]] const std::string& key() const noexcept { return key_; }
    [[nodiscard]] std::span<const chunk_id> ids() const noexcept { return ids_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return head_ + records() * record(); }
    [[nodiscard]] std::size_t record() const noexcept
    {
        return static_cast<std::size_t>(record_bytes(pages_.geometry()));
    }

    [[nodiscard]] std::uint32_t parts() const noexcept
    {
        return static_cast<std::uint32_t>((records() + records_per_part_ - 1) / records_per_part_);
    }
    [[nodiscard]] std::size_t part_bytes(std::uint32_t part) const noexcept
    {
        return head_of(part) + static_cast<std::size_t>(records_of(part)) * record();
    }

    /** A part's slices, with their places in `staged`, part_bytes(part) long. */
    [[nodiscard]] std::vector<kv_slice> slices(std::uint32_t part, byte_span staged) const
    {
        const std::size_t tokens = pages_.geometry().tokens_per_chunk;
        std::vector<kv_slice> out;
        out.reserve(static_cast<std::size_t>(records_of(part)));
        each_record(part, staged, [&](layer_id layer, std::size_t chunk, byte_span bytes) {
            out.push_back({bytes.data(), layer, (what_.first + chunk) * tokens, tokens});
        });
        return out;
    }

    /** Everything of a part beside the slices. */
    void seal(std::uint32_t part, byte_span staged) const
    {
        each_record(part, staged, [&](layer_id layer, std::size_t chunk, byte_span bytes) {
            seal_slice(bytes, layer, ids_[chunk], where_);
        });
        if (where_ == layout::segment_objects && part == 0)
            encode_segment_head(staged.first(head_), header(), ids_);
        else if (where_ == layout::chunk_objects)
            encode_header(staged.first<header_bytes>(), header());
    }

    /** Of the object, or of the manifest. */
    [[nodiscard]] object_header header() const
    {
        object_header h;
        h.where = where_;
        h.geometry = pages_.geometry();
        h.first_token = what_.first * h.geometry.tokens_per_chunk;
        h.scope = scope_;
        h.chunk = ids_.front();
        h.previous = previous_;
        return h;
    }

private:
    [[nodiscard]] std::uint64_t records() const noexcept
    {
        return std::uint64_t{pages_.geometry().layers} * what_.chunks;
    }
    [[nodiscard]] std::size_t head_of(std::uint32_t part) const noexcept { return part == 0 ? head_ : 0; }
    [[nodiscard]] std::uint64_t records_of(std::uint32_t part) const noexcept
    {
        return std::min(records_per_part_, records() - part * records_per_part_);
    }

    template <class F>
    void each_record(std::uint32_t part, byte_span staged, F&& f) const
    {
        const std::uint64_t first = part * records_per_part_;
        for (std::uint64_t i = 0; i < records_of(part); ++i)
            f(static_cast<layer_id>((first + i) / what_.chunks),
              static_cast<std::size_t>((first + i) % what_.chunks),
              staged.subspan(head_of(part) + static_cast<std::size_t>(i) * record(), record()));
    }

    const kv_pages& pages_;
    layout where_;
    digest scope_;
    std::span<const chunk_id> ids_;
    chunk_id previous_;
    store_object what_;
    std::string key_;
    std::size_t head_ = 0;
    std::uint64_t records_per_part_ = 0;
};

} // namespace objectcache::detail
