/*+++
id = "LIF-06"
title = "Nobody disabled, destroyed or re-permissioned many keys at once"
severity = "critical"
needs = { aws = ["aws.kms"], gcp = ["gcp.kms.admin"], azure = ["azure.keyvault.audit"] }
# `n`: objects within the window; `material_n`: keys that lost their imported material.
params = { n = 3, material_n = 2, window = "1h" }
rationale = """Ransomware in a cloud takes keys away: it disables, deletes or locks many at once, or deletes imported material,
which works without any waiting time. A person seldom has a reason to do so within an hour."""
remediation = """Stop the principal, cancel pending deletions, enable the keys again, restore policies and re-import material.
Where it was planned work, record the approval of a second person for each operation."""
references = ["https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html"]

[[controls]]
framework = "nist-sp-800-53r5"
control = "SI-4"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-53r5"
control = "AU-6"
strength = "supporting"

[[controls]]
framework = "soc2-tsc-2017"
control = "CC7.2"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "10.4.1"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "LOG-03"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "LOG-05"
strength = "supporting"
+++*/
WITH acts AS (
  SELECT
    event_id, ledger, time, provider, account, principal, person_kind, person_basis, namespace, action,
    -- Replicas of a multi-Region key are one key.
    coalesce(key_group, object) AS object,
    action LIKE '%policy.set' OR action = 'grant.create' AS about_policy,
    action = 'key.material.delete' AS about_material,
    CAST(floor(date_part('epoch', time) / $window_seconds) AS BIGINT) AS bucket
  FROM operations
  WHERE outcome = 'success' AND person_kind <> 'service'
    AND time >= $period_from AND time < least($period_to, $as_of + INTERVAL '1 minute')
    AND (format <> 'cloudhsm_audit' OR action = 'hsm.zeroize')
    AND action IN ('key.disable', 'key.deletion.schedule', 'key.destroy', 'key.purge', 'key.material.delete',
      'key.policy.set', 'grant.create', 'keystore.delete', 'hsm.delete', 'hsm.zeroize', 'vault.delete', 'vault.purge', 'vault.policy.set')
),
approved AS (
  SELECT DISTINCT event_id FROM approvals_matched WHERE independent
),
marked AS (
  SELECT acts.*, approved.event_id IS NOT NULL AS is_approved
  FROM acts LEFT JOIN approved ON approved.event_id = acts.event_id
),
-- For every operation, what the same principal did within the window that begins with it.
pairs AS (
  SELECT a.principal, a.event_id AS first_event, a.time AS began, b.object, b.about_policy, b.about_material, b.is_approved
  FROM marked AS a JOIN marked AS b ON b.principal = a.principal AND b.bucket = a.bucket
  WHERE b.time >= a.time
  UNION ALL
  SELECT a.principal, a.event_id, a.time, b.object, b.about_policy, b.about_material, b.is_approved
  FROM marked AS a JOIN marked AS b ON b.principal = a.principal AND b.bucket = a.bucket + 1
  WHERE b.time < a.time + $window
),
-- What was done to each object within the window.
touched AS (
  SELECT
    principal, first_event, began, object,
    max(CASE WHEN NOT is_approved THEN 1 ELSE 0 END) AS unapproved,
    max(CASE WHEN NOT is_approved AND NOT about_policy THEN 1 ELSE 0 END) AS destructive,
    max(CASE WHEN NOT is_approved AND about_material THEN 1 ELSE 0 END) AS material
  FROM pairs
  GROUP BY principal, first_event, began, object
),
windows AS (
  SELECT
    principal, first_event, began,
    count(object) AS objects,
    coalesce(sum(unapproved) FILTER (WHERE object IS NOT NULL), 0) AS unapproved,
    coalesce(sum(destructive) FILTER (WHERE object IS NOT NULL), 0) AS destructive,
    coalesce(sum(material) FILTER (WHERE object IS NOT NULL), 0) AS material
  FROM touched
  GROUP BY principal, first_event, began
),
largest AS (
  SELECT * FROM (
    SELECT windows.*, row_number() OVER (PARTITION BY principal ORDER BY
        CASE WHEN material >= $material_n THEN 0 ELSE 1 END, unapproved DESC, began, first_event) AS place
    FROM windows
  ) AS ranked WHERE place = 1
),
proofs AS (
  SELECT l.principal,
    array_slice(array_agg(m.event_id ORDER BY m.time, m.event_id), 1, 100) AS evidence,
    count(*) AS evidence_count,
    max(m.time) AS ended,
    array_slice(array_sort(array_agg(DISTINCT m.object)), 1, 20) AS objects_named,
    array_sort(array_agg(DISTINCT m.action)) AS actions
  FROM largest AS l JOIN marked AS m ON m.principal = l.principal AND m.time >= l.began AND m.time < l.began + $window
  GROUP BY l.principal
),
whole AS (
  SELECT
    principal, max(person_kind) AS person_kind, max(person_basis) AS person_basis, max(namespace) AS namespace,
    max(provider) AS provider, max(account) AS account, array_sort(array_agg(DISTINCT ledger)) AS ledgers
  FROM marked GROUP BY principal
),
judged AS (
  SELECT w.*, l.began, l.objects, l.unapproved, l.destructive, l.material, p.evidence, p.evidence_count, p.ended, p.objects_named, p.actions,
    CASE
      WHEN l.material >= $material_n THEN 'fail material_deleted'
      -- A pipeline sets many policies at once in the course of its work; that it destroys many keys is not that.
      WHEN l.unapproved >= $n AND w.person_kind = 'automation' AND l.destructive < $n THEN 'undetermined needs_approval_evidence'
      WHEN l.unapproved >= $n THEN 'fail mass_change'
      WHEN l.objects >= $n THEN 'pass approved'
      ELSE 'pass below_threshold'
    END AS verdict
  FROM whole AS w JOIN largest AS l ON l.principal = w.principal JOIN proofs AS p ON p.principal = w.principal
)
SELECT
  CASE person_kind WHEN 'human' THEN 'person' WHEN 'automation' THEN 'automation' ELSE 'identity' END AS subject_kind,
  principal AS subject_id,
  CASE WHEN namespace = 'persons' THEN NULL ELSE provider END AS provider,
  CASE WHEN namespace = 'persons' THEN NULL ELSE account END AS account,
  CAST(NULL AS VARCHAR) AS region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  concat(principal, CASE split_part(verdict, ' ', 2)
    WHEN 'below_threshold' THEN concat(' never disabled, destroyed or re-permissioned more than ', CAST(objects AS VARCHAR),
      ' of the keys, vaults and HSMs within ', CAST($window_seconds / 60 AS VARCHAR), ' minutes.')
    ELSE concat(' changed ', CAST(objects AS VARCHAR), ' keys, vaults or HSMs between ', to_char(began, '%Y-%m-%d %H:%M'), ' and ',
      to_char(ended, '%Y-%m-%d %H:%M'), ' (', array_to_string(actions, ', '), ')',
      CASE split_part(verdict, ' ', 2)
        WHEN 'approved' THEN '; a second person approved it.'
        WHEN 'needs_approval_evidence' THEN '; it is a program that only set policies, and whether a person approved them is not on record.'
        WHEN 'material_deleted' THEN concat('; imported material of ', CAST(material AS VARCHAR), ' keys was deleted.')
        ELSE '; no second person approved it.' END) END) AS message,
  evidence,
  evidence_count,
  arrow_cast(make_array(), 'List(Utf8)') AS inventory_refs,
  CASE WHEN verdict LIKE 'pass%' THEN make_array(named_struct('from', $period_from, 'to', least($period_to, $as_of))) END AS absences,
  ledgers,
  verdict = 'pass approved' OR person_basis = 'people' AS attested,
  person_kind,
  objects,
  began,
  ended,
  actions,
  objects_named AS object_ids
FROM judged
