// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/admission.hpp>

#include <objectcache/kv/format.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace admission_test {

using namespace objectcache;

constexpr double infinity = std::numeric_limits<double>::infinity();

/** Four layers, chunks of 16 tokens, records of 1,056 bytes. */
constexpr kv_geometry tiny{4, 2, 8, kv_dtype::bf16, kv_form::separate, 16};
constexpr kv_geometry llama_8b{32, 8, 128, kv_dtype::bf16, kv_form::separate, 64};

/** A chunk and layer takes the link a second, and a chunk the engine four, so that a layer of it takes one too. */
admission_costs a_second_each()
{
    admission_costs out;
    out.store.request_seconds = 0.5;
    out.store.link_bytes_per_second = static_cast<double>(record_bytes(tiny));
    out.prefill.seconds_per_token = 0.25;
    return out;
}

/** All splits, after the words of admit(), layer by layer. */
std::vector<double> all_splits(const admission_costs& costs, const admission_request& request)
{
    const double G = request.geometry.tokens_per_chunk, L = request.geometry.layers;
    const double prefix = static_cast<double>(request.prefix_chunks) * G;
    const double end = prefix + static_cast<double>(request.suffix_tokens);
    const auto prefill = [&](double a, double b) {
        return costs.prefill.seconds_per_token * (b - a) +
               costs.prefill.seconds_per_pair * (b * b - a * a) / 2;
    };
    std::vector<double> out;
    for (std::size_t s = 0; s < request.prefix_chunks; ++s) {
        const double tail = static_cast<double>(request.prefix_chunks - s) *
                            static_cast<double>(record_bytes(request.geometry));
        double now = prefill(0, static_cast<double>(s) * G);
        for (std::uint32_t l = 0; l < request.geometry.layers; ++l) {
            const double there =
                costs.store.request_seconds + (l + 1) * tail / costs.store.link_bytes_per_second;
            now = std::max(now, there) + prefill(prefix, end) / L;
        }
        out.push_back(now);
    }
    out.push_back(prefill(0, end));
    return out;
}

TEST_CASE("a model is what lies between two prefills")
{
    // 1 us per token and 1 ns per pair: 1000 tokens are 1 ms and half a million pairs.
    const auto fit = fit_prefill({0, 1000, 0.0015}, {0, 2000, 0.004});
    REQUIRE(fit.ok());
    CHECK(fit->seconds_per_token == doctest::Approx(1e-6));
    CHECK(fit->seconds_per_pair == doctest::Approx(1e-9));
    CHECK(fit->seconds(0, 1000) == doctest::Approx(0.0015));
    CHECK(fit->seconds(1000, 2000) == doctest::Approx(0.0025));
    CHECK(fit->seconds(700, 700) == 0);
    // The order does not matter, nor whether something was cached.
    for (const auto& same : {fit_prefill({0, 2000, 0.004}, {0, 1000, 0.0015}),
                             fit_prefill({1000, 1000, 0.0025}, {0, 1000, 0.0015})}) {
        REQUIRE(same.ok());
        CHECK(same->seconds_per_token == doctest::Approx(1e-6));
        CHECK(same->seconds_per_pair == doctest::Approx(1e-9));
    }
}

TEST_CASE("two prefills that say less than nothing of one number determine the other")
{
    // The longer one is faster per token: no attention to be seen.
    const auto flat = fit_prefill({0, 100, 0.5}, {0, 1000, 0.6});
    REQUIRE(flat.ok());
    CHECK(flat->seconds_per_pair == 0);
    CHECK(flat->seconds_per_token == doctest::Approx(1.1 / 1100));
    // More than attention alone would be: 8 times as long for twice the tokens.
    const auto steep = fit_prefill({0, 100, 0.01}, {0, 200, 0.08});
    REQUIRE(steep.ok());
    CHECK(steep->seconds_per_token == 0);
    CHECK(steep->seconds_per_pair == doctest::Approx(0.09 / (100 * 50 + 200 * 100)));
}

TEST_CASE("prefills that determine nothing are refused")
{
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const measured_prefill good{0, 1000, 1};
    for (const measured_prefill& bad :
         {measured_prefill{0, 0, 1}, measured_prefill{0, 2000, 0}, measured_prefill{0, 2000, -1},
          measured_prefill{0, 2000, nan}, measured_prefill{0, 2000, infinity}, measured_prefill{0, 1000, 2},
          measured_prefill{400, 200, 1}}) {
        CAPTURE(bad.cached);
        CAPTURE(bad.tokens);
        CAPTURE(bad.seconds);
        CHECK(fit_prefill(good, bad).error() == condition::invalid);
        CHECK(fit_prefill(bad, good).error() == condition::invalid);
    }
}

TEST_CASE("ten chunks, computed from the head and loaded from the tail: they meet in the middle")
{
    const admission_request ten{tiny, 10, 16};
    const auto a = admit(a_second_each(), ten);
    REQUIRE(a.ok());
    CHECK(a->recompute_seconds == doctest::Approx(11 * 4));
    CHECK(a->load_seconds == doctest::Approx(0.5 + 4 * 10 + 1)); // the last layer, and its compute
    // Five computed, 20 s, and the suffix, 4 s. With four the tail is there after 0.5 + 4 * 6 s.
    CHECK(a->both_seconds == doctest::Approx(20 + 4));
    CHECK(a->way == admission_way::both);
    CHECK(a->first_chunk == 5);
    CHECK(a->seconds() == a->both_seconds);
}

