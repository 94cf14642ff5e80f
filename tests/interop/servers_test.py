#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""What servers make of requests, and whether docs/servers.md says the same. Raw requests: no client gets in between.

usage: rgw.sh run servers_test.py <objectcache_s3_server> [--print]"""
import base64
import datetime
import hashlib
import hmac
import http.client
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse
import xml.sax.saxutils

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs/servers.md"
EMPTY = hashlib.sha256(b"").hexdigest()
MIB = 1 << 20


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def hmac_sha256(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body
        self.code = (self.texts("Code") or [""])[0] if self.status >= 300 else ""

    def texts(self, element):
        """what stands in all elements of this name"""
        found = re.findall(f"<{element}>([^<]*)</{element}>".encode(), self.body)
        return [xml.sax.saxutils.unescape(text.decode(), {"&quot;": '"'}) for text in found]

    def __str__(self):
        return f"{self.status} {self.code}".strip()


class Server:
    """A bucket of one server, and requests to it that are signed like ours but otherwise as odd as the caller likes."""

    def __init__(self, url, access_key, secret_key):
        self.host = url.split("//")[1]
        self.access_key, self.secret_key = access_key, secret_key
        self.region, self.offset = "us-east-1", 0
        self.bucket = "probes"
        self.request("PUT")

    def connect(self):
        return http.client.HTTPConnection(self.host, timeout=30)

    def now(self):
        at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.offset)
        return at.strftime("%Y%m%dT%H%M%SZ")

    def signing_key(self, date):
        key = ("AWS4" + self.secret_key).encode()
        for part in date, self.region, "s3", "aws4_request":
            key = hmac_sha256(key, part)
        return key

    def sign(self, method, path, query, headers, payload, now):
        names = ";".join(sorted(n.lower() for n in headers))
        lines = "".join(f"{n.lower()}:{v}\n" for n, v in sorted(headers.items(), key=lambda h: h[0].lower()))
        canonical = "\n".join([method, path, query, lines, names, payload])
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, sha256(canonical.encode())])
        return scope, names, hmac_sha256(self.signing_key(now[:8]), text).hex()

    def head(self, method, key="", query=(), headers=(), payload=EMPTY, host=None):
        """path and query of a request, and its signed headers"""
        path = "" if host else "/" + self.bucket
        path = urllib.parse.quote(path + ("/" + key if key else ""), safe="/-_.~") or "/"
        query = "&".join(sorted(f"{urllib.parse.quote(n, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}" for n, v in query))
        now = self.now()
        headers = {"Host": host or self.host, "x-amz-content-sha256": payload, "x-amz-date": now, **dict(headers)}
        scope, names, signature = self.sign(method, path, query, headers, payload, now)
        headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, "
                                    f"Signature={signature}")
        return path + ("?" + query if query else ""), headers

    def request(self, method, key="", query=(), headers=(), body=b"", payload=None, host=None):
        target, signed = self.head(method, key, query, headers, payload or sha256(body), host)
        return self.send(method, target, signed, body)

    def send(self, method, target, headers, body=b""):
        connection = self.connect()
        try:
            connection.request(method, target, body=body or None, headers={**headers, "Content-Length": str(len(body))})
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def put(self, key, body, **headers):
        return self.request("PUT", key, body=body, headers={n.replace("_", "-"): v for n, v in headers.items()})

    def get(self, key, query=(), **headers):
        return self.request("GET", key, query, {n.replace("_", "-"): v for n, v in headers.items()})

    def presigned(self, key, expires, age=0):
        self.offset = -age
        now = self.now()
        self.offset = 0
        path = f"/{self.bucket}/{key}"
        query = urllib.parse.urlencode(sorted({
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Date": now, "X-Amz-Expires": str(expires),
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Credential": f"{self.access_key}/{now[:8]}/{self.region}/s3/aws4_request"}.items()))
        signature = self.sign("GET", path, query, {"host": self.host}, "UNSIGNED-PAYLOAD", now)[2]
        return self.send("GET", f"{path}?{query}&X-Amz-Signature={signature}", {"Host": self.host})

    def upload(self, key, parts, order=None, complete_headers=()):
        """a multipart upload of these parts: the answer to its completion"""
        made = self.request("POST", key, [("uploads", "")])
        if made.status != 200:
            return made
        upload = made.texts("UploadId")[0]
        listed = []
        for number, part in enumerate(parts, 1):
            done = self.request("PUT", key, [("partNumber", str(number)), ("uploadId", upload)], body=part)
            listed.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{done.headers['ETag']}</ETag></Part>")
        document = "".join(listed[i] for i in order or range(len(listed)))
        return self.request("POST", key, [("uploadId", upload)], complete_headers,
                            f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>".encode())


PROBES = {}


def probe(name):
    def keep(function):
        PROBES[name] = function
        return function
    return keep


def unique():
    """a key that no probe has seen"""
    unique.count += 1
    return f"key {unique.count}"


unique.count = 0


def verdict(answer, good, otherwise="ignored"):
    """good(answer), or refused with its code, or neither"""
    return "yes" if good else otherwise if answer.status < 300 else str(answer)


@probe("GET with a range, HEAD, DELETE")
def basic(s):
    k = unique()
    s.put(k, b"0123456789")
    part = s.get(k, Range="bytes=8-9")
    known = s.request("HEAD", k)
    gone = s.request("DELETE", k)
    good = (part.status == 206 and part.body == b"89" and part.headers["Content-Range"] == "bytes 8-9/10" and
            known.headers["Content-Length"] == "10" and gone.status == 204 and s.get(k).code == "NoSuchKey")
    return verdict(part, good)


@probe("range that begins past the end")
def past_the_end(s):
    k = unique()
    s.put(k, b"0123456789")
    return str(s.get(k, Range="bytes=10-11"))


@probe("several ranges in one GET")
def ranges(s):
    k = unique()
    s.put(k, b"0123456789")
    answer = s.get(k, Range="bytes=0-1,5-6")
    return {b"0123456789": "whole object", b"01": "first range only"}.get(answer.body, str(answer))


@probe("LIST v2, pages, encoding-type=url")
def list_pages(s):
    wanted = ["l/1", "l/2 +%", "l/3"]
    for key in wanted:
        s.put(key, b"")
    keys, token = [], None
    while len(keys) <= len(wanted):
        query = [("list-type", "2"), ("prefix", "l/"), ("max-keys", "1"), ("encoding-type", "url")]
        page = s.request("GET", "", query + ([("continuation-token", token)] if token else []))
        keys += map(urllib.parse.unquote_plus, page.texts("Key"))
        following = page.texts("NextContinuationToken")
        if not following:
            break
        token = following[0]
    return verdict(page, keys == wanted)


@probe("bucket in the host name")
def virtual_host(s):
    k = unique()
    s.put(k, b"here")
    answer = s.request("GET", k, host=f"{s.bucket}.localhost:{s.host.split(':')[1]}")
    return verdict(answer, answer.body == b"here")


@probe("key of 1025 bytes")
def long_key(s):
    return str(s.put("k" * 1025, b""))


@probe("conditional PUT, If-None-Match: *")
def if_none_match(s):
    k = unique()
    first, second = s.put(k, b"1", If_None_Match="*"), s.put(k, b"2", If_None_Match="*")
    return verdict(second, first.status == 200 and second.status == 412 and s.get(k).body == b"1")


@probe("conditional PUT, If-Match: \"ETag\"")
def if_match(s):
    k = unique()
    etag = s.put(k, b"1").headers["ETag"]
    wrong = s.put(k, b"2", If_Match='"00000000000000000000000000000000"')
    right = s.put(k, b"3", If_Match=etag)
    return verdict(wrong if wrong.status < 300 else right, wrong.status == 412 and right.status == 200)


@probe("conditional DELETE, If-Match")
def delete_if_match(s):
    k = unique()
    s.put(k, b"1")
    answer = s.request("DELETE", k, headers={"If-Match": '"00000000000000000000000000000000"'})
    return verdict(answer, answer.status == 412)


@probe("multipart upload")
def multipart(s):
    k = unique()
    answer = s.upload(k, [b"a" * 5 * MIB, b"b"])
    good = answer.status == 200 and re.fullmatch('"[0-9a-f]{32}-2"', s.request("HEAD", k).headers["ETag"])
    return verdict(answer, good)


@probe("multipart upload, parts out of order")
def disorder(s):
    answer = s.upload(unique(), [b"a" * 5 * MIB, b"b" * 5 * MIB], order=[1, 0])
    return "accepted" if answer.status == 200 else str(answer)


@probe("multipart upload, a first part below 5 MiB")
def small_part(s):
    answer = s.upload(unique(), [b"a", b"b"])
    return "accepted" if answer.status == 200 else str(answer)


@probe("conditional completion of a multipart upload")
def complete_if_none_match(s):
    k = unique()
    s.put(k, b"1")
    answer = s.upload(k, [b"2"], complete_headers={"If-None-Match": "*"})
    return verdict(answer, answer.status == 412 and s.get(k).body == b"1")


@probe("GET of one part, partNumber=2")
def part_number(s):
    k = unique()
    s.upload(k, [b"a" * 5 * MIB, b"b"])
    answer = s.get(k, [("partNumber", "2")])
    return verdict(answer, answer.status == 206 and answer.body == b"b")


@probe("copy")
def copy(s):
    k = unique()
    s.put(k, b"copied")
    answer = s.request("PUT", k + "'", headers={"x-amz-copy-source": urllib.parse.quote(f"/{s.bucket}/{k}")})
    return verdict(answer, s.get(k + "'").body == b"copied")


DELETE_TWO = b"<Delete><Object><Key>d1</Key></Object><Object><Key>d2</Key></Object></Delete>"


@probe("bulk DELETE")
def bulk_delete(s):
    s.put("d1", b""), s.put("d2", b"")
    md5 = base64.b64encode(hashlib.md5(DELETE_TWO).digest()).decode()
    answer = s.request("POST", "", [("delete", "")], {"Content-MD5": md5}, DELETE_TWO)
    return verdict(answer, len(answer.texts("Key")) == 2 and s.get("d1").status == 404)


@probe("bulk DELETE without Content-MD5")
def bulk_delete_unprotected(s):
    answer = s.request("POST", "", [("delete", "")], {}, DELETE_TWO)
    return "accepted" if answer.status == 200 else str(answer)


@probe("Content-MD5")
def content_md5(s):
    answer = s.put(unique(), b"x", Content_MD5=base64.b64encode(bytes(16)).decode())
    return verdict(answer, answer.status == 400 and answer.code == "BadDigest")


@probe("x-amz-content-sha256 of the body")
def content_sha256(s):
    answer = s.request("PUT", unique(), body=b"x", payload=sha256(b"y"))
    return verdict(answer, answer.status == 400)


def checksum_probe(name, size):
    @probe("x-amz-checksum-" + name)
    def wrong_checksum(s):
        wrong = base64.b64encode(bytes(size)).decode()
        answer = s.request("PUT", unique(), body=b"x", headers={"x-amz-checksum-" + name: wrong})
        return verdict(answer, answer.status == 400)


checksum_probe("crc32c", 4)
checksum_probe("crc64nvme", 8)
checksum_probe("sha256", 32)


@probe("checksums returned, x-amz-checksum-mode")
def returned_checksum(s):
    k = unique()
    value = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    s.request("PUT", k, body=b"x", headers={"x-amz-checksum-sha256": value})
    answer = s.request("HEAD", k, headers={"x-amz-checksum-mode": "ENABLED"})
    return verdict(answer, answer.headers["x-amz-checksum-sha256"] == value, "no")


@probe("chunk-signed PUT")
def chunk_signed(s):
    k, data, payload = unique(), b"x" * 1000, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    headers = {"x-amz-decoded-content-length": str(len(data)), "Content-Encoding": "aws-chunked"}
    target, signed = s.head("PUT", k, headers=headers, payload=payload)
    scope = signed["Authorization"].split("Credential=")[1].split(",")[0].split("/", 1)[1]
    previous, body, now = signed["Authorization"].split("Signature=")[1], b"", signed["x-amz-date"]
    for chunk in data, b"":
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", now, scope, previous, EMPTY, sha256(chunk)])
        previous = hmac_sha256(s.signing_key(now[:8]), text).hex()
        body += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), previous.encode(), chunk)
    answer = s.send("PUT", target, signed, body)
    return verdict(answer, answer.status == 200 and s.get(k).body == data)


@probe("PUT with a trailing checksum")
def trailer(s):
    k = unique()
    value = base64.b64encode(hashlib.sha256(b"x").digest())
    body = b"1\r\nx\r\n0\r\nx-amz-checksum-sha256:" + value + b"\r\n\r\n"
    headers = {"x-amz-decoded-content-length": "1", "Content-Encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-sha256"}
    target, signed = s.head("PUT", k, headers=headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    answer = s.send("PUT", target, signed, body)
    return verdict(answer, answer.status == 200 and s.get(k).body == b"x", "taken for the object")


@probe("presigned URL, and its expiry")
def presigned(s):
    k = "presigned"
    s.put(k, b"here")
    answer = s.presigned(k, 60)
    return verdict(answer, answer.body == b"here" and s.presigned(k, 60, age=120).status == 403)


@probe("signature for another region")
def region(s):
    s.region = "eu-west-1"
    answer = s.put(unique(), b"")
    s.region = "us-east-1"
    return "accepted" if answer.status == 200 else str(answer)


@probe("clock 20 minutes off")
def skew(s):
    s.offset = -1200
    answer = s.put(unique(), b"")
    s.offset = 0
    return "accepted" if answer.status == 200 else str(answer)


@probe("x-amz-bucket-region")
def bucket_region(s):
    return "yes" if s.request("HEAD").headers["x-amz-bucket-region"] else "no"


@probe("Expect: 100-continue")
def expect_continue(s):
    target, headers = s.head("PUT", unique(), headers={"Expect": "100-continue"}, payload=sha256(b"x"))
    connection = s.connect()
    connection.putrequest("PUT", target, skip_host=True, skip_accept_encoding=True)
    for name, value in {**headers, "Content-Length": "1"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.sock.settimeout(2)
    try:
        first = connection.sock.recv(1000)
    except TimeoutError:
        first = b""
    connection.close()
    return "yes" if b" 100 " in first else "no" if not first else first.split(b"\r\n")[0].decode()


def documented():
    """row -> column -> cell, of the table of requests; without backquotes and marks"""
    table, columns = {}, []
    for line in DOCUMENT.read_text().splitlines():
        cells = [re.sub(r"`|\s*\(\w\)$", "", cell.strip()) for cell in line.strip("|").split("|")]
        if cells[0] == "request":
            columns = cells
        elif line.startswith("|") and len(cells) == len(columns):
            table[cells[0]] = dict(zip(columns, cells))
    return table


def test_server(program):
    """the embedded server, in a process of its own"""
    process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
    said = {}
    for line in process.stdout:
        if match := re.match(r"export (\w+)=(.*)", line):
            said[match[1]] = match[2]
        if "AWS_SECRET_ACCESS_KEY" in said:
            break
    return process, said


def main():
    program, printing = sys.argv[1], "--print" in sys.argv
    process, said = test_server(program)
    try:
        table = documented()
        servers = {"Ceph RGW 16.2": os.environ | {"AWS_ENDPOINT_URL": os.environ["RGW_URL"]}, "our test server": said}
        wrong = 0
        for column, where in servers.items():
            server = Server(where["AWS_ENDPOINT_URL"], where["AWS_ACCESS_KEY_ID"], where["AWS_SECRET_ACCESS_KEY"])
            for name, function in PROBES.items():
                found = function(server)
                written = table.get(name, {}).get(column, "nothing")
                wrong += written != found
                if printing or written != found:
                    print(f"{column}: {name}: {found}" + (f"; {DOCUMENT.name} says {written}" if written != found else ""))
        undone = [name for name in table if name not in PROBES and name != "request" and not set(name) <= set("-")]
        for name in undone:
            print(f"{DOCUMENT.name} has a row that nothing measures: {name}")
    finally:
        process.terminate()
        process.wait()
    print(f"{len(PROBES)} requests to {len(servers)} servers, {wrong} answers not as documented")
    return bool(wrong or undone)


if __name__ == "__main__":
    sys.exit(main())
