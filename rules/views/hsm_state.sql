/*+++
description = """One row per HSM, cluster, pool and vault as of the assessment, from dated inventory and from events; an HSM that
only its own log knows is there too. `ledger` is the log of a single CloudHSM HSM."""
+++*/
WITH inv AS (
  SELECT
    hsm_id,
    max(provider) AS provider,
    first_value(account ORDER BY captured_at DESC NULLS LAST, inventory_ref) FILTER (WHERE account IS NOT NULL) AS account,
    first_value(region ORDER BY captured_at DESC NULLS LAST, inventory_ref) FILTER (WHERE region IS NOT NULL) AS region,
    max(cluster_id) AS cluster_id,
    max(kind) AS kind,
    first_value(state ORDER BY captured_at DESC, inventory_ref)
      FILTER (WHERE state IS NOT NULL AND captured_at IS NOT NULL) AS state,
    first_value(hsm_type ORDER BY captured_at DESC NULLS LAST, inventory_ref) FILTER (WHERE hsm_type IS NOT NULL) AS hsm_type,
    first_value(mode ORDER BY captured_at DESC NULLS LAST, inventory_ref) FILTER (WHERE mode IS NOT NULL) AS mode,
    min(created_at) AS created_at,
    first_value(details ORDER BY captured_at DESC, inventory_ref)
      FILTER (WHERE details IS NOT NULL AND captured_at IS NOT NULL) AS details,
    max(captured_at) AS inventory_at,
    array_slice(array_agg(inventory_ref ORDER BY captured_at DESC NULLS LAST, inventory_ref), 1, 10) AS inventory_refs
  FROM hsms
  WHERE kind NOT IN ('proposal', 'import_job', 'backup', 'key_store')
  GROUP BY hsm_id
),
logged AS (
  SELECT
    coalesce(max(hsm_id), split_part(ledger, '/', 3)) AS hsm_id,
    max(provider) AS provider,
    max(account) AS account,
    max(region) AS region,
    max(json_text(details, 'cluster')) AS cluster_id,
    ledger,
    min(time) AS first_seen,
    max(time) AS last_seen
  FROM events
  WHERE format = 'cloudhsm_audit'
  GROUP BY ledger
)
SELECT
  coalesce(inv.hsm_id, logged.hsm_id) AS hsm_id,
  coalesce(inv.provider, logged.provider) AS provider,
  coalesce(inv.account, logged.account) AS account,
  coalesce(inv.region, logged.region) AS region,
  coalesce(inv.cluster_id, logged.cluster_id) AS cluster_id,
  coalesce(inv.kind, 'hsm') AS kind,
  inv.state,
  inv.hsm_type,
  inv.mode,
  inv.created_at,
  inv.details,
  inv.inventory_at,
  coalesce(inv.inventory_refs, arrow_cast(make_array(), 'List(Utf8)')) AS inventory_refs,
  logged.ledger,
  logged.first_seen,
  logged.last_seen,
  CASE WHEN inv.hsm_id IS NULL THEN 'events' WHEN logged.hsm_id IS NULL THEN 'inventory' ELSE 'both' END AS known_from
FROM inv FULL JOIN logged ON logged.hsm_id = inv.hsm_id
