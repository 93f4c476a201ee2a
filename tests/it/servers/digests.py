"""A CloudTrail trail with its digest chain, whole and damaged in known ways, and AWS's own verdict on each.

    digests.py FOLDER [--hours 8] [--seed 1] [--end 2026-10-01T09:00:00Z] [--variants valid,log_missing]
               [--s3 http://127.0.0.1:5000]

Needs awscli. Writes FOLDER/VARIANT/objects/KEY, FOLDER/VARIANT/metadata.json (user metadata of each digest:
signature and algorithm) and FOLDER/VARIANT/public-keys.json (as `aws cloudtrail list-public-keys` prints
it); with --s3 puts them into the bucket trail-VARIANT too. The same seed gives the same bytes: the RSA
key is made from the seed, so that no private key lies in the repository.

Prints {VARIANT: {bucket, trail, account, region, from, to, damage: [key…], digests: {key: verdict}, logs: {key:
verdict}, gaps: [sentence…]}}: `awscli.customizations.cloudtrail.validation` says what `aws cloudtrail
validate-logs` would; a verdict is "valid" or its words after "INVALID: ". A key it never speaks of is left out:
the second of two missing digests in a row, which is its known hole.

Layout, string to sign and metadata: docs.aws.amazon.com/awscloudtrail/latest/userguide/
cloudtrail-log-file-validation-digest-file-structure.html.
"""

import argparse
import base64
import gzip
import hashlib
import io
import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random

sys.dont_write_bytecode = True

import rsa
from awscli.customizations.cloudtrail.validation import CloudTrailValidateLogs
from botocore.exceptions import ClientError
from lookup import Lookup
from wire import iso, parse_time

ACCOUNT, REGION, TRAIL = "111122223333", "eu-central-1", "main"
ALGORITHM = "SHA256withRSA"
HOUR = 3600 * 10**9


# The key.

