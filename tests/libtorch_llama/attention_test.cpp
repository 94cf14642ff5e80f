// SPDX-License-Identifier: BSL-1.0
#include "torch_support.hpp"

namespace {

using namespace torch_llama_test;

struct heads {
    std::int64_t query, kv, dim;
};

struct lengths {
    std::int64_t sequences, prefix, own;
};

/** One softmax over all keys, in f64, row by row. */
at::Tensor defined(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v)
{
    const std::int64_t n = q.size(0), past = k.size(0) - n, group = q.size(1) / k.size(1);
    auto out = at::zeros(q.sizes(), at::kDouble);
    const auto wide = [](const at::Tensor& x) { return x.to(at::kCPU, at::kDouble); };
    const auto queries = wide(q), keys = wide(k), values = wide(v);
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t h = 0; h < q.size(1); ++h) {
            const auto seen_k = keys.narrow(0, 0, past + i + 1).select(1, h / group);
            const auto seen_v = values.narrow(0, 0, past + i + 1).select(1, h / group);
            const auto scores = at::mv(seen_k, queries[i][h]) / std::sqrt(static_cast<double>(q.size(2)));
            out[i][h].copy_(at::mv(seen_v.t(), at::softmax(scores, 0)));
        }
    return out;
}

TEST_CASE("libtorch_llama: every attention is the defined one, with and without a past")
{
    at::manual_seed(1);
    for (const at::Device device : devices())
        for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
            for (const heads& h : {heads{4, 2, 32}, heads{8, 2, 64}, heads{4, 1, 128}, heads{3, 3, 64}})
                for (const auto& both : {std::pair{1, 0}, {1, 77}, {5, 0}, {5, 1}, {70, 130}, {200, 64}}) {
                    const auto n = both.first, past = both.second;
                    const auto options = at::TensorOptions(device).dtype(dtype);
                    const auto q = at::randn({n, h.query, h.dim}, options) * 2;
                    const auto k = at::randn({n + past, h.kv, h.dim}, options);
                    const auto v = at::randn({n + past, h.kv, h.dim}, options);
                    const auto expected = defined(q, k, v);
                    for (const attention how : all_attentions) {
                        CAPTURE(device.str());
                        CAPTURE(std::string(name(how)));
                        CAPTURE(n);
                        CAPTURE(past);
                        CAPTURE(h.query);
                        const auto out = attend(how, q, k, v);
                        CHECK((out.scalar_type() == dtype));
                        CHECK(difference(out, expected) < (dtype == at::kFloat ? 1e-5 : 2e-2));
                    }
                }
}

TEST_CASE("libtorch_llama: a merge survives scores that overflow e^x")
{
    const auto q = at::full({3, 1, 16}, 30.0), k = at::randn({9, 1, 16}) * 30, v = at::randn({9, 1, 16});
    CHECK(difference(attend(attention::split_flash, q, k, v), defined(q, k, v)) < 1e-4);
}

TEST_CASE("libtorch_llama: sequences that share a prefix attend as if each had a copy of it")
{
    at::manual_seed(3);
    for (const at::Device device : devices())
        for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
            for (const heads& h : {heads{4, 2, 32}, heads{8, 2, 64}, heads{32, 8, 128}, heads{3, 3, 64}})
                for (const lengths& t : {lengths{1, 1, 1}, {1, 300, 7}, {5, 64, 1}, {9, 257, 65}}) {
                    const std::int64_t sequences = t.sequences, prefix = t.prefix, own = t.own;
                    CAPTURE(device.str());
                    CAPTURE(sequences);
                    CAPTURE(prefix);
                    CAPTURE(h.query);
                    const auto options = at::TensorOptions(device).dtype(dtype);
                    const auto q = at::randn({sequences, 2 * h.query, h.dim}, options)
                                       .narrow(1, h.query / 2, h.query); // as they lie in a product
                    const auto k = at::randn({prefix, h.kv, h.dim}, options);
                    const auto v = at::randn({prefix, h.kv, h.dim}, options);
                    // Of memory with room for more, as it is while a sequence grows.
                    const auto room_k = at::randn({sequences, own + 3, h.kv, h.dim}, options);
                    const auto room_v = at::randn({sequences, own + 3, h.kv, h.dim}, options);
                    const auto own_k = room_k.narrow(1, 0, own), own_v = room_v.narrow(1, 0, own);
                    const auto out = attend_shared(q, k, v, own_k, own_v);
                    CHECK((out.scalar_type() == dtype));
                    REQUIRE((out.sizes() == q.sizes()));
                    for (std::int64_t i = 0; i < sequences; ++i)
                        CHECK(
                            difference(out.narrow(0, i, 1), defined(q.narrow(0, i, 1), at::cat({k, own_k[i]}),
                                                                    at::cat({v, own_v[i]}))) <
                            (dtype == at::kFloat ? 1e-5 : 2e-2));
                }
}

TEST_CASE("libtorch_llama: attention reads strided queries as they are")
{
    at::manual_seed(2);
    for (const at::Device device : devices()) {
        const auto options = at::TensorOptions(device).dtype(device.is_cuda() ? at::kBFloat16 : at::kFloat);
        const auto wide = at::randn({100, 6, 64}, options);
        const auto q = wide.narrow(1, 0, 4), k = at::randn({164, 2, 64}, options),
                   v = at::randn({164, 2, 64}, options);
        for (const attention how : all_attentions) {
            CAPTURE(std::string(name(how)));
            CHECK(at::equal(attend(how, q, k, v), attend(how, q.contiguous(), k, v)));
        }
    }
}

TEST_CASE("libtorch_llama: attentions have names")
{
    for (const attention how : all_attentions)
        CHECK((parse_attention(name(how)) == how));
    CHECK(!parse_attention("flash"));
}

} // namespace
