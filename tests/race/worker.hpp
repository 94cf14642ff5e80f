// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <race/place.hpp>

#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <sstream>
#include <unistd.h>

namespace race {

/** One process of the race: two requests of an engine at a time, each of which matches, loads, checks, computes the rest
    and stores. What comes of each goes to standard output as a line, once it is known. */
class worker {
public:
    using clock = std::chrono::steady_clock;

    worker(const place& where, const schedule& when, std::uint64_t life)
        : where_(where)
        , when_(when)
        , random_(mix(when.seed ^ life << 20))
        , tier_(where.tier(io_), request_counter{&sum_})
    {}

    /** Until the time is up. */
    void run()
    {
        for (int lane = 0; lane < 2; ++lane)
            asio::co_spawn(io_, engine(*this), [](std::exception_ptr e) {
                if (e)
                    std::rethrow_exception(e);
            });
        io_.run();
    }

private:
    [[nodiscard]] std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

    /** A cache for each layout, each of which knows only what it has seen itself. */
    [[nodiscard]] cache& cache_for(oc::layout layout)
    {
        auto& slot = caches_[static_cast<std::size_t>(layout) - 1];
        if (!slot) {
            oc::cache_options options = where_.options(layout);
            if (below(2) == 0)
                options.index_ttl =
                    std::chrono::seconds(1); // some ask again and again, some go by what they know
            slot.emplace(cache::create(tier_, device_, std::move(options)).value());
        }
        return *slot;
    }
    /** Of the epoch. */
    [[nodiscard]] const world& choose_world()
    {
        const std::size_t epoch = when_.epoch_at(clock::now());
        if (epochs_.size() <= epoch)
            epochs_.resize(epoch + 1); // the other request may still be in the one before
        std::vector<world>& worlds = epochs_[epoch];
        if (worlds.empty())
            worlds = make_worlds(when_.seed, when_.sequences, epoch);
        std::size_t total = 0;
        for (const world& w : worlds)
            total += w.weight;
        std::size_t ticket = below(total), i = 0;
        for (; ticket >= worlds[i].weight; ++i)
            ticket -= worlds[i].weight;
        return worlds[i];
    }
    /** How much of the sequence this request has: a bit more than the last one, up to where others branch off, or anything. */
    [[nodiscard]] std::size_t choose_length(const world::sequence& of)
    {
        const std::size_t choice = below(10);
        std::size_t& reached = reached_[&of];
        if (choice < 5)
            return reached = reached == of.chunks() ? 1 : std::min(of.chunks(), reached + 1 + below(12));
        if (choice < 7 && !of.stems.empty())
            return of.stems[below(of.stems.size())];
        return 1 + below(of.chunks());
    }

    static asio::awaitable<void> engine(worker& self)
    {
        memory kv;
        while (clock::now() < self.when_.until) {
            const world& w = self.choose_world();
            const std::size_t number = self.below(w.sequences.size());
            const world::sequence& of = w.sequences[number];
            const std::size_t chunks = self.choose_length(of);
            cache& with = self.cache_for(w.layouts[self.below(w.layouts.size())]);
            const std::string what = w.name + ' ' + std::to_string(number) + ' ' + std::to_string(chunks);
            co_await self.request(w, of, chunks, with, kv, what);
        }
    }

    asio::awaitable<void> request(const world& w, const world::sequence& of, std::size_t chunks, cache& with,
                                  memory& kv, const std::string& what)
    {
        const oc::scope scope = w.scope();
        const std::size_t G = w.shape.tokens_per_chunk;
        const auto asked = std::span(of.tokens).first(chunks * G + 1);
        const oc::prefix_match match = co_await with.match(scope, asked);
        check(match.ended_by.ok(), what + ": match: " + match.ended_by.message());
        kv.prepare(w.shape, chunks * G + G);
        if (!match.empty()) {
            auto load = with.load(match, kv.pages());
            const oc::load_report loaded = co_await load.finish();
            check(loaded.failed.ok(), what + ": load: " + loaded.failed.message());
            check(loaded.usable_tokens == match.tokens(), what + ": a load that brings less than was found");
            for (std::size_t i = 0; i < match.chunks.size(); ++i)
                check(match.chunks[i] == of.chain[i] && kv.holds(of.chain[i], i),
                      what + ": wrong KV in chunk " + std::to_string(i));
            ++sum_.of[totals::loads];
        }
        for (std::size_t i = match.chunks.size(); i < chunks; ++i)
            kv.compute(of.chain[i], i);
        const auto computed = std::span(of.tokens).first(chunks * G + below(G));
        const oc::store_report report = co_await with.store(scope, computed, kv.pages());
        check(report.failed.ok(), what + ": store: " + report.failed.message());
        check(report.stored + report.present == chunks, what + ": a store that forgets chunks");
        ++sum_.of[totals::matches];
        ++sum_.of[totals::stores];
        sum_.of[totals::asked] += chunks;
        sum_.of[totals::matched] += match.chunks.size();
        sum_.of[totals::stored] += report.stored;
        sum_.of[totals::merged] += report.merged;
        sum_.of[totals::present] += report.present;
        tell(what);
    }

    /** That it is stored, and what was done since the last time. One write, so that lines of a killed process are whole. */
    void tell(const std::string& what)
    {
        std::ostringstream line;
        line << what;
        for (std::uint64_t& n : sum_.of)
            line << ' ' << std::exchange(n, 0);
        line << '\n';
        const std::string text = line.str();
        check(::write(STDOUT_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size()),
              "nobody listens");
    }

    const place& where_;
    const schedule& when_;
    std::deque<std::vector<world>> epochs_;
    std::mt19937_64 random_;
    std::map<const world::sequence*, std::size_t> reached_;
    totals sum_;
    oc::host_device device_; // outlives the context, on which a failure may leave something in flight
    asio::io_context io_{1};
    tier tier_;
    std::array<std::optional<cache>, 3> caches_;
};

} // namespace race
