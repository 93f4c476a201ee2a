/*+++
description = """Administrative operations, each once, with the person who carried them out. The copies of one
operation that the HSMs of a cluster log are one row; `person` is null where the identity cannot be resolved
(`person_kind` unresolved) or the provider acted by itself (service). The log of an HSM does not say who used a
session: such an operation is attributed to the newest login of its session group (`attributed`)."""
+++*/
WITH hsm_sessions AS (
  SELECT
    event_id,
    last_value(actor_key) IGNORE NULLS OVER (
      PARTITION BY ledger, reboot_counter, session_group ORDER BY time, sequence, event_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS login_key
  FROM (
    SELECT event_id, ledger, time,
      json_int(details, 'reboot_counter') AS reboot_counter,
      json_int(details, 'sequence') AS sequence,
      json_text(details, 'session_group') AS session_group,
      CASE WHEN action = 'hsm.login' THEN concat_ws('|', provider, coalesce(account, '-'), coalesce(actor_id, '-'),
        coalesce(actor_name, '-'), actor_kind, coalesce(actor_account, '-'), coalesce(on_behalf_of, '-')) END AS actor_key
    FROM events
    WHERE format = 'cloudhsm_audit' AND category NOT IN ('use', 'read')
      AND (action <> 'hsm.login' OR outcome = 'success')
      AND action NOT IN ('hsm.logout', 'hsm.other')
  ) AS sessions
  WHERE session_group IS NOT NULL
),
clusters AS (
  SELECT hsm_id, max(cluster_id) AS cluster_id FROM hsms WHERE cluster_id IS NOT NULL GROUP BY hsm_id
),
acts AS (
  SELECT
    e.*,
    concat_ws('|', e.provider, coalesce(e.account, '-'), coalesce(e.actor_id, '-'), coalesce(e.actor_name, '-'),
      e.actor_kind, coalesce(e.actor_account, '-'), coalesce(e.on_behalf_of, '-')) AS own_key,
    h.login_key,
    CASE WHEN e.format = 'cloudhsm_audit' THEN coalesce(json_text(e.details, 'cluster'), c.cluster_id, e.hsm_id, e.ledger)
      ELSE e.hsm_id END AS cluster_id,
    CASE WHEN e.format = 'cloudhsm_audit' THEN lag(e.time) OVER (
      PARTITION BY e.format, coalesce(json_text(e.details, 'cluster'), c.cluster_id, e.ledger), e.native_action, e.outcome,
        coalesce(e.target, json_text(e.details, 'private_key_handle'), json_text(e.details, 'public_key_handle'), e.key_id, '')
      ORDER BY e.time, e.event_id) END AS same_before,
    CASE WHEN e.format = 'cloudhsm_audit' THEN lag(e.ledger) OVER (
      PARTITION BY e.format, coalesce(json_text(e.details, 'cluster'), c.cluster_id, e.ledger), e.native_action, e.outcome,
        coalesce(e.target, json_text(e.details, 'private_key_handle'), json_text(e.details, 'public_key_handle'), e.key_id, '')
      ORDER BY e.time, e.event_id) END AS same_ledger
  FROM admin_events AS e LEFT JOIN hsm_sessions AS h ON h.event_id = e.event_id
    LEFT JOIN clusters AS c ON c.hsm_id = e.hsm_id
  WHERE coalesce(json_bool(e.details, 'session_key'), false) = false
    AND coalesce(json_bool(e.details, 'masked_object'), false) = false
)
SELECT
  a.event_id, a.ledger, a.time, a.provider, a.service, a.format, a.account, a.region, a.action, a.native_action,
  a.category, a.outcome, a.request_id, a.session_id, a.key_id, a.subject_key, a.key_version, a.key_alias, a.key_group,
  a.hsm_id, a.cluster_id, a.target, a.approvers, a.details, a.actor_id, a.actor_name, a.actor_kind,
  coalesce(a.subject_key, a.key_id, a.target, a.cluster_id, a.key_alias) AS object,
  p.person,
  p.person_kind,
  p.person_basis,
  p.namespace,
  a.actor_kind = 'unknown' AND a.actor_id IS NULL AND a.login_key IS NOT NULL AS attributed,
  -- One principal: the person where known, else the role or identity itself.
  coalesce(p.person, json_text(a.details, 'role_arn'), a.actor_id, a.actor_name, 'unknown') AS principal
FROM acts AS a
LEFT JOIN persons AS p
  ON p.actor_key = CASE WHEN a.actor_kind = 'unknown' AND a.actor_id IS NULL AND a.login_key IS NOT NULL
    THEN a.login_key ELSE a.own_key END
WHERE NOT (a.same_before IS NOT NULL AND a.same_ledger <> a.ledger AND a.time <= a.same_before + INTERVAL '10 seconds')
