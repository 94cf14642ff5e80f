// SPDX-License-Identifier: BSL-1.0
#include <contract/tier_home.hpp>

#include <boost/asio/detached.hpp>

#include <algorithm>
#include <array>
#include <vector>

#define OBJECTCACHE_EVERY_TIER                                                                               \
    oc::memory_tier, oc::testing::recording_tier, oc::s3_tier, oc::spread_tier<oc::s3_tier>,                 \
        oc::spread_tier<oc::memory_tier>

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
            CHECK(page->objects.size() <= 3);
            for (const oc::object_entry& object : page->objects) {
                keys.push_back(object.key);
                CHECK(object.size == 4);
                CHECK(object.modified > std::chrono::system_clock::time_point());
                CHECK(object.modified < std::chrono::system_clock::time_point::max());
            }
            next = page->next;
            ++pages;
        } while (!next.empty() && pages < 10);
        CHECK(keys == std::vector<std::string>{"p/1", "p/2", "p/3", "p/4"});
        CHECK(pages == 2);
        const auto none = await(env, c::list(tier, "x/", "", 3));
        REQUIRE(none.ok());
        CHECK(none->objects.empty());
        CHECK(none->next.empty());
    }
    env.destroy_context();
}

namespace tier_uploads {

using parts = std::vector<std::vector<std::byte>>;

inline std::vector<std::byte> whole(const parts& of)
{
    std::vector<std::byte> out;
    for (const auto& part : of)
        out.insert(out.end(), part.begin(), part.end());
    return out;
}

template <class Tier>
bool holds(environment& env, Tier& tier, std::string key, const std::vector<std::byte>& bytes)
{
    const auto found = await(env, calls<Tier>::stat(tier, key));
    if (!found || found->size != bytes.size())
        return false;
    std::vector<std::byte> into(bytes.size());
    const oc::status read = await(env, calls<Tier>::read(tier, key, {0, into.size()}, into));
    return read.ok() && into == bytes;
}

} // namespace tier_uploads

TEST_CASE_TEMPLATE("an object in parts is there when its upload is completed, and not before", Tier,
                   OBJECTCACHE_EVERY_TIER)
{
    environment env;
    {
        tier_home<Tier> home(env);
        Tier& tier = home.tier;
        using c = calls<Tier>;
        CHECK(tier.least_part() >= 1);
        const tier_uploads::parts sent{some_bytes(3000, 1), some_bytes(5000, 2), some_bytes(1, 3)};
        const auto id = await(env, c::begin_upload(tier, "a b/1"));
        REQUIRE(id.ok());
        const auto part = [&](std::uint32_t number, const std::vector<std::byte>& bytes) {
            const auto tag = await(env, c::upload_part(tier, "a b/1", *id, number, bytes));
            CHECK(tag.ok());
            return tag ? *tag : std::string();
        };
        // In any order, and one of them twice.
        const std::string third = part(3, sent[2]);
        const std::string wrong = part(1, some_bytes(4000, 9));
        const std::string second = part(2, sent[1]);
        const std::string first = part(1, sent[0]);
        (void)part(4, some_bytes(10)); // is not named in the end
        CHECK(home.uploads() == 1);
        CHECK(await(env, c::stat(tier, "a b/1")).error() == oc::condition::absent);
        const auto listed = await(env, c::list(tier, "", "", 10));
        REQUIRE(listed.ok());
        CHECK(listed->objects.empty());

        const auto complete = [&](const std::vector<std::string>& tags) {
            return await(env, c::complete_upload(tier, "a b/1", *id, tags, oc::if_exists::keep));
        };
        CHECK(complete({}) == oc::condition::invalid);
        CHECK_FALSE(complete({wrong, second, third}).ok());
        CHECK_FALSE(complete({second, first, third}).ok());
        CHECK_FALSE(complete({first, second, third, third, third}).ok());
        CHECK_FALSE(complete({first, ""}).ok());
        CHECK(await(env, c::stat(tier, "a b/1")).error() == oc::condition::absent);
        CHECK(home.uploads() == 1);

        CHECK(complete({first, second, third}).ok());
        CHECK(tier_uploads::holds(env, tier, "a b/1", tier_uploads::whole(sent)));
        CHECK(home.uploads() == 0);
        CHECK(complete({first, second, third}).ok()); // its answer might have been lost
        CHECK(await(env, c::upload_part(tier, "a b/1", *id, 1, sent[0])).error() == oc::condition::absent);
        CHECK(await(env, c::abort_upload(tier, "a b/1", *id)).ok());
        CHECK(tier_uploads::holds(env, tier, "a b/1", tier_uploads::whole(sent)));
    }
    env.destroy_context();
}

