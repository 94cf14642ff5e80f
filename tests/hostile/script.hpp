// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/deadline.hpp>
#include <objectcache/core/result.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/** One misbehaviour of a server, as a text file says it: README.md describes the language. reader.hpp reads it. */
namespace hostile {

using objectcache::byte_range;
using objectcache::condition;
using objectcache::duration;

constexpr std::uint64_t for_ever = ~std::uint64_t(0);

enum class verb {
    handshake,    ///< `word`: the certificate
    read,         ///< a request with `texts` in its head; `word` "head" or "body": only that part
    respond,      ///< honestly; with the error `status` `word`; or `status` and `texts[0]` `count` times
    head,         ///< only the head of the honest answer
    body,         ///< the next `count` bytes of its body; `size` bytes every `every`
    send,         ///< `texts[0]`, `count` times
    raw,          ///< the same below TLS
    wait,         ///< `every`
    replace,      ///< another object takes the place of the first
    stall,        ///< silence, until the operation is over
    fin,          ///< the end of what the server sends; no close_notify
    close_notify, ///< the end as TLS says it
    reset,        ///< a TCP reset
    again         ///< from the block's beginning, `count` times more
};

/** What a step does to one header of an honest answer. */
struct field_change {
    enum class kind { set, add, remove } what = kind::set;
    std::string text; ///< "Name: value", or the name
};

struct step {
    int line = 0;
    verb what = verb::stall;
    unsigned status = 0;
    std::string word;
    std::vector<std::string> texts;
    std::vector<field_change> fields;
    std::uint64_t count = 0;
    std::uint64_t size = 0;
    duration every{};
    std::optional<std::chrono::seconds> ahead; ///< of the first request's time: when the request was signed
};

/** The life of `times` connections in a row. */
struct connection_block {
    std::uint64_t times = 1;
    std::vector<step> steps;
};

struct operation {
    enum class kind { get_range, get, head, put, list, remove } what = kind::get;
    byte_range range = {};
    std::uint64_t size = 0;  ///< of a body to put
    std::uint64_t times = 1; ///< one after the other

    std::vector<std::optional<condition>> outcomes; ///< any of them; nothing in one means success
    std::string message;                            ///< has to be part of the status' message
    std::string etag;                               ///< of the object read, unless empty
};

/** A number, or a bound of one. */
struct bound {
    std::uint64_t least = 0;
    std::uint64_t most = for_ever;

    [[nodiscard]] bool contains(std::uint64_t n) const noexcept { return n >= least && n <= most; }
};

struct script {
    std::string name;
    std::string about;
    std::vector<operation> operations;
    std::optional<duration> until = std::chrono::seconds(2); ///< of each operation; none: the client's own
    bound requests;
    bound connections{1, for_ever};
    std::uint64_t idle = 0; ///< connections kept after a failure
    bool tls = false;
    bool refuse = false;                  ///< nobody listens
    std::vector<connection_block> blocks; ///< connections beyond them are served honestly
};

/** "ok", or the condition's name. */
[[nodiscard]] inline std::string name_of(const std::optional<condition>& outcome)
{
    return outcome ? make_error_condition(*outcome).message() : "ok";
}

} // namespace hostile
