// SPDX-License-Identifier: BSL-1.0
// The documents of multipart uploads, copies and bulk deletes: each parser gets every document.
#include "fuzz.hpp"

#include <objectcache/s3/xml_multipart.hpp>

#include <string>
#include <vector>

namespace objectcache::fuzz {

namespace multipart_target {

/** Is the failure, if it is one, one that callers know what to do about? */
template <class T>
bool has_meaning(const result<T>& read)
{
    const status why = read.error();
    return read.ok() || why == condition::corrupt || why == condition::absent || why == condition::denied ||
           why == condition::unavailable || why == errc::already_exists || why == errc::unexpected_status;
}

} // namespace multipart_target

void multipart_xml(std::string_view input)
{
    using multipart_target::has_meaning;
    const auto begun = s3::parse_initiated_upload(input);
    require(has_meaning(begun) && (!begun || !begun->empty()), "an upload has an id");
    for (const auto kind : {s3::checksum::none, s3::checksum::crc32c}) {
        const auto stored = s3::parse_stored_result(input, kind);
        require(has_meaning(stored), "a stored object");
    }
    const auto failures = s3::parse_delete_result(input);
    require(has_meaning(failures), "a bulk delete says what failed");
    const auto page = s3::parse_upload_page(input);
    require(has_meaning(page), "a page of uploads");
    if (page)
        for (const s3::pending_upload& upload : page->uploads)
            require(!upload.key.empty() && !upload.upload_id.empty(), "an upload has a key and an id");

    // What we write ourselves, any parser of XML must be able to read; ours stands in for it.
    std::string_view rest = input;
    std::vector<std::string> keys;
    while (!rest.empty() && keys.size() < s3::most_keys_per_delete)
        keys.emplace_back(take_until(rest, '\n'));
    const auto document = s3::delete_document(keys);
    if (document)
        require(s3::parse_delete_result("<DeleteResult>" +
                                        document->substr(document->find("<Quiet>"),
                                                         document->rfind('<') - document->find("<Quiet>")) +
                                        "</DeleteResult>")
                    .ok(),
                "a bulk delete is well-formed");
}

} // namespace objectcache::fuzz
