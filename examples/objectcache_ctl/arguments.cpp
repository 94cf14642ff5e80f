// SPDX-License-Identifier: BSL-1.0
#include "arguments.hpp"

#include <objectcache/kv/object_key.hpp>

#include <cstdlib>
#include <map>

namespace {

constexpr const char* about =
    R"(Looks into the bucket of an objectcache, verifies it, and takes away what nobody needs.

An address is s3://bucket/prefix, where the prefix is the caches' key_prefix to the letter (often it ends in '/').
Credentials, region and endpoint: AWS_* variables and ~/.aws, as for the AWS tools.)";

constexpr const char* examples = R"(Examples:
  objectcache_ctl ls s3://kv/team-a/                       the scopes: which models have anything there
  objectcache_ctl ls s3://kv/team-a/ --scope 8a791c32...   the objects of one
  objectcache_ctl du s3://kv/team-a/                       bytes by scope and layout, and what gc would find
  objectcache_ctl stat s3://kv/team-a/oc1/8a79.../c/3949... what one object says of itself
  objectcache_ctl verify s3://kv/team-a/ -j 32             read everything, check every checksum
  objectcache_ctl gc s3://kv/team-a/                       a dry run: what could go
  objectcache_ctl gc s3://kv/team-a/ --delete              and away with it, beside live readers and writers

With --json each line of standard output is one JSON object; its "type" says of what. Progress is drawn on standard error,
and only on a terminal.

Status: 0 well; 1 verify found damage; 2 it could not be done; 3 interrupted. Other codes: the command line.)";

const CLI::Validator duration = CLI::AsNumberWithUnit(
    std::map<std::string, double>{{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}},
    CLI::AsNumberWithUnit::CASE_SENSITIVE, "TIME");

std::string check_scope(std::string& text)
{
    if (text.size() == 64)
        text.resize(32); // the whole id; keys have half of it
    const bool hex = text.find_first_not_of("0123456789abcdef") == text.npos;
    return hex && text.size() == 32 ? "" : "a scope is 32 or 64 lower-case hex digits, as `ls` prints them";
}

std::string check_address(const std::string& text, bool key)
{
    const place at(text);
    if (!at.remote())
        return "an address begins with s3://bucket, not as " + text;
    if (!key && !oc::valid_key_prefix(at.name))
        return '"' + at.name + "\" cannot be the key_prefix of a cache";
    return "";
}

} // namespace

void arguments::parse(int argc, char** argv)
{
    CLI::App app(about);
    app.footer(examples);
    app.require_subcommand(1);
    app.fallthrough();
    add_to(app);
    app.add_flag("--json", json, "one JSON object per line");
    const auto sub = [&](const char* name, const char* what) {
        auto* const out = app.add_subcommand(name, what);
        const bool key = std::string(name) == "stat";
        out->add_option_function<std::string>(
               "address", [this](const std::string& text) { at = place(text); },
               key ? "s3://bucket/key of an object" : "s3://bucket/prefix")
            ->required()
            ->check([key](const std::string& text) { return check_address(text, key); });
        if (!key)
            out->add_option("--scope", scope, "only this scope: 32 hex digits, as `ls` prints them")
                ->transform(CLI::Validator(check_scope, "HEX"));
        return out;
    };
    sub("ls", "the scopes with their geometry, or with --scope the objects of one");
    sub("stat", "what one object says of itself");
    sub("verify", "read everything, check every header, id and checksum; status 1 if anything is damaged");
    sub("du", "objects and bytes by scope and layout, and how many of them are garbage");
    auto* const gc = sub("gc", "find what crashed writers left and what larger segments replaced; "
                               "with --delete remove it");
    gc->add_flag("--delete", remove, "remove it; otherwise a dry run");
    gc->add_option(
          "--grace", grace_seconds,
          "touch nothing younger, by the store's clock (by ours if it tells no Date). Longer than the "
          "readers' index_ttl, the writers' store_timeout and any difference of clocks")
        ->transform(duration)
        ->default_str("1h");
    gc->add_option(
          "--settle", settle_seconds,
          "look once more so long after layers were removed whether their chunk was published meanwhile. "
          "At least the writers' store_timeout")
        ->transform(duration)
        ->default_str("60s");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        std::exit(app.exit(e));
    }
    command = app.get_subcommands().front()->get_name();
}
