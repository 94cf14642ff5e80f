// SPDX-License-Identifier: BSL-1.0
#include "llama.hpp"
#include "text.hpp"

#include "support.hpp"

#include <doctest/doctest.h>

#include <cmath>

namespace {

using namespace llama_test;

template <class Json>
std::vector<float> floats(const Json& array)
{
    return boost::json::value_to<std::vector<float>>(array);
}

/** The largest difference, as a fraction of the largest magnitude. */
float difference(std::span<const float> actual, const std::vector<float>& expected)
{
    REQUIRE(actual.size() == expected.size());
    float largest = 0, magnitude = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        largest = std::max(largest, std::abs(actual[i] - expected[i]));
        magnitude = std::max(magnitude, std::abs(expected[i]));
        REQUIRE(std::isfinite(actual[i]));
    }
    return largest / magnitude;
}

void check_against_transformers(const llama::model& m, const fs::path& expected_file)
{
    const auto expected = read_json(expected_file);
    const auto tokens = boost::json::value_to<std::vector<std::uint32_t>>(expected.at("tokens"));
    for (const auto& one : expected.at("cases").as_array()) {
        const auto length = one.at("length").to_number<std::size_t>();
        CAPTURE(length);
        CHECK(difference(prefill(m, std::span(tokens).first(length)).logits, floats(one.at("logits"))) <
              1e-5F);
    }
}

TEST_CASE("llama: logits are those of transformers")
{
    for (const char* name : {"f32_tied", "bf16_sharded", "f16_llama3"}) {
        CAPTURE(name);
        check_against_transformers(llama::model::load(data / name), data / name / "expected.json");
    }
}

TEST_CASE("llama: logits with linear rope scaling are those of transformers")
{
    const checkpoint_copy copy(data / "f32_tied");
    copy.change_config([](boost::json::object& config) {
        config["rope_parameters"].as_object() = {
            {"rope_type", "linear"}, {"rope_theta", 10000.0}, {"factor", 4.0}};
    });
    check_against_transformers(llama::model::load(copy.path()), data / "f32_tied" / "expected_linear.json");
}

TEST_CASE("llama: a config.json of transformers 4 means the same")
{
    for (const char* type_key : {"rope_type", "type"}) {
        const checkpoint_copy copy(data / "f16_llama3");
        copy.change_config([&](boost::json::object& config) {
            boost::json::object rope = config["rope_parameters"].as_object();
            config.erase("rope_parameters");
            config["rope_theta"] = rope["rope_theta"];
            rope.erase("rope_theta");
            rope[type_key] = boost::json::value(rope["rope_type"]);
            if (std::string(type_key) == "type")
                rope.erase("rope_type");
            config["rope_scaling"] = rope;
        });
        check_against_transformers(llama::model::load(copy.path()), data / "f16_llama3" / "expected.json");
    }
    const checkpoint_copy copy(data / "bf16_sharded");
    copy.change_config([](boost::json::object& config) {
        config.erase("head_dim");
        config.erase("rope_parameters");
        config["rope_scaling"] = nullptr;
    });
    check_against_transformers(llama::model::load(copy.path()), data / "bf16_sharded" / "expected.json");
}

TEST_CASE("llama: a prefill gives the same bits wherever it is split and however its past is cut")
{
    for (const char* name : {"f32_tied", "bf16_sharded", "f16_llama3"}) {
        const llama::model m = llama::model::load(data / name);
        const auto tokens = some_tokens(300, m.cfg().vocab);
        const computed whole = prefill(m, tokens);
        for (std::size_t cached : {1, 16, 63, 64, 65, 128, 200, 256, 298, 299})
            for (const std::vector<std::size_t>& sizes :
                 {std::vector<std::size_t>{300}, {64}, {16}, {128, 64}, {1, 62, 3, 100}}) {
                CAPTURE(name);
                CAPTURE(cached);
                CAPTURE(sizes.size());
                check_same(whole, prefill(m, tokens, cached, &whole, sizes), cached, m.cfg().kv_width());
            }
    }
}

