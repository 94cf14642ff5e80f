// SPDX-License-Identifier: BSL-1.0
#include <contract/adversarial_scene.hpp>

#include <random>

/** A store that anything may have happened to: right KV or a miss, whatever it was. */
namespace contract {

namespace adversary {

/** Changes what is stored, at random, as long as no checksum of a slice is made right: who does that writes KV. */
struct vandal {
    explicit vandal(unsigned seed) : random(seed) {}

    std::size_t below(std::size_t n) { return n == 0 ? 0 : random() % n; }
    objects::iterator any(objects& all)
    {
        return std::next(all.begin(), static_cast<std::ptrdiff_t>(below(all.size())));
    }
    /** Half of them where records begin, or one byte beside. */
    std::size_t offset_in(const bytes& b)
    {
        constexpr std::size_t record = 4 * per_chunk + oc::trailer_bytes;
        if (below(2) == 0 || b.size() < record)
            return below(b.size());
        const std::size_t head = b.size() % record, at = head + below(b.size() / record) * record;
        return std::min(at + below(2), b.size() - 1);
    }

    /** @return what was done, for people. */
    const char* strike(objects& all, const objects& honest, const objects& foreign)
    {
        if (all.empty())
            return "nothing is left";
        const auto it = any(all);
        bytes& b = it->second;
        const bytes from = any(all)->second;
        switch (below(13)) {
        case 0:
            if (!b.empty())
                b[below(b.size())] ^= static_cast<std::byte>(1u << below(8));
            return "a flipped bit";
        case 1:
            for (std::size_t i = 0, n = 1 + below(64); i < n && !b.empty(); ++i)
                b[below(b.size())] = static_cast<std::byte>(random());
            return "noise";
        case 2:
            b.resize(below(b.size() + 1));
            return "cut";
        case 3:
            b.resize(b.size() + 1 + below(5000), static_cast<std::byte>(random()));
            return "longer";
        case 4:
            if (!b.empty() && !from.empty()) { // a piece of another object, at another place
                const std::size_t to = offset_in(b), at = offset_in(from),
                                  n = below(std::min(b.size() - to, from.size() - at) + 1);
                std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at), n,
                            b.begin() + static_cast<std::ptrdiff_t>(to));
            }
            return "a splice";
        case 5:
            if (const std::size_t at = offset_in(b); at < b.size())
                std::fill_n(b.begin() + static_cast<std::ptrdiff_t>(at), below(b.size() - at), std::byte{0});
            return "zeros";
        case 6:
            b = from;
            return "another object";
        case 7:
            std::swap(b, any(all)->second);
            return "two objects exchanged";
        case 8:
            if (b.size() > 2) {
                const std::size_t at = offset_in(b);
                std::rotate(b.begin() + static_cast<std::ptrdiff_t>(at), b.end() - 1, b.end());
            }
            return "moved by a byte";
        case 9: // of another scope, where ours should be
            b = std::next(foreign.begin(), static_cast<std::ptrdiff_t>(below(foreign.size())))->second;
            return "another scope's object";
        case 10:
            all.erase(it);
            return "removed";
        case 11: { // two records change places
            constexpr std::size_t record = 4 * per_chunk + oc::trailer_bytes;
            if (b.size() >= 2 * record) {
                const std::size_t head = b.size() % record, n = b.size() / record;
                const auto at = [&](std::size_t i) {
                    return b.begin() + static_cast<std::ptrdiff_t>(head + i * record);
                };
                if (const std::size_t x = below(n), y = below(n); x != y)
                    std::swap_ranges(at(x), at(x + 1), at(y));
            }
            return "two records exchanged";
        }
        default: // under a name that is somebody's
            all[any(all)->first] = any(all)->second;
            if (const auto back = honest.find(it->first); back != honest.end() && below(2) == 0)
                it->second = back->second; // and sometimes it is right again
            return "another name";
        }
    }

    std::mt19937 random;
};

} // namespace adversary

TEST_CASE("whatever happens to the bytes of a store, what is loaded is right, and stores heal it")
{
    using namespace adversary;
    constexpr int rounds = 1500 / thinned; // of each layout
    const author ours(scope(), sequence(chunks)), stranger(cast::salted(), sequence(chunks));
    for (const oc::layout where : layouts) {
        CAPTURE(oc::name(where));
        vandal v(20261130 + static_cast<unsigned>(where));
        const objects honest = ours.all(where), foreign = stranger.all(where);
        std::size_t usable = 0, misses = 0, healed = 0;
        environment env;
        std::optional<tier_home<oc::testing::recording_tier>> home(std::in_place, env);
        objects now = honest;
        put(env, *home, now);
        {
            std::vector<std::unique_ptr<reader<oc::testing::recording_tier>>> readers;
            for (const way& how : ways)
                readers.push_back(std::make_unique<reader<oc::testing::recording_tier>>(
                    env, *home, scope(), sequence(chunks), options_for(where, how), !how.layer_by_layer));
            for (int round = 0; round < rounds; ++round) {
                CAPTURE(round);
                auto& r = *readers[v.below(readers.size())];
                if (v.below(3) == 0)
                    r.forget();
                std::optional<oc::prefix_match> early;
                if (v.below(2) == 0)
                    early = r.match();
                objects next = now;
                std::string done;
                for (std::size_t i = 0, n = 1 + v.below(3); i < n; ++i)
                    done += std::string(v.strike(next, honest, foreign)) + "; ";
                CAPTURE(done);
                put(env, *home, now, next);
                now = std::move(next);
                oc::prefix_match found = early ? std::move(*early) : r.match();
                // Sometimes the engine computes the first chunks itself.
                r.how.first_chunk = v.below(3) == 0 ? v.below(found.chunks.size() + 1) : 0;
                const loaded seen = r.load(std::move(found)); // judges what it gets
                r.how.first_chunk = 0;
                CHECK(seen.match.ended_by.ok());
                if (!seen.report.failed.ok()) {
                    ++misses;
                    CAPTURE(seen.report.failed.message());
                    CHECK((seen.report.failed == oc::condition::corrupt ||
                           seen.report.failed == oc::condition::absent));
                    CHECK(seen.report.failed !=
                          oc::errc::unknown_version); // its checksum would have to be right
                }
                usable += seen.report.usable_tokens / per_chunk;
                if (v.below(3) != 0)
                    continue;
                // Each load finds one damaged object at least, each store replaces what was found.
                std::size_t tries = 0;
                for (; r.load().report.usable_tokens != chunks * per_chunk && tries <= honest.size(); ++tries)
                    CHECK(r.store().failed.ok());
                CHECK(tries <= honest.size());
                ++healed;
                now.clear();
                const auto page = await(env, calls<oc::memory_tier>::list(home->tier.stored(), "", "", 1000));
                for (const oc::object_entry& object : page->objects)
                    now[object.key] = *stored(env, *home, object.key);
            }
        }
        MESSAGE(oc::name(where) << ": " << rounds << " rounds, " << usable << " chunks loaded, " << misses
                                << " loads that missed, healed " << healed << " times");
        CHECK(usable > std::size_t{rounds});
        CHECK(misses > rounds / 10);
        home.reset();
        env.destroy_context();
        CHECK(env.device.staging_allocated() == 0);
    }
}

} // namespace contract
