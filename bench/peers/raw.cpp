// SPDX-License-Identifier: BSL-1.0
//
// The bound: the same bytes on the wire with as little work as the kernel's socket interface allows. Requests are signed before
// the clock starts; of an answer only the status and the end of its head are looked at; nothing is bounded in time or cancelled,
// and nothing verified unless that is asked for. A single connection is read by blocking calls, several by epoll. Over TLS: OpenSSL on the socket itself.

#include "../support/load.hpp"
#include "../support/slices.hpp"

#include <objectcache/s3/request.hpp>

#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <system_error>

namespace oc = objectcache;

namespace {

[[noreturn]] void fail(const char* what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

struct setup {
    oc::s3::endpoint where;
    std::vector<std::string> heads; // signed, one per object
    SSL_CTX* tls = nullptr;
    bool put = false;
    bool ktls = false;
    bench::slice_hashes expected; // none: nothing is verified
};

class connection {
public:
    connection(const setup& how, bool blocking, oc::byte_span memory) : how_(how), memory_(memory)
    {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(how.where.port);
        if (inet_pton(AF_INET, how.where.host.c_str(), &to.sin_addr) != 1)
            throw std::runtime_error(how.where.host + " is no IPv4 address");
        fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd_ < 0 || ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0)
            fail("connect");
        const int on = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (how.tls) {
            tls_ = SSL_new(how.tls);
            SSL_set_fd(tls_, fd_);
            if (SSL_connect(tls_) != 1)
                throw std::runtime_error("the TLS handshake failed");
            if (how.ktls && !BIO_get_ktls_recv(SSL_get_rbio(tls_)))
                throw std::runtime_error("no kTLS");
        }
        if (!blocking && ::fcntl(fd_, F_SETFL, O_NONBLOCK) != 0)
            fail("fcntl");
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection()
    {
        SSL_free(tls_);
        ::close(fd_);
    }

    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] bool is_sending() const noexcept
    {
        return head_sent_ < head_->size() || body_to_send_ != 0;
    }
    [[nodiscard]] bench::clock::time_point began() const noexcept { return began_; }

    void begin(unsigned object)
    {
        if (!how_.expected.empty())
            verifier_.emplace(how_.expected, object, memory_);
        began_ = bench::clock::now();
        head_ = &how_.heads[object];
        head_sent_ = 0;
        body_to_send_ = how_.put ? memory_.size() : 0;
        answer_ = 0;
        body_to_come_ = 0;
        in_body_ = false;
    }

    /** As far as it goes without waiting, or on a blocking socket to the end.

        @returns Is the exchange over? */
    [[nodiscard]] bool advance()
    {
        while (head_sent_ < head_->size()) {
            const auto n = send(head_->data() + head_sent_, head_->size() - head_sent_);
            if (n == 0)
                return false;
            head_sent_ += n;
        }
        while (body_to_send_ != 0) {
            const auto n = send(memory_.data() + (memory_.size() - body_to_send_), body_to_send_);
            if (n == 0)
                return false;
            body_to_send_ -= n;
        }
        while (!in_body_) {
            const auto n = receive(scratch_.data() + answer_, scratch_.size() - answer_);
            if (n == 0)
                return false;
            answer_ += n;
            look_at_head();
        }
        while (body_to_come_ != 0) {
            // In pieces that the processor's cache still holds when they are looked at.
            const auto n = receive(memory_.data() + (memory_.size() - body_to_come_),
                                   verifier_ ? std::min(body_to_come_, piece) : body_to_come_);
            if (n == 0)
                return false;
            body_to_come_ -= n;
            if (verifier_)
                verifier_->arrived(memory_.size() - body_to_come_);
        }
        if (verifier_ && !verifier_->is_right())
            throw std::runtime_error("not what was stored");
        return true;
    }

private:
    static constexpr std::size_t piece = bench::slice_bytes;

    void look_at_head()
    {
        const std::string_view text(scratch_.data(), answer_);
        const auto end = text.find("\r\n\r\n");
        if (end == text.npos) {
            if (answer_ == scratch_.size())
                throw std::runtime_error("a response head of more than 4 KiB");
            return;
        }
        if (!text.starts_with("HTTP/1.1 20"))
            throw std::runtime_error(std::string(text));
        in_body_ = true;
        if (how_.put)
            return;
        const std::string_view body = text.substr(end + 4);
        if (body.size() > memory_.size())
            throw std::runtime_error("more than was asked for");
        std::memcpy(memory_.data(), body.data(), body.size());
        body_to_come_ = memory_.size() - body.size();
        if (verifier_)
            verifier_->arrived(body.size());
    }

    /** @returns 0: it would have to wait. */
    std::size_t receive(void* to, std::size_t size)
    {
        std::size_t tls_size = 0;
        if (tls_)
            return moved(SSL_read_ex(tls_, to, size, &tls_size) == 1 ? static_cast<ssize_t>(tls_size) : 0);
        return moved(::recv(fd_, to, size, 0));
    }

    std::size_t send(const void* from, std::size_t size)
    {
        std::size_t tls_size = 0;
        if (tls_)
            return moved(SSL_write_ex(tls_, from, size, &tls_size) == 1 ? static_cast<ssize_t>(tls_size) : 0);
        return moved(::send(fd_, from, size, MSG_NOSIGNAL));
    }

    [[nodiscard]] std::size_t moved(ssize_t n) const
    {
        if (n > 0)
            return static_cast<std::size_t>(n);
        if (tls_) {
            if (const int why = SSL_get_error(tls_, 0);
                why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
                return 0;
        } else if (n < 0 && errno == EAGAIN) {
            return 0;
        }
        throw std::runtime_error("the connection was lost");
    }

    const setup& how_;
    oc::byte_span memory_;
    int fd_ = -1;
    SSL* tls_ = nullptr;
    const std::string* head_ = nullptr;
    std::size_t head_sent_ = 0, body_to_send_ = 0, answer_ = 0, body_to_come_ = 0;
    bool in_body_ = false;
    std::optional<bench::slice_verifier> verifier_;
    bench::clock::time_point began_;
    std::array<char, 4096> scratch_;
};

class client {
public:
    client(const bench::load& what, unsigned thread, const setup& how)
        : next_(what, thread)
        , memory_(what.lanes(thread), what.size)
        , epoll_(::epoll_create1(EPOLL_CLOEXEC))
    {
        const unsigned lanes = what.lanes(thread);
        for (unsigned i = 0; i < lanes; ++i) {
            connections_.push_back(std::make_unique<connection>(how, lanes == 1, memory_[i]));
            watch(EPOLL_CTL_ADD, *connections_.back(), EPOLLIN);
        }
    }
    client(const client&) = delete;
    client& operator=(const client&) = delete;
    ~client()
    {
        connections_.clear();
        ::close(epoll_);
    }

    void run(bench::clock::time_point until, bench::tally& out)
    {
        if (connections_.size() == 1) {
            connection& only = *connections_.front();
            while (bench::clock::now() < until) {
                only.begin(next_());
                static_cast<void>(only.advance());
                out.add(only.began());
            }
            return;
        }
        active_ = connections_.size();
        for (auto& one : connections_) {
            one->begin(next_());
            advance(*one, until, out);
        }
        std::array<epoll_event, 64> events;
        while (active_ != 0) {
            const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 10'000);
            if (n <= 0)
                fail("epoll_wait");
            for (int i = 0; i < n; ++i)
                advance(*static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr), until, out);
        }
    }

private:
    void watch(int operation, connection& which, std::uint32_t events)
    {
        epoll_event event{};
        event.events = events;
        event.data.ptr = &which;
        if (::epoll_ctl(epoll_, operation, which.fd(), &event) != 0)
            fail("epoll_ctl");
    }

    void advance(connection& which, bench::clock::time_point until, bench::tally& out)
    {
        const bool was_sending = which.is_sending();
        while (which.advance()) {
            out.add(which.began());
            if (bench::clock::now() >= until) {
                --active_;
                break;
            }
            which.begin(next_());
        }
        if (which.is_sending() || was_sending) // rare: a request head always fits
            watch(EPOLL_CTL_MOD, which, which.is_sending() ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }

    bench::turn next_;
    bench::buffers memory_;
    int epoll_;
    std::vector<std::unique_ptr<connection>> connections_;
    std::size_t active_ = 0;
};

/** What objectcache's client would send. */
std::vector<std::string> sign_all(const bench::load& what, const oc::s3::endpoint& where, bool put)
{
    const auto who = oc::s3::credentials::from_env();
    oc::s3::signer with(where.region);
    std::vector<std::string> heads;
    for (unsigned i = 0; i < what.objects; ++i) {
        const std::string key = (put ? "put/" : "") + what.key(i);
        oc::s3::request request;
        request.bucket = what.bucket;
        request.key = key;
        if (put) {
            request.method = "PUT";
            request.content_length = what.size;
            request.payload = oc::s3::unsigned_payload;
        } else {
            request.range = oc::byte_range{0, what.size};
        }
        auto head = serialize(request, where, who ? *who : oc::s3::credentials::anonymous(), with,
                              std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
        if (!head)
            throw std::runtime_error(head.error().message());
        heads.push_back(std::move(*head));
    }
    return heads;
}

} // namespace

int main(int argc, char** argv)
{
    bench::load what;
    setup how;
    CLI::App app("Reads or writes objects with bare sockets");
    what.add_to(app);
    std::string directory;
    app.add_flag("--put", how.put, "write");
    app.add_option("--verify", directory,
                   "check every slice (XXH3) against the objects as files in this directory");
    app.add_flag("--ktls", how.ktls,
                 "decrypt in the kernel, or fail; TLS 1.2, as OpenSSL 3.0 does so for no later one");
    CLI11_PARSE(app, argc, argv);
    return bench::guarded([&] {
        const auto where = oc::s3::endpoint::parse(what.url);
        if (!where)
            throw std::runtime_error(where.error().message());
        how.where = *where;
        if (!directory.empty())
            how.expected = bench::hashes_of_files(what, directory);
        how.heads = sign_all(what, *where, how.put);
        if (where->tls) {
            how.tls = SSL_CTX_new(TLS_client_method());
            SSL_CTX_set_verify(how.tls, SSL_VERIFY_PEER, nullptr);
            SSL_CTX_set_mode(how.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
            if (how.ktls) {
                SSL_CTX_set_options(how.tls, SSL_OP_ENABLE_KTLS);
                SSL_CTX_set_max_proto_version(how.tls, TLS1_2_VERSION);
            }
            if (SSL_CTX_load_verify_file(how.tls, what.ca_file.c_str()) != 1)
                throw std::runtime_error("cannot read " + what.ca_file);
        }
        const int status = bench::measure<client>(what, how);
        SSL_CTX_free(how.tls);
        return status;
    });
}