TEST_CASE("llama: K and V do not depend on the tokens behind them")
{
    const llama::model m = llama::model::load(data / "f32_tied");
    const auto tokens = some_tokens(200, m.cfg().vocab);
    const computed longer = prefill(m, tokens);
    for (std::size_t count : {1, 50, 64, 130}) {
        const computed shorter = prefill(m, std::span(tokens).first(count));
        for (std::size_t l = 0; l < m.cfg().layers; ++l) {
            CHECK(same_bits(longer.k[l].data(), shorter.k[l].data(), shorter.k[l].size()));
            CHECK(same_bits(longer.v[l].data(), shorter.v[l].data(), shorter.v[l].size()));
        }
    }
}

TEST_CASE("llama: a decode step agrees with the prefill, to the same bits however its past is cut")
{
    const llama::model m = llama::model::load(data / "bf16_sharded");
    const llama::config& c = m.cfg();
    for (std::size_t position : {1, 63, 64, 130}) {
        CAPTURE(position);
        const auto tokens = some_tokens(position + 1, c.vocab);
        const computed whole = prefill(m, tokens);
        std::vector<float> first_logits;
        for (const std::vector<std::size_t>& sizes : {std::vector<std::size_t>{300}, {64}, {7, 30}}) {
            llama::forward_pass step(m, std::span(tokens).last(1), position, llama::phase::decode);
            std::vector<float> k(c.kv_width()), v(c.kv_width());
            for (std::uint32_t l = 0; l < c.layers; ++l)
                step.layer(l, cut(whole.k[l].data(), whole.v[l].data(), c.kv_width(), position, sizes),
                           k.data(), v.data());
            const auto logits = step.logits();
            CHECK(difference(logits, whole.logits) < 1e-5F);
            CHECK(difference(k, {whole.k.back().end() - static_cast<std::ptrdiff_t>(c.kv_width()),
                                 whole.k.back().end()}) < 1e-5F);
            if (first_logits.empty())
                first_logits.assign(logits.begin(), logits.end());
            CHECK(same_bits(first_logits.data(), logits.data(), logits.size()));
        }
    }
}

TEST_CASE("llama: the trained checkpoint writes what transformers writes, with and without a cached prefix")
{
    const auto expected = read_json(data / "checkpoint.json");
    const llama::model m = llama::model::load(example / "checkpoint");
    const llama::config& c = m.cfg();
    const auto prompt = llama::read_prompt(c, example / "prompt.txt");
    CHECK(prompt.size() >= 3000);
    CHECK(prompt.size() <= 3600);
    const computed whole = prefill(m, prompt);
    CHECK(difference(whole.logits, floats(expected.at("logits"))) < 1e-4F);
    for (std::size_t cached : {std::size_t{3072}, prompt.size() - 1})
        check_same(whole, prefill(m, prompt, cached, &whole, {256}), cached, c.kv_width());

    const std::string continuation(expected.at("continuation").as_string());
    computed kv = whole;
    std::string text;
    llama::sampler greedy;
    std::uint32_t token = greedy(whole.logits);
    for (std::size_t position = prompt.size(); text.size() < continuation.size(); ++position) {
        text += llama::token_text(c, token);
        llama::forward_pass step(m, {&token, 1}, position, llama::phase::decode);
        for (std::uint32_t l = 0; l < c.layers; ++l) {
            std::vector<float> k(c.kv_width()), v(c.kv_width());
            const llama::kv_span past{kv.k[l].data(), kv.v[l].data(), position};
            step.layer(l, {&past, 1}, k.data(), v.data());
            kv.k[l].insert(kv.k[l].end(), k.begin(), k.end());
            kv.v[l].insert(kv.v[l].end(), v.begin(), v.end());
        }
        token = greedy(step.logits());
    }
    CHECK(text == continuation);
}

TEST_CASE("llama: the trained checkpoint fits in 4 MB")
{
    std::uintmax_t size = 0;
    for (const auto& file : fs::directory_iterator(example / "checkpoint"))
        size += file.file_size();
    CHECK(size <= 4'000'000);
}

