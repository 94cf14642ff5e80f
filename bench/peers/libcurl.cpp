// SPDX-License-Identifier: BSL-1.0
//
// The same requests with libcurl's multi interface, as its documentation recommends: curl_multi_poll, handles and connections
// kept, bodies copied by the callbacks from and to where they belong. GETs are signed by libcurl itself. PUTs go to presigned
// URLs: with CURLOPT_AWS_SIGV4, 7.88 also signs the header "Expect:", which is how one tells it not to send that header.

#include "../support/load.hpp"

#include <objectcache/s3/presign.hpp>

#include <curl/curl.h>

#include <cstdlib>

namespace {

struct mode {
    bool put = false;
    bool sign = true;
    std::vector<std::string> urls; // one per object
};

class lane {
public:
    lane(const bench::load& what, const mode& how, objectcache::byte_span memory)
        : what_(what)
        , how_(how)
        , memory_(memory)
        , handle_(curl_easy_init())
    {
        set(CURLOPT_PRIVATE, this);
        set(CURLOPT_ERRORBUFFER, error_);
        set(CURLOPT_NOPROXY, "*");
        set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
        set(CURLOPT_BUFFERSIZE, 512L * 1024); // CURL_MAX_READ_SIZE
        set(CURLOPT_UPLOAD_BUFFERSIZE, 2L * 1024 * 1024);
        set(CURLOPT_FAILONERROR, 1L);
        set(CURLOPT_NOSIGNAL, 1L);
        if (!what.ca_file.empty())
            set(CURLOPT_CAINFO, what.ca_file.c_str());
        if (how.put) {
            set(CURLOPT_UPLOAD, 1L);
            set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(what.size));
            set(CURLOPT_READFUNCTION, &lane::read);
            set(CURLOPT_READDATA, this);
            headers_ = curl_slist_append(headers_, "Expect:");
        } else {
            range_ = "0-" + std::to_string(what.size - 1);
            set(CURLOPT_RANGE, range_.c_str());
        }
        set(CURLOPT_WRITEFUNCTION, &lane::write);
        set(CURLOPT_WRITEDATA, this);
        const char* id = std::getenv("AWS_ACCESS_KEY_ID");
        const char* secret = std::getenv("AWS_SECRET_ACCESS_KEY");
        if (how.sign && !how.put && id && secret) {
            set(CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:s3");
            set(CURLOPT_USERPWD, (std::string(id) + ":" + secret).c_str());
            headers_ = curl_slist_append(
                headers_, "x-amz-content-sha256: UNSIGNED-PAYLOAD"); // S3 wants it; 7.88 sends none
        }
        set(CURLOPT_HTTPHEADER, headers_);
    }
    lane(const lane&) = delete;
    lane& operator=(const lane&) = delete;
    ~lane()
    {
        curl_easy_cleanup(handle_);
        curl_slist_free_all(headers_);
    }

    void begin(CURLM* multi, unsigned object)
    {
        set(CURLOPT_URL, how_.urls[object].c_str());
        moved_ = 0;
        began_ = bench::clock::now();
        curl_multi_add_handle(multi, handle_);
    }

    /** @returns What went wrong. */
    [[nodiscard]] std::string end(CURLM* multi, CURLcode code, bench::tally& out)
    {
        curl_multi_remove_handle(multi, handle_);
        out.add(began_);
        if (code != CURLE_OK)
            return std::string(curl_easy_strerror(code)) + ": " + error_;
        return moved_ == what_.size ? "" : std::to_string(moved_) + " bytes instead of an object";
    }

private:
    template <class Value>
    void set(CURLoption option, Value value)
    {
        if (const CURLcode code = curl_easy_setopt(handle_, option, value); code != CURLE_OK)
            throw std::runtime_error(std::string("curl_easy_setopt: ") + curl_easy_strerror(code));
    }

