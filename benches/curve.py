"""What a store costs as it grows: `make soak` runs it, it takes a while.

    curve.py KEYTRAIL FOLDER [LARGEST]

One store over a year grows tenfold from 10,000 events to LARGEST (10,000,000). At each size: import of
one more file of 1,000 events of one day, import of that file again, opening, queries of one key and of
one event, and all rules. Whole processes, the quickest of three; prints the table of docs/performance.md.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ACCOUNT = "111122223333"
YEAR, START = 365 * 86_400, 1_756_684_800
PER_FILE = 20_000
# The calls of a key service: nearly all of them use a key.
CALLS = [("Decrypt", "true")] * 60 + [("GenerateDataKey", "true")] * 35 + [("DescribeKey", "true")] * 4 + [("EnableKey", "false")]

RECORD = (
    '{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:%(who)s@example.com",'
    '"arn":"arn:aws:sts::111122223333:assumed-role/Operator/%(who)s@example.com","accountId":"111122223333",'
    '"sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/Operator","userName":"Operator"},'
    '"attributes":{"mfaAuthenticated":"true"}}},"eventTime":"%(time)s","eventSource":"kms.amazonaws.com","eventName":"%(call)s",'
    '"awsRegion":"eu-central-1","sourceIPAddress":"198.51.100.%(ip)d","userAgent":"aws-sdk-java/2.31.77 md/io#sync ua/2.1 os/Linux",'
    '"requestParameters":{"keyId":"%(key)s","encryptionContext":{"tenant":"%(ip)d"}},"responseElements":null,"requestID":"%(request)s",'
    '"eventID":"%(id)s","readOnly":%(reads)s,"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"%(key)s"}],'
    '"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}'
)


def key(number):
    return f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/{number:08x}-12ab-34cd-56ef-{number:012x}"


def mixed(number):
    """A number that looks random, the same each time."""
    number = (number * 0x9E3779B97F4A7C15 + 0x1234567) & (2**64 - 1)
    number ^= number >> 29
    return (number * 0xBF58476D1CE4E5B9) & (2**64 - 1)


def identity(number):
    text = f"{mixed(number):016x}{mixed(number + 7):016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def record(number, at):
    seed = mixed(number)
    call, reads = CALLS[seed % len(CALLS)]
    return RECORD % {
        "who": ("anna", "ben", "carla", "deniz")[seed >> 8 & 3], "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
        "call": call, "ip": seed >> 16 & 255, "key": key(seed >> 24 & 255), "request": identity(number + 3),
        "id": identity(number), "reads": reads,
    }


def write(path, numbers, at):
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write('{"Records":[' + ",".join(record(n, at(n)) for n in numbers) + "]}")


class Store:
    def __init__(self, keytrail, folder):
        self.keytrail, self.folder, self.store = keytrail, folder, str(folder / "store")

    def run(self, *arguments):
        began = time.monotonic()
        child = subprocess.Popen([self.keytrail, "--store", self.store, *arguments], stdout=subprocess.PIPE)
        text = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        # Nothing is declared here, so that rules may say neither pass nor fail.
        if child.returncode not in ((0, 1, 4) if arguments[0] == "check" else (0,)):
            sys.exit(f"{arguments}: exit code {child.returncode}")
        return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text

    def best(self, *arguments, times=3):
        return min((self.run(*arguments) for _ in range(times)), key=lambda run: run[0])


def grow(store, done, size):
    """Imports events `done` to `size`, spread over the year; gives what that took."""
    logs = store.folder / "logs"
    spent, peak = 0.0, 0.0
    # A step's events lie between those of the step before; time goes up within a step.
    for first in range(done, size, PER_FILE * 25):
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir()
        last = min(first + PER_FILE * 25, size)
        for begin in range(first, last, PER_FILE):
            numbers = range(begin, min(begin + PER_FILE, last))
            write(logs / f"{begin:09}.json.gz", numbers, lambda n: START + (n - done) * YEAR // (size - done))
        wall, _, memory, _ = store.run("import", "--format", "json", str(logs))
        spent, peak = spent + wall, max(peak, memory)
    shutil.rmtree(logs, ignore_errors=True)
    return spent, peak


def measured(store, size, extra):
    numbers = range(extra, extra + 1_000)
    day = START + 200 * 86_400
    one = store.folder / f"one-{size}.json.gz"
    write(one, numbers, lambda n: day + (n - extra) * 80)
    new = store.run("import", "--format", "json", str(one))
    assert json.loads(new[3])["events"] == 1_000, new[3]
    ask = f"SELECT count(*) FROM events WHERE key_id = '{key(7)}'"
    event = f"SELECT raw FROM events WHERE event_id = 'aws/{ACCOUNT}|{identity(size // 2)}'"
    status = json.loads(store.run("store", "status", "--format", "json")[3])["tables"][0]
    check = store.best("check", "--as-of", "2026-09-01", "--format", "json", times=1)
    return [
        f"{status['files']:,}", f"{status['bytes'] / 1e6:,.0f}", f"{new[0] * 1000:,.0f}",
        f"{store.best('import', '--format', 'json', str(one))[0] * 1000:,.0f}",
        f"{store.best('query', 'SELECT 1')[0] * 1000:,.0f}", f"{store.best('query', ask)[0] * 1000:,.0f}",
        f"{store.best('query', event)[0] * 1000:,.0f}", f"{check[0]:.2f} s, {check[2]:,.0f} MB",
    ]


def main():
    keytrail, folder = sys.argv[1], Path(sys.argv[2])
    largest = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000_000
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store, done, extra = Store(keytrail, folder), 0, 2_000_000_000
    print("| events | imported in s | peak MB | files | MB | one more file ms | again ms | open ms | one key ms | one event ms | all rules |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    size = 10_000
    while size <= largest:
        spent, peak = grow(store, done, size)
        cells = measured(store, size, extra)
        print(f"| {size:,} | {spent:.1f} | {peak:.0f} | " + " | ".join(cells) + " |", flush=True)
        done, size, extra = size, size * 10, extra + 1_000
    shutil.rmtree(folder)


main()
