"""Writes the corpus that `make bench` measures with: the same bytes for the same seed and size.

    corpus.py FOLDER MEGABYTES EVENTS

makes below FOLDER, unless it is there already:

    trail/    CloudTrail files in the shape {"Records": [...]}, gzip, MEGABYTES before packing; one
              record in twenty is about a key
    keys/     the same shape, every record about a key; a third of MEGABYTES
    year/     the same shape, EVENTS records about keys spread over a year
    others/   an AWS CloudHSM audit log, Google Cloud audit entries and Key Vault records as lines
"""

import gzip
import json
import random
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

START = datetime(2026, 3, 1, tzinfo=timezone.utc)
REGIONS = ["eu-central-1", "eu-west-1", "us-east-1"]
PEOPLE = ["anna", "ben", "carla", "deniz", "emil", "fatma"]
KEYS = [f"{n:08x}-12ab-34cd-56ef-{n:012x}" for n in range(400)]
CALLS = [("Decrypt", True), ("GenerateDataKey", True), ("Encrypt", True), ("DescribeKey", True), ("Sign", True)]
RARE = [("EnableKeyRotation", False), ("DisableKey", False), ("PutKeyPolicy", False), ("CreateGrant", False)]
OTHERS = [
    ("ec2.amazonaws.com", "DescribeInstances"),
    ("s3.amazonaws.com", "GetBucketAcl"),
    ("sts.amazonaws.com", "AssumeRole"),
    ("iam.amazonaws.com", "ListRoles"),
    ("lambda.amazonaws.com", "GetFunction20150331v2"),
    ("dynamodb.amazonaws.com", "DescribeTable"),
]
FILE_BYTES = 4 << 20
RECORD_BYTES = 1_562
ACCOUNT = "111122223333"


def unique(rng):
    number = rng.getrandbits(128)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def record(rng, time, about_key):
    """One record, with what real ones have: an assumed role, nested parameters, resources."""
    region, person = rng.choice(REGIONS), rng.choice(PEOPLE)
    base = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": f"AROAEXAMPLEEXAMPLE{rng.randrange(90) + 10}:{person}@example.com",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/{person}@example.com",
            "accountId": ACCOUNT,
            "accessKeyId": f"ASIAEXAMPLE{rng.randrange(10**9):09}",
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": "AROAEXAMPLEEXAMPLE",
                    "arn": f"arn:aws:iam::{ACCOUNT}:role/Operator",
                    "accountId": ACCOUNT,
                    "userName": "Operator",
                },
                "attributes": {"creationDate": time, "mfaAuthenticated": "true"},
            },
        },
        "eventTime": time,
        "awsRegion": region,
        "sourceIPAddress": f"198.51.100.{rng.randrange(256)}",
        "userAgent": "aws-sdk-java/2.31.77 md/io#sync md/http#Apache ua/2.1 os/Linux#6.1 lang/java#21.0.7 md/OpenJDK_64-Bit_Server_VM",
        "requestID": unique(rng),
        "eventID": unique(rng),
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"service.{region}.amazonaws.com",
        },
    }
    if about_key:
        name, read = rng.choice(RARE) if rng.random() < 0.02 else rng.choice(CALLS)
        key = f"arn:aws:kms:{region}:{ACCOUNT}:key/{rng.choice(KEYS)}"
        base |= {
            "eventSource": "kms.amazonaws.com",
            "eventName": name,
            "readOnly": read,
            "requestParameters": {
                "keyId": key,
                "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
                "encryptionContext": {"aws:s3:arn": f"arn:aws:s3:::bucket-{rng.randrange(40)}/object-{rng.randrange(10**6)}"},
            },
            "responseElements": None,
            "resources": [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key}],
        }
    else:
        source, name = rng.choice(OTHERS)
        base |= {
            "eventSource": source,
            "eventName": name,
            "readOnly": True,
            "requestParameters": {
                "instancesSet": {"items": [{"instanceId": f"i-{rng.getrandbits(68):017x}"} for _ in range(rng.randrange(1, 6))]},
                "filterSet": {"items": [{"name": "tag:team", "valueSet": {"items": [{"value": "payments"}]}}]},
            },
            "responseElements": None,
        }
    return base