def is_prime(number, random):
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(20):
        power = pow(random.randrange(2, number - 1), odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def prime(random):
    small = [number for number in range(3, 2000, 2) if all(number % other for other in range(3, int(number**0.5) + 1, 2))]
    while True:
        number = random.getrandbits(1024) | 1 | 3 << 1022
        if all(number % one for one in small) and (number - 1) % 65537 and is_prime(number, random):
            return number


class Key:
    """A key pair as CloudTrail has one in each region."""

    def __init__(self, seed):
        random = Random(f"key/{seed}")
        p, q = prime(random), prime(random)
        modulus = p * q
        self.private = rsa.PrivateKey(modulus, 65537, pow(65537, -1, (p - 1) * (q - 1)), p, q)
        self.der = rsa.PublicKey(modulus, 65537).save_pkcs1("DER")
        self.fingerprint = hashlib.md5(self.der).hexdigest()

    def sign(self, text):
        return rsa.sign(text.encode(), self.private, "SHA-256").hex()

    def listed(self, since, until, spki=False):
        der = spki_of(self.der) if spki else self.der
        return {"Value": base64.b64encode(der).decode(), "ValidityStartTime": iso(since), "ValidityEndTime": iso(until),
                "Fingerprint": hashlib.md5(der).hexdigest()}


def spki_of(der):
    """The same key in an X.509 SubjectPublicKeyInfo, as newer keys are listed."""
    def tagged(tag, content):
        length = len(content)
        size = bytes([length]) if length < 128 else bytes([0x82]) + length.to_bytes(2, "big") if length > 255 else bytes([0x81, length])
        return bytes([tag]) + size + content
    algorithm = tagged(0x30, bytes.fromhex("06092a864886f70d0101010500"))
    return tagged(0x30, algorithm + tagged(0x03, b"\0" + der))


# The trail.

def packed(text):
    return gzip.compress(text.encode(), mtime=0)


class Trail:
    """Log files and digests of some hours, oldest first, as CloudTrail would put them into `bucket`."""

    def __init__(self, bucket, options, key, **how):
        self.bucket, self.key, self.how = bucket, key, how
        self.random = Random(f"trail/{options.seed}")
        self.objects, self.metadata, self.digests, self.logs = {}, {}, [], []
        self.end = parse_time(options.end)
        self.since = self.end - options.hours * HOUR
        self.source = Lookup(argparse.Namespace(seed=options.seed, now=iso(self.end), events=0, days=1, regions=REGION, account=ACCOUNT, keys=None))
        self.previous = None
        for number in range(options.hours):
            self.hour(number, self.since + number * HOUR)

    def hour(self, number, start):
        if number in self.how.get("skip", ()):
            return
        logs = [self.log(start, slot) for slot in range(self.random.randrange(4) + (number == 1))]
        if number in self.how.get("restart", ()):
            self.previous = None
        self.digest(start, start + HOUR, logs, number in self.how.get("foreign", ()))
        if number in self.how.get("backfill", ()):
            self.digest(start, start + HOUR, [self.log(start, 9)], backfill=True)

    def log(self, start, slot):
        """A log file delivered in the hour, with what happened some minutes before."""
        delivered = start + (slot * 5 + 4) * 60 * 10**9
        times = sorted(delivered - self.random.randrange(60, 600) * 10**9 for _ in range(self.random.randrange(1, 6)))
        keys = [self.source.chance.uuid()]
        records = [self.source.event(when, keys) for when in times]
        stamp, day = moment(delivered).strftime("%Y%m%dT%H%MZ"), moment(delivered).strftime("%Y/%m/%d")
        word = "".join(self.random.choice("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(16))
        name = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/{day}/{ACCOUNT}_CloudTrail_{REGION}_{stamp}_{word}.json.gz"
        text = json.dumps({"Records": records}, separators=(",", ":"))
        self.objects[name] = packed(text)
        self.logs.append(name)
        return {"s3Bucket": self.bucket, "s3Object": name, "hashValue": hashlib.sha256(text.encode()).hexdigest(), "hashAlgorithm": "SHA-256",
                "newestEventTime": iso(times[-1]), "oldestEventTime": iso(times[0])}

    def digest(self, start, end, logs, foreign=False, backfill=False):
        key = Key("foreign") if foreign else self.key
        day, stamp = moment(end).strftime("%Y/%m/%d"), moment(end).strftime("%Y%m%dT%H%M%SZ")
        name = (f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/{day}/{ACCOUNT}_CloudTrail-Digest_{REGION}_{TRAIL}_{REGION}_{stamp}"
                f"{'_backfill' if backfill else ''}.json.gz")
        before = None if backfill else self.previous
        body = {
            "awsAccountId": ACCOUNT, "digestStartTime": iso(start), "digestEndTime": iso(end), "digestS3Bucket": self.bucket, "digestS3Object": name,
            "digestPublicKeyFingerprint": hashlib.md5(spki_of(key.der)).hexdigest() if self.how.get("spki") else key.fingerprint,
            "digestSignatureAlgorithm": ALGORITHM,
            "newestEventTime": max((log["newestEventTime"] for log in logs), default=None),
            "oldestEventTime": min((log["oldestEventTime"] for log in logs), default=None),
            "previousDigestS3Bucket": self.bucket if before else None, "previousDigestS3Object": before and before[0],
            "previousDigestHashValue": before and before[1], "previousDigestHashAlgorithm": before and "SHA-256",
            "previousDigestSignature": before and before[2], "logFiles": logs,
        }
        text = json.dumps(body, separators=(",", ":"))
        summed = hashlib.sha256(text.encode()).hexdigest()
        signature = key.sign(f"{iso(end)}\n{self.bucket}/{name}\n{summed}\n{before[2] if before else 'null'}")
        self.objects[name] = packed(text)
        self.metadata[name] = {"signature": signature, "signature-algorithm": ALGORITHM}
        if backfill:
            self.metadata[name]["backfill-generation-timestamp"] = iso(end + 2 * HOUR)
        else:
            self.previous = (name, summed, signature)
        self.digests.append(name)

    def drop(self, name):
        del self.objects[name]
        self.metadata.pop(name, None)
        return name

    def log_of(self, number):
        """A log file named by a digest after the given one."""
        for name in self.digests[number:]:
            for log in json.loads(gzip.decompress(self.objects[name]))["logFiles"]:
                return log["s3Object"]
        raise ValueError("no log file: ask for more hours")


def moment(nanos):
    return datetime.fromtimestamp(nanos // 10**9, timezone.utc)


# What is done to it; each gives the keys of what it touched.

def nothing(_trail):
    return []


def log_tampered(trail):
    name = trail.log_of(2)
    text = gzip.decompress(trail.objects[name]).decode()
    trail.objects[name] = packed(text.replace('"readOnly":false', '"readOnly":true').replace("203.0.113.", "198.51.100."))
    return [name]


def log_appended(trail):
    name = trail.log_of(2)
    trail.objects[name] += packed('{"Records":[]}')
    return [name]


def log_missing(trail):
    return [trail.drop(trail.log_of(2))]


def digest_tampered(trail):
    """A log file is taken out of its digest, and out of the bucket."""
    hidden = trail.log_of(2)
    for name in trail.digests:
        body = json.loads(gzip.decompress(trail.objects[name]))
        if any(log["s3Object"] == hidden for log in body["logFiles"]):
            body["logFiles"] = [log for log in body["logFiles"] if log["s3Object"] != hidden]
            trail.objects[name] = packed(json.dumps(body, separators=(",", ":")))
            return [name, trail.drop(hidden)]
    return []


def digest_missing(trail):
    return [trail.drop(trail.digests[3])]


def digests_missing(trail):
    return [trail.drop(trail.digests[3]), trail.drop(trail.digests[4])]


def newest_missing(trail):
    return [trail.drop(trail.digests[-1])]


def digest_moved(trail):
    """One digest stands in another's place."""
    name, other = trail.digests[3], trail.digests[2]
    trail.objects[name], trail.metadata[name] = trail.objects[other], trail.metadata[other]
    return [name]


def signature_missing(trail):
    trail.metadata[trail.digests[3]] = {}
    return [trail.digests[3]]


VARIANTS = {
    "valid": (nothing, {}), "log_tampered": (log_tampered, {}), "log_appended": (log_appended, {}), "log_missing": (log_missing, {}),
    "digest_tampered": (digest_tampered, {}), "digest_missing": (digest_missing, {}), "digests_missing": (digests_missing, {}),
    "newest_missing": (newest_missing, {}), "digest_moved": (digest_moved, {}), "signature_missing": (signature_missing, {}),
    "foreign_key": (nothing, {"foreign": (3,)}), "restarted": (nothing, {"skip": (3,), "restart": (4,)}), "backfill": (nothing, {"backfill": (2,)}),
    "spki_key": (nothing, {"spki": True}),
}


# The verdict.

class Bucket:
    """As much of S3 as the validator asks for."""

    def __init__(self, trail):
        self.trail = trail

    def get_client(self, _bucket):
        return self

    def get_paginator(self, _operation):
        return self

    def paginate(self, Bucket, Marker, Prefix):
        self.found = [name for name in sorted(self.trail.objects) if name > Marker and name.startswith(Prefix)]
        return self

    def search(self, _path):
        return self.found

    def get_object(self, Bucket, Key):
        if Key not in self.trail.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "The specified key does not exist."}}, "GetObject")
        return {"Body": io.BytesIO(self.trail.objects[Key]), "Metadata": self.trail.metadata.get(Key, {})}


class Keys:
    def __init__(self, listed):
        self.listed = listed

    def list_public_keys(self, StartTime, EndTime):
        return {"PublicKeyList": self.listed}


class Validator(CloudTrailValidateLogs):
    """The validator of awscli over a trail in memory; keeps what it says."""

    def __init__(self, trail, keys):
        super().__init__(None)
        self.trail_arn = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{TRAIL}"
        self.is_verbose, self.s3_bucket, self._source_region = True, trail.bucket, REGION
        self.start_time = moment(trail.since)
        self.end_time = moment(trail.end)
        self.s3_client_provider, self.cloudtrail_client, self.organization_client = Bucket(trail), Keys(keys), None
        self.said = []

    def _write_status(self, message, is_error=False):
        self.said.append(message)

    def _write_startup_text(self):
        pass

    def _write_summary_text(self):
        pass

    def verdict(self):
        self._call()
        told = {"digests": {}, "logs": {}, "gaps": []}
        for message in self.said:
            parts = message.removeprefix("(backfill) ").split("\t")
            if len(parts) < 2:
                told["gaps"].append(message)
                continue
            kind, where = "logs" if parts[0].startswith("Log") else "digests", parts[1].split("/", 3)[3]
            told[kind][where] = parts[-1].removeprefix("INVALID: ") if len(parts) > 2 else message
        return told


# Where it goes.

def save(folder, trail, keys):
    for name, content in trail.objects.items():
        path = folder / "objects" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "metadata.json").write_text(json.dumps(trail.metadata, indent=1))
    (folder / "public-keys.json").write_text(json.dumps({"PublicKeyList": keys}, indent=1))


def upload(endpoint, trail):
    import boto3

    s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    s3.create_bucket(Bucket=trail.bucket)
    for name, content in trail.objects.items():
        s3.put_object(Bucket=trail.bucket, Key=name, Body=content, Metadata=trail.metadata.get(name, {}), ContentEncoding="gzip",
                      ContentType="application/json")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--end", default="2026-10-01T09:00:00Z")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--s3")
    options = parser.parse_args()
    key, verdicts = Key(options.seed), {}
    for variant in options.variants.split(","):
        damage, how = VARIANTS[variant]
        trail = Trail("trail-" + variant.replace("_", "-"), options, key, **how)
        keys = [key.listed(trail.since - 100 * 24 * HOUR, trail.end + 24 * HOUR, how.get("spki", False))]
        touched = damage(trail) or [trail.digests[number] for number in how.get("foreign", ())]
        save(options.folder / variant, trail, keys)
        if options.s3:
            upload(options.s3, trail)
        verdicts[variant] = {"bucket": trail.bucket, "trail": TRAIL, "account": ACCOUNT, "region": REGION, "from": iso(trail.since),
                             "to": iso(trail.end), "damage": touched, **Validator(trail, keys).verdict()}
    json.dump(verdicts, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