TEST_CASE("llama: calls that contradict themselves are refused")
{
    const llama::model m = llama::model::load(data / "f32_tied");
    const llama::config& c = m.cfg();
    const std::vector<std::uint32_t> tokens{1, 2, 96}, unknown{1, 97}, many(c.max_positions + 1);
    using pass = llama::forward_pass;
    CHECK_THROWS_WITH_AS(pass(m, unknown, 0), "token 97 is not in the vocabulary of 97", llama::error);
    CHECK_THROWS_WITH_AS(pass(m, {}, 0), "a prefill needs a token", llama::error);
    CHECK_THROWS_WITH_AS(pass(m, tokens, 0, llama::phase::decode), "a decode step takes exactly one token",
                         llama::error);
    CHECK_THROWS_WITH_AS(pass(m, many, 0), "the sequence of 513 tokens exceeds the model's 512 positions",
                         llama::error);
    CHECK_THROWS_AS(pass(m, tokens, c.max_positions - 2), llama::error);
    CHECK_THROWS_AS(pass(m, tokens, std::size_t(-2)), llama::error);
    CHECK_NOTHROW(pass(m, tokens, c.max_positions - 3));

    std::vector<float> k(3 * c.kv_width()), v(k);
    pass p(m, tokens, 0);
    const llama::kv_span past{k.data(), v.data(), 1};
    CHECK_THROWS_WITH_AS(p.layer(0, {&past, 1}, k.data(), v.data()),
                         "the past has 1 tokens, 0 stand before this pass", llama::error);
    CHECK_THROWS_WITH_AS(p.layer(1, {}, k.data(), v.data()), "layer 1 is not the next one", llama::error);
    CHECK_THROWS_WITH_AS((void)p.logits(), "logits before the last layer", llama::error);
    p.layer(0, {}, k.data(), v.data());
    p.layer(1, {}, k.data(), v.data());
    CHECK_THROWS_AS(p.layer(2, {}, k.data(), v.data()), llama::error);
    CHECK(p.logits().size() == 97);
}

TEST_CASE("llama: the sampler takes the likeliest token, or draws by its seed")
{
    const std::vector<float> logits{0, 1, 3, 2};
    CHECK(llama::sampler()(logits) == 2);
    std::vector<std::size_t> drawn(4);
    llama::sampler a(1.0F, 7), b(1.0F, 7), other(1.0F, 8);
    bool differs = false;
    for (int i = 0; i < 10000; ++i) {
        const std::uint32_t token = a(logits);
        REQUIRE(token < 4);
        ++drawn[token];
        CHECK(token == b(logits));
        differs = differs || token != other(logits);
    }
    CHECK(differs);
    // softmax(0, 1, 3, 2) = 0.032, 0.087, 0.644, 0.237
    CHECK(drawn[0] == doctest::Approx(321).epsilon(0.2));
    CHECK(drawn[1] == doctest::Approx(871).epsilon(0.1));
    CHECK(drawn[2] == doctest::Approx(6439).epsilon(0.05));
}

TEST_CASE("llama: prompts are bytes for a byte-level model, token ids for others")
{
    const checkpoint_copy directory(data / "f32_tied");
    const fs::path file = directory.path() / "prompt";
    llama::config c;
    c.vocab = 256;
    write_file(file, "1 \xff");
    CHECK(llama::read_prompt(c, file) == std::vector<std::uint32_t>{'1', ' ', 255});
    c.vocab = 1000;
    CHECK_THROWS_AS((void)llama::read_prompt(c, file), llama::error);
    write_file(file, " 1 22\n333\n");
    CHECK(llama::read_prompt(c, file) == std::vector<std::uint32_t>{1, 22, 333});
    write_file(file, "");
    CHECK_THROWS_AS((void)llama::read_prompt(c, file), llama::error);
    CHECK_THROWS_AS((void)llama::read_prompt(c, directory.path() / "absent"), llama::error);
}

} // namespace
