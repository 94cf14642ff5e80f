// SPDX-License-Identifier: BSL-1.0
#include <contract/tier_home.hpp>

#include <array>
#include <vector>

#define OBJECTCACHE_EVERY_TIER oc::memory_tier, oc::testing::recording_tier, oc::s3_tier

namespace contract {

TEST_CASE_TEMPLATE("a tier keeps objects whole, reads their ranges and says when there is none", Tier,
                   OBJECTCACHE_EVERY_TIER)
{
    environment env;
    {
        tier_home<Tier> home(env);
        Tier& tier = home.tier;
        using c = calls<Tier>;
        const auto first = some_bytes(1000, 1), second = some_bytes(1000, 2);

        CHECK(await(env, c::stat(tier, "a/1")).error() == oc::condition::absent);
        CHECK(await(env, c::write(tier, "a/1", first, oc::if_exists::keep)).ok());
        const auto found = await(env, c::stat(tier, "a/1"));
        REQUIRE(found.ok());
        CHECK(found->size == 1000);

        std::vector<std::byte> into(100);
        CHECK(await(env, c::read(tier, "a/1", {450, 100}, into)).ok());
        CHECK(std::equal(into.begin(), into.end(), first.begin() + 450));
        into.resize(1000);
        CHECK(await(env, c::read(tier, "a/1", {0, 1000}, into)).ok());
        CHECK(into == first);

        // Past the end is damage, not absence, and nothing else is.
        into.assign(100, std::byte{7});
        CHECK(await(env, c::read(tier, "a/1", {950, 100}, into)) == oc::condition::corrupt);
        CHECK(await(env, c::read(tier, "a/1", {2000, 100}, into)) == oc::condition::corrupt);
        CHECK(await(env, c::read(tier, "a/2", {0, 100}, into)) == oc::condition::absent);

        CHECK(await(env, c::write(tier, "a/1", second, oc::if_exists::keep)).ok());
        into.resize(1000);
        CHECK(await(env, c::read(tier, "a/1", {0, 1000}, into)).ok());
        CHECK(into == first);
        CHECK(await(env, c::write(tier, "a/1", second, oc::if_exists::replace)).ok());
        CHECK(await(env, c::read(tier, "a/1", {0, 1000}, into)).ok());
        CHECK(into == second);

        CHECK(await(env, c::remove(tier, "a/1")).ok());
        CHECK(await(env, c::remove(tier, "a/1")).ok());
        CHECK(await(env, c::stat(tier, "a/1")).error() == oc::condition::absent);
    }
    env.destroy_context();
}

TEST_CASE_TEMPLATE("a tier lists keys in order, by prefix and in pages", Tier, OBJECTCACHE_EVERY_TIER)
{
    environment env;
    {
        tier_home<Tier> home(env);
        Tier& tier = home.tier;
        using c = calls<Tier>;
        const auto bytes = some_bytes(4);
        for (const char* key : {"p/3", "p/1", "q/1", "p/2", "o/9", "p/4", "p"})
            REQUIRE(await(env, c::write(tier, key, bytes, oc::if_exists::keep)).ok());
        std::vector<std::string> keys;
        std::size_t pages = 0;
        std::string next;
        do {
            const auto page = await(env, c::list(tier, "p/", next, 3));
            REQUIRE(page.ok());
            CHECK(page->keys.size() <= 3);
            keys.insert(keys.end(), page->keys.begin(), page->keys.end());
            next = page->next;
            ++pages;
        } while (!next.empty() && pages < 10);
        CHECK(keys == std::vector<std::string>{"p/1", "p/2", "p/3", "p/4"});
        CHECK(pages == 2);
        const auto none = await(env, c::list(tier, "x/", "", 3));
        REQUIRE(none.ok());
        CHECK(none->keys.empty());
        CHECK(none->next.empty());
    }
    env.destroy_context();
}

namespace tier_trials {

enum class call { read, write, stat, remove, list };
constexpr std::array every_call = {call::read, call::write, call::stat, call::remove, call::list};

/** One call under way in a world of its own, its buffer given back as soon as the call has completed. */
template <class Tier>
struct flight {
    explicit flight(call c)
    {
        home.emplace(env);
        const auto stored = await(env, calls<Tier>::write(home->tier, "a", bytes, oc::if_exists::replace));
        CHECK(stored.ok());
        what = c;
    }
    ~flight()
    {
        if constexpr (!std::is_same_v<Tier, oc::s3_tier>)
            home.reset();
        else
            server.emplace(std::move(home->server)), home.reset(); // it outlives its clients
        signal.slot().clear();
        env.destroy_context();
    }

