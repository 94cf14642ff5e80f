// SPDX-License-Identifier: BSL-1.0
#include "llama.hpp"

#include "support.hpp"

#include <doctest/doctest.h>

#include <functional>

namespace {

using namespace llama_test;
namespace json = boost::json;

/** A .safetensors file taken apart, to be put together wrongly. */
struct safetensors {
    explicit safetensors(const fs::path& file)
    {
        const std::string bytes = read_file(file);
        std::uint64_t size = 0;
        for (std::size_t i = 8; i-- > 0;)
            size = size << 8 | static_cast<unsigned char>(bytes[i]);
        header = json::parse(bytes.substr(8, size)).as_object();
        data = bytes.substr(8 + size);
    }

    void write(const fs::path& file) const
    {
        const std::string text = json::serialize(header);
        std::string length(8, '\0');
        for (std::size_t i = 0; i < 8; ++i)
            length[i] = static_cast<char>(text.size() >> 8 * i);
        write_file(file, length + text + data);
    }

    json::object header;
    std::string data;
};

bool names(const std::string& message, const std::string& file, const std::string& cause)
{
    return message.find(file) != std::string::npos && message.find(cause) != std::string::npos &&
           message.find('\n') == std::string::npos;
}

#define CHECK_NAMES(message, file, cause)                                                                    \
    do {                                                                                                     \
        const std::string said = message;                                                                    \
        CHECK_MESSAGE(names(said, file, cause), "said: '", said, "'");                                       \
    } while (false)

TEST_CASE("llama: properties that would be computed wrongly are refused by name")
{
    const struct {
        const char* key;
        json::value value;
        const char* cause;
    } cases[] = {
        {"architectures", json::array{"Qwen2ForCausalLM"}, "architecture Qwen2ForCausalLM is not supported"},
        {"architectures", nullptr, "architecture unnamed is not supported"},
        {"attention_bias", true, "attention_bias is not supported"},
        {"mlp_bias", true, "mlp_bias is not supported"},
        {"sliding_window", 4096, "sliding_window is not supported"},
        {"quantization_config", json::object{}, "quantization_config is not supported"},
        {"hidden_act", "gelu", "hidden_act gelu is not supported"},
        {"rope_parameters", json::object{{"rope_type", "yarn"}, {"factor", 4.0}},
         "rope type yarn is not supported"},
        {"rope_parameters", json::object{{"rope_type", "linear"}}, "factor is missing"},
        {"rope_parameters",
         json::object{{"rope_type", "llama3"},
                      {"factor", 8},
                      {"low_freq_factor", 4},
                      {"high_freq_factor", 4},
                      {"original_max_position_embeddings", 64}},
         "high_freq_factor is not above low_freq_factor"},
        {"rope_parameters", 3, "rope_parameters is no object"},
        {"hidden_size", nullptr, "hidden_size is missing"},
        {"hidden_size", "64", "hidden_size is no positive number"},
        {"hidden_size", 0, "hidden_size is no positive number"},
        {"hidden_size", -64, "hidden_size is no positive number"},
        {"hidden_size", 64.5, "hidden_size is no whole number"},
        {"hidden_size", 1e300, "hidden_size is no whole number"},
        {"num_hidden_layers", 16777217, "num_hidden_layers is no whole number up to 2^24"},
        {"num_key_value_heads", 3, "no multiple of num_key_value_heads"},
        {"head_dim", 15, "head_dim is odd"},
        {"tie_word_embeddings", "yes", "tie_word_embeddings is neither true nor false"},
        {"eos_token_id", "</s>", "eos_token_id is no token"},
        {"eos_token_id", -1, "eos_token_id is no token"},
    };
    for (const auto& one : cases) {
        CAPTURE(one.key);
        const checkpoint_copy copy(data / "f32_tied");
        copy.change_config([&](json::object& config) { config[one.key] = one.value; });
        CHECK_NAMES(complaint(copy.path()), "config.json: ", one.cause);
    }
}

TEST_CASE("llama: Mistral without a sliding window is a Llama")
{
    const checkpoint_copy copy(data / "f32_tied");
    copy.change_config([](json::object& config) {
        config["architectures"] = json::array{"MistralForCausalLM"};
        config["sliding_window"] = nullptr;
    });
    CHECK(complaint(copy.path()) == "");
}

TEST_CASE("llama: config.json in our words")
{
    const llama::config c = llama::read_config(data / "bf16_sharded" / "config.json");
    CHECK(c.vocab == 97);
    CHECK(c.hidden == 48);
    CHECK(c.layers == 3);
    CHECK(c.heads == 6);
    CHECK(c.kv_heads == 2);
    CHECK(c.head_dim == 8);
    CHECK(c.kv_width() == 16);
    CHECK(c.intermediate == 80);
    CHECK(c.max_positions == 512);
    CHECK_FALSE(c.tied);
    CHECK(c.rope.type == llama::rope_type::plain);
    CHECK(c.eos == std::vector<std::uint32_t>{3, 5});

    const llama::config scaled = llama::read_config(data / "f16_llama3" / "config.json");
    CHECK(scaled.rope.type == llama::rope_type::llama3);
    CHECK(scaled.rope.factor == 8);
    CHECK(scaled.rope.original_positions == 64);
    CHECK(scaled.head_dim == 16);
    CHECK(scaled.tied);
    CHECK(scaled.eos.empty());
}

TEST_CASE("llama: missing and unreadable files are named")
{
    CHECK_NAMES(complaint(data / "absent"), "absent/config.json: ", "No such file");

    const checkpoint_copy copy(data / "f32_tied");
    write_file(copy.path() / "config.json", "{\"vocab_size\": ");
    CHECK_NAMES(complaint(copy.path()), "config.json: ", "not a JSON object");
    write_file(copy.path() / "config.json", "");
    CHECK_NAMES(complaint(copy.path()), "config.json: ", "empty");
    fs::copy(data / "f32_tied" / "config.json", copy.path(), fs::copy_options::overwrite_existing);
    CHECK(complaint(copy.path()) == "");
    fs::remove(copy.path() / "model.safetensors");
    CHECK_NAMES(complaint(copy.path()), "model.safetensors: ", "No such file");
    fs::create_directory(copy.path() / "model.safetensors");
    CHECK_NAMES(complaint(copy.path()), "model.safetensors: ", "not a file");
}

TEST_CASE("llama: a safetensors file cut off anywhere is an error")
{
    const checkpoint_copy copy(data / "f32_tied");
    const fs::path file = copy.path() / "model.safetensors";
    const std::string whole = read_file(file);
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{100},
                             whole.size() / 2, whole.size() - 1}) {
        CAPTURE(size);
        write_file(file, whole.substr(0, size));
        CHECK_NAMES(complaint(copy.path()), "model.safetensors: ", size == 0 ? "empty" : "truncated");
    }
    write_file(file, whole + "x");
    CHECK_NAMES(complaint(copy.path()), "model.safetensors: ", "bytes behind the last tensor");
}

