// SPDX-License-Identifier: BSL-1.0
//
// cp, ls and rm for S3: objectcache::s3::client at work alone, without a cache. Many requests are under way at once; a
// large object goes in pieces, straight into or out of its file. What is not S3 is in s3_cp_local.hpp.
//
//     s3_cp cp -r photos s3://bucket/photos        s3_cp cp s3://bucket/model.bin .
//     s3_cp ls s3://bucket/photos/                 s3_cp rm -r s3://bucket/photos
#include "s3_cp_local.hpp"

#include <objectcache/s3/large_object.hpp>
#include <objectcache/s3/listing.hpp>

asio::awaitable<oc::status> fetch(session& s, const copy& c)
{
    local_bytes file;
    if (oc::status bad = file.create(c.to.name, c.size); !bad.ok())
        co_return bad;
    const oc::s3::parallel_options how = s.options(c.size);
    const auto got = co_await get_parallel(s.store, c.from.bucket, c.from.name, file.span(), how);
    co_return got ? file.publish() : got.error();
}

asio::awaitable<oc::status> send(session& s, const copy& c)
{
    local_bytes file;
    if (oc::status bad = file.read(c.from.name); !bad.ok())
        co_return bad;
    const oc::const_byte_span all = file.span();
    const oc::s3::parallel_options how = s.options(all.size());
    const auto sent = co_await put_parallel(s.store, c.to.bucket, c.to.name, std::span(&all, 1), how);
    co_return sent.error();
}

asio::awaitable<oc::status> copy_one(session& s, const copy& c)
{
    if (!c.from.remote())
        co_return co_await send(s, c);
    if (!c.to.remote())
        co_return co_await fetch(s, c);
    const oc::deadline until = s.patience(c.size);
    const auto copied =
        co_await copy_object(s.store, c.from.bucket, c.from.name, c.to.bucket, c.to.name, until);
    co_return copied.error();
}

asio::awaitable<oc::status> find_copies(session& s)
{
    if (!s.how.from.remote())
        co_return s.add_files();
    if (!s.how.recursive) {
        const auto seen = co_await s.store.head(s.how.from.bucket, s.how.from.name);
        if (seen)
            s.add_one(seen->size);
        co_return seen.error();
    }
    oc::s3::listing pages(s.store, s.how.from.bucket, s.how.from.name);
    while (const oc::s3::list_page* page = co_await pages.next())
        if (oc::status bad = s.add_below(page->objects); !bad.ok())
            co_return bad;
    co_return pages.outcome();
}

asio::awaitable<oc::status> cp(session& s)
{
    oc::status done = co_await find_copies(s);
    if (done.ok())
        done = co_await s.each_copy(copy_one);
    co_return done;
}

asio::awaitable<oc::status> ls(session& s)
{
    oc::s3::listing pages(s.store, s.how.from.bucket, s.how.from.name);
    while (const oc::s3::list_page* page = co_await pages.next())
        for (const oc::s3::list_entry& object : page->objects)
            std::printf("%15llu  %s\n", static_cast<unsigned long long>(object.size), object.key.c_str());
    co_return pages.outcome();
}

asio::awaitable<oc::status> rm(session& s)
{
    if (!s.how.recursive)
        co_return co_await s.store.remove(s.how.from.bucket, s.how.from.name);
    co_return co_await remove_all(s.store, s.how.from.bucket, s.how.from.name, {.parallel = s.how.parallel});
}

int main(int argc, char** argv)
{
    return run(argc, argv, {.cp = cp, .ls = ls, .rm = rm});
}
