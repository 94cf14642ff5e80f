// SPDX-License-Identifier: BSL-1.0
#include "torch_support.hpp"

#include "text.hpp"

namespace {

using namespace torch_llama_test;

/** K, V and logits of the engine on the CPU. */
struct reference {
    reference(const llama::model& m, std::span<const std::uint32_t> tokens)
    {
        llama::forward_pass p(m, tokens, 0);
        const std::size_t floats = tokens.size() * m.cfg().kv_width();
        for (std::uint32_t l = 0; l < m.cfg().layers; ++l) {
            k.emplace_back(floats);
            v.emplace_back(floats);
            p.layer(l, {}, k.back().data(), v.back().data());
        }
        const auto scores = p.logits();
        logits.assign(scores.begin(), scores.end());
    }
    std::vector<std::vector<float>> k, v;
    std::vector<float> logits;
};

/** Both engines over the same tokens: KV of all layers, and logits. */
void check_agreement(const fs::path& checkpoint, std::span<const std::uint32_t> tokens, double most)
{
    const reference expected(llama::model::load(checkpoint), tokens);
    for (const at::Device device : devices()) {
        CAPTURE(checkpoint.string());
        CAPTURE(device.str());
        const model m = model::load(checkpoint, {device, at::kFloat});
        kv_memory kv(m.cfg(), m.where(), tokens.size());
        CHECK(difference(logits_of(m, kv, tokens), at::tensor(expected.logits)) < most);
        for (std::size_t l = 0; l < m.cfg().layers; ++l) {
            const kv_memory::rows r = kv.read(l, tokens.size());
            CHECK(difference(r.k.reshape({-1}), at::tensor(expected.k[l])) < most);
            CHECK(difference(r.v.reshape({-1}), at::tensor(expected.v[l])) < most);
        }
    }
}

TEST_CASE("libtorch_llama: agrees with the engine on the CPU in KV and logits, for every kind of rope")
{
    const auto tokens = some_tokens(200, 97);
    for (const char* name : {"f32_tied", "bf16_sharded", "f16_llama3"})
        check_agreement(data / name, tokens, 1e-5);
    const checkpoint_copy linear(data / "f32_tied");
    linear.change_config([](boost::json::object& config) {
        config["rope_parameters"].as_object() = {
            {"rope_type", "linear"}, {"rope_theta", 10000.0}, {"factor", 4.0}};
    });
    check_agreement(linear.path(), tokens, 1e-5);
}

TEST_CASE("libtorch_llama: agrees with the engine on the CPU over a whole prompt of the trained checkpoint")
{
    const auto c = llama::read_config(example / "checkpoint" / "config.json");
    check_agreement(example / "checkpoint", llama::read_prompt(c, example / "prompt.txt"), 1e-3);
}

TEST_CASE("libtorch_llama: bf16 stays near f32, and KV of both engines goes by the same revision")
{
    const auto tokens = some_tokens(200, 97);
    const llama::model other = llama::model::load(data / "bf16_sharded");
    const reference expected(other, tokens);
    for (const at::Device device : devices()) {
        const model m = model::load(data / "bf16_sharded", {device, at::kBFloat16});
        CHECK(m.fingerprint() == other.fingerprint());
        for (const attention how : all_attentions) {
            CAPTURE(device.str());
            CAPTURE(std::string(name(how)));
            pass_options options;
            options.how = how;
            kv_memory kv(m.cfg(), m.where(), tokens.size());
            CHECK(difference(logits_of(m, kv, tokens, 0, options), at::tensor(expected.logits)) < 5e-2);
        }
    }
}

} // namespace
