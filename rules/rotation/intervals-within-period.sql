/*+++
id = "ROT-02"
title = "Every rotation interval in the period is within the cryptoperiod"
severity = "high"
needs = { aws = ["aws.kms"], gcp = ["gcp.kms.admin"], azure = ["azure.keyvault.audit"] }
params = { period = "365d", grace = "7d", fresh = "7d" }
rationale = """A rotation on the last day of the period hides that none took place for years before. Whether the
control worked throughout the period shows in every interval between two rotations, from the last one before
the period to its end."""
remediation = """Record why each interval that is named was too long, and switch automatic rotation on so that the
next ones are not."""
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
control = "CA-7"
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
framework = "soc2-tsc-2017"
control = "CC4.1"
strength = "supporting"

[[controls]]
framework = "nis2-ir-2024-2690"
control = "9.2(c)(v)"
strength = "direct"
+++*/
WITH keys_judged AS (
  SELECT
    k.*,
    least($period_to, $as_of) AS period_end,
    -- The duty to rotate ends where the key stops working and does not come back.
    CASE WHEN state = 'destroyed' OR state LIKE 'pending%' OR state = 'disabled'
      THEN coalesce(s.suspended_from, state_at) END AS stopped_at
  FROM key_state AS k
  LEFT JOIN (
    SELECT key_id, min(suspended_from) AS suspended_from
    FROM key_suspensions WHERE suspended_to IS NULL GROUP BY key_id
  ) AS s ON s.key_id = k.key_id
),
stretches AS (
  SELECT
    i.key_id, i.started_at, i.from_kind, i.from_event, i.from_ref, i.to_kind, i.to_event, i.to_ref,
    least(i.ended_at, k.period_end, coalesce(k.stopped_at, k.period_end)) AS ended_at,
    k.provider, k.versions, k.versions_at, k.created_event, k.stopped_at,
    max(s.suspended_to) AS resumed_at
  FROM key_intervals AS i
  JOIN keys_judged AS k ON k.key_id = i.key_id
  LEFT JOIN key_suspensions AS s ON s.key_id = i.key_id
    AND s.suspended_from <= i.started_at + $period + $grace AND s.suspended_to > i.started_at + $period
  WHERE least(i.ended_at, coalesce(k.stopped_at, i.ended_at)) > $period_from
    AND coalesce(i.started_at, $period_from) < least(k.period_end, coalesce(k.stopped_at, k.period_end))
  GROUP BY i.key_id, i.started_at, i.from_kind, i.from_event, i.from_ref, i.to_kind, i.to_event, i.to_ref,
    i.ended_at, k.period_end, k.stopped_at, k.provider, k.versions, k.versions_at, k.created_event
),
measured AS (
  SELECT
    stretches.*,
    CAST(floor((date_part('epoch', ended_at) - date_part('epoch', started_at)) / 86400) AS BIGINT) AS days,
    CASE
      -- A key that was retired was not to be rotated once more.
      WHEN to_kind = 'open' AND stopped_at IS NOT NULL THEN true
      WHEN from_kind IN ('creation', 'rotation') THEN
        ended_at <= greatest(started_at + $period, coalesce(resumed_at, started_at)) + $grace
      -- The true beginning is earlier than what is known: long enough is too long, short enough proves nothing.
      ELSE false
    END AS kept,
    -- How far the inventory's list of versions shows that no rotation lies in between.
    CASE
      WHEN to_kind = 'open' OR provider = 'aws' OR versions >= 2 THEN versions_at
    END AS listed_until
  FROM stretches
),
silent AS (
  SELECT
    measured.*,
    greatest(
      coalesce(started_at, ended_at - $period - $grace),
      CASE WHEN from_kind IN ('creation', 'rotation') THEN coalesce(listed_until, started_at)
        -- A first interval whose beginning is not known is too long where nothing began it in time.
        ELSE least(started_at, ended_at - $period - $grace) END,
      CASE WHEN from_kind IN ('creation', 'rotation') THEN started_at ELSE ended_at - $period - $grace END
    ) AS silent_from
  FROM measured
),
by_key AS (
  SELECT
    key_id,
    count(*) AS intervals,
    count(*) FILTER (WHERE NOT kept) AS broken,
    max(days) FILTER (WHERE from_kind IN ('creation', 'rotation')) AS longest_days,
    max(CASE WHEN NOT kept AND from_kind NOT IN ('creation', 'rotation') THEN 1 ELSE 0 END) = 1 AS start_unknown,
    max(CASE WHEN NOT kept AND from_kind IN ('creation', 'rotation') THEN 1 ELSE 0 END) = 1 AS surely_broken,
    -- A stretch on Google Cloud is silent only where the list of versions says so.
    max(CASE WHEN NOT kept AND silent_from < ended_at THEN 1 ELSE 0 END) = 1 AS has_silence,
    max(CASE WHEN NOT kept AND listed_until IS NULL THEN 1 ELSE 0 END) = 1 AS not_listed,
    first_value(concat(to_char(started_at, '%Y-%m-%d'), ' to ', to_char(ended_at, '%Y-%m-%d'), ' (',
      CAST(days AS VARCHAR), ' days)') ORDER BY days DESC, started_at)
      FILTER (WHERE NOT kept AND from_kind IN ('creation', 'rotation')) AS worst,
    min(ended_at) FILTER (WHERE NOT kept AND from_kind NOT IN ('creation', 'rotation')) AS first_known,
    array_agg(named_struct('from', silent_from, 'to', ended_at) ORDER BY silent_from)
      FILTER (WHERE NOT kept AND silent_from < ended_at) AS silences,
    array_agg(concat(to_char(started_at, '%Y-%m-%d'), '/', to_char(ended_at, '%Y-%m-%d')) ORDER BY started_at)
      FILTER (WHERE NOT kept AND started_at IS NOT NULL) AS too_long,
    -- In Azure the first creation in a log is the creation only if the key was not there before.
    min(CASE WHEN provider = 'azure' AND from_kind = 'creation' AND started_at > $period_from
      AND from_event IS NOT NULL AND coalesce(versions, 0) < 2 THEN started_at END) AS first_event_at
  FROM silent
  GROUP BY key_id
),
proofs AS (
  SELECT key_id,
    array_slice(array_agg(event_id ORDER BY at, event_id) FILTER (WHERE event_id IS NOT NULL), 1, 100) AS evidence,
    count(event_id) AS evidence_count,
    array_slice(array_agg(DISTINCT inventory_ref ORDER BY inventory_ref) FILTER (WHERE inventory_ref IS NOT NULL), 1, 100)
      AS refs
  FROM (
    SELECT key_id, min(at) AS at, event_id, inventory_ref FROM (
      SELECT key_id, started_at AS at, from_event AS event_id, from_ref AS inventory_ref FROM stretches
      UNION ALL
      SELECT key_id, ended_at, to_event, to_ref FROM stretches WHERE to_event IS NOT NULL OR to_ref IS NOT NULL
    ) AS both_ends GROUP BY key_id, event_id, inventory_ref
  ) AS ends
  GROUP BY key_id
),
judged AS (
  SELECT
    k.*, b.intervals, b.broken, b.longest_days, b.worst, b.first_known, b.silences, b.too_long, b.first_event_at,
    p.evidence, p.evidence_count, p.refs,
    CASE
      WHEN k.manager = 'provider' THEN 'not_applicable provider_managed'
      WHEN k.auto_rotatable = false THEN 'not_applicable not_auto_rotatable'
      WHEN b.key_id IS NULL AND k.stopped_at <= $period_from AND k.state = 'disabled'
        THEN 'not_applicable rotation_suspended'
      WHEN b.key_id IS NULL AND k.stopped_at <= $period_from THEN 'not_applicable not_active_in_period'
      WHEN b.key_id IS NULL THEN 'not_applicable not_yet_created'
      -- A key that stopped working before the end has no last interval to judge.
      WHEN b.broken = 0 AND k.state = 'destroyed' THEN 'not_applicable destroyed'
      WHEN b.broken = 0 AND k.state LIKE 'pending%deletion' THEN 'not_applicable pending_deletion'
      WHEN b.broken = 0 AND k.stopped_at IS NOT NULL THEN 'not_applicable rotation_suspended'
      WHEN b.broken = 0 THEN 'pass intervals_kept'
      WHEN k.auto_rotatable IS NULL THEN 'undetermined rotatability_unknown'
      WHEN k.provider = 'gcp' AND b.start_unknown AND NOT b.surely_broken THEN 'undetermined interval_start_unknown'
      WHEN k.provider = 'gcp' AND b.has_silence AND b.not_listed THEN 'undetermined no_version_inventory'
      WHEN k.provider = 'gcp' AND b.has_silence AND k.versions_at < k.period_end - $fresh
        THEN 'undetermined inventory_stale'
      WHEN b.surely_broken THEN 'fail interval_too_long'
      ELSE 'fail first_interval_too_long'
    END AS verdict
  FROM keys_judged AS k
  LEFT JOIN by_key AS b ON b.key_id = k.key_id
  LEFT JOIN proofs AS p ON p.key_id = k.key_id
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
    WHEN 'not_auto_rotatable' THEN concat('The key cannot rotate by itself: ', not_rotatable_because,
      '. Its manual rotation is judged by ROT-05.')
    WHEN 'rotation_suspended' THEN concat('The key does not work since ', to_char(stopped_at, '%Y-%m-%d'),
      ' at the latest; until then no interval of the period was too long.')
    WHEN 'destroyed' THEN concat('The key is destroyed (', to_char(state_at, '%Y-%m-%d'),
      '); until then no interval of the period was too long.')
    WHEN 'pending_deletion' THEN concat('The key is waiting for its deletion since ', to_char(stopped_at, '%Y-%m-%d'),
      '; until then no interval of the period was too long.')
    WHEN 'not_active_in_period' THEN concat('The key stopped working on ', to_char(stopped_at, '%Y-%m-%d'),
      ', before the period.')
    WHEN 'not_yet_created' THEN 'The key did not exist in the period.'
    WHEN 'intervals_kept' THEN concat('All ', CAST(intervals AS VARCHAR), ' intervals in the period are within ',
      CAST($period_days AS VARCHAR), ' days; the longest has ', CAST(longest_days AS VARCHAR), ' days.')
    WHEN 'rotatability_unknown' THEN 'An interval is too long or its beginning unknown, but neither log nor inventory tells whether this key can rotate by itself.'
    WHEN 'interval_start_unknown' THEN 'Neither the creation of the key nor a rotation before the period is known.'
    WHEN 'no_version_inventory' THEN 'No complete list of the key''s versions was read; on Google Cloud a missing event does not show that a rotation is missing.'
    WHEN 'inventory_stale' THEN concat('The list of the key''s versions is of ', to_char(versions_at, '%Y-%m-%d'),
      '; a later rotation cannot be ruled out.')
    WHEN 'interval_too_long' THEN concat(CAST(broken AS VARCHAR), ' of ', CAST(intervals AS VARCHAR),
      ' intervals in the period exceeded ', CAST($period_days AS VARCHAR), ' days; the longest ran from ', worst, '.')
    ELSE concat('No rotation or creation is known within ', CAST($period_days AS VARCHAR), ' days before ',
      to_char(first_known, '%Y-%m-%d'), '.')
  END AS message,
  evidence,
  coalesce(evidence_count, 0) AS evidence_count,
  array_distinct(array_concat(inventory_refs, coalesce(refs, arrow_cast(make_array(), 'List(Utf8)')))) AS inventory_refs,
  CASE
    WHEN verdict LIKE 'fail%' AND provider <> 'gcp' THEN silences
    WHEN verdict LIKE 'pass%' AND first_event_at IS NOT NULL
      THEN make_array(named_struct('from', $period_from, 'to', first_event_at))
    WHEN split_part(verdict, ' ', 2) IN ('pending_deletion', 'rotation_suspended') AND state_at < $as_of
      AND (state_event IS NOT NULL OR state_at < $as_of - $fresh)
      THEN make_array(named_struct('from', state_at, 'to', $as_of))
  END AS absences,
  -- A multi-Region key rotates in the region of its primary key.
  CASE WHEN verdict NOT LIKE 'not_applicable%' THEN rotation_regions END AS regions,
  -- The keys of a Managed HSM stand in a log of their own kind.
  CASE WHEN service = 'managedhsm' THEN make_array('azure.managedhsm.audit') END AS needs,
  key_alias,
  key_group,
  intervals,
  broken AS intervals_too_long,
  longest_days,
  too_long
FROM judged
