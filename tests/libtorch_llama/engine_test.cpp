// SPDX-License-Identifier: BSL-1.0
#include "torch_support.hpp"

namespace {

using namespace torch_llama_test;

const placement cpu{};

void check_against_transformers(const fs::path& checkpoint, const fs::path& expected_file)
{
    const auto expected = read_json(expected_file);
    const auto tokens = boost::json::value_to<std::vector<std::uint32_t>>(expected.at("tokens"));
    for (const at::Device device : devices()) {
        const model m = model::load(checkpoint, {device, at::kFloat});
        kv_memory kv(m.cfg(), m.where(), tokens.size());
        for (const auto& one : expected.at("cases").as_array()) {
            const auto length = one.at("length").to_number<std::size_t>();
            CAPTURE(checkpoint.string());
            CAPTURE(device.str());
            CAPTURE(length);
            const auto logits = logits_of(m, kv, std::span(tokens).first(length));
            CHECK(difference(logits,
                             at::tensor(boost::json::value_to<std::vector<float>>(one.at("logits")))) < 2e-5);
        }
    }
}

TEST_CASE("libtorch_llama: logits are those of transformers: bf16, f16 and f32 files, shards, tied or not, "
          "llama3 rope")
{
    for (const char* name : {"f32_tied", "bf16_sharded", "f16_llama3"})
        check_against_transformers(data / name, data / name / "expected.json");
}

TEST_CASE("libtorch_llama: logits with linear rope scaling are those of transformers")
{
    const checkpoint_copy copy(data / "f32_tied");
    copy.change_config([](boost::json::object& config) {
        config["rope_parameters"].as_object() = {
            {"rope_type", "linear"}, {"rope_theta", 10000.0}, {"factor", 4.0}};
    });
    check_against_transformers(copy.path(), data / "f32_tied" / "expected_linear.json");
}

TEST_CASE("libtorch_llama: a cached prefix changes nothing, in order or scattered, however the past is "
          "attended over")
{
    for (const at::Device device : devices()) {
        const model m = model::load(data / "f16_llama3", {device, at::kFloat});
        const auto tokens = some_tokens(300, m.cfg().vocab);
        kv_memory whole(m.cfg(), m.where(), tokens.size(), 16);
        const auto expected = logits_of(m, whole, tokens);
        for (std::size_t cached : {1, 16, 100, 256, 299})
            for (const bool in_order : {true, false})
                for (const attention how : all_attentions) {
                    CAPTURE(device.str());
                    CAPTURE(cached);
                    CAPTURE(in_order);
                    CAPTURE(std::string(name(how)));
                    kv_memory kv(m.cfg(), m.where(), tokens.size(), 16,
                                 in_order ? std::vector<std::uint32_t>() : scattered(19));
                    kv.fill(0);
                    for (std::size_t l = 0; l < m.cfg().layers; ++l)
                        kv.write(l, 0, whole.read(l, cached));
                    pass_options options;
                    options.how = how;
                    CHECK(difference(logits_of(m, kv, tokens, cached, options), expected) < 1e-5);
                    CHECK(difference(kv.read(1, 300).v, whole.read(1, 300).v) < 1e-5);
                }
    }
}

TEST_CASE("libtorch_llama: sequences that share a prefix decode together what each decodes alone")
{
    constexpr std::size_t prefix = 200, steps = 4;
    for (const at::Device device : devices()) {
        const model m = model::load(data / "f16_llama3", {device, at::kFloat});
        const auto tokens = some_tokens(prefix, m.cfg().vocab);
        kv_memory shared(m.cfg(), m.where(), prefix);
        (void)logits_of(m, shared, tokens);
        constexpr std::size_t count = 3;
        at::Tensor next = at::arange(1, 1 + count, at::TensorOptions(device).dtype(at::kLong));
        own_kv own(m.cfg(), m.where(), count, steps);
        std::vector<std::vector<std::uint32_t>> sequences(count, tokens);
        for (std::size_t step = 0; step < steps; ++step) {
            for (std::size_t i = 0; i < count; ++i)
                sequences[i].push_back(
                    static_cast<std::uint32_t>(next[static_cast<std::int64_t>(i)].item<std::int64_t>()));
            shared_decode together(m, own, next, prefix, step);
            for (std::uint32_t l = 0; l < m.cfg().layers; ++l)
                together.layer(l, shared.read(l, prefix));
            next = together.next_tokens();
            for (std::size_t i = 0; i < count; ++i) {
                CAPTURE(step);
                CAPTURE(i);
                kv_memory alone(m.cfg(), m.where(), sequences[i].size());
                CHECK(difference(together.logits()[static_cast<std::int64_t>(i)],
                                 logits_of(m, alone, sequences[i])) < 1e-5);
            }
        }
    }
}

TEST_CASE("libtorch_llama: a decode step refuses what it cannot do")
{
    const model m = model::random(named_config("tiny"), 1, cpu);
    own_kv own(m.cfg(), m.where(), 2, 3);
    const auto two = at::ones({2}, at::kLong), three = at::ones({3}, at::kLong);
    CHECK_THROWS_AS(shared_decode(m, own, three, 10, 0), error);
    CHECK_THROWS_AS(shared_decode(m, own, two, 10, 3), error);
    shared_decode step(m, own, two, 10, 2);
    kv_memory prefix(m.cfg(), m.where(), 10);
    CHECK_THROWS_AS(step.layer(1, prefix.read(1, 10)), error);
    CHECK_THROWS_AS((void)step.logits(), error);
}

TEST_CASE("libtorch_llama: behind a prefix of whole slices every bit is the same")
{
    for (const at::Device device : devices())
        for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
            const model m = model::load(data / "bf16_sharded", {device, dtype});
            const auto tokens = some_tokens(300, m.cfg().vocab);
            pass_options options;
            options.slice_tokens = 64;
            kv_memory whole(m.cfg(), m.where(), tokens.size()), kv(m.cfg(), m.where(), tokens.size());
            const auto expected = logits_of(m, whole, tokens, 0, options);
            for (std::size_t cached : {64, 192, 256}) {
                CAPTURE(device.str());
                CAPTURE(cached);
                kv.fill(0);
                for (std::size_t l = 0; l < m.cfg().layers; ++l)
                    kv.write(l, 0, whole.read(l, cached));
                CHECK(at::equal(logits_of(m, kv, tokens, cached, options), expected));
                CHECK(kv.same_bytes(whole, tokens.size()));
            }
        }
}