TEST_CASE("llama: a hostile safetensors header is an error")
{
    const std::string name = "model.layers.1.mlp.up_proj.weight";
    const auto entry = [&](safetensors& s) -> json::object& { return s.header.at(name).as_object(); };
    const auto offsets = [&](safetensors& s) -> json::array& {
        return entry(s).at("data_offsets").as_array();
    };
    const struct {
        std::function<void(safetensors&)> change;
        const char* cause;
    } cases[] = {
        {[&](safetensors& s) { s.header.erase(name); }, "gap"},
        {[&](safetensors& s) { entry(s).erase("dtype"); }, "lacks dtype, shape or data_offsets"},
        {[&](safetensors& s) { s.header[name] = 1; }, "lacks dtype, shape or data_offsets"},
        {[&](safetensors& s) { offsets(s).pop_back(); }, "lacks dtype, shape or data_offsets"},
        {[&](safetensors& s) { offsets(s)[1] = s.data.size() + 1; }, "ends behind the file"},
        {[&](safetensors& s) {
             offsets(s) = {UINT64_MAX - 1, UINT64_MAX};
         },
         "ends behind the file"},
        {[&](safetensors& s) { std::swap(offsets(s)[0], offsets(s)[1]); }, "ends behind the file"},
        {[&](safetensors& s) { offsets(s)[0] = -4; }, "no unsigned integer"},
        {[&](safetensors& s) { offsets(s)[0] = 0.0; }, "no unsigned integer"},
        {[&](safetensors& s) {
             offsets(s) = {0, 24576};
         },
         "overlap or leave a gap"},
        {[&](safetensors& s) {
             entry(s)["shape"] = json::array{64, 96};
         },
         "has shape [64, 96], config.json needs [96, 64]"},
        {[&](safetensors& s) { entry(s)["shape"] = json::array{6144}; }, "has shape [6144]"},
        {[&](safetensors& s) { entry(s)["dtype"] = "F64"; }, "has type F64; BF16, F16 and F32 are supported"},
        {[&](safetensors& s) { entry(s)["dtype"] = "BF16"; }, "its shape needs"},
        {[&](safetensors& s) {
             json::value moved = s.header.at(name);
             s.header.erase(name);
             s.header["other"] = moved;
         },
         "tensor 'model.layers.1.mlp.up_proj.weight' is missing"},
    };
    for (const auto& one : cases) {
        CAPTURE(one.cause);
        const checkpoint_copy copy(data / "f32_tied");
        safetensors s(copy.path() / "model.safetensors");
        one.change(s);
        s.write(copy.path() / "model.safetensors");
        CHECK_NAMES(complaint(copy.path()), copy.path().string(), one.cause);
    }

    const checkpoint_copy copy(data / "f32_tied");
    std::string bytes = read_file(copy.path() / "model.safetensors");
    for (std::size_t i = 0; i < 8; ++i)
        bytes[i] = '\xff';
    write_file(copy.path() / "model.safetensors", bytes);
    CHECK_NAMES(complaint(copy.path()), "model.safetensors: ", "the header of 18446744073709551615 bytes");
    write_file(copy.path() / "model.safetensors", std::string("\4\0\0\0\0\0\0\0nope", 12));
    CHECK_NAMES(complaint(copy.path()), "model.safetensors: ", "the header is no JSON object");
}

