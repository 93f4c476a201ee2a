/*+++
id = "IMP-06"
title = "Keys that must not leave the HSM cannot"
severity = "medium"
params = { max_age = "90d" }
rationale = """A key that can be wrapped out, copied into an extractable one or read is protected by whoever holds the ciphertext. Attributes say
what a token claims; tokens exist that claim a key to be not extractable and wrap it out in the clear. Only a drill on the same token
shows what the claim is worth."""
remediation = """Make the key anew in the token with CKA_SENSITIVE true and CKA_EXTRACTABLE false, re-encrypt, and destroy the old one; where the
token itself lets such keys out, replace it, since no attribute helps. Azure: make keys that are not exportable."""
references = [
  "https://docs.oasis-open.org/pkcs11/pkcs11-base/v3.0/os/pkcs11-base-v3.0-os.html",
  "https://learn.microsoft.com/azure/confidential-computing/concept-skr-attestation",
]

[[controls]]
framework = "pci-dss-4.0.1"
control = "3.6.1.2"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-53r5"
control = "SC-12"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "CEK-10"
strength = "supporting"
+++*/
WITH tokens AS (
  SELECT * FROM verified_runs WHERE newest = 1
),
-- What the newest drill of each token shows of keys that must not leave.
drilled AS (
  SELECT
    v.token, max(v.ended) AS drilled_at,
    count(*) FILTER (WHERE v.verdict = 'FAIL') AS leaks,
    -- What the token cannot do at all lets no key out; what was left out or came to nothing shows nothing.
    count(DISTINCT v.check_id) FILTER (WHERE v.verdict IN ('PASS', 'NOT_SUPPORTED') AND v.check_id IN (
      'drill.read.sensitive', 'drill.read.unextractable', 'drill.wrap.unextractable', 'drill.copy.extractable')) AS shown,
    count(*) FILTER (WHERE v.verdict = 'PASS' AND v.check_id IN ('drill.read.unextractable', 'drill.wrap.unextractable')) AS held,
    array_slice(array_agg(DISTINCT v.check_id ORDER BY v.check_id) FILTER (WHERE v.verdict = 'FAIL'), 1, 10) AS leaking,
    array_agg(v.inventory_ref ORDER BY v.inventory_ref) AS refs
  FROM verifications AS v JOIN verified_runs AS d ON d.run_id = v.run_id AND d.newest_drill = 1
  WHERE v.check_id LIKE 'drill.read.%' OR v.check_id LIKE 'drill.copy.%'
    OR v.check_id IN ('drill.wrap.unextractable', 'drill.unwrap.template')
  GROUP BY v.token
),
-- What exercising the key itself showed, in its newest exercise.
tried AS (
  SELECT token, subject_id, max(CASE WHEN verdict = 'FAIL' THEN message END) AS failure,
    max(CASE WHEN verdict = 'FAIL' THEN inventory_ref END) AS ref
  FROM (
    SELECT v.*, rank() OVER (PARTITION BY token, subject_id ORDER BY ended DESC, run_id DESC) AS newest
    FROM verifications AS v WHERE v.subject_kind = 'key' AND v.check_id IN ('use.read', 'use.wrap')
  ) AS v
  WHERE newest = 1 GROUP BY token, subject_id
),
-- A key that the policy lets out has no failure here though it is extractable.
judged_by_policy AS (
  SELECT v.token, v.subject_id, max(v.message) AS failure
  FROM verifications AS v JOIN tokens AS t ON t.run_id = v.run_id
  WHERE v.check_id = 'inventory.protection' AND v.verdict = 'FAIL' AND v.subject_kind = 'key'
  GROUP BY v.token, v.subject_id
),
-- Where the policy leaves that check out, it says nothing on which keys may leave.
judged AS (
  SELECT DISTINCT v.token FROM verifications AS v JOIN tokens AS t ON t.run_id = v.run_id
  WHERE v.check_id = 'inventory.protection' AND v.verdict IN ('PASS', 'FAIL')
),
claims AS (
  SELECT
    v.token, v.subject_id, max(v.key_id) AS key_id, max(v.key_spec) AS key_spec, min(v.inventory_ref) AS ref,
    max(CASE WHEN json_bool(v.evidence, 'CKA_EXTRACTABLE') IS NULL THEN 1 ELSE 0 END) = 1 AS unknown,
    max(CASE WHEN json_bool(v.evidence, 'CKA_EXTRACTABLE') THEN 1 ELSE 0 END) = 1 AS extractable,
    min(CASE WHEN json_bool(v.evidence, 'CKA_SENSITIVE') THEN 1 ELSE 0 END) = 1 AS sensitive,
    max(CASE WHEN json_bool(v.evidence, 'CKA_ALWAYS_SENSITIVE') = false OR json_bool(v.evidence, 'CKA_NEVER_EXTRACTABLE') = false
      THEN 1 ELSE 0 END) = 1 AS was_outside
  FROM verifications AS v JOIN tokens AS t ON t.run_id = v.run_id
  WHERE v.check_id = 'inventory.key'
  GROUP BY v.token, v.subject_id
),
on_tokens AS (
  SELECT
    t.provider, t.account, t.region, t.ended, c.*, d.drilled_at, d.leaking, coalesce(x.failure, p.failure) AS failure,
    array_distinct(array_concat(
      CASE WHEN x.failure IS NOT NULL THEN make_array(c.ref, x.ref) ELSE make_array(c.ref) END,
      coalesce(d.refs, arrow_cast(make_array(), 'List(Utf8)')))) AS refs,
    CASE
      WHEN x.failure IS NOT NULL THEN 'fail leaves'
      WHEN p.failure IS NOT NULL AND NOT c.unknown THEN 'fail extractable'
      WHEN d.leaks > 0 AND NOT c.extractable THEN 'fail token_leaks'
      WHEN j.token IS NULL THEN 'undetermined not_judged'
      WHEN c.extractable THEN 'not_applicable meant_to_leave'
      WHEN c.unknown THEN 'undetermined not_said'
      WHEN d.token IS NULL OR d.held = 0 OR d.shown < 4 THEN 'undetermined attributes_only'
      WHEN d.drilled_at < $as_of - $max_age THEN 'undetermined drill_stale'
      ELSE 'pass held'
    END AS verdict
  FROM claims AS c
  JOIN tokens AS t ON t.token = c.token
  LEFT JOIN judged AS j ON j.token = c.token
  LEFT JOIN drilled AS d ON d.token = c.token
  LEFT JOIN tried AS x ON x.token = c.token AND x.subject_id = c.subject_id
  LEFT JOIN judged_by_policy AS p ON p.token = c.token AND p.subject_id = c.subject_id
),
in_vaults AS (
  SELECT
    provider, key_id, max(account) AS account, max(region) AS region,
    first_value(json_bool(details, 'exportable') ORDER BY captured_at DESC, inventory_ref) AS exportable,
    first_value(inventory_ref ORDER BY captured_at DESC, inventory_ref) AS ref,
    max(captured_at) AS captured_at
  FROM keys
  WHERE provider = 'azure' AND captured_at IS NOT NULL AND json_bool(details, 'exportable') IS NOT NULL
  GROUP BY provider, key_id
)
SELECT
  'key' AS subject_kind,
  subject_id,
  provider, account, region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  CASE split_part(verdict, ' ', 2)
    WHEN 'leaves' THEN failure
    WHEN 'extractable' THEN failure
    WHEN 'not_judged' THEN 'The run left out whether keys are as protected as its policy says.'
    WHEN 'meant_to_leave' THEN 'The policy of the token lets this key be extractable.'
    WHEN 'token_leaks' THEN concat('The token lets keys out that must not leave (', array_to_string(leaking, ', '),
      '); what the key''s attributes say is worth nothing.')
    WHEN 'not_said' THEN 'The token does not say whether the key is extractable.'
    WHEN 'attributes_only' THEN 'The key says that it cannot leave; no drill has shown in full that the token keeps to it.'
    WHEN 'drill_stale' THEN concat('The key says that it cannot leave; the last drill on the token was on ', to_char(drilled_at, '%Y-%m-%d'), '.')
    ELSE concat('The key says that it cannot leave, and a drill on ', to_char(drilled_at, '%Y-%m-%d'), ' shows that the token keeps to it',
      CASE WHEN was_outside THEN '; it was outside of the token, or extractable, at some time before.' ELSE '.' END)
  END AS message,
  arrow_cast(make_array(), 'List(Utf8)') AS evidence,
  CAST(0 AS BIGINT) AS evidence_count,
  refs AS inventory_refs,
  NULL AS absences,
  key_spec, key_id, token, drilled_at, was_outside