TEST_CASE_TEMPLATE("an upload keeps the object that is there, or replaces it", Tier, OBJECTCACHE_EVERY_TIER)
{
    environment env;
    {
        tier_home<Tier> home(env);
        Tier& tier = home.tier;
        using c = calls<Tier>;
        const tier_uploads::parts one{some_bytes(300, 1), some_bytes(30, 2)}, other{some_bytes(500, 3)};
        std::string id;
        CHECK(await(env, c::upload(tier, "a", one, oc::if_exists::replace, id)).ok());
        CHECK(tier_uploads::holds(env, tier, "a", tier_uploads::whole(one)));
        CHECK(await(env, c::upload(tier, "a", other, oc::if_exists::keep, id)).ok());
        CHECK(tier_uploads::holds(env, tier, "a", tier_uploads::whole(one)));
        CHECK(home.uploads() == 0);
        CHECK(await(env, c::upload(tier, "a", other, oc::if_exists::replace, id)).ok());
        CHECK(tier_uploads::holds(env, tier, "a", tier_uploads::whole(other)));
        CHECK(await(env, c::write(tier, "a", some_bytes(10), oc::if_exists::keep)).ok());
        CHECK(tier_uploads::holds(env, tier, "a", tier_uploads::whole(other)));
        CHECK(home.uploads() == 0);
    }
    env.destroy_context();
}

