"""Measures an import beside its peers, and the rules over a year: `make bench`.

    run.py KEYTRAIL CORPUS

Whole processes, one after the other in one run: wall time, processor time and the largest resident
size as the system accounts them. A core second is a second of one processor's time.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

DUCKDB = """
import duckdb, sys
db = duckdb.connect()
db.execute("SET threads = 2")
db.execute('''COPY (
    SELECT r->>'eventID' AS event_id, r->>'eventTime' AS time, r->>'eventSource' AS source, r->>'eventName' AS name,
           r->>'awsRegion' AS region, r->>'recipientAccountId' AS account, r->>'errorCode' AS error,
           r->'userIdentity'->>'arn' AS actor, r->'requestParameters'->>'keyId' AS key_id, r AS raw
    FROM (SELECT unnest("Records") AS r
          FROM read_json(?, columns = {"Records": 'JSON[]'}, maximum_object_size = 268435456))
    WHERE source IN ('kms.amazonaws.com', 'cloudhsm.amazonaws.com', 'payment-cryptography.amazonaws.com',
                     'cloudtrail.amazonaws.com')
) TO '%s' (FORMAT parquet, COMPRESSION zstd)''' % sys.argv[2], [sys.argv[1]])
"""


class Run:
    """One process: what it printed and what it took."""

    def __init__(self, command):
        began = time.monotonic()
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.stdout = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        self.wall = time.monotonic() - began
        self.core = usage.ru_utime + usage.ru_stime
        self.peak = usage.ru_maxrss / 1024
        self.code = os.waitstatus_to_exitcode(status)
        child.returncode = self.code


def quickest(command, times=3, before=lambda: None):
    runs = []
    for _ in range(times):
        before()
        runs.append(Run(command))
    return min(runs, key=lambda run: run.core)


def row(name, run, size, events):
    megabytes = size / 1e6
    print(
        f"| {name} | {run.wall:.2f} | {run.core:.2f} | {megabytes / run.wall:.0f} | {megabytes / run.core:.0f} "
        f"| {events / run.wall:,.0f} | {events / run.core:,.0f} | {run.peak:.0f} |",
        flush=True,
    )


def imports(keytrail, corpus, sets, scratch):
    print("| what | wall s | core s | MB/s | MB/s a core | events/s | events/s a core | peak MB |")
    print("|---|---|---|---|---|---|---|---|")
    store = scratch / "store"
    for name in ("trail", "keys", "others"):
        size, events = sets[name]["bytes"], sets[name]["events"]
        pattern, runs = str(corpus / name), {}
        if name != "others":
            runs["gzip"] = quickest(["sh", "-c", f"find {pattern} -name '*.gz' | sort | xargs cat | gzip -dc > /dev/null"])
            row(f"{name}: gzip -dc", runs["gzip"], size, 0)
        runs["keytrail"] = quickest(
            [keytrail, "import", "--store", str(store), "--format", "json", pattern],
            before=lambda: shutil.rmtree(store, ignore_errors=True),
        )
        counts = json.loads(runs["keytrail"].stdout)
        assert counts["events"] == events and counts["records"] == sets[name]["records"], counts
        row(f"{name}: keytrail import", runs["keytrail"], size, events)
        if name != "others":
            files = f"{pattern}/**/*.json.gz"
            runs["duckdb"] = quickest([sys.executable, "-c", DUCKDB, files, str(scratch / "out.parquet")], times=1)
            assert runs["duckdb"].code == 0
            row(f"{name}: DuckDB", runs["duckdb"], size, events)
            ours = runs["keytrail"]
            print(
                f"| {name}: keytrail to gzip, a core {runs['gzip'].core / ours.core:.2f} ×; to DuckDB, "
                f"wall {runs['duckdb'].wall / ours.wall:.1f} ×, a core {runs['duckdb'].core / ours.core:.1f} × |||||||||"
            )


def rules(keytrail, corpus, sets, scratch):
    store = str(scratch / "year")
    done = Run([keytrail, "import", "--store", store, "--format", "json", str(corpus / "year")])
    print(f"\na year of {json.loads(done.stdout)['events']:,} key events: imported in {done.wall:.1f} s, peak {done.peak:.0f} MB")
    size = sum(path.stat().st_size for path in Path(store).rglob("*") if path.is_file())
    print(f"store: {size / 1e6:.0f} MB, {size / sets['year']['events']:.0f} bytes an event\n")
    again = [keytrail, "import", "--store", store, "--format", "json"]
    one = sorted((corpus / "year").rglob("*.gz"))[-1]
    key = "SELECT count(*) FROM events WHERE key_id LIKE '%:key/00000007-%'"
    check = [keytrail, "check", "--store", store, "--as-of", "2026-08-15", "--format", "json"]
    print("| over this store | wall s | core s | peak MB |\n|---|---|---|---|")
    for name, command in (
        ("check, all rules", check),
        ("import of one file that is known", [*again, str(one)]),
        ("query of one key", [keytrail, "query", "--store", store, key]),
    ):
        run = quickest(command)
        print(f"| {name} | {run.wall:.2f} | {run.core:.2f} | {run.peak:.0f} |", flush=True)


def start(keytrail, scratch):
    empty = str(scratch / "empty")
    subprocess.run([keytrail, "import", "--store", empty, "-"], input=b'{"Records":[]}', check=False, capture_output=True)
    print("\n| start | wall ms |\n|---|---|")
    print(f"| --help | {quickest([keytrail, '--help'], 10).wall * 1000:.0f} |")
    query = [keytrail, "query", "--store", empty, "SELECT count(*) FROM events"]
    print(f"| query of an empty store | {quickest(query, 10).wall * 1000:.0f} |")
    print(f"\nbinary: {Path(keytrail).stat().st_size / 1e6:.1f} MB")


def main():
    keytrail, corpus = sys.argv[1], Path(sys.argv[2])
    sets = json.loads((corpus / "manifest.json").read_text())["sets"]
    scratch = corpus / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    start(keytrail, scratch)
    imports(keytrail, corpus, sets, scratch)
    rules(keytrail, corpus, sets, scratch)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
