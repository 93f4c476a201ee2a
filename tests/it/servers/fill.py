"""Fills a server that stands for a cloud; the order comes as JSON on standard input.

    fill.py aws ENDPOINT    [[SERVICE, REGION, operation, {PARAMETERS}], …]     prints the answers
    fill.py blobs ENDPOINT  {"container": …, "blobs": [{"name": …, CONTENT, "append": true}, …]}
    fill.py gcs ENDPOINT    {"bucket": …, "objects": [{"name": …, CONTENT}, …]}

CONTENT is "text", "gzip" (text to pack) or "path" (a file); in a parameter of an AWS call it is an object with
one of these. Blobs with `append` are append blobs, and what is appended again comes at the end. Needs boto3
and azure-storage-blob.
"""

import gzip
import json
import sys

# The fixture beside this file is not the package of its name.
sys.path.pop(0)

import urllib.error
import urllib.parse
import urllib.request

# Azurite's account, which its documentation gives (github.com/Azure/Azurite#default-storage-account).
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def content(order):
    if "path" in order:
        with open(order["path"], "rb") as file:
            return file.read()
    return gzip.compress(order["gzip"].encode(), mtime=0) if "gzip" in order else order["text"].encode()


def parameter(value):
    known = isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("path", "gzip", "text")
    return content(value) if known else value


def aws(endpoint, calls):
    import boto3

    clients, answers = {}, []
    for service, region, operation, parameters in calls:
        client = clients.setdefault((service, region), boto3.client(
            service, region_name=region, endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test"))
        answer = getattr(client, operation)(**{name: parameter(value) for name, value in parameters.items()})
        answer.pop("ResponseMetadata", None)
        answers.append(answer)
    return answers


def blobs(endpoint, order):
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import BlobServiceClient

    service = BlobServiceClient(f"{endpoint}/{ACCOUNT}", credential=KEY)
    container = service.get_container_client(order["container"])
    try:
        container.create_container()
    except ResourceExistsError:
        pass
    for blob in order["blobs"]:
        kind = "AppendBlob" if blob.get("append") else "BlockBlob"
        container.upload_blob(blob["name"], content(blob), blob_type=kind, overwrite=kind == "BlockBlob")
    return []


def gcs(endpoint, order):
    def post(path, body, kind):
        request = urllib.request.Request(endpoint + path, body, {"Content-Type": kind})
        urllib.request.urlopen(request).read()

    try:
        post("/storage/v1/b?project=test", json.dumps({"name": order["bucket"]}).encode(), "application/json")
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise
    for one in order["objects"]:
        name = urllib.parse.quote(one["name"], safe="")
        post(f"/upload/storage/v1/b/{order['bucket']}/o?uploadType=media&name={name}", content(one), "application/octet-stream")
    return []


if __name__ == "__main__":
    answers = {"aws": aws, "blobs": blobs, "gcs": gcs}[sys.argv[1]](sys.argv[2], json.load(sys.stdin))
    json.dump(answers, sys.stdout, default=lambda value: value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
