// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

using steady = std::chrono::steady_clock;

[[nodiscard]] inline double quantile(std::vector<double> of, double q)
{
    if (of.empty())
        return 0;
    const auto at = static_cast<std::ptrdiff_t>(q * static_cast<double>(of.size() - 1) + 0.5);
    std::nth_element(of.begin(), of.begin() + at, of.end());
    return of[static_cast<std::size_t>(at)];
}

/** A line of JSON, of numbers and words. */
class json_line {
public:
    explicit json_line(std::string_view bench) { word("bench", bench); }
    json_line& word(std::string_view name, std::string_view value)
    {
        std::string quoted(1, '"'); // put together so, because g++ 12 warns of "..." + std::string()
        return put(name, quoted.append(value).append(1, '"'));
    }
    json_line& number(std::string_view name, double value)
    {
        char text[64];
        std::snprintf(text, sizeof text, "%.9g", value);
        return put(name, text);
    }
    /** Appends to a file, unless it has no name. */
    void append_to(const std::string& file) const
    {
        if (file.empty())
            return;
        std::ofstream out(file, std::ios::app);
        if (!(out << text_ << "}\n" << std::flush))
            throw std::runtime_error("cannot write " + file);
    }

private:
    json_line& put(std::string_view name, const std::string& value)
    {
        text_ += (text_.empty() ? "{\"" : ", \"") + std::string(name) + "\": " + value;
        return *this;
    }
    std::string text_;
};

} // namespace bench