def trail(folder, size, share, seed, apart=timedelta(minutes=5), start=START):
    """Trail files of some megabytes each, the time of one after the other."""
    rng, folder = random.Random(seed), Path(folder)
    written = number = records = events = 0
    while written < size:
        parts, length = [], 0
        moment = start + apart * number
        while length < FILE_BYTES:
            about_key = rng.random() < share
            time = (moment + apart * rng.random()).strftime("%Y-%m-%dT%H:%M:%SZ")
            text = json.dumps(record(rng, time, about_key), separators=(",", ":"))
            parts.append(text)
            length += len(text) + 1
            events += about_key
        records += len(parts)
        content = ('{"Records":[' + ",".join(parts) + "]}").encode()
        written += len(content)
        path = folder / moment.strftime("%Y/%m/%d") / f"{ACCOUNT}_CloudTrail_eu-central-1_{number:06}.json.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content, 6, mtime=0))
        number += 1
    return {"files": number, "bytes": written, "records": records, "events": events}


def others(folder):
    """60,000 records of three other formats."""
    rng, folder = random.Random(7), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    hsm, gcp, azure = [], [], []
    for n in range(20_000):
        moment = START + timedelta(seconds=20 * n)
        micros = int(moment.timestamp() * 1_000_000)
        hsm.append(
            f"Time: {moment:%m/%d/%y %H:%M:%S}.000000, usecs:{micros}\nVersion No : 1.0\nSequence No : 0x{n:x}\n"
            "Reboot counter : 0x1\nOpcode : CN_LOGIN (0xd)\nSession Handle : 0x1004001\nResponse : 0:HSM Return: SUCCESS\n"
            "Log type : USER_AUTH_LOG (2)\nUser Name : ben\nUser Type : CN_CRYPTO_USER (1)\n\n"
        )
        key = f"projects/p-1/locations/europe-west3/keyRings/r/cryptoKeys/k-{rng.randrange(50)}"
        gcp.append(json.dumps({
            "insertId": f"{n:016x}", "logName": "projects/p-1/logs/cloudaudit.googleapis.com%2Factivity",
            "timestamp": moment.isoformat().replace("+00:00", "Z"), "severity": "NOTICE",
            "resource": {"type": "cloudkms_cryptokey", "labels": {"project_id": "p-1", "location": "europe-west3"}},
            "protoPayload": {
                "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "serviceName": "cloudkms.googleapis.com",
                "methodName": "UpdateCryptoKey", "resourceName": key, "status": {},
                "authenticationInfo": {"principalEmail": f"{rng.choice(PEOPLE)}@example.com"},
                "requestMetadata": {"callerIp": "203.0.113.9", "callerSuppliedUserAgent": "gcloud"},
                "request": {"@type": "type.googleapis.com/google.cloud.kms.v1.UpdateCryptoKeyRequest", "updateMask": "labels"},
            },
        }))
        vault = "/SUBSCRIPTIONS/00000000-0000-4000-8000-000000000001/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V"
        azure.append(json.dumps({
            "time": moment.isoformat().replace("+00:00", "Z"), "category": "AuditEvent", "operationName": "KeySign",
            "resultType": "Success", "resultSignature": "OK", "resourceId": vault, "callerIpAddress": "203.0.113.9",
            "correlationId": unique(rng), "operationVersion": "7.4",
            "identity": {"claim": {"upn": f"{rng.choice(PEOPLE)}@example.com"}},
            "properties": {"id": f"https://v.vault.azure.net/keys/k{rng.randrange(50)}/1", "httpStatusCode": 200,
                           "clientInfo": "azsdk", "requestUri": "https://v.vault.azure.net/keys/k/1/sign?api-version=7.4"},
        }))
    for name, text in (("hsm-abcd1234.log", "".join(hsm)), ("gcp.jsonl", "\n".join(gcp)), ("keyvault.jsonl", "\n".join(azure))):
        (folder / name).write_text(text)
        written += len(text)
    return {"files": 3, "bytes": written, "records": 60_000, "events": 60_000}


def main():
    folder, size, events = Path(sys.argv[1]), int(sys.argv[2]) * 1_000_000, int(sys.argv[3])
    manifest = folder / "manifest.json"
    if manifest.exists() and json.loads(manifest.read_text()).get("asked") == [size, events]:
        return
    a_year = events * RECORD_BYTES
    apart = timedelta(days=364) / (a_year // FILE_BYTES + 1)
    sets = {
        "trail": trail(folder / "trail", size, 0.05, 1),
        "keys": trail(folder / "keys", size // 3, 1.0, 2),
        "year": trail(folder / "year", a_year, 1.0, 3, apart, START - timedelta(days=200)),
        "others": others(folder / "others"),
    }
    manifest.write_text(json.dumps({"asked": [size, events], "sets": sets}, indent=1))


if __name__ == "__main__":
    main()
