/*+++
description = """The log of each HSM in runs without a hole: one row per ledger, reboot counter and stretch of sequence numbers.
`missing_before` counts the records between this run and the one before it in the same series; the first run of
a series has none. `disorder` counts records whose time is before that of their predecessor."""
+++*/
WITH numbered AS (
  SELECT
    ledger,
    max(provider) AS provider,
    max(account) AS account,
    max(region) AS region,
    max(hsm_id) AS hsm_id,
    max(json_text(details, 'cluster')) AS cluster_id,
    coalesce(json_int(details, 'reboot_counter'), -1) AS reboot_counter,
    json_int(details, 'sequence') AS sequence,
    min(time) AS time,
    min(event_id) AS event_id
  FROM events
  WHERE format = 'cloudhsm_audit' AND conflicts_with IS NULL AND json_int(details, 'sequence') IS NOT NULL
  GROUP BY ledger, coalesce(json_int(details, 'reboot_counter'), -1), json_int(details, 'sequence')
),
placed AS (
  SELECT
    numbered.*,
    sequence - row_number() OVER (PARTITION BY ledger, reboot_counter ORDER BY sequence) AS island,
    CASE WHEN lag(time) OVER (PARTITION BY ledger, reboot_counter ORDER BY sequence) > time THEN 1 ELSE 0 END AS back
  FROM numbered
),
runs AS (
  SELECT
    ledger,
    max(provider) AS provider,
    max(account) AS account,
    max(region) AS region,
    max(hsm_id) AS hsm_id,
    max(cluster_id) AS cluster_id,
    reboot_counter,
    min(sequence) AS seq_from,
    max(sequence) AS seq_to,
    min(time) AS time_from,
    max(time) AS time_to,
    count(*) AS records,
    sum(back) AS disorder,
    first_value(event_id ORDER BY sequence) AS first_event,
    first_value(event_id ORDER BY sequence DESC) AS last_event
  FROM placed
  GROUP BY ledger, reboot_counter, island
)
SELECT
  runs.*,
  row_number() OVER (PARTITION BY ledger, reboot_counter ORDER BY seq_from) AS run,
  seq_from - lag(seq_to) OVER (PARTITION BY ledger, reboot_counter ORDER BY seq_from) - 1 AS missing_before,
  lag(time_to) OVER (PARTITION BY ledger, reboot_counter ORDER BY seq_from) AS time_before,
  lag(last_event) OVER (PARTITION BY ledger, reboot_counter ORDER BY seq_from) AS event_before
FROM runs
