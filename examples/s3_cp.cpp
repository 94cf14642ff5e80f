// SPDX-License-Identifier: BSL-1.0
//
// cp, ls and rm for S3: objectcache::s3::client at work alone, without a cache. Many requests are under way at once; a
// large object goes in pieces, straight into or out of its file.
//
//     s3_cp cp -r photos s3://bucket/photos        s3_cp cp s3://bucket/model.bin .
//     s3_cp ls s3://bucket/photos/                 s3_cp rm -r s3://bucket/photos
#include "progress_bar.hpp"
#include "s3_cp_local.hpp"
#include "s3_session.hpp"

#include <objectcache/s3/client.hpp>
#include <objectcache/s3/large_object.hpp>

namespace {

struct copy {
    place from, to;
    std::uint64_t size;
};

struct session {
    settings how;
    oc::s3::client client;
    std::deque<copy> copies{};
    progress_bar bar{};

    void add(place from, place to, std::uint64_t size)
    {
        copies.push_back({std::move(from), std::move(to), size});
        bar.expect(size);
    }
};

/** Half a minute, and as long as a link of 0.5 MB/s takes. */
oc::deadline patience(std::uint64_t bytes)
{
    const auto seconds = std::chrono::seconds(30 + bytes / 500'000);
    return oc::deadline(std::chrono::steady_clock::now() + seconds);
}

/** Every object whose key begins with `where.name`, in the order of the keys. */
template <class Visit>
asio::awaitable<oc::status> each_object(session& s, const place& where, Visit visit)
{
    oc::s3::list_options page;
    do {
        auto listed = co_await s.client.list(where.bucket, where.name, page);
        if (!listed)
            co_return listed.error();
        for (const oc::s3::list_entry& object : listed->objects)
            if (oc::status seen = visit(object); !seen.ok())
                co_return seen;
        page.continuation = std::move(listed->continuation);
    } while (!page.continuation.empty());
    co_return oc::status();
}

asio::awaitable<oc::status> fetch(session& s, const copy& c, const oc::s3::parallel_options& how)
{
    local_bytes file;
    oc::status done = file.create(c.to.name, c.size);
    if (done.ok() && c.size != 0) {
        const oc::byte_range all{0, c.size};
        const auto got = co_await get_parallel(s.client, c.from.bucket, c.from.name, all, file.span(), how);
        done = got.error();
        if (got && got->size != c.size)
            done = oc::status(oc::errc::checksum_mismatch, c.from.name + " grew while it was read");
    }
    co_return done.ok() ? file.publish() : done;
}

asio::awaitable<oc::status> send(session& s, const copy& c, const oc::s3::parallel_options& how)
{
    local_bytes file;
    if (oc::status bad = file.read(c.from.name); !bad.ok())
        co_return bad;
    const oc::const_byte_span all = file.span();
    const auto sent = co_await put_parallel(s.client, c.to.bucket, c.to.name, std::span(&all, 1), how);
    co_return sent.error();
}

asio::awaitable<oc::status> move(session& s, copy c)
{
    oc::s3::parallel_options how{s.how.piece_bytes(c.size), s.how.parallel, patience(c.size)};
    how.progress = [&](std::size_t bytes) { s.bar.add(bytes); };
    if (!c.from.remote())
        co_return co_await send(s, c, how);
    if (!c.to.remote())
        co_return co_await fetch(s, c, how);
    const auto copied =
        co_await copy_object(s.client, c.from.bucket, c.from.name, c.to.bucket, c.to.name, how.until);
    if (copied)
        s.bar.add(c.size);
    co_return copied.error();
}

asio::awaitable<oc::status> find_one(session& s, const place& from, place to)
{
    std::error_code ec;
    const bool folder = to.name.empty() || to.name.ends_with('/');
    if (from.name != "-" && (folder || (!to.remote() && fs::is_directory(to.name, ec))))
        to = to.child(fs::path(from.name).filename().native());
    if (from.remote()) {
        const auto seen = co_await s.client.head(from.bucket, from.name);
        if (!seen)
            co_return seen.error();
        s.add(from, to, seen->size);
        co_return oc::status();
    }
    const auto size = fs::file_size(from.name, ec); // no file, or none that is there: seen when it is opened
    s.add(from, to, ec ? 0 : size);
    co_return oc::status();
}

asio::awaitable<oc::status> find_all(session& s, const place& from, const place& to)
{
    const auto add = [&](const oc::s3::list_entry& object) {
        const std::string name = object.key.substr(from.name.size());
        if (object.size == 0 && (name.empty() || name.ends_with('/')))
            return oc::status(); // how consoles mark an empty folder
        if (!to.remote() && !is_path_below(name))
            return oc::status(oc::errc::invalid_argument, "no file can have this name: " + object.key);
        s.add(from.sibling(object.key), to.child(name), object.size);
        return oc::status();
    };
    if (from.remote())
        co_return co_await each_object(s, from, add);
    std::error_code ec;
    for (fs::recursive_directory_iterator it(from.name, ec), end; !ec && it != end; it.increment(ec))
        if (it->is_regular_file(ec)) {
            const auto name = it->path().lexically_relative(from.name).native();
            s.add(place(it->path().native()), to.child(name), it->file_size(ec));
        }
    co_return oc::status(ec, from.name);
}

asio::awaitable<oc::status> cp(session& s)
{
    const place from = s.how.recursive ? s.how.from.as_folder() : s.how.from;
    oc::status done(oc::errc::invalid_argument, "one side has to be s3://bucket/key");
    if (!from.remote() && !s.how.to.remote())
        co_return done;
    if (s.how.recursive)
        done = co_await find_all(s, from, s.how.to);
    else
        done = co_await find_one(s, from, s.how.to);
    const auto act = [&](copy c) { return move(s, std::move(c)); };
    if (done.ok())
        done = co_await work_off(s.copies, s.how.parallel, act);
    s.bar.end(done.ok());
    co_return done;
}

asio::awaitable<oc::status> ls(session& s)
{
    const auto print = [](const oc::s3::list_entry& object) {
        std::printf("%15llu  %s\n", static_cast<unsigned long long>(object.size), object.key.c_str());
        return oc::status();
    };
    co_return co_await each_object(s, s.how.from, print);
}

asio::awaitable<oc::status> remove_some(session& s, std::vector<std::string> keys)
{
    const auto kept = co_await remove_objects(s.client, s.how.from.bucket, keys, patience(0));
    if (!kept || kept->empty())
        co_return kept.error();
    co_return oc::status(oc::errc::access_denied, kept->front().key + ": " + kept->front().code);
}

asio::awaitable<oc::status> rm(session& s)
{
    if (!s.how.recursive)
        co_return co_await s.client.remove(s.how.from.bucket, s.how.from.name);
    std::deque<std::vector<std::string>> batches;
    const auto add = [&](const oc::s3::list_entry& object) {
        if (batches.empty() || batches.back().size() == oc::s3::most_keys_per_delete)
            batches.emplace_back();
        batches.back().push_back(object.key);
        return oc::status();
    };
    oc::status done = co_await each_object(s, s.how.from.as_folder(), add);
    const auto act = [&](std::vector<std::string> keys) { return remove_some(s, std::move(keys)); };
    if (done.ok())
        done = co_await work_off(batches, s.how.parallel, act);
    co_return done;
}

asio::awaitable<oc::status> carry_out(settings how, oc::s3::client client)
{
    session s{std::move(how), std::move(client)};
    co_await oc::without_exceptions();
    if (s.how.job == "cp")
        co_return co_await cp(s);
    if (!s.how.from.remote())
        co_return oc::status(oc::errc::invalid_argument, "not s3://bucket/...: " + s.how.from.name);
    if (s.how.job == "ls")
        co_return co_await ls(s);
    co_return co_await rm(s);
}

} // namespace

int main(int argc, char** argv)
{
    settings how;
    how.parse(argc, argv);
    const oc::status done =
        run_with_client(how, [&](oc::s3::client client) { return carry_out(how, std::move(client)); });
    if (!done.ok())
        std::fprintf(stderr, "s3_cp: %s\n", done.message().c_str());
    return done.ok() ? 0 : 1;
}
