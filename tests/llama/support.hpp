// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "llama.hpp"

#include <boost/json.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <stdlib.h>

namespace llama_test {

namespace fs = std::filesystem;

inline const fs::path data = LLAMA_TEST_DATA;
inline const fs::path example = LLAMA_EXAMPLE;

inline std::string read_file(const fs::path& path)
{
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
}

inline void write_file(const fs::path& path, const std::string& bytes)
{
    std::ofstream(path, std::ios::binary) << bytes;
}

inline boost::json::object read_json(const fs::path& path)
{
    return boost::json::parse(read_file(path)).as_object();
}

/** A copy of a checkpoint directory that a test may spoil; removed with the object. */
class checkpoint_copy {
public:
    explicit checkpoint_copy(const fs::path& original)
    {
        std::string name = (fs::temp_directory_path() / "llama-test-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
        fs::copy(original, path_, fs::copy_options::recursive);
    }
    checkpoint_copy(const checkpoint_copy&) = delete;
    checkpoint_copy& operator=(const checkpoint_copy&) = delete;
    ~checkpoint_copy() { fs::remove_all(path_); }

    [[nodiscard]] const fs::path& path() const { return path_; }

    template <class Change>
    void change_config(Change change) const
    {
        boost::json::object config = read_json(path_ / "config.json");
        change(config);
        write_file(path_ / "config.json", boost::json::serialize(config));
    }

private:
    fs::path path_;
};

/** What loading says, "" if it succeeds. */
inline std::string complaint(const fs::path& directory)
{
    try {
        (void)llama::model::load(directory);
    } catch (const llama::error& e) {
        return e.what();
    }
    return "";
}

} // namespace llama_test
