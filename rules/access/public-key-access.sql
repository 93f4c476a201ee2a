/*+++
id = "ACC-03"
title = "No key is open to anybody"
severity = "critical"
needs = { aws = ["aws.kms"], gcp = ["gcp.kms.admin"], azure = ["azure.keyvault.audit"] }
params = { fresh = "7d" }
rationale = """A key policy that lets everybody in without a restricting condition, a binding for allUsers or
allAuthenticatedUsers, or a vault that takes calls from any network makes encryption a formality."""
remediation = """Name the principals that need the key, or tie the statement to your own organisation or account; remove allUsers and
allAuthenticatedUsers; set the vault's default network action to Deny."""
references = [
  "https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html",
  "https://cloud.google.com/kms/docs/iam",
  "https://learn.microsoft.com/azure/key-vault/general/network-security",
]

[[controls]]
framework = "cis-aws-7.0.0"
control = "2.21"
strength = "supporting"

[[controls]]
framework = "cis-gcp-5.0.0"
control = "1.10"
strength = "direct"

[[controls]]
framework = "cis-azure-6.0.0"
control = "8.3.7"
strength = "direct"

[[controls]]
framework = "nist-sp-800-53r5"
control = "AC-3"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-53r5"
control = "AC-6"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "7.2.1"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "7.2.5"
strength = "supporting"

[[controls]]
framework = "soc2-tsc-2017"
control = "CC6.1"
strength = "supporting"
+++*/
WITH rings AS (
  SELECT * FROM (
    SELECT
      coalesce(json_text(details, 'key_ring'), target, key_id) AS ring, time, event_id,
      json_bool(details, 'public') AS public,
      row_number() OVER (PARTITION BY coalesce(json_text(details, 'key_ring'), target, key_id)
        ORDER BY time DESC, event_id DESC) AS place
    FROM admin_events
    WHERE provider = 'gcp' AND action = 'vault.policy.set' AND outcome = 'success'
  ) AS ranked WHERE place = 1
),
key_facts AS (
  SELECT
    k.*,
    r.time AS ring_at, r.event_id AS ring_event, r.public AS ring_public
  FROM key_state AS k
  LEFT JOIN rings AS r ON r.ring = split_part(k.key_id, '/cryptoKeys/', 1)
  WHERE k.provider <> 'azure'
),
key_rows AS (
  SELECT
    'key' AS subject_kind, key_id AS subject_id, provider, account, region, key_alias AS name,
    CASE
      WHEN state = 'destroyed' THEN 'not_applicable destroyed'
      WHEN access = 'public' THEN 'fail public_access'
      WHEN ring_public THEN 'fail public_through_ring'
      WHEN access = 'unreadable' THEN 'undetermined policy_unreadable'
      WHEN access = 'restricted' AND ring_event IS NOT NULL AND ring_public IS NULL THEN 'undetermined ring_policy_unreadable'
      WHEN access = 'restricted' THEN 'pass restricted'
      ELSE 'undetermined policy_not_read'
    END AS verdict,
    CASE WHEN ring_public AND coalesce(access, '') <> 'public' THEN ring_at
      WHEN state = 'destroyed' THEN state_at ELSE access_at END AS known_at,
    CASE WHEN ring_public AND coalesce(access, '') <> 'public' THEN ring_event
      WHEN state = 'destroyed' THEN state_event ELSE access_event END AS event_id,
    access_ref AS ref,
    inventory_refs,
    access_statement AS statement,
    CAST(NULL AS VARCHAR) AS kind_needed
  FROM key_facts
),
-- A vault's network rules stand in the inventory, and in the log where the vault was created or changed.
vault_changes AS (
  SELECT * FROM (
    SELECT
      lower(coalesce(json_text(details, 'vault'), hsm_id)) AS vault, time, event_id,
      json_bool(details, 'public_network') AS public,
      row_number() OVER (PARTITION BY lower(coalesce(json_text(details, 'vault'), hsm_id)) ORDER BY time DESC, event_id DESC) AS place
    FROM admin_events
    WHERE provider = 'azure' AND action IN ('vault.create', 'vault.update') AND outcome = 'success'
      AND json_bool(details, 'public_network') IS NOT NULL
  ) AS ranked WHERE place = 1
),
vaults AS (
  SELECT
    h.*, json_bool(h.details, 'public_network') AS public, c.public AS public_by_event, c.time AS changed_at, c.event_id AS change_event,
    c.time IS NOT NULL AND (h.inventory_at IS NULL OR c.time > h.inventory_at
      OR json_bool(h.details, 'public_network') IS NULL) AS by_event
  FROM hsm_state AS h LEFT JOIN vault_changes AS c ON c.vault = lower(h.hsm_id)
  WHERE h.provider = 'azure' AND h.kind IN ('vault', 'pool')
),
vault_rows AS (
  SELECT
    'vault' AS subject_kind, hsm_id AS subject_id, provider, account, region, CAST(NULL AS VARCHAR) AS name,
    CASE
      WHEN state = 'deleted' THEN 'not_applicable destroyed'
      WHEN CASE WHEN by_event THEN public_by_event ELSE public END THEN 'fail open_network'
      WHEN NOT CASE WHEN by_event THEN public_by_event ELSE public END THEN 'pass restricted'
      ELSE 'undetermined network_rules_not_read'
    END AS verdict,
    CASE WHEN by_event THEN changed_at ELSE inventory_at END AS known_at,
    CASE WHEN by_event THEN change_event END AS event_id,
    inventory_refs[1] AS ref,
    inventory_refs,
    CAST(NULL AS VARCHAR) AS statement,
    CASE WHEN kind = 'pool' THEN 'azure.managedhsm.audit' END AS kind_needed
  FROM vaults
),
-- Vaults that only their keys tell of.
other_vaults AS (
  SELECT
    'vault' AS subject_kind, host AS subject_id, 'azure' AS provider, max(account) AS account, max(region) AS region, CAST(NULL AS VARCHAR) AS name,
    'undetermined network_rules_not_read' AS verdict, CAST(NULL AS TIMESTAMP) AS known_at, CAST(NULL AS VARCHAR) AS event_id,
    CAST(NULL AS VARCHAR) AS ref, arrow_cast(make_array(), 'List(Utf8)') AS inventory_refs, CAST(NULL AS VARCHAR) AS statement,
    CAST(NULL AS VARCHAR) AS kind_needed
  FROM (SELECT concat('https://', split_part(key_id, '/', 3)) AS host, account, region FROM key_state WHERE provider = 'azure') AS k
  WHERE split_part(split_part(host, '/', 3), '.', 1) NOT IN (
    SELECT CASE WHEN hsm_id LIKE 'https://%' THEN split_part(split_part(lower(hsm_id), '/', 3), '.', 1)
      ELSE regexp_replace(lower(hsm_id), '^.*/', '') END FROM vaults)
  GROUP BY host
),
judged AS (
  SELECT * FROM key_rows
  UNION ALL SELECT * FROM vault_rows
  UNION ALL
  SELECT subject_kind, subject_id, provider, account, region, name, verdict,
    arrow_cast(known_at, 'Timestamp(Microsecond, Some("UTC"))'), event_id, ref, inventory_refs, statement, kind_needed
  FROM other_vaults
)
SELECT
  subject_kind,
  subject_id,
  provider,
  account,
  region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  CASE split_part(verdict, ' ', 2)
    WHEN 'destroyed' THEN concat('The ', subject_kind, ' is deleted or destroyed.')
    WHEN 'public_access' THEN concat('As of ', to_char(known_at, '%Y-%m-%d'), ' the key''s policy lets anybody in',
      CASE WHEN statement IS NOT NULL THEN concat(': ', left(statement, 200)) ELSE '.' END)
    WHEN 'public_through_ring' THEN concat('Since ', to_char(known_at, '%Y-%m-%d'), ' the policy of its key ring lets anybody in.')
    WHEN 'policy_unreadable' THEN concat('The policy was set on ', to_char(known_at, '%Y-%m-%d'), '; the log does not hold it whole.')
    WHEN 'ring_policy_unreadable' THEN 'The key''s own policy is restricted; what the policy of its key ring says is not in the log.'
    WHEN 'policy_not_read' THEN 'No policy of this key was read, neither from the log nor from the inventory.'
    WHEN 'open_network' THEN concat('As of ', to_char(known_at, '%Y-%m-%d'), ' the vault takes calls from any network.')
    WHEN 'network_rules_not_read' THEN 'The network rules of this vault were not read.'
    ELSE concat('As of ', to_char(known_at, '%Y-%m-%d'), CASE WHEN subject_kind = 'vault' THEN ' the vault takes calls from named networks only.'
      ELSE ' the key''s policy lets only named callers in.' END)
  END AS message,
  make_array(event_id) AS evidence,
  CASE WHEN event_id IS NULL THEN 0 ELSE 1 END AS evidence_count,
  array_distinct(array_append(inventory_refs, ref)) AS inventory_refs,
  CASE WHEN verdict LIKE 'pass%' AND known_at < $as_of AND (event_id IS NOT NULL OR known_at < $as_of - $fresh)
    THEN make_array(named_struct('from', known_at, 'to', $as_of)) END AS absences,
  CASE WHEN kind_needed IS NOT NULL THEN make_array(kind_needed) END AS needs,
  name AS key_alias,
  statement AS policy_statement,
  known_at AS policy_as_of
FROM judged
