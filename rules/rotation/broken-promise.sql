/*+++
id = "ROT-04"
title = "A rotation that the configuration promises did take place"
severity = "high"
needs = { aws = ["aws.kms"], gcp = ["gcp.kms.admin"], azure = ["azure.keyvault.audit"] }
params = { grace = "7d", fresh = "7d" }
rationale = """Tools that read the setting report a key as rotated because it says so. Where the setting promised a
rotation and none happened, either the provider failed, the key was in a state in which it does not rotate, or
the log is not what it seems: each needs a person to look."""
remediation = """Find out why the rotation did not happen (state of the key, permissions of a rotation policy, replicas
whose primary key is elsewhere), rotate now, and ask the provider where its own schedule failed."""
references = [
  "https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html",
  "https://cloud.google.com/kms/docs/key-rotation",
  "https://learn.microsoft.com/azure/key-vault/keys/how-to-configure-key-rotation",
]

[[controls]]
framework = "nist-sp-800-53r5"
control = "SC-12"
strength = "direct"

[[controls]]
framework = "nist-sp-800-53r5"
control = "CA-7"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "3.7.4"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "CEK-12"
strength = "direct"

[[controls]]
framework = "csa-ccm-4"
control = "LOG-10"
strength = "supporting"
+++*/
WITH open AS (
  SELECT * FROM key_intervals WHERE to_kind = 'open'
),
promised AS (
  SELECT
    k.*,
    o.started_at AS last_at,
    o.from_kind,
    o.from_event,
    o.from_ref,
    -- The provider counts from the last rotation, or from when the present setting was made.
    CAST(date_part('epoch', greatest(k.rotation_configured_since,
      coalesce(CASE WHEN o.from_kind IN ('rotation', 'creation') THEN o.started_at END, k.rotation_configured_since)))
      AS BIGINT) + k.rotation_period_days * 86400 AS due_seconds,
    greatest(k.rotation_configured_since, coalesce(o.started_at, k.rotation_configured_since)) AS anchor_at
  FROM key_state AS k LEFT JOIN open AS o ON o.key_id = k.key_id
),
dated AS (
  SELECT promised.*,
    CASE
      -- The provider's own date, where it was read after the last rotation.
      WHEN next_rotation_at IS NOT NULL AND next_rotation_as_of >= coalesce(rotation_configured_since, next_rotation_as_of)
        AND next_rotation_as_of >= coalesce(CASE WHEN from_kind = 'rotation' THEN last_at END, next_rotation_as_of)
        -- A Google Cloud date that was pushed beyond the period does not move the promise.
        THEN CASE WHEN provider = 'gcp' AND due_seconds IS NOT NULL
          THEN least(next_rotation_at, arrow_cast(to_timestamp_seconds(due_seconds), 'Timestamp(Microsecond, Some("UTC"))'))
          ELSE next_rotation_at END
      ELSE arrow_cast(to_timestamp_seconds(due_seconds), 'Timestamp(Microsecond, Some("UTC"))')
    END AS expected_at
  FROM promised
),
resumed AS (
  SELECT d.key_id, max(s.suspended_to) AS resumed_at
  FROM dated AS d JOIN key_suspensions AS s ON s.key_id = d.key_id
  WHERE s.suspended_from <= d.expected_at + $grace AND s.suspended_to > d.expected_at
  GROUP BY d.key_id
),
judged AS (
  SELECT
    d.*,
    r.resumed_at,
    CASE WHEN d.versions_at <= $as_of THEN d.versions_at END AS listed_until,
    CASE
      WHEN manager = 'provider' THEN 'not_applicable provider_managed'
      WHEN state = 'destroyed' THEN 'not_applicable destroyed'
      WHEN state LIKE 'pending%deletion' THEN 'not_applicable pending_deletion'
      WHEN auto_rotatable = false THEN 'not_applicable not_auto_rotatable'
      WHEN state LIKE 'pending_import%' THEN 'not_applicable no_key_material'
      WHEN state = 'disabled' THEN 'not_applicable rotation_suspended'
      WHEN rotation_configured_at IS NULL OR rotation_enabled IS NULL THEN 'undetermined configuration_unknown'
      WHEN NOT rotation_enabled THEN 'not_applicable rotation_not_configured'
      WHEN expected_at IS NULL THEN 'undetermined period_unknown'
      WHEN expected_at + $grace >= $as_of AND from_kind = 'rotation' AND last_at >= rotation_configured_since
        THEN 'pass promise_kept'
      WHEN expected_at + $grace >= $as_of THEN 'pass not_due_yet'
      WHEN r.resumed_at + $grace >= $as_of THEN 'not_applicable rotation_suspended'
      -- Read after the date, and still promised for that date: the provider's own word that it is overdue.
      WHEN next_rotation_at = expected_at AND next_rotation_as_of > expected_at + $grace
        AND next_rotation_as_of >= $as_of - $fresh THEN 'fail promised_rotation_missing'
      WHEN provider = 'gcp' AND versions_at IS NULL THEN 'undetermined no_version_inventory'
      WHEN provider = 'gcp' AND (versions_at < $as_of - $fresh OR versions_at < expected_at + $grace)
        THEN 'undetermined inventory_stale'
      ELSE 'fail promised_rotation_missing'
    END AS verdict
  FROM dated AS d LEFT JOIN resumed AS r ON r.key_id = d.key_id
),
shown AS (
  SELECT judged.*,
    CASE WHEN verdict LIKE 'not_applicable%' AND state <> 'enabled' THEN make_array(state_event)
      ELSE make_array(rotation_event, CASE WHEN from_kind IN ('rotation', 'creation') AND from_event <> coalesce(rotation_event, '')
        THEN from_event END) END AS proof_events,
    next_rotation_at = expected_at AND next_rotation_as_of > expected_at + $grace
      AND next_rotation_as_of >= $as_of - $fresh AS by_own_word,
    greatest(anchor_at, coalesce(listed_until, anchor_at)) AS silent_from
  FROM judged
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
    WHEN 'rotation_suspended' THEN CASE WHEN state = 'disabled'
      THEN concat('The key is disabled since ', to_char(state_at, '%Y-%m-%d'), ' at the latest.')
      ELSE concat('The key was suspended when its rotation fell due and works again since ',
        to_char(resumed_at, '%Y-%m-%d'), '.') END
    WHEN 'configuration_unknown' THEN 'What rotation is configured is not known.'
    WHEN 'rotation_not_configured' THEN 'No automatic rotation is configured, so none was promised (ROT-03 judges that).'
    WHEN 'period_unknown' THEN 'Automatic rotation is on, but neither its period nor its next date is known.'
    WHEN 'promise_kept' THEN concat('Rotated on ', to_char(last_at, '%Y-%m-%d'), ' as configured; next expected on ',
      to_char(expected_at, '%Y-%m-%d'), '.')
    WHEN 'not_due_yet' THEN concat('Automatic rotation is on since ', to_char(rotation_configured_since, '%Y-%m-%d'),
      ' at the latest; the next rotation is expected on ', to_char(expected_at, '%Y-%m-%d'), '.')
    WHEN 'no_version_inventory' THEN 'No list of the key''s versions was read; on Google Cloud a missing event does not show that a rotation is missing.'
    WHEN 'inventory_stale' THEN concat('A rotation was expected on ', to_char(expected_at, '%Y-%m-%d'),
      '; the list of the key''s versions is of ', to_char(versions_at, '%Y-%m-%d'), ' and cannot show it.')
    ELSE concat('A rotation was expected on ', to_char(expected_at, '%Y-%m-%d'), ' (every ',
      coalesce(CAST(rotation_period_days AS VARCHAR), '?'), ' days, on since ',
      to_char(rotation_configured_since, '%Y-%m-%d'), ' at the latest); ',
      CASE WHEN from_kind = 'rotation' THEN concat('the last one that is proven was on ', to_char(last_at, '%Y-%m-%d'), '.')
        ELSE 'none is proven.' END)
  END AS message,
  proof_events AS evidence,
  CAST(CASE WHEN proof_events[1] IS NULL THEN 0 ELSE 1 END
    + CASE WHEN proof_events[2] IS NULL THEN 0 ELSE 1 END AS BIGINT) AS evidence_count,
  array_distinct(array_append(array_append(inventory_refs, rotation_ref), from_ref)) AS inventory_refs,
  CASE
    WHEN verdict LIKE 'fail%' AND provider <> 'gcp' AND NOT coalesce(by_own_word, false) AND silent_from < $as_of
      THEN make_array(named_struct('from', silent_from, 'to', $as_of))
    WHEN verdict = 'not_applicable rotation_not_configured' AND rotation_configured_at < $as_of
      AND (rotation_event IS NOT NULL OR rotation_configured_at < $as_of - $fresh)
      THEN make_array(named_struct('from', rotation_configured_at, 'to', $as_of))
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
  rotation_period_days,
  rotation_configured_since AS configured_since,
  CASE WHEN rotation_enabled THEN expected_at END AS expected_at,
  CASE WHEN from_kind = 'rotation' THEN last_at END AS last_rotation
FROM shown
