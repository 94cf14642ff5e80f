// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/credentials.hpp>
#include <objectcache/testing/certificate.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <stdexcept>
#include <string>
#include <utility>

namespace bench {

/** The test kit's S3 server in a process of its own, so that its CPU time is not the client's. To be made before any
    thread is. */
class server_process {
public:
    struct options {
        unsigned threads = 1;
        std::string bucket;
        bool tls = false;
        double mbit = 0;     ///< of its link; 0: unlimited
        int send_buffer = 0; ///< bytes of each connection, in the kernel; 0: the system's choice
    };

    explicit server_process(const options& how)
    {
        objectcache::testing::s3_server_options server;
        server.threads = how.threads;
        server.buckets = {how.bucket};
        server.log_entries = 0;
        server.send_buffer_bytes = how.send_buffer;
        if (how.tls) {
            auto made = objectcache::testing::self_signed_certificate("127.0.0.1");
            if (!made)
                throw std::runtime_error(made.error().message());
            server.tls = *made;
            save(made->certificate_pem);
        }
        int answer[2], life[2];
        if (::pipe(answer) != 0 || ::pipe(life) != 0)
            throw std::runtime_error("pipe");
        child_ = ::fork();
        if (child_ == 0) {
            ::close(answer[0]);
            ::close(life[1]);
            serve(server, how.mbit, answer[1], life[0]);
        }
        ::close(answer[1]);
        ::close(life[0]);
        life_ = life[1];
        char url[64] = {};
        const auto n = ::read(answer[0], url, sizeof url - 1);
        ::close(answer[0]);
        if (child_ < 0 || n <= 0)
            throw std::runtime_error("the server does not start");
        url_.assign(url, static_cast<std::size_t>(n));
        who_ = server.credentials;
    }
    server_process(const server_process&) = delete;
    server_process& operator=(const server_process&) = delete;
    ~server_process()
    {
        ::close(life_); // it sees that, as it does when we crash
        ::waitpid(child_, nullptr, 0);
        if (!ca_file_.empty())
            std::remove(ca_file_.c_str());
    }

    [[nodiscard]] const std::string& url() const noexcept { return url_; }
    [[nodiscard]] const std::string& ca_file() const noexcept { return ca_file_; }
    [[nodiscard]] const objectcache::s3::credentials& credentials() const noexcept { return who_; }
    /** Seconds of CPU that it has used so far. */
    [[nodiscard]] double cpu() const
    {
        clockid_t id{};
        timespec used{};
        if (::clock_getcpuclockid(child_, &id) != 0 || ::clock_gettime(id, &used) != 0)
            return 0;
        return static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
    }

private:
    [[noreturn]] static void serve(const objectcache::testing::s3_server_options& how, double mbit,
                                   int answer, int life)
    {
        {
            auto server = objectcache::testing::s3_server::start(how);
            if (!server)
                ::_exit(1);
            const auto rate = static_cast<std::uint64_t>(mbit * 1e6 / 8);
            server->set_bandwidth(rate, 0);
            const std::string url = server->endpoint_url();
            if (::write(answer, url.data(), url.size()) < 0)
                ::_exit(1);
            ::close(answer);
            char nothing = 0;
            while (::read(life, &nothing, 1) > 0) {
            }
        }
        ::_exit(0);
    }
    void save(const std::string& pem)
    {
        char name[] = "/tmp/tier_read_XXXXXX";
        const int fd = ::mkstemp(name);
        if (fd < 0 || ::write(fd, pem.data(), pem.size()) != static_cast<ssize_t>(pem.size()))
            throw std::runtime_error("no room for a certificate in /tmp");
        ::close(fd);
        ca_file_ = name;
    }

    pid_t child_ = -1;
    int life_ = -1;
    std::string url_, ca_file_;
    objectcache::s3::credentials who_;
};

} // namespace bench
