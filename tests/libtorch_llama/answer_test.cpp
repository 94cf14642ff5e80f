// SPDX-License-Identifier: BSL-1.0
#include "torch_support.hpp"

#include "answer.hpp"
#include "host_compute.hpp"

#include <objectcache/store/memory_tier.hpp>
#include <objectcache/testing/run_coroutine.hpp>

namespace {

using namespace torch_llama_test;

using cache_type = oc::cache<oc::host_device, oc::memory_tier>;

/** A prompt whose first part is stored, and everything that a process needs to answer it. */
struct fixture {
    explicit fixture(pass_options options = {})
        : weights(model::load(data / "f16_llama3", {}))
        , q{weights, some_tokens(300, weights.cfg().vocab), 256, 8, 32, options}
        , computed(weights.cfg(), {}, 320)
        , loaded(weights.cfg(), {}, 320, 16, scattered(20))
        , expected(recompute(q, computed))
    {
        loaded.fill(0);
        run([&](cache_type& cache) -> asio::awaitable<void> {
            const oc::scope where = q.scope(computed);
            const auto pages = computed.pages(q.tokens_per_chunk);
            const auto report = co_await cache.store(where, std::span(q.prompt).first(q.shared), pages);
            REQUIRE(report.failed.ok());
            REQUIRE(report.stored == 8);
        });
    }

    /** A coroutine over a cache that knows nothing of the store yet. */
    template <class Body>
    void run(Body body)
    {
        oc::cache_options options;
        options.stored_as = oc::layout::chunk_objects;
        options.staging_bytes = 1 << 22;
        auto cache = cache_type::create(tier, on.kv_device(), options).value();
        const auto all = [](Body& what, cache_type& over) -> asio::awaitable<void> {
            co_await what(over);
            (void)co_await over.close();
        };
        REQUIRE(oc::testing::run_coroutine(io, all(body, cache)));
    }

    outcome answer()
    {
        outcome out;
        run([&](cache_type& cache) -> asio::awaitable<void> {
            out = co_await layerwise(q, on, launcher, cache, loaded);
        });
        return out;
    }

    std::vector<std::string> keys()
    {
        std::vector<std::string> out;
        const auto list = [](oc::memory_tier& in, std::vector<std::string>& to) -> asio::awaitable<void> {
            const oc::deadline until(steady::now() + std::chrono::seconds(5));
            auto page = co_await in.list("", "", 1000, until);
            for (const auto& object : page.value().objects)
                to.push_back(object.key);
        };
        REQUIRE(oc::testing::run_coroutine(io, list(tier, out)));
        return out;
    }

    asio::io_context io;
    asio::thread_pool launcher{1};
    host_compute on;
    oc::memory_tier tier{io.get_executor()};
    model weights;
    question q;
    kv_memory computed, loaded;
    outcome expected;
};

TEST_CASE("libtorch_llama: layers enqueued behind their gates give the same tokens from the same bytes")
{
    for (const attention how : all_attentions) {
        CAPTURE(std::string(name(how)));
        pass_options options;
        options.how = how;
        fixture f(options);
        const outcome out = f.answer();
        CHECK(out.trouble.ok());
        CHECK(out.loaded_tokens == 256);
        CHECK(out.computed_tokens == 44);
        CHECK(f.computed.same_bytes(f.loaded, 256));
        CHECK(out.generated.size() == 8);
        CHECK(out.generated == f.expected.generated);
        CHECK(difference(out.logits, f.expected.logits) < 1e-5);
    }
}

TEST_CASE("libtorch_llama: what does not come from the cache is computed, the tokens stay the same")
{
    fixture f;
    std::vector<std::string> chunks = f.keys();
    REQUIRE(chunks.size() == 8);
    std::vector<std::byte>& victim = *f.tier.find(chunks.front());
    victim[victim.size() - 5] ^= std::byte{1}; // of the last layer: the others were computed already
    const outcome out = f.answer();
    CHECK(!out.trouble.ok());
    CHECK(out.loaded_tokens < 256);
    CHECK(out.loaded_tokens + out.computed_tokens == 300);
    CHECK(out.generated == f.expected.generated);
    CHECK(difference(out.logits, f.expected.logits) < 1e-5);
}

TEST_CASE("libtorch_llama: nothing stored, everything computed")
{
    fixture f;
    f.q.prompt.front() ^= 1; // no prefix of what is stored
    const outcome out = f.answer(), plain = recompute(f.q, f.computed);
    CHECK(out.trouble.ok());
    CHECK(out.loaded_tokens == 0);
    CHECK(out.generated == plain.generated);
}

TEST_CASE("libtorch_llama: KV that rounds differently is another scope")
{
    fixture f;
    f.q.options.how = attention::single;
    CHECK(f.answer().loaded_tokens == 0);
}

} // namespace