    static std::size_t write(char* bytes, std::size_t one, std::size_t count, void* self)
    {
        lane& to = *static_cast<lane*>(self);
        if (to.how_.put || count > to.memory_.size() - to.moved_)
            return to.how_.put ? one * count : 0;
        std::memcpy(to.memory_.data() + to.moved_, bytes, count);
        to.moved_ += count;
        return count;
    }

    static std::size_t read(char* out, std::size_t one, std::size_t count, void* self)
    {
        lane& from = *static_cast<lane*>(self);
        const std::size_t bytes = std::min(one * count, from.memory_.size() - from.moved_);
        std::memcpy(out, from.memory_.data() + from.moved_, bytes);
        from.moved_ += bytes;
        return bytes;
    }

    const bench::load& what_;
    const mode& how_;
    objectcache::byte_span memory_;
    CURL* handle_;
    curl_slist* headers_ = nullptr;
    std::string range_;
    char error_[CURL_ERROR_SIZE] = {};
    std::size_t moved_ = 0;
    bench::clock::time_point began_;
};

class client {
public:
    client(const bench::load& what, unsigned thread, const mode& how)
        : next_(what, thread)
        , memory_(what.lanes(thread), what.size)
        , multi_(curl_multi_init())
    {
        curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(what.in_flight));
        for (unsigned i = 0; i < what.lanes(thread); ++i)
            lanes_.push_back(std::make_unique<lane>(what, how, memory_[i]));
    }
    client(const client&) = delete;
    client& operator=(const client&) = delete;
    ~client()
    {
        lanes_.clear();
        curl_multi_cleanup(multi_);
    }

    void run(bench::clock::time_point until, bench::tally& out)
    {
        for (auto& one : lanes_)
            one->begin(multi_, next_());
        std::size_t active = lanes_.size();
        while (active != 0) {
            int running = 0;
            curl_multi_perform(multi_, &running);
            int left = 0;
            bool began = false;
            while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
                if (message->msg != CURLMSG_DONE)
                    continue;
                lane* who = nullptr;
                curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &who);
                if (std::string bad = who->end(multi_, message->data.result, out); !bad.empty())
                    out.failure = std::move(bad);
                if (out.failure.empty() && bench::clock::now() < until) {
                    who->begin(multi_, next_());
                    began = true;
                } else {
                    --active;
                }
            }
            if (active != 0 && !began)
                curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
        }
    }

private:
    bench::turn next_;
    bench::buffers memory_;
    CURLM* multi_;
    std::vector<std::unique_ptr<lane>> lanes_;
};

std::vector<std::string> urls_of(const bench::load& what, const mode& how)
{
    namespace s3 = objectcache::s3;
    const auto where = s3::endpoint::parse(what.url);
    const auto who = s3::credentials::from_env();
    if (!where || (how.put && !who))
        throw std::runtime_error((where ? who.error() : where.error()).message());
    s3::signer with(where->region);
    std::vector<std::string> out;
    for (unsigned i = 0; i < what.objects; ++i) {
        const std::string key = (how.put ? "put/" : "") + what.key(i);
        if (!how.put) {
            out.push_back(what.url + "/" + what.bucket + "/" + key);
            continue;
        }
        s3::request request;
        request.method = "PUT";
        request.bucket = what.bucket;
        request.key = key;
        auto url = s3::presign(request, *where, *who, with,
                               std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()),
                               std::chrono::hours(1));
        if (!url)
            throw std::runtime_error(url.error().message());
        out.push_back(std::move(*url));
    }
    return out;
}

} // namespace

int main(int argc, char** argv)
{
    bench::load what;
    mode how;
    bool unsigned_requests = false;
    CLI::App app("Reads or writes objects with libcurl");
    what.add_to(app);
    app.add_flag("--put", how.put, "write");
    app.add_flag("--unsigned", unsigned_requests, "no SigV4");
    CLI11_PARSE(app, argc, argv);
    how.sign = !unsigned_requests;
    return bench::guarded([&] {
        how.urls = urls_of(what, how);
        curl_global_init(CURL_GLOBAL_DEFAULT);
        const int status = bench::measure<client>(what, how);
        curl_global_cleanup();
        return status;
    });
}
