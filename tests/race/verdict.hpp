// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <race/place.hpp>

#include <objectcache/kv/object_name.hpp>
#include <objectcache/s3/large_object.hpp>

#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

/** What a race has left: everything is looked at by somebody who took no part. */
namespace race {

/** What of a sequence some process was told is stored: world, sequence -> chunks. */
using promises = std::map<std::pair<std::string, std::size_t>, std::size_t>;

struct verdict {
    struct of_kind {
        std::uint32_t per_region = 0;
        std::uint64_t objects = 0, segments = 0;
        std::uint64_t payload = 0, unique = 0; ///< bytes of KV that are stored, and that are different
        std::uint64_t copies = 0, chunks = 0;  ///< of chunks in segments, and how many are different
        unsigned most_copies = 0, allowed = 0; ///< of one chunk, in segments
        std::size_t promised = 0, found = 0;   ///< chunks of sequences
    };
    std::map<std::string, of_kind> kinds;
    std::uint64_t uploads = 0;     ///< that nobody will end
    std::uint64_t leftovers = 0;   ///< layers without a manifest
    std::uint64_t unreachable = 0; ///< whole chunks behind a hole that a killed writer left
};

class inspector {
public:
    inspector(const place& where, std::vector<world> worlds) : where_(where), worlds_(std::move(worlds))
    {
        for (const world& w : worlds_) {
            scopes_[w.name] = *oc::scope_id(w.scope());
            for (const world::sequence& s : w.sequences)
                known_[w.name].insert(s.chain.begin(), s.chain.end());
        }
    }

    verdict run(const promises& told)
    {
        verdict out;
        for (const world& w : worlds_)
            find_all(w, told, out.kinds[w.kind]);
        (void)run_to_end(io_, look_at_everything(*this, out));
        for (const world& w : worlds_)
            sum_up(w, out);
        return out;
    }

private:
    struct copies {
        std::set<std::string> segments, layers;
        bool chunk_object = false, manifest = false;
    };

    /** Every sequence is matched and loaded as far as it is stored, by a cache that knows nothing. */
    void find_all(const world& w, const promises& told, verdict::of_kind& out)
    {
        std::vector<std::size_t> found(w.sequences.size());
        std::size_t next = 0;
        for (int reader = 0; reader < 8; ++reader)
            asio::co_spawn(io_, find_some(*this, w, next, found), [](std::exception_ptr e) {
                if (e)
                    std::rethrow_exception(e);
            });
        io_.restart();
        io_.run();
        for (std::size_t number = 0; number < found.size(); ++number) {
            const auto& chain = w.sequences[number].chain;
            reachable_[w.name].insert(chain.begin(),
                                      chain.begin() + static_cast<std::ptrdiff_t>(found[number]));
            const auto promised = told.find({w.name, number});
            if (promised == told.end())
                continue;
            out.promised += promised->second;
            out.found += std::min(found[number], promised->second);
            // A sequence that ends inside a segment is found up to the last mark in its name.
            check(found[number] + w.stride() > promised->second,
                  w.name + ' ' + std::to_string(number) + ": " + std::to_string(promised->second) +
                      " chunks were said to be stored, and " + std::to_string(found[number]) + " are found");
        }
    }
    static asio::awaitable<void> find_some(inspector& self, const world& w, std::size_t& next,
                                           std::vector<std::size_t>& found)
    {
        while (next < found.size()) {
            const std::size_t number = next++;
            totals nobody_counts;
            tier store(self.where_.tier(self.io_), request_counter{&nobody_counts});
            auto kv = cache::create(store, self.device_, self.where_.options(w.layouts.front()));
            check(kv.ok(), "no cache");
            found[number] = co_await find(*kv, w, w.sequences[number]);
        }
    }
    static asio::awaitable<std::size_t> find(cache& kv, const world& w, const world::sequence& of)
    {
        const oc::scope scope = w.scope();
        const oc::prefix_match match = co_await kv.match(scope, of.tokens);
        check(match.ended_by.ok(), w.name + ": match: " + match.ended_by.message());
        const std::size_t found = match.chunks.size();
        memory into;
        into.prepare(w.shape, of.tokens.size());
        auto load = kv.load(match, into.pages());
        const oc::load_report report = co_await load.finish();
        check(report.failed.ok() && report.usable_tokens == match.tokens(),
              w.name + ": load: " + report.failed.message());
        for (std::size_t i = 0; i < found; ++i)
            check(into.holds(of.chain[i], i), w.name + ": wrong KV");
        (void)co_await kv.close();
        co_return found;
    }