TEST_CASE("the split before the meeting point may be the better one")
{
    admission_costs costs = a_second_each();
    costs.store.request_seconds = 0;
    costs.prefill.seconds_per_token = 0.5; // 8 s a chunk; 2 s a layer of the suffix
    const auto a = admit(costs, {tiny, 10, 16});
    REQUIRE(a.ok());
    // Three: 24 + 8, the last layer is there after 28 and wanted after 30. Two: it is there after 32, and takes 2.
    CHECK(a->both_seconds == doctest::Approx(32));
    CHECK(a->first_chunk == 3);
    costs.prefill.seconds_per_token = 0.4375; // 7 s a chunk, 1.75 s a layer of the suffix
    const auto b = admit(costs, {tiny, 10, 16});
    // Four: 28 + 7, nothing waits. Three: the last layer, wanted after 21 + 3 * 1.75, is waited for until 28.
    CHECK(b->both_seconds == doctest::Approx(29.75));
    CHECK(b->first_chunk == 3);
}

TEST_CASE("without a link everything is computed, over an endless one everything is loaded")
{
    admission_costs costs = a_second_each();
    const admission_request request{tiny, 10, 16};
    costs.store.link_bytes_per_second = 0;
    const auto none = admit(costs, request);
    REQUIRE(none.ok());
    CHECK(none->way == admission_way::recompute);
    CHECK(none->first_chunk == 10);
    CHECK(none->load_seconds == infinity);
    CHECK(none->both_seconds == none->recompute_seconds);
    CHECK(none->seconds() == doctest::Approx(44));
    costs.store.link_bytes_per_second = 1e-300;
    CHECK(admit(costs, request)->way == admission_way::recompute);

    costs.store.link_bytes_per_second = infinity;
    const auto endless = admit(costs, request);
    CHECK(endless->way == admission_way::load);
    CHECK(endless->first_chunk == 0);
    CHECK(endless->seconds() == doctest::Approx(0.5 + 4));

    costs.store.request_seconds = 60; // before which everything is computed
    const auto late = admit(costs, request);
    CHECK(late->way == admission_way::recompute);
    CHECK(late->both_seconds == late->recompute_seconds);
}

TEST_CASE("one chunk cannot be split, none can only be computed")
{
    admission_costs costs = a_second_each();
    const auto one = admit(costs, {tiny, 1, 16});
    REQUIRE(one.ok());
    CHECK(one->recompute_seconds == doctest::Approx(8));
    CHECK(one->load_seconds == doctest::Approx(0.5 + 1 + 4));
    CHECK(one->both_seconds == one->load_seconds);
    CHECK(one->way == admission_way::load);
    costs.store.request_seconds = 4;
    CHECK(admit(costs, {tiny, 1, 16})->way == admission_way::recompute);
    CHECK(admit(costs, {tiny, 1, 16})->first_chunk == 1);

    const auto nothing = admit(costs, {tiny, 0, 16});
    REQUIRE(nothing.ok());
    CHECK(nothing->way == admission_way::recompute);
    CHECK(nothing->first_chunk == 0);
    CHECK(nothing->load_seconds == nothing->recompute_seconds);
}

TEST_CASE("both ways at once must be worth a margin")
{
    admission_costs costs = a_second_each();
    const admission_request ten{tiny, 10, 16};
    const double gain = 1 - 24 / 41.5; // of both over load
    costs.margin = gain - 0.001;
    CHECK(admit(costs, ten)->way == admission_way::both);
    costs.margin = gain + 0.001;
    const auto load = admit(costs, ten);
    CHECK(load->way == admission_way::load);
    CHECK(load->first_chunk == 0);
    CHECK(load->both_seconds == doctest::Approx(24)); // it is told all the same
}

TEST_CASE("what cannot be is refused, with its name")
{
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const auto refused = [](const char* name, auto change) {
        CAPTURE(std::string(name));
        admission_costs costs = a_second_each();
        admission_request request{tiny, 10, 16};
        change(costs, request);
        const status why = admit(costs, request).error();
        CHECK(why == condition::invalid);
        CHECK(why.message().find(name) != std::string::npos);
    };
    using C = admission_costs;
    using R = admission_request;
    refused("suffix_tokens", [](C&, R& r) { r.suffix_tokens = 0; });
    refused("layers", [](C&, R& r) { r.geometry.layers = 0; });
    refused("store", [](C& c, R&) { c.store.link_bytes_per_second = -1; });
    refused("store", [&](C& c, R&) { c.store.link_bytes_per_second = nan; });
    refused("store", [](C& c, R&) { c.store.request_seconds = -1; });
    refused("store", [](C& c, R&) { c.store.request_seconds = infinity; });
    refused("prefill", [](C& c, R&) { c.prefill = {}; });
    refused("prefill", [](C& c, R&) { c.prefill.seconds_per_pair = -1; });
    refused("prefill", [&](C& c, R&) { c.prefill.seconds_per_token = nan; });
    refused("margin", [](C& c, R&) { c.margin = 1; });
    refused("margin", [](C& c, R&) { c.margin = -0.1; });
    refused("margin", [&](C& c, R&) { c.margin = nan; });
    refused("prefill", [](C& c, R&) { c.prefill.seconds_per_token = 1e308; });
}

