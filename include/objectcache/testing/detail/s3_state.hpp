// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/detail/s3_answer.hpp>
#include <objectcache/testing/detail/s3_multipart.hpp>
#include <objectcache/testing/detail/s3_objects.hpp>
#include <objectcache/testing/detail/shaped_link.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace objectcache::testing::detail {

/** What all connections of a server share.

    @par Threads Any. */
class s3_state {
public:
    explicit s3_state(s3_server_options given) : options(std::move(given)) {}

    const s3_server_options options;
    object_store store;
    multipart_store uploads;
    shaped_link down; // to the client
    shaped_link up;
    std::atomic<std::int64_t> latency_ns{0};
    std::atomic<std::int64_t> clock_offset_s{0};
    std::atomic<std::uint64_t> connections{0};
    std::atomic<std::uint64_t> bytes_in{0};
    std::atomic<std::uint64_t> bytes_out{0};

    [[nodiscard]] system_time now() const
    {
        return std::chrono::system_clock::now() +
               std::chrono::seconds(clock_offset_s.load(std::memory_order_relaxed));
    }

    /** Numbers the request and asks the responder. */
    [[nodiscard]] s3_fault begin(s3_request& request)
    {
        const std::lock_guard hold(responder_lock_);
        request.number = ++begun_;
        return responder_ ? responder_(request) : s3_fault();
    }

    void set_responder(s3_responder responder)
    {
        const std::lock_guard hold(responder_lock_);
        responder_.swap(responder);
    }

    void end(s3_log_entry entry)
    {
        if (options.on_request)
            options.on_request(entry);
        const std::lock_guard hold(log_lock_);
        count(entry);
        if (options.log_entries == 0)
            return;
        if (log_.size() == options.log_entries)
            log_.pop_front();
        log_.push_back(std::move(entry));
    }

    [[nodiscard]] std::vector<s3_log_entry> log() const
    {
        const std::lock_guard hold(log_lock_);
        return {log_.begin(), log_.end()};
    }

    void clear_log()
    {
        const std::lock_guard hold(log_lock_);
        log_.clear();
    }

    [[nodiscard]] s3_server_stats stats() const
    {
        const std::lock_guard hold(log_lock_);
        s3_server_stats out = ended_;
        out.connections = connections.load(std::memory_order_relaxed);
        out.bytes_in = bytes_in.load(std::memory_order_relaxed);
        out.bytes_out = bytes_out.load(std::memory_order_relaxed);
        return out;
    }

private:
    void count(const s3_log_entry& entry)
    {
        const std::string& method = entry.request.method;
        const bool of_object = !entry.request.key.empty();
        ++ended_.requests;
        ended_.gets += method == "GET" && of_object;
        ended_.lists += method == "GET" && !of_object;
        ended_.heads += method == "HEAD";
        ended_.puts += method == "PUT" && of_object;
        ended_.deletes += method == "DELETE";
        ended_.errors_4xx += entry.status / 100 == 4;
        ended_.errors_5xx += entry.status / 100 == 5;
    }

    mutable std::mutex log_lock_;
    std::deque<s3_log_entry> log_;
    s3_server_stats ended_;

    std::mutex responder_lock_;
    s3_responder responder_;
    std::uint64_t begun_ = 0;
};

} // namespace objectcache::testing::detail