    /** Every object is read whole, decoded and verified. */
    static asio::awaitable<int> look_at_everything(inspector& self, verdict& out)
    {
        oc::s3_tier store = self.where_.tier(self.io_);
        const oc::deadline until(std::chrono::steady_clock::now() + std::chrono::minutes(5));
        std::string next;
        do {
            std::string prefix = self.where_.prefix;
            const auto page = co_await store.list(std::move(prefix), std::move(next), 1000, until);
            check(page.ok(), "list: " + page.error().message());
            std::size_t at = 0;
            oc::task_group readers(self.io_.get_executor());
            for (int reader = 0; reader < 16; ++reader)
                readers.spawn(look_at_some(self, store, page->objects, at, until, out));
            co_await readers.join();
            check(self.trouble_.empty(), self.trouble_);
            next = page->next;
        } while (!next.empty());
        oc::s3::upload_page page;
        do {
            std::string where = bucket, prefix = self.where_.prefix;
            auto more = co_await oc::s3::list_uploads(store.client(), std::move(where), std::move(prefix),
                                                      std::move(page), until);
            check(more.ok(), "uploads: " + more.error().message());
            page = std::move(*more);
            out.uploads += page.uploads.size();
        } while (!page.key_marker.empty());
        co_return 0;
    }

    static asio::awaitable<void> look_at_some(inspector& self, oc::s3_tier& store,
                                              const std::vector<oc::object_entry>& objects, std::size_t& at,
                                              oc::deadline until, verdict& out)
    {
        std::vector<std::byte> bytes;
        while (at < objects.size() && self.trouble_.empty()) {
            const oc::object_entry& object = objects[at++];
            bytes.resize(object.size);
            std::string key = object.key;
            const oc::byte_range whole{0, bytes.size()};
            const oc::status s = co_await store.read(std::move(key), whole, bytes, until);
            try {
                check(s.ok(), s.message());
                self.look_at(object.key, bytes, out);
            } catch (const failure& e) {
                self.trouble_ = e.what();
            }
        }
    }

