/*+++
id = "DC-04"
title = "CloudHSM asks for a quorum, and it is used"
severity = "critical"
needs = { aws = ["aws.cloudhsm.audit"] }
# `attested_m`: the number of approvals that the custodians attest; 0 where nobody did.
params = { min_m = 2, attested_m = 0 }
rationale = """With quorum authentication no officer can create or delete users of an HSM alone. The log of the HSM shows
that a number of approvals was set and that tokens were approved before an operation; how many approvals are
needed it does not show. A user may sign his own token, so two approvals mean one other person."""
remediation = """Set the quorum for user management (and for key management where keys carry the attribute) to at least two
approvals, three where two persons besides the requester are wanted, and attest the number (DC-04.attested_m)."""
references = ["https://docs.aws.amazon.com/cloudhsm/latest/userguide/quorum-auth-chsm-cli.html"]

[[controls]]
framework = "nist-sp-800-53r5"
control = "AC-3(2)"
strength = "direct"
requires = "min_m >= 2"

[[controls]]
framework = "nist-sp-800-53r5"
control = "AC-5"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "3.7.6"
strength = "partial"

[[controls]]
framework = "pci-dss-4.0.1"
control = "3.6.1.2"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "CEK-02"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "IAM-09"
strength = "supporting"
+++*/
WITH members AS (
  SELECT
    hsm_id, provider, account, region, ledger, first_seen, inventory_refs, created_at, state,
    coalesce(cluster_id, hsm_id) AS cluster_of
  FROM hsm_state
  WHERE provider = 'aws' AND kind = 'hsm'
),
clusters AS (
  SELECT
    coalesce(m.cluster_of, c.hsm_id) AS cluster_of,
    coalesce(m.account, c.account) AS account,
    coalesce(m.region, c.region) AS region,
    m.ledgers, m.silent_hsms, m.first_seen,
    array_distinct(array_concat(coalesce(m.refs, arrow_cast(make_array(), 'List(Utf8)')),
      coalesce(c.inventory_refs, arrow_cast(make_array(), 'List(Utf8)')))) AS inventory_refs,
    json_text(c.details, 'source_backup_id') IS NOT NULL AS from_backup,
    c.state
  FROM (
    SELECT
      cluster_of, max(account) AS account, max(region) AS region,
      array_agg(ledger ORDER BY ledger) FILTER (WHERE ledger IS NOT NULL) AS ledgers,
      -- HSMs of the inventory without a log.
      array_agg(hsm_id ORDER BY hsm_id) FILTER (WHERE ledger IS NULL) AS silent_hsms,
      min(first_seen) AS first_seen,
      array_agg(inventory_refs[1] ORDER BY inventory_refs[1]) FILTER (WHERE array_length(inventory_refs) > 0) AS refs
    FROM members GROUP BY cluster_of
  ) AS m
  FULL JOIN (SELECT * FROM hsm_state WHERE kind = 'cluster' AND provider = 'aws') AS c ON c.hsm_id = m.cluster_of
),
heads AS (
  SELECT ledger, min(time_from) AS time_from,
    first_value(seq_from ORDER BY time_from, reboot_counter) AS seq_from
  FROM hsm_sequence GROUP BY ledger
),
acts AS (
  SELECT e.event_id, e.ledger, e.time, e.action, e.native_action, e.outcome, e.target, e.actor_id, e.actor_name,
    json_int(e.details, 'reboot_counter') AS reboot_counter,
    json_text(e.details, 'session_group') AS session_group,
    m.cluster_of
  FROM admin_events AS e JOIN members AS m ON m.ledger = e.ledger
  WHERE e.format = 'cloudhsm_audit'
),
starts AS (
  SELECT cluster_of, max(CASE WHEN native_action IN ('CN_INIT_TOKEN', 'CN_INIT_DONE') THEN 1 ELSE 0 END) = 1 AS initialised
  FROM acts WHERE outcome IN ('success', 'unknown') GROUP BY cluster_of
),
quorums AS (
  SELECT cluster_of, count(*) AS sets, min(time) AS set_at, max(time) AS last_set_at,
    first_value(event_id ORDER BY time, event_id) AS set_event,
    first_value(event_id ORDER BY time DESC, event_id DESC) AS last_set_event
  FROM acts WHERE action = 'hsm.quorum.set' AND outcome = 'success' GROUP BY cluster_of
),
guarded AS (
  SELECT a.*
  FROM acts AS a JOIN quorums AS q ON q.cluster_of = a.cluster_of
  WHERE a.outcome = 'success' AND a.time > q.set_at
    AND a.time >= $period_from AND a.time < least($period_to, $as_of + INTERVAL '1 minute')
    AND (a.action IN ('hsm.user.create', 'hsm.user.delete')
      -- Everybody changes his own password without a quorum.
      OR (a.action = 'hsm.user.change' AND a.target IS NOT NULL AND coalesce(a.actor_id, a.actor_name) <> a.target))
    AND a.native_action <> 'CN_CREATE_APPLIANCE_USER'
),
tokens AS (
  SELECT ledger, reboot_counter, session_group, time, action FROM acts
  WHERE action IN ('hsm.quorum.request', 'hsm.quorum.approve') AND outcome = 'success'
),
checked AS (
  SELECT
    g.event_id, g.cluster_of, g.ledger, g.time, g.native_action, g.target,
    max(CASE WHEN t.action = 'hsm.quorum.request' THEN 1 ELSE 0 END) AS requested,
    max(CASE WHEN t.action = 'hsm.quorum.approve' THEN 1 ELSE 0 END) AS approved
  FROM guarded AS g LEFT JOIN tokens AS t
    ON t.ledger = g.ledger AND t.session_group = g.session_group
    AND (t.reboot_counter IS NOT DISTINCT FROM g.reboot_counter)
    AND t.time <= g.time AND t.time >= g.time - INTERVAL '10 minutes'
  GROUP BY g.event_id, g.cluster_of, g.ledger, g.time, g.native_action, g.target
),
-- Every HSM of the cluster logs its copy: the operation had its quorum where one copy shows it.
grouped AS (
  SELECT checked.*, sum(step) OVER (PARTITION BY cluster_of, native_action, target ORDER BY time, event_id
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS operation
  FROM (
    SELECT checked.*, CASE WHEN time <= lag(time) OVER (
        PARTITION BY cluster_of, native_action, target ORDER BY time, event_id) + INTERVAL '10 seconds'
      THEN 0 ELSE 1 END AS step
    FROM checked
  ) AS checked
),
operations_checked AS (
  SELECT cluster_of, native_action, target, operation, min(time) AS time,
    min(event_id) AS event_id,
    max(requested * approved) AS under_quorum
  FROM grouped GROUP BY cluster_of, native_action, target, operation
),
used AS (
  SELECT
    cluster_of,
    count(*) AS operations,
    count(*) FILTER (WHERE under_quorum = 0) AS without,
    array_slice(array_agg(event_id ORDER BY time, event_id) FILTER (WHERE under_quorum = 0), 1, 99) AS without_events,
    array_slice(array_agg(event_id ORDER BY time, event_id), 1, 99) AS all_events
  FROM operations_checked GROUP BY cluster_of
),
histories AS (
  SELECT
    c.cluster_of,
    max(CASE WHEN h.ledger IS NULL OR h.seq_from <> 0 THEN 1 ELSE 0 END) = 1 AS truncated
  FROM clusters AS c JOIN members AS m ON m.cluster_of = c.cluster_of AND m.ledger IS NOT NULL
  LEFT JOIN heads AS h ON h.ledger = m.ledger
  GROUP BY c.cluster_of
),
judged AS (
  SELECT
    c.*, q.sets, q.set_at, q.last_set_at, q.set_event, q.last_set_event, u.operations, u.without, u.without_events, u.all_events,
    CASE
      WHEN q.cluster_of IS NULL AND c.ledgers IS NULL THEN 'undetermined no_audit_log'
      WHEN q.cluster_of IS NULL AND c.from_backup THEN 'undetermined restored_from_backup'
      WHEN q.cluster_of IS NULL AND (t.truncated OR NOT coalesce(s.initialised, false)) THEN 'undetermined history_truncated'
      WHEN q.cluster_of IS NULL AND c.silent_hsms IS NOT NULL THEN 'undetermined stream_missing'
      WHEN q.cluster_of IS NULL THEN 'fail quorum_never_set'
      WHEN coalesce(u.without, 0) > 0 THEN 'fail operation_without_quorum'
      WHEN $attested_m > 0 AND $attested_m < $min_m THEN 'fail attested_m_too_small'
      WHEN $attested_m = 0 THEN 'undetermined m_not_logged'
      ELSE 'pass quorum_in_use'
    END AS verdict
  FROM clusters AS c
  LEFT JOIN quorums AS q ON q.cluster_of = c.cluster_of
  LEFT JOIN used AS u ON u.cluster_of = c.cluster_of
  LEFT JOIN starts AS s ON s.cluster_of = c.cluster_of
  LEFT JOIN histories AS t ON t.cluster_of = c.cluster_of
)
SELECT
  'cluster' AS subject_kind,
  cluster_of AS subject_id,
  'aws' AS provider,
  account,
  region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  CASE split_part(verdict, ' ', 2)
    WHEN 'no_audit_log' THEN 'No audit log of this cluster was read.'
    WHEN 'restored_from_backup' THEN 'The cluster was restored from a backup, which may have brought a quorum with it; its own log shows none being set.'
    WHEN 'history_truncated' THEN 'No quorum was set in the log that was read, but the log does not begin with the initialisation of the cluster.'
    WHEN 'stream_missing' THEN concat('No quorum was set in the logs that were read; those of ',
      array_to_string(silent_hsms, ', '), ' are missing.')
    WHEN 'quorum_never_set' THEN concat('Since the initialisation of the cluster on ', to_char(first_seen, '%Y-%m-%d'),
      ' no quorum was ever set on any of its ', CAST(array_length(ledgers) AS VARCHAR), ' HSMs: one officer alone can manage users.')
    WHEN 'operation_without_quorum' THEN concat(CAST(without AS VARCHAR), ' of ', CAST(operations AS VARCHAR),
      ' user-management operations since ', to_char(set_at, '%Y-%m-%d'), ' had no approved quorum token in their session.')
    WHEN 'attested_m_too_small' THEN concat('The quorum is attested to be ', CAST($attested_m AS VARCHAR), '; at least ',
      CAST($min_m AS VARCHAR), ' are wanted.')
    WHEN 'm_not_logged' THEN concat('A quorum was set on ', to_char(last_set_at, '%Y-%m-%d'),
      '; the log does not say how many approvals it asks for, and nobody attested it.')
    ELSE concat('A quorum of ', CAST($attested_m AS VARCHAR), ' (attested) is set since ', to_char(set_at, '%Y-%m-%d'), '; all ',
      CAST(coalesce(operations, 0) AS VARCHAR), ' user-management operations of the period had an approved token.')
  END AS message,
  CASE WHEN verdict = 'fail operation_without_quorum' THEN array_append(without_events, set_event)
    WHEN set_event = last_set_event THEN array_append(coalesce(all_events, arrow_cast(make_array(), 'List(Utf8)')), set_event)
    ELSE array_append(array_append(coalesce(array_slice(all_events, 1, 98), arrow_cast(make_array(), 'List(Utf8)')), set_event),
      last_set_event) END AS evidence,
  CASE WHEN sets IS NULL THEN CAST(0 AS BIGINT) WHEN verdict = 'fail operation_without_quorum' THEN without + 1
    ELSE coalesce(operations, 0) + CASE WHEN set_event = last_set_event THEN 1 ELSE 2 END END AS evidence_count,
  inventory_refs,
  CASE
    WHEN verdict = 'fail quorum_never_set' AND first_seen < $as_of THEN make_array(named_struct('from', first_seen, 'to', $as_of))
    -- That nothing was done without a quorum, and no other number set, rests on the log.
    WHEN verdict LIKE 'pass%' THEN make_array(named_struct('from', greatest(set_at, $period_from), 'to', least($period_to, $as_of)))
  END AS absences,
  ledgers,
  verdict IN ('pass quorum_in_use', 'fail attested_m_too_small') AS attested,
  sets AS times_set,
  set_at AS first_set_at,
  last_set_at,
  operations AS guarded_operations,
  without AS without_quorum
FROM judged
