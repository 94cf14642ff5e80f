// SPDX-License-Identifier: BSL-1.0
#include "llama.hpp"
#include "safetensors.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace llama {
namespace {

namespace json = boost::json;

/** An object of config.json, whose complaints name file and key. */
class settings {
public:
    settings(const std::filesystem::path& path, const json::object& values) : path_(path), values_(values) {}

    [[noreturn]] void fail(const std::string& cause) const { throw error(path_.string() + ": " + cause); }

    /** Nothing if absent or null. */
    [[nodiscard]] const json::value* find(const std::string& key) const
    {
        const json::value* const value = values_.if_contains(key);
        return value == nullptr || value->is_null() ? nullptr : value;
    }

    [[nodiscard]] double real(const std::string& key, std::optional<double> otherwise = {}) const
    {
        const json::value* const value = find(key);
        if (value == nullptr && otherwise)
            return *otherwise;
        if (value == nullptr)
            fail(key + " is missing");
        json::error_code ec;
        const auto number = value->to_number<double>(ec);
        if (ec || !std::isfinite(number) || number <= 0)
            fail(key + " is no positive number");
        return number;
    }

    [[nodiscard]] std::uint32_t size(const std::string& key,
                                     std::optional<std::uint32_t> otherwise = {}) const
    {
        constexpr double limit =
            1 << 24; // far above every model; keeps products of two extents far below 2^64
        const double number = real(key, otherwise ? std::optional<double>(*otherwise) : std::nullopt);
        if (number != std::floor(number) || number > limit)
            fail(key + " is no whole number up to 2^24");
        return static_cast<std::uint32_t>(number);
    }

    [[nodiscard]] std::string text(const std::string& key, const std::string& otherwise) const
    {
        const json::value* const value = find(key);
        if (value == nullptr)
            return otherwise;
        if (!value->is_string())
            fail(key + " is no string");
        return std::string(value->get_string());
    }

    [[nodiscard]] bool flag(const std::string& key) const
    {
        const json::value* const value = find(key);
        if (value != nullptr && !value->is_bool())
            fail(key + " is neither true nor false");
        return value != nullptr && value->get_bool();
    }

    [[nodiscard]] const json::object* object(const std::string& key) const
    {
        const json::value* const value = find(key);
        if (value != nullptr && !value->is_object())
            fail(key + " is no object");
        return value != nullptr ? &value->get_object() : nullptr;
    }

private:
    const std::filesystem::path& path_;
    const json::object& values_;
};

void refuse_other_architectures(const settings& s)
{
    const json::value* const names = s.find("architectures");
    std::string name = "unnamed";
    if (names != nullptr && names->is_array() && names->get_array().size() == 1 &&
        names->get_array()[0].is_string())
        name = names->get_array()[0].get_string();
    if (name != "LlamaForCausalLM" && name != "MistralForCausalLM")
        s.fail("architecture " + name + " is not supported (LlamaForCausalLM, MistralForCausalLM)");
    for (const char* key : {"attention_bias", "mlp_bias"})
        if (s.flag(key))
            s.fail(std::string(key) + " is not supported");
    for (const char* key : {"sliding_window", "quantization_config"})
        if (s.find(key) != nullptr)
            s.fail(std::string(key) + " is not supported");
    if (const std::string act = s.text("hidden_act", "silu"); act != "silu")
        s.fail("hidden_act " + act + " is not supported");
}

rope_config read_rope(const std::filesystem::path& path, const settings& s)
{
    rope_config rope;
    rope.theta = s.real("rope_theta", 10000);
    // transformers 5 writes rope_parameters, earlier ones rope_scaling beside rope_theta.
    const json::object* values = s.object("rope_parameters");
    if (values == nullptr)
        values = s.object("rope_scaling");
    if (values == nullptr)
        return rope;
    const settings r(path, *values);
    rope.theta = r.real("rope_theta", rope.theta);
    const std::string type = r.text("rope_type", r.text("type", "default"));
    if (type == "default")
        return rope;
    if (type != "linear" && type != "llama3")
        s.fail("rope type " + type + " is not supported (default, linear, llama3)");
    rope.factor = r.real("factor");
    rope.type = rope_type::linear;
    if (type == "llama3") {
        rope.type = rope_type::llama3;
        rope.low_freq_factor = r.real("low_freq_factor");
        rope.high_freq_factor = r.real("high_freq_factor");
        rope.original_positions = r.real("original_max_position_embeddings");
        if (rope.high_freq_factor <= rope.low_freq_factor)
            s.fail("high_freq_factor is not above low_freq_factor");
    }
    return rope;
}

std::vector<std::uint32_t> read_eos(const settings& s)
{
    std::vector<std::uint32_t> out;
    const json::value* const value = s.find("eos_token_id");
    if (value == nullptr)
        return out;
    for (const json::value& id : value->is_array() ? value->get_array() : json::array{*value}) {
        json::error_code ec;
        out.push_back(id.to_number<std::uint32_t>(ec));
        if (ec)
            s.fail("eos_token_id is no token");
    }
    return out;
}

} // namespace

config read_config(const std::filesystem::path& path)
{
    const detail::mapped_file file(path);
    json::error_code ec;
    const json::value root = json::parse(file.text(), ec);
    if (ec || !root.is_object())
        throw error(path.string() + ": not a JSON object");
    const settings s(path, root.get_object());
    refuse_other_architectures(s);

    config c;
    c.vocab = s.size("vocab_size");
    c.hidden = s.size("hidden_size");
    c.layers = s.size("num_hidden_layers");
    c.heads = s.size("num_attention_heads");
    c.kv_heads = s.size("num_key_value_heads", c.heads);
    c.intermediate = s.size("intermediate_size");
    c.max_positions = s.size("max_position_embeddings");
    c.rms_eps = static_cast<float>(s.real("rms_norm_eps", 1e-6));
    c.tied = s.flag("tie_word_embeddings");
    if (c.heads % c.kv_heads != 0)
        s.fail("num_attention_heads is no multiple of num_key_value_heads");
    if (s.find("head_dim") == nullptr && c.hidden % c.heads != 0)
        s.fail("hidden_size is no multiple of num_attention_heads, and there is no head_dim");
    c.head_dim = s.size("head_dim", std::max(1U, c.hidden / c.heads));
    if (c.head_dim % 2 != 0)
        s.fail("head_dim is odd");
    c.rope = read_rope(path, s);
    c.eos = read_eos(s);
    return c;
}

std::vector<float> inverse_frequencies(const config& c)
{
    const rope_config& rope = c.rope;
    std::vector<float> out(c.head_dim / 2);
    for (std::size_t i = 0; i < out.size(); ++i) {
        double frequency = std::pow(rope.theta, -2.0 * static_cast<double>(i) / c.head_dim);
        if (rope.type == rope_type::linear) {
            frequency /= rope.factor;
        } else if (rope.type == rope_type::llama3) {
            const double turns = rope.original_positions * frequency / (2 * std::numbers::pi);
            const double kept = std::clamp(
                (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0, 1.0);
            frequency *= kept + (1 - kept) / rope.factor;
        }
        out[i] = static_cast<float>(frequency);
    }
    return out;
}

} // namespace llama
