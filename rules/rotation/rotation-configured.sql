/*+++
id = "ROT-03"
title = "Automatic rotation is configured where the key supports it"
severity = "medium"
needs = { aws = ["aws.kms"], gcp = ["gcp.kms.admin"], azure = ["azure.keyvault.audit"] }
params = { period = "365d", grace = "7d", fresh = "7d" }
rationale = """A rotation that somebody has to remember is a rotation that will be forgotten. Where the provider can
rotate by itself, it should be told to, at least as often as the cryptoperiod asks."""
remediation = """Switch automatic rotation on with a period of at most the cryptoperiod (AWS: EnableKeyRotation; Google
Cloud: rotationPeriod and nextRotationTime; Azure: a rotation policy with a Rotate action)."""
references = [
  "https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-enable.html",
  "https://cloud.google.com/kms/docs/key-rotation#automatic",
  "https://learn.microsoft.com/azure/key-vault/keys/how-to-configure-key-rotation",
]

[[controls]]
framework = "cis-aws-7.0.0"
control = "4.6"
strength = "direct"
requires = "period <= 365d"

[[controls]]
framework = "cis-gcp-5.0.0"
control = "1.11"
strength = "direct"
requires = "period <= 90d"

[[controls]]
framework = "cis-azure-6.0.0"
control = "8.3.9"
strength = "direct"

[[controls]]
framework = "nist-sp-800-53r5"
control = "SC-12"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "CEK-12"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "3.7.4"
strength = "supporting"
+++*/
WITH judged AS (
  SELECT
    k.*,
    CASE
      WHEN manager = 'provider' THEN 'not_applicable provider_managed'
      WHEN state = 'destroyed' THEN 'not_applicable destroyed'
      WHEN state LIKE 'pending%deletion' THEN 'not_applicable pending_deletion'
      WHEN auto_rotatable = false THEN 'not_applicable not_auto_rotatable'
      WHEN state LIKE 'pending_import%' THEN 'not_applicable no_key_material'
      WHEN state = 'disabled' THEN 'not_applicable rotation_suspended'
      WHEN rotation_configured_at IS NULL OR rotation_enabled IS NULL THEN 'undetermined configuration_unknown'
      WHEN NOT rotation_enabled AND auto_rotatable IS NULL THEN 'undetermined rotatability_unknown'
      WHEN NOT rotation_enabled THEN 'fail rotation_off'
      -- The date counts as it stood when it was read: past then means overdue, however near.
      WHEN provider = 'gcp' AND next_rotation_at + $grace < next_rotation_as_of THEN 'fail next_rotation_overdue'
      WHEN rotation_period_days > $period_days THEN 'fail period_too_long'
      WHEN rotation_period_days IS NULL THEN 'undetermined period_unknown'
      ELSE 'pass rotation_configured'
    END AS verdict
  FROM key_state AS k
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
    WHEN 'pending_deletion' THEN concat('The key is waiting for its deletion since ', to_char(state_at, '%Y-%m-%d'), '.')
    WHEN 'not_auto_rotatable' THEN concat('The key cannot rotate by itself: ', not_rotatable_because, '.')
    WHEN 'no_key_material' THEN 'The key has no material at present.'
    WHEN 'rotation_suspended' THEN concat('The key is disabled since ', to_char(state_at, '%Y-%m-%d'), ' at the latest.')
    WHEN 'configuration_unknown' THEN CASE WHEN rotation_configured_at IS NULL
      THEN 'Neither log nor inventory tells whether automatic rotation is configured.'
      ELSE concat('The rotation policy was changed on ', to_char(rotation_configured_at, '%Y-%m-%d'),
        '; the log does not tell to what, and no later inventory was read.') END
    WHEN 'rotatability_unknown' THEN 'Automatic rotation is off, but neither log nor inventory tells whether this key can rotate by itself.'
    WHEN 'rotation_off' THEN concat('Automatic rotation is off',
      CASE WHEN rotation_by_default THEN concat('; it was never switched on since the creation on ',
        to_char(rotation_configured_at, '%Y-%m-%d'))
      ELSE concat(' as of ', to_char(rotation_configured_at, '%Y-%m-%d')) END, '.')
    WHEN 'next_rotation_overdue' THEN concat('The next rotation was due on ', to_char(next_rotation_at, '%Y-%m-%d'),
      ' and had not happened on ', to_char(next_rotation_as_of, '%Y-%m-%d'), '.')
    WHEN 'period_too_long' THEN concat('Automatic rotation is on, every ', CAST(rotation_period_days AS VARCHAR),
      ' days; allowed are ', CAST($period_days AS VARCHAR), '.')
    WHEN 'period_unknown' THEN 'Automatic rotation is on, but its period is not known.'
    ELSE concat('Automatic rotation is on, every ', CAST(rotation_period_days AS VARCHAR), ' days.')
  END AS message,
  make_array(proof_event) AS evidence,
  CASE WHEN proof_event IS NULL THEN 0 ELSE 1 END AS evidence_count,
  array_distinct(array_append(inventory_refs, rotation_ref)) AS inventory_refs,
  CASE
    -- That it is off was said, or rests on nobody having switched it on.
    WHEN (verdict LIKE 'pass%' OR rotation_by_default) AND verdict NOT LIKE 'undetermined%' AND verdict NOT LIKE 'not_applicable%'
      AND rotation_configured_at < $as_of
      AND (rotation_event IS NOT NULL OR rotation_configured_at < $as_of - $fresh)
      THEN make_array(named_struct('from', rotation_configured_at, 'to', $as_of))
    WHEN split_part(verdict, ' ', 2) IN ('pending_deletion', 'rotation_suspended', 'no_key_material')
      AND state_at < $as_of AND (state_event IS NOT NULL OR state_at < $as_of - $fresh)
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
  rotation_enabled,
  rotation_period_days,
  next_rotation_at,
  rotation_configured_at AS configuration_as_of,
  not_rotatable_because
FROM (
  SELECT judged.*,
    CASE WHEN verdict LIKE 'not_applicable%' AND state <> 'enabled' THEN state_event ELSE rotation_event END AS proof_event
  FROM judged
) AS shown
