/*+++
description = """Every administrative event once: what changes keys, policies, HSMs, vaults or logging, but
neither the use of a key nor reading. A record that amends an earlier one, the second copy of a cross-account
call, and a record that came again with other content (rule LOG-05 reports it) are left out, so that
nothing is counted twice. `subject_key` is the key where the log's owner owns it too."""
+++*/
WITH amended AS (
  SELECT DISTINCT b.event_id
  FROM admin_records AS b JOIN admin_records AS original ON original.event_id = b.ledger || '|' || b.amends
  WHERE b.amends IS NOT NULL
),
ranked AS (
  SELECT r.*, row_number() OVER (
      PARTITION BY coalesce('shared:' || shared_event_id, r.event_id)
      -- The copy in the log of the key's owner stands for the call.
      ORDER BY CASE WHEN split_part(key_id, ':', 5) = account THEN 0 ELSE 1 END, r.event_id
    ) AS copy
  FROM admin_records AS r LEFT ANTI JOIN amended ON r.event_id = amended.event_id
)
SELECT
  event_id, ledger, time, provider, service, format, account, region, action, native_action, category, outcome,
  error_code, actor_id, actor_name, actor_kind, actor_account, on_behalf_of, request_id, session_id,
  key_id, key_version, key_alias, key_group, key_spec, protection_level, origin, hsm_id, target, approvers, details,
  -- Keys of another account and handles inside an HSM are not keys of the population.
  CASE
    WHEN format IN ('cloudhsm_audit', 'cloudhsm_certificates', 'azure_cloudhsm') THEN NULL
    WHEN provider = 'aws' AND key_id LIKE 'arn:%' AND split_part(key_id, ':', 5) <> account THEN NULL
    ELSE key_id
  END AS subject_key
FROM ranked
WHERE copy = 1
