/*+++
description = """Approvals that cover an operation: rows of approvals.csv whose time, scope and action fit it, approvers that
the log itself names, and quorum tokens approved in the same HSM session within ten minutes before it.
`independent` says whether a second person approved: true, false (self-approval), or null where the identities
cannot be told apart or the number of approvals is not logged. `lag_seconds` is how long before the operation."""
+++*/
WITH acts AS (
  SELECT * FROM operations WHERE outcome = 'success'
),
-- What approvals.csv calls a person, through people.csv where it lists him.
known AS (
  SELECT DISTINCT case_fold(identity) AS identity, case_fold(person) AS person FROM people
),
written AS (
  SELECT
    a.approval_id, a.kind, a.approved_at, a.valid_until, a.scope, a.action, a.reference,
    coalesce(by_identity.person, case_fold(a.approver)) AS approver,
    coalesce(by_requester.person, case_fold(a.requester)) AS requester
  FROM approvals AS a
  LEFT JOIN (SELECT identity, min(person) AS person FROM known GROUP BY identity HAVING count(DISTINCT person) = 1)
    AS by_identity ON by_identity.identity = case_fold(a.approver)
  LEFT JOIN (SELECT identity, min(person) AS person FROM known GROUP BY identity HAVING count(DISTINCT person) = 1)
    AS by_requester ON by_requester.identity = case_fold(a.requester)
),
from_file AS (
  SELECT
    o.event_id,
    w.approval_id,
    'approvals' AS basis,
    w.approver,
    w.approved_at,
    w.valid_until,
    w.reference,
    CASE
      WHEN w.approver = w.requester THEN false
      WHEN w.approver = o.person THEN false
      WHEN o.person_kind = 'automation' THEN true
      WHEN o.person_kind <> 'human' THEN NULL
      WHEN o.namespace = 'persons' AND w.approver LIKE '%_@_%._%' THEN true
      -- Names of one account or cluster tell persons apart within it alone.
      WHEN w.approver LIKE concat(o.namespace, ':%') THEN true
    END AS independent
  FROM acts AS o JOIN written AS w
    ON w.approved_at <= o.time
    AND (w.valid_until IS NULL OR o.time <= w.valid_until)
    AND (glob_match(o.action, w.action) OR glob_match(o.native_action, w.action))
    AND (glob_match(coalesce(o.key_id, ''), w.scope) OR glob_match(coalesce(o.key_alias, ''), w.scope)
      OR glob_match(coalesce(o.key_group, ''), w.scope) OR glob_match(coalesce(o.hsm_id, ''), w.scope)
      OR glob_match(coalesce(o.cluster_id, ''), w.scope) OR glob_match(coalesce(o.target, ''), w.scope))
),
named AS (
  SELECT event_id, time, person, person_kind, namespace, case_fold(unnest(approvers)) AS approver
  FROM acts WHERE array_length(approvers) > 0
),
from_log AS (
  SELECT
    n.event_id,
    CAST(NULL AS VARCHAR) AS approval_id,
    'log' AS basis,
    coalesce(k.person, n.approver) AS approver,
    n.time AS approved_at,
    CAST(NULL AS TIMESTAMP) AS valid_until,
    CAST(NULL AS VARCHAR) AS reference,
    CASE
      WHEN coalesce(k.person, n.approver) = n.person THEN false
      WHEN n.person_kind = 'automation' THEN true
      WHEN n.namespace = 'persons' AND coalesce(k.person, n.approver) LIKE '%_@_%._%' THEN true
    END AS independent
  FROM named AS n
  LEFT JOIN (SELECT identity, min(person) AS person FROM known GROUP BY identity HAVING count(DISTINCT person) = 1) AS k
    ON k.identity = n.approver
),
-- Approvals of quorum tokens name nobody; they show that others had to sign, not how many.
tokens AS (
  SELECT ledger, time, event_id, json_int(details, 'reboot_counter') AS reboot_counter,
    json_text(details, 'session_group') AS session_group
  FROM admin_events
  WHERE format = 'cloudhsm_audit' AND action = 'hsm.quorum.approve' AND outcome = 'success'
),
from_quorum AS (
  SELECT
    o.event_id,
    max(t.event_id) AS approval_id,
    'hsm_quorum' AS basis,
    CAST(NULL AS VARCHAR) AS approver,
    max(t.time) AS approved_at,
    CAST(NULL AS TIMESTAMP) AS valid_until,
    CAST(NULL AS VARCHAR) AS reference,
    CAST(NULL AS BOOLEAN) AS independent
  FROM acts AS o JOIN tokens AS t
    ON t.ledger = o.ledger
    AND t.session_group = json_text(o.details, 'session_group')
    AND (t.reboot_counter IS NOT DISTINCT FROM json_int(o.details, 'reboot_counter'))
    AND t.time <= o.time AND t.time >= o.time - INTERVAL '10 minutes'
  WHERE o.category <> 'quorum'
  GROUP BY o.event_id
),
every_approval AS (
  SELECT event_id, approval_id, basis, approver, approved_at, valid_until, reference, independent FROM from_file
  UNION ALL
  SELECT event_id, approval_id, basis, approver, approved_at,
    arrow_cast(valid_until, 'Timestamp(Microsecond, Some("UTC"))'), reference, independent FROM from_log
  UNION ALL
  SELECT event_id, approval_id, basis, approver, approved_at,
    arrow_cast(valid_until, 'Timestamp(Microsecond, Some("UTC"))'), reference, independent FROM from_quorum
)
SELECT
  a.event_id, a.approval_id, a.basis, a.approver, a.approved_at, a.valid_until, a.reference, a.independent,
  CAST(date_part('epoch', o.time) - date_part('epoch', a.approved_at) AS BIGINT) AS lag_seconds
FROM every_approval AS a JOIN acts AS o ON o.event_id = a.event_id
