"""Reads a store without keytrail: the file list from the Delta log by another Delta reader and by
hand, the rows by DuckDB. Prints one JSON object."""

import glob
import json
import sys
import urllib.parse

import deltalake
import duckdb

journal = sys.argv[1] + "/journal"

table = deltalake.DeltaTable(journal)
files = sorted(urllib.parse.unquote(uri.removeprefix("file://")) for uri in table.file_uris())

# The log by hand, as the Delta protocol has it: what was added and not removed.
live = set()
for entry in sorted(glob.glob(journal + "/_delta_log/*.json")):
    for line in open(entry, encoding="utf-8"):
        action = json.loads(line)
        if "add" in action:
            live.add(journal + "/" + urllib.parse.unquote(action["add"]["path"]))
        if "remove" in action:
            live.discard(journal + "/" + urllib.parse.unquote(action["remove"]["path"]))

rows = duckdb.execute(
    """
    SELECT ledger, CAST(leaf_index AS VARCHAR), event_id, epoch_us(time)::VARCHAR, action,
           lower(hex(leaf_hash)), sha256(raw)
    FROM read_parquet(?, hive_partitioning = true)
    WHERE kind = 'event' ORDER BY ledger, leaf_index
    """,
    [files],
).fetchall()

print(json.dumps({"same_files": sorted(live) == files, "version": table.version(), "rows": rows}))
