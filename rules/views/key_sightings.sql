/*+++
description = """One row per key that a successful event of its own log names, any use included: when it was first
and last seen, and what its uses prove about it. A refused or failed call proves no key; handles inside an HSM are
not keys of a key service."""
+++*/
SELECT
  key_id,
  max(provider) AS provider,
  max(account) AS account,
  max(region) AS region,
  max(service) AS service,
  max(key_group) AS key_group,
  max(key_spec) AS key_spec,
  max(protection_level) AS protection_level,
  max(origin) AS origin,
  min(time) AS first_seen,
  max(time) AS last_seen,
  max(CASE WHEN key_alias LIKE 'alias/aws/%' THEN 1 ELSE 0 END) = 1 AS aws_managed,
  -- AWS gives data keys and switches rotation under symmetric encryption keys only.
  max(CASE WHEN action IN ('key.use.data_key', 'key.rotation.enable') THEN 1 ELSE 0 END) = 1 AS used_as_symmetric,
  max(CASE WHEN action IN ('key.use.sign', 'key.use.verify', 'key.use.derive') THEN 1 ELSE 0 END) = 1
    AS used_as_asymmetric,
  max(CASE WHEN action = 'key.use.mac' THEN 1 ELSE 0 END) = 1 AS used_as_mac
FROM events
WHERE key_id IS NOT NULL
  AND outcome = 'success'
  AND format NOT IN ('cloudhsm_audit', 'cloudhsm_certificates', 'azure_cloudhsm')
  AND (provider <> 'aws' OR key_id NOT LIKE 'arn:%' OR split_part(key_id, ':', 5) = account)
GROUP BY key_id
