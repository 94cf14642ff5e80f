// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "../s3_session.hpp"

#include <string>

/** What the user asks for. */
struct arguments : s3_settings {
    std::string command;
    place at;          ///< bucket and key prefix of the cache; for `stat` an object's key
    std::string scope; ///< 32 hex digits, or empty: all of them
    bool json = false;
    bool remove = false;
    double grace_seconds = 3600, settle_seconds = 60;

    /** Ends the process after --help or a command line that makes no sense. */
    void parse(int argc, char** argv);
};
