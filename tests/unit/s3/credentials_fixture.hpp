// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <unistd.h>

namespace credentials_fixture {

/** An environment without any AWS variable, restored at the end; and a home of its own. */
class clean_environment {
public:
    clean_environment()
    {
        for (char** entry = environ; *entry; ++entry) {
            const std::string line(*entry);
            if (line.starts_with("AWS_") || line.starts_with("HOME="))
                kept_[line.substr(0, line.find('='))] = line.substr(line.find('=') + 1);
        }
        for (const auto& [name, value] : kept_)
            ::unsetenv(name.c_str());
        home_ = std::filesystem::temp_directory_path() /
                ("objectcache-credentials-" + std::to_string(::getpid()));
        std::filesystem::create_directories(home_ / ".aws");
        set("HOME", home_.string());
    }
    clean_environment(const clean_environment&) = delete;
    ~clean_environment()
    {
        for (const auto& [name, value] : set_)
            ::unsetenv(name.c_str());
        for (const auto& [name, value] : kept_)
            ::setenv(name.c_str(), value.c_str(), 1);
        std::filesystem::remove_all(home_);
    }
    void set(const std::string& name, const std::string& value)
    {
        set_[name] = value;
        ::setenv(name.c_str(), value.c_str(), 1);
    }
    std::filesystem::path write(const std::string& name, const std::string& text)
    {
        const auto file = home_ / ".aws" / name;
        std::ofstream(file, std::ios::binary) << text;
        return file;
    }
    /** A program for `credential_process`. */
    std::filesystem::path script(const std::string& name, const std::string& text)
    {
        const auto file = write(name, "#!/bin/sh\n" + text);
        std::filesystem::permissions(file, std::filesystem::perms::owner_all);
        return file;
    }

private:
    std::map<std::string, std::string> kept_, set_;
    std::filesystem::path home_;
};

inline bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != text.npos;
}

} // namespace credentials_fixture
