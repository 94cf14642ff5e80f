// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/core/error.hpp>

namespace objectcache {

namespace detail {

class error_category_impl final : public std::error_category {
public:
    const char* name() const noexcept override { return "objectcache"; }
    std::string message(int value) const override
    {
        switch (static_cast<errc>(value)) {
        case errc::cancelled:
            return "cancelled";
        case errc::deadline_exceeded:
            return "deadline exceeded";
        case errc::not_found:
            return "not found";
        case errc::already_exists:
            return "already exists";
        case errc::access_denied:
            return "access denied";
        case errc::no_credentials:
            return "no credentials";
        case errc::unreachable:
            return "unreachable";
        case errc::connection_lost:
            return "connection lost";
        case errc::tls_failed:
            return "TLS failed";
        case errc::throttled:
            return "throttled by the store";
        case errc::server_error:
            return "error of the store";
        case errc::unexpected_status:
            return "unexpected HTTP status";
        case errc::malformed_response:
            return "malformed response";
        case errc::length_mismatch:
            return "length mismatch";
        case errc::checksum_mismatch:
            return "checksum mismatch";
        case errc::wrong_chunk:
            return "bytes of another chunk, layer or scope";
        case errc::unknown_version:
            return "unknown format version";
        case errc::wrong_geometry:
            return "wrong KV geometry";
        case errc::invalid_argument:
            return "invalid argument";
        case errc::exhausted:
            return "resource exhausted";
        case errc::device_failed:
            return "device failed";
        case errc::shut_down:
            return "shut down";
        }
        return "unknown objectcache error";
    }
};

class condition_category_impl final : public std::error_category {
public:
    using std::error_category::equivalent; // the other direction is as inherited; nvcc warns if it is hidden
    const char* name() const noexcept override { return "objectcache.condition"; }
    std::string message(int value) const override
    {
        switch (static_cast<condition>(value)) {
        case condition::cancelled:
            return "cancelled";
        case condition::timeout:
            return "timeout";
        case condition::absent:
            return "absent";
        case condition::denied:
            return "denied";
        case condition::unavailable:
            return "unavailable";
        case condition::corrupt:
            return "corrupt";
        case condition::invalid:
            return "invalid";
        case condition::exhausted:
            return "exhausted";
        case condition::device:
            return "device";
        }
        return "unknown objectcache condition";
    }
    bool equivalent(const error_code& code, int value) const noexcept override
    {
        if (code.category() == objectcache::error_category())
            return of(static_cast<errc>(code.value())) == static_cast<condition>(value);
        switch (static_cast<condition>(value)) {
        case condition::cancelled:
            return code == std::errc::operation_canceled;
        case condition::timeout:
            return code == std::errc::timed_out;
        case condition::unavailable:
            return code == std::errc::connection_refused || code == std::errc::connection_reset ||
                   code == std::errc::connection_aborted || code == std::errc::broken_pipe ||
                   code == std::errc::host_unreachable || code == std::errc::network_unreachable ||
                   code == std::errc::not_connected;
        case condition::denied:
            return code == std::errc::permission_denied || code == std::errc::operation_not_permitted;
        case condition::absent:
            return code == std::errc::no_such_file_or_directory;
        case condition::invalid:
            return code == std::errc::invalid_argument;
        case condition::exhausted:
            return code == std::errc::not_enough_memory || code == std::errc::no_buffer_space ||
                   code == std::errc::too_many_files_open || code == std::errc::no_space_on_device;
        default:
            return false;
        }
    }

private:
    static condition of(errc e) noexcept
    {
        switch (e) {
        case errc::cancelled:
        case errc::shut_down:
            return condition::cancelled;
        case errc::deadline_exceeded:
            return condition::timeout;
        case errc::not_found:
            return condition::absent;
        case errc::access_denied:
        case errc::no_credentials:
            return condition::denied;
        case errc::unreachable:
        case errc::connection_lost:
        case errc::tls_failed:
        case errc::throttled:
        case errc::server_error:
        case errc::unexpected_status:
            return condition::unavailable;
        case errc::malformed_response:
        case errc::length_mismatch:
        case errc::checksum_mismatch:
        case errc::wrong_chunk:
        case errc::unknown_version:
        case errc::wrong_geometry:
            return condition::corrupt;
        case errc::already_exists:
        case errc::invalid_argument:
            return condition::invalid;
        case errc::exhausted:
            return condition::exhausted;
        case errc::device_failed:
            return condition::device;
        }
        return condition::invalid;
    }
};

} // namespace detail

// A category is compared by address: the one static per program that the standard's design demands.
OBJECTCACHE_DECL const std::error_category& error_category() noexcept
{
    static const detail::error_category_impl instance;
    return instance;
}

OBJECTCACHE_DECL const std::error_category& condition_category() noexcept
{
    static const detail::condition_category_impl instance;
    return instance;
}

OBJECTCACHE_DECL error_code make_error_code(errc e) noexcept
{
    return {static_cast<int>(e), error_category()};
}

OBJECTCACHE_DECL std::error_condition make_error_condition(condition c) noexcept
{
    return {static_cast<int>(c), condition_category()};
}

OBJECTCACHE_DECL std::string status::message() const
{
    if (ok())
        return {};
    if (detail_.empty())
        return code_.message();
    return detail_ + ": " + code_.message();
}

} // namespace objectcache