TEST_CASE_TEMPLATE("uploads of one key that race all succeed, and one of them is there, whole", Tier,
                   OBJECTCACHE_EVERY_TIER)
{
    for (const auto mode : {oc::if_exists::keep, oc::if_exists::replace}) {
        environment env;
        {
            tier_home<Tier> home(env);
            Tier& tier = home.tier;
            std::vector<tier_uploads::parts> sent;
            for (unsigned i = 0; i < 4; ++i)
                sent.push_back({some_bytes(20'000, i), some_bytes(100 * i + 1, i)});
            std::vector<std::string> ids(sent.size());
            std::vector<oc::status> ended;
            const auto one = [](Tier& to, const tier_uploads::parts& parts, oc::if_exists how,
                                std::string& id, std::vector<oc::status>& out) -> asio::awaitable<void> {
                oc::status s = co_await calls<Tier>::upload(to, "a", parts, how, id);
                out.push_back(std::move(s));
            };
            for (std::size_t i = 0; i < sent.size(); ++i)
                asio::co_spawn(*env.io, one(tier, sent[i], mode, ids[i], ended), asio::detached);
            REQUIRE(env.run_until([&] { return ended.size() == sent.size(); }));
            for (const oc::status& s : ended)
                CHECK_MESSAGE(s.ok(), s.message());
            CHECK(std::count_if(sent.begin(), sent.end(), [&](const tier_uploads::parts& parts) {
                      return tier_uploads::holds(env, tier, "a", tier_uploads::whole(parts));
                  }) == 1);
            CHECK(home.uploads() == 0);
        }
        env.destroy_context();
    }
}

TEST_CASE_TEMPLATE("an upload that is aborted leaves nothing", Tier, OBJECTCACHE_EVERY_TIER)
{
    environment env;
    {
        tier_home<Tier> home(env);
        Tier& tier = home.tier;
        using c = calls<Tier>;
        const auto bytes = some_bytes(1000);
        const auto id = await(env, c::begin_upload(tier, "a"));
        const auto beside = await(env, c::begin_upload(tier, "a"));
        REQUIRE(id.ok());
        REQUIRE(beside.ok());
        CHECK(*id != *beside);
        const auto tag = await(env, c::upload_part(tier, "a", *id, 1, bytes));
        const auto tag_beside = await(env, c::upload_part(tier, "a", *beside, 1, bytes));
        REQUIRE(tag.ok());
        REQUIRE(tag_beside.ok());
        // Not under another key.
        CHECK(await(env, c::upload_part(tier, "b", *id, 2, bytes)).error() == oc::condition::absent);
        CHECK(await(env, c::complete_upload(tier, "b", *id, {*tag}, oc::if_exists::keep)) ==
              oc::condition::absent);
        CHECK(await(env, c::abort_upload(tier, "b", *id)).ok());
        CHECK(home.uploads() == 2);
        for (const std::uint32_t number : {0u, oc::most_parts_per_object + 1})
            CHECK(await(env, c::upload_part(tier, "a", *id, number, bytes)).error() ==
                  oc::condition::invalid);
        CHECK(await(env, c::upload_part(tier, "a", *id, oc::most_parts_per_object, bytes)).ok());

        for (int times = 0; times < 2; ++times)
            CHECK(await(env, c::abort_upload(tier, "a", *id)).ok());
        CHECK(await(env, c::abort_upload(tier, "a", "never-begun")).ok());
        CHECK(home.uploads() == 1);
        CHECK(await(env, c::upload_part(tier, "a", *id, 2, bytes)).error() == oc::condition::absent);
        for (const auto mode : {oc::if_exists::keep, oc::if_exists::replace})
            CHECK(await(env, c::complete_upload(tier, "a", *id, {*tag}, mode)) == oc::condition::absent);
        CHECK(await(env, c::stat(tier, "a")).error() == oc::condition::absent);
        CHECK(await(env, c::complete_upload(tier, "a", *beside, {*tag_beside}, oc::if_exists::keep)).ok());
        CHECK(tier_uploads::holds(env, tier, "a", bytes));
        CHECK(home.uploads() == 0);
    }
    env.destroy_context();
}

TEST_CASE("an upload that fails at any step publishes all or nothing, and aborted leaves nothing")
{
    using tier_type = oc::testing::recording_tier;
    using c = calls<tier_type>;
    for (const auto mode : {oc::if_exists::keep, oc::if_exists::replace})
        for (oc::testing::fail_counter fuse;; fuse.next()) {
            CAPTURE(fuse.fail_at());
            environment env;
            {
                tier_type tier(env.executor(), &fuse);
                const tier_uploads::parts sent{some_bytes(300, 1), some_bytes(30, 2)};
                std::string id;
                const oc::status done = await(env, c::upload(tier, "a", sent, mode, id));
                CHECK(done.ok() != fuse.fired());
                tier.set_fuse(nullptr);
                const auto found = await(env, c::stat(tier, "a"));
                CHECK((found.ok() ? tier_uploads::holds(env, tier, "a", tier_uploads::whole(sent))
                                  : found.error() == oc::condition::absent));
                CHECK((found.ok() || !done.ok()));
                CHECK(await(env, c::abort_upload(tier, "a", id)).ok());
                // Of a beginning whose answer was lost, the name is left.
                CHECK(tier.stored().uploads() == (fuse.fired() && fuse.fail_at() == 1 ? 1 : 0));
                CHECK(tier.stored().bytes() == (found.ok() ? 330 : 0));
                CHECK(await(env, c::upload(tier, "a", sent, mode, id)).ok());
                CHECK(tier_uploads::holds(env, tier, "a", tier_uploads::whole(sent)));
            }
            env.destroy_context();
            if (!fuse.fired()) {
                CHECK(fuse.steps() == 8);
                break;
            }
        }
}

namespace tier_trials {

enum class call {
    read,
    write,
    stat,
    remove,
    list,
    begin_upload,
    upload_part,
    complete_upload,
    complete_late, ///< the object is there already
    abort_upload
};
constexpr std::array every_call = {
    call::read,          call::write,        call::stat,        call::remove,
    call::list,          call::begin_upload, call::upload_part, call::complete_upload,
    call::complete_late, call::abort_upload};

/** One call under way in a world of its own, what it was lent given back as soon as it has completed. */
template <class Tier>
struct flight {
    explicit flight(call c)
    {
        home.emplace(env);
        const auto stored = await(env, calls<Tier>::write(home->tier, "a", bytes, oc::if_exists::replace));
        CHECK(stored.ok());
        what = c;
        if (what >= call::upload_part)
            begin();
        if (what == call::complete_late)
            CHECK(await(env, calls<Tier>::write(home->tier, "b", bytes, oc::if_exists::keep)).ok());
    }
    /** An upload of "b" that has all its parts. */
    void begin()
    {
        const auto begun = await(env, calls<Tier>::begin_upload(home->tier, "b"));
        REQUIRE(begun.ok());
        id = *begun;
        for (std::uint32_t number : {1u, 2u}) {
            const auto tag = await(env, calls<Tier>::upload_part(home->tier, "b", id, number, *into));
            REQUIRE(tag.ok());
            tags->push_back(*tag);
        }
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

    void start(bool cancelled_before = false, bool throws = false)
    {
        asio::co_spawn(*env.io, run(*this, cancelled_before, throws),
                       asio::bind_cancellation_slot(signal.slot(), [this](std::exception_ptr failure) {
                           threw = failure != nullptr;
                       }));
    }
    bool run_to_end()
    {
        return env.run_until([&] { return ended.has_value(); });
    }

    static asio::awaitable<void> run(flight& self, bool cancelled_before, bool throws)
    {
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        co_await asio::this_coro::throw_if_cancelled(throws);
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
        } else if (self.what == call::begin_upload || self.what == call::upload_part) {
            auto work = self.what == call::begin_upload ? c::begin_upload(tier, "b")
                                                        : c::upload_part(tier, "b", self.id, 3, *self.into);
            const auto given = co_await std::move(work);
            s = given.error();
        } else if (self.what >= call::complete_upload) {
            auto work = self.what == call::abort_upload
                            ? c::abort_upload(tier, "b", self.id)
                            : c::complete_upload(tier, "b", self.id, *self.tags, oc::if_exists::keep);
            s = co_await std::move(work);
        } else {
            auto work = self.what == call::read    ? c::read(tier, "a", {100, 20'000}, *self.into)
                        : self.what == call::write ? c::write(tier, "b", self.bytes, oc::if_exists::keep)
                                                   : c::remove(tier, "a");
            s = co_await std::move(work);
        }
        self.into.reset(); // whoever still reads or writes there is found out by the sanitizer
        self.tags.reset();
        self.ended = std::move(s);
    }

    environment env;
    std::optional<oc::testing::s3_server> server;
    std::optional<tier_home<Tier>> home;
    call what{};
    std::vector<std::byte> bytes = some_bytes(40'000);
    std::unique_ptr<std::vector<std::byte>> into = std::make_unique<std::vector<std::byte>>(20'000);
    std::string id;
    std::unique_ptr<std::vector<std::string>> tags = std::make_unique<std::vector<std::string>>();
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
            // A write happened whole or not at all, and an upload can be thrown away.
            if (what == tier_trials::call::write || what == tier_trials::call::complete_upload) {
                const auto found = await(f.env, calls<Tier>::stat(f.home->tier, "b"));
                CHECK((found.ok() ? found->size == f.bytes.size() : found.error() == oc::condition::absent));
                CHECK((found.ok() || !f.ended->ok()));
            }
            if (what == tier_trials::call::complete_late && f.ended->ok())
                CHECK(f.home->uploads() == 0);
            if (!f.id.empty()) {
                CHECK(await(f.env, calls<Tier>::abort_upload(f.home->tier, "b", f.id)).ok());
                CHECK(f.home->uploads() == 0);
            }
            if (ended)
                break;
            REQUIRE(step < 200);
        }
}

TEST_CASE("an upload to S3 that came late is thrown away, or its end cancelled, whoever awaits it")
{
    for (const bool throws : {false, true})
        for (std::size_t step = 0;; ++step) {
            CAPTURE(throws);
            CAPTURE(step);
            tier_trials::flight<oc::s3_tier> f(tier_trials::call::complete_late);
            f.start(false, throws);
            std::size_t done = 0;
            (void)f.env.run_until([&] { return f.ended || done++ == step; });
            const bool ended = f.ended.has_value();
            if (!ended)
                f.signal.emit(asio::cancellation_type::total);
            (void)f.env.run_until([&] { return f.ended || f.threw; });
            CHECK_FALSE(f.threw);
            REQUIRE(f.ended);
            CHECK((f.ended->ok() || *f.ended == oc::condition::cancelled));
            CHECK((f.home->uploads() == 0 || !f.ended->ok()));
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