    void start(bool cancelled_before = false)
    {
        asio::co_spawn(*env.io, run(*this, cancelled_before),
                       asio::bind_cancellation_slot(signal.slot(), [this](std::exception_ptr failure) {
                           threw = failure != nullptr;
                       }));
    }
    bool run_to_end()
    {
        return env.run_until([&] { return ended.has_value(); });
    }

    static asio::awaitable<void> run(flight& self, bool cancelled_before)
    {
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        co_await asio::this_coro::throw_if_cancelled(false);
        if (cancelled_before)
            self.signal.emit(asio::cancellation_type::total);
        using c = calls<Tier>;
        Tier& tier = self.home->tier;
        oc::status s;
        if (self.what == call::stat) {
            auto work = c::stat(tier, "a");
            const auto found = co_await std::move(work);
            s = found.error();
        } else if (self.what == call::list) {
            auto work = c::list(tier, "", "", 10);
            const auto page = co_await std::move(work);
            s = page.error();
        } else {
            auto work = self.what == call::read    ? c::read(tier, "a", {100, 20'000}, *self.into)
                        : self.what == call::write ? c::write(tier, "b", self.bytes, oc::if_exists::keep)
                                                   : c::remove(tier, "a");
            s = co_await std::move(work);
        }
        self.into.reset(); // whoever still writes there is found out by the sanitizer
        self.ended = std::move(s);
    }

    environment env;
    std::optional<oc::testing::s3_server> server;
    std::optional<tier_home<Tier>> home;
    call what{};
    std::vector<std::byte> bytes = some_bytes(40'000);
    std::unique_ptr<std::vector<std::byte>> into = std::make_unique<std::vector<std::byte>>(20'000);
    asio::cancellation_signal signal;
    std::optional<oc::status> ended;
    bool threw = false;
};

} // namespace tier_trials

TEST_CASE_TEMPLATE("a tier's calls can be cancelled before they begin", Tier, OBJECTCACHE_EVERY_TIER)
{
    for (const auto what : tier_trials::every_call) {
        CAPTURE(static_cast<int>(what));
        tier_trials::flight<Tier> f(what);
        f.start(true);
        REQUIRE(f.run_to_end());
        CHECK(*f.ended == oc::condition::cancelled);
        CHECK_FALSE(f.threw);
    }
}

TEST_CASE_TEMPLATE("a tier's calls can be cancelled at every step", Tier, OBJECTCACHE_EVERY_TIER)
{
    constexpr std::array signals = {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                                    asio::cancellation_type::total};
    for (const auto what : tier_trials::every_call)
        for (std::size_t step = 0;; ++step) {
            CAPTURE(static_cast<int>(what));
            CAPTURE(step);
            tier_trials::flight<Tier> f(what);
            f.start();
            std::size_t done = 0;
            (void)f.env.run_until([&] { return f.ended || done++ == step; });
            const bool ended = f.ended.has_value();
            if (!ended)
                f.signal.emit(signals[step % signals.size()]);
            REQUIRE(f.run_to_end());
            CHECK((f.ended->ok() || *f.ended == oc::condition::cancelled));
            CHECK_FALSE(f.threw);
            // A write happened whole or not at all.
            if (what == tier_trials::call::write) {
                const auto found = await(f.env, calls<Tier>::stat(f.home->tier, "b"));
                CHECK((found.ok() ? found->size == f.bytes.size() : found.error() == oc::condition::absent));
                CHECK((found.ok() || !f.ended->ok()));
            }
            if (ended)
                break;
            REQUIRE(step < 200);
        }
}

TEST_CASE_TEMPLATE("a tier's calls may be destroyed in flight, at every step", Tier, OBJECTCACHE_EVERY_TIER)
{
    for (const auto what : tier_trials::every_call)
        for (std::size_t step = 0;; ++step) {
            CAPTURE(static_cast<int>(what));
            CAPTURE(step);
            tier_trials::flight<Tier> f(what);
            f.start();
            std::size_t done = 0;
            (void)f.env.run_until([&] { return f.ended || done++ == step; });
            if (f.ended)
                break;
            REQUIRE(step < 200);
        }
}

} // namespace contract
