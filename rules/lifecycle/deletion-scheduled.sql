/*+++
id = "LIF-01"
title = "No key is scheduled for deletion or destroyed without approval"
severity = "high"
needs = { aws = ["aws.kms"], gcp = ["gcp.kms.admin"], azure = ["azure.keyvault.audit"] }
params = { approval_window = "72h", fresh = "7d" }
rationale = """A destroyed key takes all data under it along. The waiting time before the destruction is the last chance to
notice: every schedule is a finding until it is cancelled, approved by a second person, or completed by the
provider after its full waiting time. A destruction at once, by hand, stays a finding."""
remediation = """Ask whoever scheduled it. If the key is still needed, cancel the deletion and enable the key again; if not, record
the approval of a second person in approvals.csv."""
references = [
  "https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html",
  "https://cloud.google.com/kms/docs/destroy-restore",
  "https://learn.microsoft.com/azure/key-vault/general/key-vault-recovery",
]

[[controls]]
framework = "cis-aws-7.0.0"
control = "5.7"
strength = "direct"

[[controls]]
framework = "csa-ccm-4"
control = "CEK-14"
strength = "direct"

[[controls]]
framework = "csa-ccm-4"
control = "LOG-11"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "3.7.5"
strength = "supporting"

[[controls]]
framework = "soc2-tsc-2017"
control = "CC7.2"
strength = "supporting"

[[controls]]
framework = "hipaa-45-cfr"
control = "164.312(c)(1)"
strength = "supporting"
+++*/
WITH acts AS (
  SELECT
    event_id, time, provider, subject_key AS key_id, action, outcome, principal, person_kind, native_action,
    -- Google Cloud destroys versions, the others whole keys.
    CASE WHEN provider = 'gcp' THEN coalesce(key_version, '') ELSE '' END AS part,
    json_int(details, 'pending_window_days') AS window_days,
    json_text(details, 'destroy_time') AS destroy_time
  FROM operations
  WHERE subject_key IS NOT NULL AND outcome IN ('success', 'unknown')
    AND action IN ('key.deletion.schedule', 'key.deletion.cancel', 'key.destroy', 'key.purge', 'key.restore', 'key.create')
),
newest AS (
  SELECT * FROM (
    SELECT acts.*, row_number() OVER (PARTITION BY key_id, part ORDER BY time DESC, event_id DESC) AS place
    FROM acts WHERE outcome = 'success' AND (action <> 'key.create' OR provider = 'azure')
  ) AS ranked WHERE place = 1
),
version_states AS (
  SELECT * FROM (
    SELECT key_id, version, state, captured_at, inventory_ref, row_number() OVER (
        PARTITION BY key_id, version ORDER BY captured_at DESC, inventory_ref) AS place
    FROM key_versions WHERE provider = 'gcp' AND captured_at IS NOT NULL AND state IS NOT NULL
  ) AS ranked WHERE place = 1
),
backing AS (
  SELECT event_id,
    max(CASE WHEN independent THEN 1 ELSE 0 END) = 1 AS approved,
    max(CASE WHEN independent IS NULL THEN 1 ELSE 0 END) = 1 AS unclear,
    max(CASE WHEN independent AND basis = 'approvals' THEN 1 ELSE 0 END) = 1 AS by_file,
    min(approver) FILTER (WHERE independent) AS approver
  FROM approvals_matched
  WHERE valid_until IS NOT NULL OR lag_seconds <= $approval_window_seconds
  GROUP BY event_id
),
-- A start whose end is not logged may have scheduled a deletion.
started AS (
  SELECT a.key_id, max(a.time) AS started_at,
    first_value(a.event_id ORDER BY a.time DESC, a.event_id) AS started_event
  FROM acts AS a LEFT JOIN newest AS n ON n.key_id = a.key_id AND n.part = a.part
  WHERE a.outcome = 'unknown' AND a.action IN ('key.deletion.schedule', 'key.destroy', 'key.purge')
    AND (n.time IS NULL OR n.time < a.time)
  GROUP BY a.key_id
),
-- What a completion completed.
schedules AS (
  SELECT n.event_id, first_value(a.event_id ORDER BY a.time DESC, a.event_id DESC) AS schedule_event
  FROM newest AS n JOIN acts AS a ON a.key_id = n.key_id AND a.part = n.part
  WHERE n.action IN ('key.destroy', 'key.purge') AND n.person_kind = 'service'
    AND a.action = 'key.deletion.schedule' AND a.outcome = 'success' AND a.time <= n.time
  GROUP BY n.event_id
),
parts AS (
  SELECT
    n.event_id, n.time, n.provider, n.key_id, n.action, n.principal, n.person_kind, n.native_action, n.part, n.window_days,
    s.schedule_event,
    b.approved, b.unclear, b.by_file, b.approver,
    CASE
      WHEN n.action IN ('key.deletion.cancel', 'key.restore', 'key.create') THEN 'pass deletion_cancelled'
      -- Newer inventory tells that the schedule was called off, or ran out.
      WHEN n.provider = 'gcp' AND v.captured_at > n.time AND v.state IN ('enabled', 'disabled') THEN 'pass deletion_cancelled'
      WHEN n.provider = 'gcp' AND v.captured_at > n.time AND v.state = 'destroyed' THEN 'not_applicable deletion_completed'
      WHEN n.provider <> 'gcp' AND k.state_ref IS NOT NULL AND k.state_at > n.time AND k.state IN ('enabled', 'disabled')
        THEN 'pass deletion_cancelled'
      WHEN n.action IN ('key.destroy', 'key.purge') AND n.person_kind = 'service' AND b.approved THEN 'pass deletion_approved'
      WHEN n.action IN ('key.destroy', 'key.purge') AND n.person_kind = 'service' THEN 'not_applicable deletion_completed'
      WHEN b.approved THEN 'pass deletion_approved'
      WHEN n.action = 'key.deletion.schedule' AND n.provider <> 'gcp' AND k.state_ref IS NOT NULL AND k.state_at > n.time
        AND k.state = 'destroyed' THEN 'not_applicable deletion_completed'
      WHEN n.action = 'key.deletion.schedule' AND n.provider = 'gcp' AND n.destroy_time IS NOT NULL
        AND arrow_cast(n.destroy_time, 'Timestamp(Microsecond, Some("UTC"))') <= $as_of THEN 'not_applicable deletion_completed'
      WHEN b.unclear THEN 'undetermined identity_unresolved'
      WHEN n.action IN ('key.destroy', 'key.purge') AND n.time < $period_from THEN 'not_applicable destroyed_before_period'
      WHEN n.action IN ('key.destroy', 'key.purge') THEN 'fail destroyed'
      ELSE 'fail deletion_pending'
    END AS verdict
  FROM newest AS n
  LEFT JOIN schedules AS s ON s.event_id = n.event_id
  LEFT JOIN backing AS b ON b.event_id = coalesce(s.schedule_event, n.event_id)
  LEFT JOIN key_state AS k ON k.key_id = n.key_id
  LEFT JOIN version_states AS v ON v.key_id = n.key_id AND v.version = n.part
),
inventory_parts AS (
  SELECT v.key_id, v.version AS part, v.captured_at, v.inventory_ref
  FROM version_states AS v LEFT ANTI JOIN newest AS n ON n.key_id = v.key_id AND n.part = v.version
  WHERE v.state = 'pending_deletion'
),
worst AS (
  SELECT * FROM (
    SELECT parts.*,
      row_number() OVER (PARTITION BY key_id ORDER BY
        CASE split_part(verdict, ' ', 1) WHEN 'fail' THEN 0 WHEN 'undetermined' THEN 1 WHEN 'pass' THEN 2 ELSE 3 END,
        CASE split_part(verdict, ' ', 2) WHEN 'destroyed' THEN 0 ELSE 1 END, time DESC, event_id) AS place,
      count(*) FILTER (WHERE verdict LIKE 'fail%') OVER (PARTITION BY key_id) AS open_parts
    FROM parts
  ) AS ranked WHERE place = 1
),
proofs AS (
  SELECT p.key_id,
    array_slice(array_agg(p.event_id ORDER BY p.time, p.event_id), 1, 100) AS evidence, count(*) AS evidence_count
  FROM (
    SELECT key_id, event_id, time, verdict FROM parts
    UNION ALL SELECT key_id, schedule_event, time, verdict FROM parts WHERE schedule_event IS NOT NULL
  ) AS p JOIN worst AS w ON w.key_id = p.key_id AND w.verdict = p.verdict
  GROUP BY p.key_id
),
judged AS (
  SELECT
    k.*, w.event_id, w.time AS happened_at, w.principal, w.person_kind, w.native_action, w.part, w.window_days, w.open_parts, w.by_file, w.approver,
    s.started_at, s.started_event, i.parts_pending, i.refs AS pending_refs, i.captured_at AS pending_as_of,
    p.evidence AS proofs, p.evidence_count AS proof_count,
    CASE
      WHEN k.manager = 'provider' THEN 'not_applicable provider_managed'
      WHEN w.verdict LIKE 'fail%' THEN w.verdict
      WHEN i.key_id IS NOT NULL THEN 'fail deletion_pending'
      WHEN k.state LIKE 'pending%deletion' AND k.state_ref IS NOT NULL
        AND coalesce(w.verdict, '') NOT IN ('pass deletion_approved', 'undetermined identity_unresolved') THEN 'fail deletion_pending'
      WHEN s.key_id IS NOT NULL THEN 'undetermined outcome_unknown'
      WHEN w.verdict IS NOT NULL THEN w.verdict
      WHEN k.state = 'destroyed' THEN 'not_applicable deletion_completed'
      ELSE 'pass not_scheduled'
    END AS verdict
  FROM key_state AS k
  LEFT JOIN worst AS w ON w.key_id = k.key_id
  LEFT JOIN started AS s ON s.key_id = k.key_id
  LEFT JOIN proofs AS p ON p.key_id = k.key_id
  LEFT JOIN (SELECT key_id, count(*) AS parts_pending, max(captured_at) AS captured_at,
      array_agg(inventory_ref ORDER BY inventory_ref) AS refs FROM inventory_parts GROUP BY key_id) AS i ON i.key_id = k.key_id
),
dated AS (
  SELECT judged.*,
    CASE
      WHEN verdict = 'pass not_scheduled' THEN coalesce(state_at, $period_from)
      WHEN verdict = 'pass deletion_cancelled' THEN greatest(happened_at, coalesce(CASE WHEN state_ref IS NOT NULL THEN state_at END, happened_at))
    END AS active_at
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
    WHEN 'provider_managed' THEN 'The provider manages this key.'
    WHEN 'deletion_cancelled' THEN concat('A deletion was scheduled and called off',
      CASE WHEN native_action IS NOT NULL THEN concat(' (', to_char(happened_at, '%Y-%m-%d'), ')') ELSE '' END, '.')
    WHEN 'deletion_completed' THEN concat('The deletion is complete', CASE WHEN happened_at IS NOT NULL
      THEN concat(' (', native_action, ' on ', to_char(happened_at, '%Y-%m-%d'), ')') ELSE '' END, '; DC-01 judges who decided it.')
    WHEN 'destroyed_before_period' THEN concat('The key was destroyed on ', to_char(happened_at, '%Y-%m-%d'), ', before the period.')
    WHEN 'deletion_approved' THEN concat('The deletion (', native_action, ' on ', to_char(happened_at, '%Y-%m-%d'), ') was approved by ', approver, '.')
    WHEN 'identity_unresolved' THEN concat(native_action, ' on ', to_char(happened_at, '%Y-%m-%d'), ' by ', principal,
      ': an approval exists, but whether by a second person cannot be told.')
    WHEN 'outcome_unknown' THEN concat('A deletion was started on ', to_char(started_at, '%Y-%m-%d'), ', and the log does not say how it ended.')
    WHEN 'destroyed' THEN concat(native_action, ' on ', to_char(happened_at, '%Y-%m-%d %H:%M'), ' by ', principal,
      ' destroyed the key at once; no approval by a second person is on record.')
    WHEN 'deletion_pending' THEN CASE WHEN event_id IS NULL OR pending_refs IS NOT NULL
      THEN concat('The inventory of ', to_char(coalesce(pending_as_of, state_at), '%Y-%m-%d'), ' shows a pending deletion',
        CASE WHEN deletion_at IS NOT NULL THEN concat(' on ', to_char(deletion_at, '%Y-%m-%d')) ELSE '' END, '; who scheduled it is not in the log.')
      ELSE concat(native_action, CASE WHEN part <> '' THEN concat(' of version ', part) ELSE '' END, ' on ',
        to_char(happened_at, '%Y-%m-%d %H:%M'), ' by ', principal,
        CASE WHEN window_days IS NOT NULL THEN concat(', waiting ', CAST(window_days AS VARCHAR), ' days') ELSE '' END,
        '; neither a cancellation nor an approval by a second person is known.') END
    ELSE 'No deletion is scheduled.'
  END AS message,
  CASE WHEN verdict = 'undetermined outcome_unknown' THEN make_array(started_event)
    WHEN verdict IN ('pass not_scheduled', 'not_applicable provider_managed') THEN make_array(CASE WHEN state_event IS NOT NULL THEN state_event END)
    WHEN proofs IS NULL THEN make_array(state_event) ELSE proofs END AS evidence,
  CASE WHEN verdict = 'undetermined outcome_unknown' OR proofs IS NULL THEN CAST(CASE WHEN started_event IS NULL AND state_event IS NULL THEN 0 ELSE 1 END AS BIGINT)
    ELSE proof_count END AS evidence_count,
  array_distinct(array_concat(inventory_refs, coalesce(pending_refs, arrow_cast(make_array(), 'List(Utf8)')))) AS inventory_refs,
  CASE WHEN active_at IS NOT NULL AND active_at < $as_of
      AND NOT (state_ref IS NOT NULL AND active_at = state_at AND active_at >= $as_of - $fresh)
    THEN make_array(named_struct('from', active_at, 'to', $as_of)) END AS absences,
  CASE WHEN service = 'managedhsm' THEN make_array('azure.managedhsm.audit') END AS needs,
  verdict = 'pass deletion_approved' AND coalesce(by_file, false) AS attested,
  key_alias,
  state,
  happened_at,
  deletion_at,
  principal,
  open_parts AS versions_open
FROM dated
