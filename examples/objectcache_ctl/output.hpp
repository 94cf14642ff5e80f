// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/geometry.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <string_view>

/** One JSON object in one line: `json_line("scope").add("bytes", 12).print()`. */
class json_line {
public:
    explicit json_line(std::string_view type) { add("type", type); }

    json_line& add(std::string_view name, std::string_view text)
    {
        begin(name);
        quote(text);
        return *this;
    }
    json_line& add(std::string_view name, const char* text) { return add(name, std::string_view(text)); }
    json_line& add(std::string_view name, const std::string& text)
    {
        return add(name, std::string_view(text));
    }
    template <std::unsigned_integral T>
    json_line& add(std::string_view name, T number)
    {
        begin(name);
        if constexpr (std::same_as<T, bool>)
            text_ += number ? "true" : "false";
        else
            text_ += std::to_string(number);
        return *this;
    }
    template <class Strings>
    json_line& add_list(std::string_view name, const Strings& texts)
    {
        begin(name);
        char separator = '[';
        for (const auto& text : texts) {
            text_ += separator;
            quote(text);
            separator = ',';
        }
        text_ += separator == '[' ? "[]" : "]";
        return *this;
    }
    void print() const { std::printf("%s}\n", text_.c_str()); }

private:
    void begin(std::string_view name)
    {
        text_ += text_.empty() ? '{' : ',';
        quote(name);
        text_ += ':';
    }
    void quote(std::string_view text)
    {
        text_ += '"';
        for (const char c : text) {
            // A key may hold any byte. What is no ASCII goes as if it were Latin-1, so that the line is always JSON.
            const auto byte = static_cast<unsigned char>(c);
            if (c == '"' || c == '\\') {
                (text_ += '\\') += c;
            } else if (byte < 0x20 || byte >= 0x7f) {
                std::array<char, 8> escaped{};
                std::snprintf(escaped.data(), escaped.size(), "\\u%04x", byte);
                text_ += escaped.data();
            } else {
                text_ += c;
            }
        }
        text_ += '"';
    }

    std::string text_;
};

/** "1.5 MB" */
inline std::string size_text(std::uint64_t bytes)
{
    std::array<char, 32> out{};
    if (bytes < 1000)
        return std::to_string(bytes) + " B";
    double value = static_cast<double>(bytes);
    const char* unit = " kMGTPE";
    while (value >= 999.95) {
        value /= 1000;
        ++unit;
    }
    std::snprintf(out.data(), out.size(), "%.1f %cB", value, *unit);
    return out.data();
}

/** ISO 8601, to the second; empty if the store does not know it. */
inline std::string time_text(std::chrono::system_clock::time_point at)
{
    if (at == std::chrono::system_clock::time_point::max())
        return {};
    const std::time_t seconds = std::chrono::system_clock::to_time_t(at);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::array<char, 32> out{};
    std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
    return out.data();
}

/** "32 layers, 8 KV heads of 128 bf16, 64 tokens per chunk" */
inline std::string geometry_text(const objectcache::kv_geometry& g)
{
    std::string out = std::to_string(g.layers) + " layers, ";
    if (g.form == objectcache::kv_form::latent)
        out += "latent of ";
    else
        out += std::to_string(g.kv_heads) + " KV heads of ";
    return out + std::to_string(g.head_size) + ' ' + std::string(name(g.dtype)) + ", " +
           std::to_string(g.tokens_per_chunk) + " tokens per chunk";
}

inline json_line& add_geometry(json_line& line, const objectcache::kv_geometry& g)
{
    return line.add("layers", g.layers)
        .add("kv_heads", g.kv_heads)
        .add("head_size", g.head_size)
        .add("dtype", name(g.dtype))
        .add("form", name(g.form))
        .add("tokens_per_chunk", g.tokens_per_chunk)
        .add("slice_bytes", g.slice_bytes());
}
