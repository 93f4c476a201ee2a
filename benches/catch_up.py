"""Measures a catch-up: `keytrail collect` over a trail's bucket in a local S3 emulator (moto).

    catch_up.py KEYTRAIL [OBJECTS 10000] [RECORDS 1000000]

Run it with `.peers/servers`, which has moto and boto3. Two buckets are filled from one seed and collected into new stores:

    many    OBJECTS small log files of 50 records, one in twenty about a key
    large   RECORDS records, all about keys, in log files of 5,000: what memory does

Then sixteen threads list and get the same objects and throw them away: what the emulator takes for
itself. Processor time is what the system accounts to keytrail and to the emulator while keytrail runs.
With PERF=FILE in the environment, `perf record` samples the first collection into FILE.
"""

import gzip
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

sys.dont_write_bytecode = True

from corpus import ACCOUNT, record
from run import Run

REGION = "eu-central-1"
PREFIX = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}"
LARGE = 5_000
TICKS = os.sysconf("SC_CLK_TCK")


class Emulator:
    """moto's server, for as long as the measurement takes."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.1)
        sys.exit("moto does not answer")

    def core(self):
        """Its processor seconds so far."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self):
        self.child.kill()
        self.child.wait()

    def fill(self, bucket, objects):
        import boto3

        client = boto3.client("s3", region_name=REGION, endpoint_url=f"http://127.0.0.1:{self.port}",
                              aws_access_key_id="test", aws_secret_access_key="test")
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda one: client.put_object(Bucket=bucket, Key=one[0], Body=one[1]), objects))

    def read_all(self, bucket):
        """Lists and gets everything, sixteen at once; gives seconds and requests."""
        began, keys, token, requests = time.monotonic(), [], None, 0
        while True:
            query = {"list-type": "2", "prefix": PREFIX} | ({"continuation-token": token} if token else {})
            page = xml.fromstring(self.get(f"/{bucket}?{urllib.parse.urlencode(query)}"))
            requests += 1
            space = page.tag.split("}")[0] + "}"
            keys += [one.findtext(f"{space}Key") for one in page.findall(f"{space}Contents")]
            token = page.findtext(f"{space}NextContinuationToken")
            if not token:
                break
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: self.get(f"/{bucket}/{urllib.parse.quote(key)}"), keys))
        return time.monotonic() - began, requests + len(keys)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", path)
        body = connection.getresponse().read()
        connection.close()
        return body


def objects(count, records, about_keys):
    """Log files of the last weeks, one every five minutes, newest last."""
    rng = random.Random(7)
    begin = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    step = timedelta(minutes=5) if count > 1_000 else timedelta(hours=2)
    begin -= step * count
    for number in range(count):
        when = begin + step * number
        moment = [f"{when + step * rng.random():%Y-%m-%dT%H:%M:%SZ}" for _ in range(records)]
        body = {"Records": [record(rng, time, n % about_keys == 0) for n, time in enumerate(moment)]}
        name = f"{ACCOUNT}_CloudTrail_{REGION}_{when:%Y%m%dT%H%MZ}_{rng.getrandbits(64):016x}.json.gz"
        yield f"{PREFIX}/{when:%Y/%m/%d}/{name}", gzip.compress(json.dumps(body).encode(), 6, mtime=0)


def collect(program, emulator, bucket, perf=None):
    folder = Path(tempfile.mkdtemp(prefix="catch-up-"))
    (folder / "keytrail.toml").write_text(
        f'[[source]]\nname = "trail"\ntype = "aws.trail"\nbucket = "{bucket}"\nregion = "{REGION}"\n'
        f'endpoint = "http://127.0.0.1:{emulator.port}"\ndigests = false\n')
    before = emulator.core()
    command = [program, "--config", folder / "keytrail.toml", "--store", folder / "store", "collect", "--since",
               f"{datetime.now(timezone.utc) - timedelta(days=90):%Y-%m-%d}", "--format", "json"]
    if perf:
        command = ["perf", "record", "-F", "199", "-g", "-o", perf, *command]
    run = Run(command)
    if run.code != 0:
        sys.exit(f"keytrail collect ended with {run.code}: {run.stdout.decode()}")
    shutil.rmtree(folder)
    return run, emulator.core() - before, json.loads(run.stdout)["sources"][0]


def report(name, run, emulator_core, told, alone):
    seconds, requests = alone
    print(f"{name}: {told['records']} records, {told['events']} events, {told['requests']} requests in {run.wall:.1f} s; "
          f"keytrail {run.core:.1f} core s, peak {run.peak:.0f} MB; emulator {emulator_core:.1f} core s; "
          f"the same {requests} requests alone: {seconds:.1f} s", flush=True)


def main():
    program, count, records = sys.argv[1], int((sys.argv + ["10000"])[2]), int((sys.argv + ["", "1000000"])[3])
    emulator = Emulator()
    try:
        emulator.fill("many", objects(count, 50, 20))
        run, core, told = collect(program, emulator, "many", os.environ.get("PERF"))
        report("many", run, core, told, emulator.read_all("many"))
        emulator.fill("large", objects(records // LARGE, LARGE, 1))
        run, core, told = collect(program, emulator, "large")
        report("large", run, core, told, emulator.read_all("large"))
    finally:
        emulator.stop()


if __name__ == "__main__":
    main()
