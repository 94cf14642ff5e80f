// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/ttft_model.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace ttft_model_test {

using namespace objectcache;

double equation_3(const std::vector<double>& x, const std::vector<double>& c)
{
    double ttft = x.front() + c.back();
    for (std::size_t l = 0; l + 1 < x.size(); ++l)
        ttft += std::max(x[l + 1], c[l]);
    return ttft;
}

TEST_CASE("layer by layer: the known cases")
{
    const std::vector<double> x{1, 2, 5}, c{3, 3, 3};
    const auto p = predict_layerwise(x, c);
    CHECK(p.ttft == doctest::Approx(1 + 3 + 5 + 3));
    CHECK(p.stalls == std::vector<double>{1, 0, 2});
    CHECK(p.fetch == 8);
    CHECK(p.compute == 9);
    CHECK(p.visible_fetch() == doctest::Approx(3));
    CHECK(p.hidden_fetch() == doctest::Approx(5));
    CHECK(predict_whole(x, c).ttft == 17);
    CHECK(predict_whole(x, c).stalls == std::vector<double>{8, 0, 0});
    CHECK(predict_whole(x, c).hidden_fetch() == 0);
}

TEST_CASE("no layers take no time")
{
    CHECK(predict_layerwise({}, {}).ttft == 0);
    CHECK(predict_whole({}, {}).ttft == 0);
}

TEST_CASE("the 64K, 87.5 %, G=64 case of the paper: 27 ms over its reference at 8.65 GB/s")
{
    // 7 GiB over 32 layers; 2,424 ms of compute (table A8). Only X(0) shows.
    const std::vector<double> x(32, 7.0 * 1073741824 / 32 / 8.65e9), c(32, 2.4239 / 32);
    CHECK(predict_layerwise(x, c).visible_fetch() == doctest::Approx(0.0272).epsilon(0.01));
}

TEST_CASE("random layers: depth 1 is equation 3, deeper is never slower, and nothing beats its bounds")
{
    std::mt19937 random(13);
    std::exponential_distribution<double> time(1);
    for (int round = 0; round < 500; ++round) {
        std::vector<double> x(1 + random() % 40), c(x.size());
        for (std::size_t l = 0; l < x.size(); ++l)
            x[l] = time(random), c[l] = time(random);
        const auto one = predict_layerwise(x, c);
        REQUIRE(one.ttft == doctest::Approx(equation_3(x, c)));
        REQUIRE(std::accumulate(one.stalls.begin(), one.stalls.end(), 0.0) ==
                doctest::Approx(one.visible_fetch()));
        double previous = one.ttft;
        for (const std::size_t depth : {2u, 3u, 50u}) {
            const auto deeper = predict_layerwise(x, c, depth);
            REQUIRE(deeper.ttft <= previous + 1e-9);
            REQUIRE(deeper.ttft >= x.front() + deeper.compute - 1e-9);
            REQUIRE(deeper.ttft >= deeper.fetch + c.back() - 1e-9);
            previous = deeper.ttft;
        }
        REQUIRE(one.ttft <= predict_whole(x, c).ttft + 1e-9);
    }
}

} // namespace ttft_model_test