TEST_CASE("libtorch_llama: slices of any size give the same logits")
{
    const model m = model::load(data / "f32_tied", cpu);
    const auto tokens = some_tokens(130, m.cfg().vocab);
    kv_memory kv(m.cfg(), cpu, tokens.size());
    const auto expected = logits_of(m, kv, tokens);
    for (std::int64_t slice : {1, 7, 64, 129, 130}) {
        CAPTURE(slice);
        pass_options options;
        options.slice_tokens = slice;
        CHECK(difference(logits_of(m, kv, tokens, 0, options), expected) < 1e-5);
    }
}

TEST_CASE("libtorch_llama: the trained checkpoint writes what transformers writes, from a cached prefix too")
{
    const auto expected = read_json(data / "checkpoint.json");
    const std::string continuation(expected.at("continuation").as_string());
    for (const at::Device device : devices()) {
        const model m = model::load(example / "checkpoint", {device, at::kFloat});
        const std::string text = read_file(example / "prompt.txt");
        std::vector<std::uint32_t> prompt;
        for (const char c : text)
            prompt.push_back(static_cast<unsigned char>(c));
        kv_memory kv(m.cfg(), m.where(), prompt.size() + continuation.size(), 64);
        CHECK(difference(logits_of(m, kv, prompt), at::tensor(boost::json::value_to<std::vector<float>>(
                                                       expected.at("logits")))) < 1e-4);
        for (const std::size_t cached : {std::size_t{0}, std::size_t{3072}}) {
            CAPTURE(device.str());
            CAPTURE(cached);
            std::string written;
            pass first(m, kv, std::span(prompt).subspan(cached), cached);
            first.run();
            std::uint32_t token = first.next_token();
            while (written += static_cast<char>(token), written.size() < continuation.size()) {
                pass step(m, kv, {&token, 1}, prompt.size() + written.size() - 1);
                step.run();
                token = step.next_token();
            }
            CHECK(written == continuation);
        }
    }
}