TEST_CASE("64K tokens of Llama-3.1-8B, 87.5 % of them stored, on an H200")
{
    // What was measured there: 64K tokens in 3.707 s, the last 8K of them in 0.675 s (docs/cuda.md).
    admission_costs costs;
    costs.prefill = *fit_prefill({0, 65536, 3.7066}, {57344, 8192, 0.6747});
    costs.store.request_seconds = 0.001;
    const admission_request request{llama_8b, 896, 8192};
    costs.store.link_bytes_per_second = 1.25e9; // 10 Gbit/s
    const auto slow = admit(costs, request);
    REQUIRE(slow.ok());
    CHECK(slow->way == admission_way::both);
    CHECK(slow->recompute_seconds == doctest::Approx(3.7066));
    CHECK(slow->load_seconds == doctest::Approx(6.035).epsilon(0.001));
    CHECK(slow->both_seconds == doctest::Approx(2.2437).epsilon(0.001));
    CHECK(slow->first_chunk == 565);
    costs.store.link_bytes_per_second = 12.5e9; // 100 Gbit/s: the load hides
    const auto fast = admit(costs, request);
    CHECK(fast->way == admission_way::load);
    CHECK(fast->load_seconds == doctest::Approx(0.694).epsilon(0.001));
    costs.store.link_bytes_per_second = 1.25e7; // 0.1 Gbit/s
    CHECK(admit(costs, request)->way == admission_way::recompute);
}

TEST_CASE("random requests: the best of all splits, never over the better end, never more computed on a "
          "faster link")
{
    std::mt19937 random(31);
    std::exponential_distribution<double> some(1);
    const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
    std::size_t ways[3] = {};
    for (int round = 0; round < 1000; ++round) {
        admission_costs costs;
        costs.margin = below(2) == 0 ? 0 : 0.05;
        costs.prefill = {some(random) * 1e-5, below(4) == 0 ? 0 : some(random) * 1e-9};
        costs.store.request_seconds = below(4) == 0 ? 0 : some(random) * 0.03;
        const kv_geometry g{1 + below(40),  1 + below(8),      64,
                            kv_dtype::bf16, kv_form::separate, 16u << below(5)};
        const admission_request request{g, 1 + below(below(2) == 0 ? 6 : 400), 1 + below(4000)};
        // Around the rate at which the prefix comes as fast as it is computed.
        const double prefix = static_cast<double>(request.prefix_chunks);
        const double bytes = prefix * g.layers * static_cast<double>(record_bytes(g));
        const double balance = bytes / costs.prefill.seconds(0, prefix * g.tokens_per_chunk);
        std::size_t previous = request.prefix_chunks;
        double previous_seconds = infinity;
        for (const double faster : {0.02, 0.2, 0.5, 0.8, 1.0, 1.3, 2.0, 5.0, 20.0, 1000.0}) {
            CAPTURE(round);
            CAPTURE(faster);
            costs.store.link_bytes_per_second = balance * faster;
            const auto a = admit(costs, request);
            REQUIRE(a.ok());
            const std::vector<double> all = all_splits(costs, request);
            const double better = std::min(all.front(), all.back());
            REQUIRE(a->load_seconds == doctest::Approx(all.front()).epsilon(1e-9));
            REQUIRE(a->recompute_seconds == doctest::Approx(all.back()).epsilon(1e-9));
            REQUIRE(a->both_seconds ==
                    doctest::Approx(*std::min_element(all.begin(), all.end())).epsilon(1e-9));
            REQUIRE(a->both_seconds <= std::min(a->load_seconds, a->recompute_seconds));
            REQUIRE(a->seconds() <= std::min(a->load_seconds, a->recompute_seconds));
            REQUIRE(a->seconds() == doctest::Approx(all[a->first_chunk]).epsilon(1e-9));
            const bool worth = a->both_seconds <= better * (1 - costs.margin) * (1 - 1e-9);
            REQUIRE((!worth || a->way == admission_way::both));
            REQUIRE((a->way != admission_way::both ||
                     a->both_seconds < better * (1 - costs.margin) * (1 + 1e-9)));
            // The margin is asked for anew on each link; the split itself only moves to the left.
            if (costs.margin == 0) {
                REQUIRE(a->first_chunk <= previous);
                previous = a->first_chunk;
            }
            REQUIRE(a->both_seconds <= previous_seconds * (1 + 1e-12));
            previous_seconds = a->both_seconds;
            ++ways[static_cast<std::size_t>(a->way)];
        }
    }
    CHECK(*std::min_element(ways, ways + 3) > 500);
}

} // namespace admission_test
