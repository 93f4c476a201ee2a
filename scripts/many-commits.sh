#!/usr/bin/env bash
# What many small commits cost, and what `store maintain` gives back: one store, COMMITS commits of
# EVENTS events each, measured before and after. Prints the table that docs/reliability.md holds.
#
#   scripts/many-commits.sh [COMMITS] [EVENTS]        (5000 and 20 where none are given)
#
# KEYTRAIL names the program; without it the release build is made and used. Needs python3.
set -euo pipefail
cd "$(dirname "$0")/.."
commits=${1:-5000}
events=${2:-20}
if [[ -z "${KEYTRAIL:-}" ]]; then
    nice cargo build --locked --release --quiet
    KEYTRAIL=${CARGO_TARGET_DIR:-target}/release/keytrail
fi
export KEYTRAIL
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
exec python3 - "$commits" "$events" "$folder" <<'PYTHON'
import json, os, subprocess, sys, time

commits, events, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
program = os.environ["KEYTRAIL"]
store = os.path.join(folder, "store")


def run(*arguments):
    began = time.monotonic()
    done = subprocess.run([program, "--store", store, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{arguments}: {done.stderr}")
    return time.monotonic() - began, done.stdout


def best(*arguments):
    return min(run(*arguments)[0] for _ in range(5))


def record(number):
    # One event every 30 s over two days, of 40 keys.
    at = 1_767_225_600 + number * 172_800 // (commits * events)
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    return {
        "eventVersion": "1.11", "eventTime": when, "eventSource": "kms.amazonaws.com",
        "eventName": "Decrypt", "awsRegion": "eu-central-1", "eventType": "AwsApiCall",
        "eventID": f"00000000-0000-4000-8000-{number:012d}", "readOnly": True,
        "recipientAccountId": "111122223333", "eventCategory": "Management",
        "requestParameters": {"keyId": key(number % 40)}, "responseElements": None,
        "userIdentity": {"type": "IAMUser", "principalId": "AIDAEXAMPLE", "userName": "anna",
                         "accountId": "111122223333", "arn": "arn:aws:iam::111122223333:user/anna"},
    }


def key(number):
    return f"arn:aws:kms:eu-central-1:111122223333:key/{number:08d}-12ab-34cd-56ef-1234567890ab"


def size(part):
    total = count = 0
    for place, _, names in os.walk(os.path.join(store, "journal")):
        for name in names:
            if ("_delta_log" in place) == (part == "log"):
                total, count = total + os.path.getsize(os.path.join(place, name)), count + 1
    return count, total / 1e6


def measured():
    status = json.loads(run("store", "status", "--format", "json")[1])["tables"][0]
    ask = f"SELECT count(*) FROM events WHERE key_id = '{key(7)}'"
    return {
        "files of the newest version": f"{status['files']:,}",
        "their size": f"{status['bytes'] / 1e6:,.1f} MB",
        "files on disk": "{:,} ({:,.1f} MB)".format(*size("data")),
        "log": "{:,} files ({:,.1f} MB)".format(*size("log")),
        "query of nothing (opening)": f"{best('query', 'SELECT 1') * 1000:,.0f} ms",
        "query of one key": f"{best('query', ask) * 1000:,.0f} ms",
        "import of 20 known events": f"{best('import', again) * 1000:,.0f} ms",
    }


again = os.path.join(folder, "again.json")
with open(again, "w") as file:
    json.dump({"Records": [record(n) for n in range(20)]}, file)
logs = os.path.join(folder, "logs.json")
rates = []
step = max(1, commits // 5)
for first in range(0, commits, step):
    numbers = range(first * events, min(first + step, commits) * events)
    with open(logs, "w") as file:
        json.dump({"Records": [record(n) for n in numbers]}, file)
    took, _ = run("import", "--page-events", str(events), logs)
    rates.append((min(first + step, commits), took * 1000 * events / len(numbers)))
before = measured()
took, text = run("store", "maintain", "--today", "--keep", "0s", "--orphans", "0s")
after = measured()

print(f"{commits:,} commits of {events} events\n")
print("| after commits | milliseconds a commit, in the stretch before |\n|---|---|")
for count, rate in rates:
    print(f"| {count:,} | {rate:.1f} |")
print(f"\n| | before | after `store maintain` ({took:.1f} s) |\n|---|---|---|")
for name, value in before.items():
    print(f"| {name} | {value} | {after[name]} |")
PYTHON