TEST_CASE("libtorch_llama: random weights are the seed's, and run in every named size's shape")
{
    config c = named_config("tiny");
    const auto tokens = some_tokens(20, c.vocab);
    const auto logits = [&](const config& shape, std::uint64_t seed, at::ScalarType dtype) {
        const model m = model::random(shape, seed, {at::kCPU, dtype});
        kv_memory kv(m.cfg(), m.where(), tokens.size());
        return logits_of(m, kv, tokens);
    };
    CHECK(at::equal(logits(c, 1, at::kFloat), logits(c, 1, at::kFloat)));
    CHECK(!at::equal(logits(c, 1, at::kFloat), logits(c, 2, at::kFloat)));
    CHECK(model::random(c, 1, cpu).fingerprint() != model::random(c, 2, cpu).fingerprint());
    for (const char* size : {"llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b"}) {
        CAPTURE(size);
        c = named_config(size);
        CHECK(c.heads * c.head_dim == c.hidden);
        CHECK(c.heads % c.kv_heads == 0);
    }
    c = named_config("llama-3.2-1b");
    c.layers = 1; // one real layer is enough to see that the shapes fit
    c.vocab = 300;
    CHECK(at::isfinite(logits(c, 1, at::kBFloat16)).all().item<bool>());
    CHECK_THROWS_AS((void)named_config("llama"), error);
}

TEST_CASE("libtorch_llama: calls and checkpoints that contradict themselves are refused")
{
    const model m = model::load(data / "f32_tied", cpu);
    const config& c = m.cfg();
    kv_memory kv(c, cpu, 128), large(c, cpu, 2 * c.max_positions);
    const std::vector<std::uint32_t> tokens{1, 2, 96}, unknown{1, 97}, many(129);
    CHECK_THROWS_WITH_AS(pass(m, kv, unknown, 0), "token 97 is not in the vocabulary of 97", error);
    CHECK_THROWS_WITH_AS(pass(m, kv, {}, 0), "a pass needs a token", error);
    CHECK_THROWS_WITH_AS(pass(m, kv, many, 0), "the sequence of 129 tokens exceeds the KV memory's 128",
                         error);
    CHECK_THROWS_WITH_AS(pass(m, large, tokens, c.max_positions - 2),
                         "the sequence of 513 tokens exceeds the model's 512 positions", error);
    CHECK_THROWS_AS(pass(m, large, tokens, std::size_t(-2)), error);
    pass_options no_slice;
    no_slice.slice_tokens = 0;
    CHECK_THROWS_AS(pass(m, kv, tokens, 0, no_slice), error);

    pass p(m, kv, tokens, 0);
    CHECK_THROWS_WITH_AS(p.layer(1), "layer 1 is not the next one", error);
    CHECK_THROWS_WITH_AS((void)p.logits(), "logits before the last layer", error);
    p.run();
    CHECK_THROWS_AS(p.layer(c.layers), error);

    CHECK_THROWS_AS((void)model::load(data / "absent", cpu), error);
    CHECK_THROWS_WITH_AS((void)model::load(data / "f32_tied", {at::kCPU, at::kDouble}),
                         "weights are f32, f16 or bf16", error);
    const checkpoint_copy copy(data / "f32_tied");
    copy.change_config([](boost::json::object& config) {
        config["intermediate_size"] = config["intermediate_size"].to_number<int>() + 2;
    });
    CHECK_THROWS_AS((void)model::load(copy.path(), cpu), error);
}

} // namespace