FROM on_tokens
UNION ALL
SELECT
  'key' AS subject_kind, key_id AS subject_id, provider, account, region,
  CASE WHEN exportable THEN 'fail' ELSE 'pass' END,
  CASE WHEN exportable THEN 'exportable' ELSE 'not_exportable' END,
  CASE WHEN exportable THEN 'The key is exportable: its release policy decides who gets it.'
    ELSE 'The vault does not let the key out.' END,
  arrow_cast(make_array(), 'List(Utf8)'), CAST(0 AS BIGINT), make_array(ref), NULL,
  NULL, NULL, NULL, NULL, NULL
FROM in_vaults
UNION ALL
-- Clusters of whose keys nothing is known.
SELECT
  'cluster', c.hsm_id, c.provider, c.account, c.region, 'undetermined', 'never_verified',
  'No run of verify on a token of this cluster is known, so that its keys are not known either.',
  arrow_cast(make_array(), 'List(Utf8)'), CAST(0 AS BIGINT), c.inventory_refs, NULL,
  NULL, NULL, NULL, NULL, NULL
FROM hsm_state AS c
WHERE c.kind = 'cluster' AND c.provider IN ('aws', 'azure')
  AND NOT EXISTS (SELECT 1 FROM tokens AS t WHERE t.provider = c.provider AND (t.account IS NULL OR t.account = c.account))