TEST_CASE("llama: extents whose product overflows do not pass for an empty tensor")
{
    const checkpoint_copy copy(data / "f32_tied");
    copy.change_config([](json::object& config) {
        config["num_attention_heads"] = 1 << 24;
        config["num_key_value_heads"] = 1 << 24;
        config["head_dim"] = 1 << 24;
        config["hidden_size"] = 1 << 16;
        config["intermediate_size"] = 1;
        config["num_hidden_layers"] = 1;
        config["vocab_size"] = 1;
    });
    const std::uint64_t heads = std::uint64_t{1} << 48, hidden = 1 << 16;
    safetensors s(copy.path() / "model.safetensors");
    s.header.clear();
    s.data.assign(3 * 2 * hidden, '\0');
    const auto add = [&](const char* name, json::array shape, std::uint64_t begin, std::uint64_t end) {
        s.header[name] =
            json::object{{"dtype", "BF16"}, {"shape", shape}, {"data_offsets", json::array{begin, end}}};
    };
    add("model.embed_tokens.weight", {1, hidden}, 0, 2 * hidden);
    add("model.norm.weight", {hidden}, 2 * hidden, 4 * hidden);
    add("model.layers.0.input_layernorm.weight", {hidden}, 4 * hidden, 6 * hidden);
    add("model.layers.0.self_attn.q_proj.weight", {heads, hidden}, 6 * hidden, 6 * hidden); // 2^64 elements
    s.write(copy.path() / "model.safetensors");
    CHECK_NAMES(complaint(copy.path()), "model.safetensors: ", "fewer bytes than its shape needs");
}

TEST_CASE("llama: shards are files of the directory, all there, each tensor once")
{
    const checkpoint_copy copy(data / "bf16_sharded");
    const fs::path index = copy.path() / "model.safetensors.index.json";
    const json::object good = read_json(index);
    const auto with_file = [&](const char* file) {
        json::object bad = good;
        bad.at("weight_map").as_object()["model.norm.weight"] = file;
        write_file(index, json::serialize(bad));
        return complaint(copy.path());
    };
    CHECK_NAMES(with_file("../secret.safetensors"), "index.json: ", "no .safetensors file of this directory");
    CHECK_NAMES(with_file("config.json"), "index.json: ", "no .safetensors file of this directory");
    CHECK_NAMES(with_file("absent.safetensors"), "absent.safetensors: ", "No such file");
    write_file(index, "{}");
    CHECK_NAMES(complaint(copy.path()), "index.json: ", "not JSON with a weight_map");
    write_file(index, json::serialize(good));
    CHECK(complaint(copy.path()) == "");

    const fs::path second = copy.path() / "model-00002-of-00004.safetensors";
    fs::copy(second, copy.path() / "twin.safetensors");
    CHECK_NAMES(with_file("twin.safetensors"), "twin.safetensors: ", "is there twice");
    write_file(index, json::serialize(good));
    fs::remove(second);
    CHECK_NAMES(complaint(copy.path()), "model-00002-of-00004.safetensors: ", "No such file");
}

TEST_CASE("llama: the fingerprint is that of the bytes, wherever they lie")
{
    const std::string original = llama::model::load(data / "f32_tied").fingerprint();
    CHECK(original.size() == 32);
    CHECK(original.find_first_not_of("0123456789abcdef") == std::string::npos);
    const checkpoint_copy copy(data / "f32_tied");
    CHECK(llama::model::load(copy.path()).fingerprint() == original);

    std::string bytes = read_file(copy.path() / "model.safetensors");
    bytes.back() ^= 1;
    write_file(copy.path() / "model.safetensors", bytes);
    CHECK(llama::model::load(copy.path()).fingerprint() != original);
    bytes.back() ^= 1;
    write_file(copy.path() / "model.safetensors", bytes);
    copy.change_config([](json::object& config) { config["rms_norm_eps"] = 1e-6; });
    CHECK(llama::model::load(copy.path()).fingerprint() != original);
}

} // namespace
