/*+++
id = "ROT-01"
title = "Every key was rotated within its cryptoperiod"
severity = "high"
needs = { aws = ["aws.kms"], gcp = ["gcp.kms.admin"], azure = ["azure.keyvault.audit"] }
# `fresh`: how old an inventory may be and still stand for the time of the assessment.
params = { period = "365d", grace = "7d", fresh = "7d" }
rationale = """A key that is used for longer than its cryptoperiod protects more data than planned and gives more
time to whoever works on it. A setting that says "rotate" does not show that a rotation happened; this rule
asks for the rotation itself: an event that says that new material took over, or a version in the inventory."""
remediation = """Rotate the key now (AWS: RotateKeyOnDemand; Google Cloud: create a version and make it primary;
Azure: rotate or create a new version) and switch automatic rotation on."""
references = [
  "https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html",
  "https://cloud.google.com/kms/docs/key-rotation",
  "https://learn.microsoft.com/azure/key-vault/keys/how-to-configure-key-rotation",
]

[[controls]]
framework = "pci-dss-4.0.1"
control = "3.7.4"
strength = "direct"

[[controls]]
framework = "nist-sp-800-53r5"
control = "SC-12"
strength = "direct"

[[controls]]
framework = "nist-sp-800-53r5"
control = "SC-12(2)"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-57pt1r5"
control = "5.3.6"
strength = "direct"
requires = "period <= 730d"

[[controls]]
framework = "cis-aws-7.0.0"
control = "4.6"
strength = "supporting"
requires = "period <= 365d"

[[controls]]
framework = "cis-gcp-5.0.0"
control = "1.11"
strength = "direct"
requires = "period <= 90d"

[[controls]]
framework = "cis-azure-6.0.0"
control = "8.3.9"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "CEK-12"
strength = "direct"

[[controls]]
framework = "iso-27001-2022"
control = "A.8.24"
strength = "supporting"

[[controls]]
framework = "soc2-tsc-2017"
control = "CC6.1"
strength = "supporting"

[[controls]]
framework = "hipaa-45-cfr"
control = "164.312(a)(2)(iv)"
strength = "supporting"

[[controls]]
framework = "dora-rts-2024-1774"
control = "7(1)"
strength = "supporting"

[[controls]]
framework = "nis2-ir-2024-2690"
control = "9.2(c)(v)"
strength = "direct"
+++*/
WITH open AS (
  SELECT * FROM key_intervals WHERE to_kind = 'open'
),
-- A rotation that fell due while the key was suspended is due again when it works again.
resumed AS (
  SELECT o.key_id, max(s.suspended_to) AS resumed_at
  FROM open AS o JOIN key_suspensions AS s ON s.key_id = o.key_id
  WHERE s.suspended_from <= o.started_at + $period + $grace AND s.suspended_to > o.started_at + $period
  GROUP BY o.key_id
),
facts AS (
  SELECT
    k.*,
    o.started_at AS last_at,
    o.from_kind,
    o.from_event,
    o.from_ref,
    o.from_method,
    r.resumed_at,
    $as_of - $period - $grace AS limit_at,
    -- Up to here the inventory's list of versions shows that no newer one exists.
    CASE WHEN k.versions_at <= $as_of THEN k.versions_at END AS listed_until
  FROM key_state AS k
  LEFT JOIN open AS o ON o.key_id = k.key_id
  LEFT JOIN resumed AS r ON r.key_id = k.key_id
),
judged AS (
  SELECT
    facts.*,
    CASE
      WHEN manager = 'provider' THEN 'not_applicable provider_managed'
      WHEN state = 'destroyed' THEN 'not_applicable destroyed'
      WHEN state LIKE 'pending%deletion' THEN 'not_applicable pending_deletion'
      WHEN auto_rotatable = false THEN 'not_applicable not_auto_rotatable'
      WHEN state LIKE 'pending_import%' THEN 'not_applicable no_key_material'
      WHEN state = 'disabled' THEN 'not_applicable rotation_suspended'
      WHEN from_kind = 'rotation' AND last_at >= limit_at THEN 'pass rotated_in_period'
      WHEN from_kind = 'creation' AND last_at >= limit_at THEN 'pass not_due'
      WHEN resumed_at + $grace >= $as_of THEN 'not_applicable rotation_suspended'
      WHEN auto_rotatable IS NULL THEN 'undetermined rotatability_unknown'
      -- What Google Cloud logs of a scheduled rotation is not documented: absence there is no proof.
      WHEN provider = 'gcp' AND listed_until IS NULL THEN 'undetermined no_version_inventory'
      WHEN provider = 'gcp' AND listed_until < $as_of - $fresh THEN 'undetermined inventory_stale'
      WHEN provider = 'gcp' AND last_at IS NULL THEN 'undetermined creation_unknown'
      WHEN provider = 'gcp' AND last_at >= listed_until - $period - $grace THEN 'undetermined inventory_stale'
      WHEN from_kind = 'rotation' THEN 'fail rotation_overdue'
      ELSE 'fail never_rotated'
    END AS verdict,
    -- From here on nothing is known but what the log does not say.
    greatest(limit_at, coalesce(listed_until, limit_at), coalesce(last_at, limit_at)) AS silent_from
  FROM facts
)
SELECT
  'key' AS subject_kind,
  key_id AS subject_id,
  provider,
  account,
  region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  CASE split_part(verdict, ' ', 2)
    WHEN 'provider_managed' THEN 'The provider manages this key and rotates it on its own schedule.'
    WHEN 'destroyed' THEN concat('The key is destroyed (', to_char(state_at, '%Y-%m-%d'), ').')
    WHEN 'pending_deletion' THEN concat('The key is waiting for its deletion since ', to_char(state_at, '%Y-%m-%d'),
      ' and is not rotated.')
    WHEN 'not_auto_rotatable' THEN concat('The key cannot rotate by itself: ', not_rotatable_because,
      '. Its manual rotation is judged by ROT-05.')
    WHEN 'no_key_material' THEN 'The key has no material at present.'
    WHEN 'rotation_suspended' THEN CASE WHEN state = 'disabled'
      THEN concat('The key is disabled since ', to_char(state_at, '%Y-%m-%d'), ' at the latest; its provider does not rotate it.')
      ELSE concat('The key was suspended when its rotation fell due and works again since ',
        to_char(resumed_at, '%Y-%m-%d'), '; its rotation is due within ', CAST($grace_days AS VARCHAR),
        ' days of that.') END
    WHEN 'rotated_in_period' THEN concat('Last rotated on ', to_char(last_at, '%Y-%m-%d'), ', ', CAST(age_days AS VARCHAR),
      ' days ago; allowed are ', CAST($period_days AS VARCHAR), '.')
    WHEN 'not_due' THEN concat('Created on ', to_char(last_at, '%Y-%m-%d'), ', ', CAST(age_days AS VARCHAR),
      ' days ago; the first rotation is not yet due.')
    WHEN 'rotatability_unknown' THEN concat('No rotation is known since ', to_char(limit_at, '%Y-%m-%d'),
      ', but neither log nor inventory tells whether this key can rotate by itself.')
    WHEN 'no_version_inventory' THEN 'No list of the key''s versions was read; on Google Cloud a missing event does not show that a rotation is missing.'
    WHEN 'inventory_stale' THEN concat('The list of the key''s versions is of ', to_char(listed_until, '%Y-%m-%d'),
      '; a later rotation cannot be ruled out.')
    WHEN 'creation_unknown' THEN 'Neither creation nor rotation of the key is known.'
    WHEN 'rotation_overdue' THEN concat('Last rotated on ', to_char(last_at, '%Y-%m-%d'), ', ', CAST(age_days AS VARCHAR),
      ' days ago; allowed are ', CAST($period_days AS VARCHAR), ' and ', CAST($grace_days AS VARCHAR), ' days of grace.')
    ELSE concat('No rotation is known',
      CASE from_kind WHEN 'creation' THEN concat(' since the creation on ', to_char(last_at, '%Y-%m-%d'), ', ',
          CAST(age_days AS VARCHAR), ' days ago')
        WHEN 'seen' THEN concat('; the key exists since ', to_char(last_at, '%Y-%m-%d'), ' at the latest')
        ELSE '' END,
      '; one is due every ', CAST($period_days AS VARCHAR), ' days.')
  END AS message,
  make_array(proof_event) AS evidence,
  CASE WHEN proof_event IS NULL THEN 0 ELSE 1 END AS evidence_count,
  array_distinct(array_append(inventory_refs, from_ref)) AS inventory_refs,
  CASE
    WHEN verdict LIKE 'fail%' AND provider <> 'gcp' AND silent_from < $as_of
      THEN make_array(named_struct('from', silent_from, 'to', $as_of))
    -- That nothing brought the key back rests on the log where it does not rest on a fresh inventory.
    WHEN split_part(verdict, ' ', 2) IN ('pending_deletion', 'rotation_suspended', 'no_key_material')
      AND state <> 'enabled' AND state_at < $as_of AND (state_event IS NOT NULL OR state_at < $as_of - $fresh)
      THEN make_array(named_struct('from', state_at, 'to', $as_of))
  END AS absences,
  -- A multi-Region key rotates in the region of its primary key.
  CASE WHEN verdict NOT LIKE 'not_applicable%' THEN rotation_regions END AS regions,
  -- The keys of a Managed HSM stand in a log of their own kind.
  CASE WHEN service = 'managedhsm' THEN make_array('azure.managedhsm.audit') END AS needs,
  key_alias,
  key_group,
  key_spec,
  state,
  CASE WHEN from_kind = 'rotation' THEN last_at END AS last_rotation,
  from_method AS rotation_method,
  created_at,
  age_days,
  CASE WHEN verdict LIKE 'pass%' OR verdict LIKE 'fail%' THEN last_at + $period END AS due_at,
  not_rotatable_because,
  known_from
FROM (
  SELECT judged.*,
    CAST(floor((date_part('epoch', $as_of) - date_part('epoch', last_at)) / 86400) AS BIGINT) AS age_days,
    CASE WHEN verdict LIKE 'not_applicable%' AND state <> 'enabled' THEN state_event ELSE from_event END AS proof_event
  FROM judged
) AS aged