    void look_at(const std::string& key, oc::const_byte_span bytes, verdict& out)
    {
        for (const world& w : worlds_) {
            const oc::key_space keys{where_.prefix, scopes_.at(w.name)};
            if (!key.starts_with(keys.root()))
                continue;
            verdict::of_kind& sum = out.kinds[w.kind];
            ++sum.objects;
            const std::string segments = oc::layout_prefix(keys, oc::layout::segment_objects);
            if (key.starts_with(segments))
                look_at_segment(w, keys, key, bytes, sum);
            else
                look_at_object(w, key, bytes);
            return;
        }
        throw failure("a key of nobody: " + key);
    }
    void look_at_segment(const world& w, const oc::key_space& keys, const std::string& key,
                         oc::const_byte_span bytes, verdict::of_kind& sum)
    {
        ++sum.segments;
        const auto head = oc::decode_segment_head(bytes);
        check(head.ok(), key + ": " + head.error().message());
        const auto n = static_cast<std::uint32_t>(head->chunks.size());
        check(head->header.geometry == w.shape && head->header.scope == keys.scope,
              key + ": of another scope");
        check(bytes.size() == oc::segment_bytes(w.shape, n), key + ": of another size");
        check(key == name_of(w, keys, head->chunks, n), key + ": its name is another one");
        for (std::uint32_t i = 0; i < n; ++i) {
            const oc::chunk_id& id = head->chunks[i];
            for (oc::layer_id l = 0; l < w.shape.layers; ++l) {
                const oc::byte_range at = oc::segment_layer_range(w.shape, n, l, i, 1);
                look_at_record(w, key, bytes.subspan(at.offset, at.size), l, id, oc::layout::segment_objects);
            }
            stored_[w.name][id].segments.insert(key);
        }
    }
    /** What a segment of these chunks is called. */
    [[nodiscard]] std::string name_of(const world& w, const oc::key_space& keys,
                                      const std::vector<oc::chunk_id>& ids, std::uint32_t n) const
    {
        for (const world::sequence& s : w.sequences)
            if (const auto at = std::find(s.chain.begin(), s.chain.end(), ids.back()); at != s.chain.end()) {
                const auto end = static_cast<std::size_t>(at - s.chain.begin()) + 1;
                const std::size_t region = (end - 1) / w.per_region() * w.per_region();
                if (end - region < n || !std::equal(ids.begin(), ids.end(),
                                                    s.chain.begin() + static_cast<std::ptrdiff_t>(end - n)))
                    return "chunks of no sequence";
                return oc::segment_key(keys,
                                       oc::name_segment(w.shape, std::span(s.chain).subspan(region),
                                                        static_cast<std::uint32_t>(end - n - region), n));
            }
        return "a chunk of no sequence";
    }
    void look_at_object(const world& w, const std::string& key, oc::const_byte_span bytes)
    {
        const auto name = oc::parse_object_key(where_.prefix, key);
        check(bool(name), key + ": none of ours");
        copies& of = stored_[w.name][name->chunk];
        if (name->kind == oc::object_kind::layer) {
            look_at_record(w, key, bytes, name->layer, name->chunk, oc::layout::layer_objects);
            of.layers.insert(key);
            return;
        }
        const auto header = oc::decode_header(bytes);
        check(header.ok() && header->chunk == name->chunk && header->geometry == w.shape,
              key + ": " + header.error().message());
        if (name->kind == oc::object_kind::manifest) {
            of.manifest = true;
            return;
        }
        check(bytes.size() == oc::object_bytes(oc::layout::chunk_objects, w.shape),
              key + ": of another size");
        of.chunk_object = true;
        for (oc::layer_id l = 0; l < w.shape.layers; ++l) {
            const oc::byte_range at = oc::chunk_layer_range(w.shape, l, 1);
            look_at_record(w, key, bytes.subspan(at.offset, at.size), l, name->chunk,
                           oc::layout::chunk_objects);
        }
    }
    void look_at_record(const world& w, const std::string& key, oc::const_byte_span record,
                        oc::layer_id layer, const oc::chunk_id& id, oc::layout as) const
    {
        check(known_.at(w.name).count(id) != 0, key + ": a chunk of no sequence");
        const oc::status s = oc::verify_slice(record, layer, id, as);
        check(s.ok(), key + ": " + s.message());
        check(is_slice(id, layer, record.first(w.shape.slice_bytes())), key + ": intact, and wrong");
    }

    void sum_up(const world& w, verdict& all)
    {
        verdict::of_kind& out = all.kinds[w.kind];
        out.per_region = w.per_region();
        out.allowed = w.most_copies();
        for (const auto& [id, of] : stored_[w.name]) {
            check(!of.manifest || of.layers.size() == w.shape.layers,
                  w.name + ": a manifest without its layers");
            all.leftovers += of.manifest ? 0 : of.layers.size();
            const std::uint64_t times =
                of.segments.size() + (of.chunk_object ? 1 : 0) + (of.manifest ? 1 : 0);
            out.copies += of.segments.size();
            out.chunks += of.segments.empty() ? 0 : 1;
            out.most_copies = std::max(out.most_copies, static_cast<unsigned>(of.segments.size()));
            out.payload += times * w.payload();
            out.unique += times == 0 ? 0 : w.payload();
            all.unreachable += times != 0 && reachable_[w.name].count(id) == 0 ? 1 : 0;
        }
    }

    const place& where_;
    std::vector<world> worlds_;
    std::map<std::string, oc::digest> scopes_;
    std::map<std::string, std::unordered_set<oc::chunk_id>> known_, reachable_;
    std::map<std::string, std::unordered_map<oc::chunk_id, copies>> stored_;
    std::string trouble_; // the first that was found
    oc::host_device device_;
    asio::io_context io_{1};
};

} // namespace race
