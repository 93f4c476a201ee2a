/*+++
id = "DC-02"
title = "No person alone creates, controls and destroys a key"
severity = "high"
needs = { aws = ["aws.kms"], gcp = ["gcp.kms.admin"], azure = ["azure.keyvault.audit"] }
# `same_key`, `any_keys`: how many duties in one hand make a chain, on one key and across all.
params = { window = "90d", same_key = 2, any_keys = 3 }
rationale = """Creating a key, deciding who may use it, switching its rotation off, destroying it and changing what is logged are
duties that should not lie in one hand: together they let one person do harm and hide it."""
remediation = """Give creation, policy and destruction of keys, and logging, to different roles held by different people;
where a pipeline does it all, let a second person approve its changes and record that in approvals.csv."""
references = ["https://csrc.nist.gov/projects/cprt/catalog#/cprt/framework/version/SP_800_53_5_1_1/home?element=AC-05"]

[[controls]]
framework = "nist-sp-800-53r5"
control = "AC-5"
strength = "direct"

[[controls]]
framework = "iso-27001-2022"
control = "A.5.3"
strength = "direct"

[[controls]]
framework = "csa-ccm-4"
control = "IAM-04"
strength = "direct"

[[controls]]
framework = "csa-ccm-4"
control = "CEK-02"
strength = "supporting"

[[controls]]
framework = "soc2-tsc-2017"
control = "CC6.3"
strength = "supporting"

[[controls]]
framework = "dora-rts-2024-1774"
control = "21(b)"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "7.2.1"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "7.2.2"
strength = "supporting"
+++*/
WITH duties AS (
  SELECT
    event_id, ledger, time, provider, account, principal, person, person_kind, person_basis, namespace,
    coalesce(key_group, subject_key) AS key_or_group,
    CASE
      WHEN action IN ('key.create', 'key.import') THEN 'create'
      WHEN action IN ('key.policy.set', 'grant.create') THEN 'policy'
      WHEN action = 'key.rotation.disable' THEN 'rotation off'
      WHEN action IN ('key.deletion.schedule', 'key.destroy', 'key.purge', 'key.material.delete') THEN 'destroy'
      WHEN action IN ('logging.stop', 'logging.change', 'logging.delete') THEN 'logging'
    END AS duty
  FROM operations
  WHERE outcome = 'success' AND person_kind <> 'service' AND format <> 'cloudhsm_audit'
    AND time >= $period_from AND time < least($period_to, $as_of + INTERVAL '1 minute')
    AND action IN ('key.create', 'key.import', 'key.policy.set', 'grant.create', 'key.rotation.disable',
      'key.deletion.schedule', 'key.destroy', 'key.purge', 'key.material.delete', 'logging.stop', 'logging.change',
      'logging.delete')
),
approved AS (
  SELECT DISTINCT event_id FROM approvals_matched WHERE independent
),
-- What a second person approved was not in one hand.
alone AS (
  SELECT duties.* FROM duties LEFT ANTI JOIN approved ON approved.event_id = duties.event_id
),
last_times AS (
  SELECT
    alone.*,
    max(CASE WHEN duty = 'create' THEN time END) OVER w AS created,
    max(CASE WHEN duty = 'policy' THEN time END) OVER w AS policed,
    max(CASE WHEN duty = 'rotation off' THEN time END) OVER w AS unrotated,
    max(CASE WHEN duty = 'destroy' THEN time END) OVER w AS destroyed,
    max(CASE WHEN duty = 'logging' THEN time END) OVER w AS logged
  FROM alone
  WINDOW w AS (PARTITION BY principal ORDER BY time, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),
key_last AS (
  SELECT
    alone.*,
    max(CASE WHEN duty = 'create' THEN time END) OVER w AS created,
    max(CASE WHEN duty = 'policy' THEN time END) OVER w AS policed,
    max(CASE WHEN duty = 'rotation off' THEN time END) OVER w AS unrotated,
    max(CASE WHEN duty = 'destroy' THEN time END) OVER w AS destroyed
  FROM alone
  WHERE key_or_group IS NOT NULL
  WINDOW w AS (PARTITION BY principal, key_or_group ORDER BY time, event_id
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),
moments AS (
  SELECT principal, time, key_or_group, 'same key' AS kind FROM key_last
  WHERE CASE WHEN created >= time - $window THEN 1 ELSE 0 END + CASE WHEN policed >= time - $window THEN 1 ELSE 0 END
    + CASE WHEN unrotated >= time - $window THEN 1 ELSE 0 END + CASE WHEN destroyed >= time - $window THEN 1 ELSE 0 END
    >= $same_key
  UNION ALL
  SELECT principal, time, NULL, 'any keys' FROM last_times
  WHERE CASE WHEN created >= time - $window THEN 1 ELSE 0 END + CASE WHEN policed >= time - $window THEN 1 ELSE 0 END
    + CASE WHEN unrotated >= time - $window THEN 1 ELSE 0 END + CASE WHEN destroyed >= time - $window THEN 1 ELSE 0 END
    + CASE WHEN logged >= time - $window THEN 1 ELSE 0 END
    >= $any_keys
),
-- The chain that is shown: the first on one key, else the first across keys.
chains AS (
  SELECT * FROM (
    SELECT moments.*, row_number() OVER (
        PARTITION BY principal ORDER BY CASE WHEN kind = 'same key' THEN 0 ELSE 1 END, time, key_or_group) AS place,
      count(DISTINCT key_or_group) OVER (PARTITION BY principal) AS keys
    FROM (SELECT principal, min(time) AS time, key_or_group, kind FROM moments GROUP BY principal, key_or_group, kind)
      AS moments
  ) AS ranked WHERE place = 1
),
links AS (
  SELECT
    c.principal,
    array_slice(array_agg(a.event_id ORDER BY a.time, a.event_id), 1, 100) AS evidence,
    count(*) AS evidence_count,
    array_sort(array_agg(DISTINCT a.duty)) AS duties,
    min(a.time) AS began
  FROM chains AS c JOIN alone AS a
    ON a.principal = c.principal AND a.time <= c.time AND a.time >= c.time - $window
    AND (c.key_or_group IS NULL OR a.key_or_group = c.key_or_group)
  GROUP BY c.principal
),
-- Keys on which identities acted that cannot be compared with each other.
mixed AS (
  SELECT key_or_group FROM alone WHERE key_or_group IS NOT NULL AND person_kind = 'human'
  GROUP BY key_or_group HAVING count(DISTINCT namespace) > 1 AND count(DISTINCT duty) > 1
),
people_judged AS (
  SELECT
    d.principal,
    max(d.person_kind) AS person_kind,
    max(d.person_basis) AS person_basis,
    max(d.namespace) AS namespace,
    max(d.provider) AS provider,
    max(d.account) AS account,
    array_slice(array_agg(d.event_id ORDER BY d.time, d.event_id), 1, 100) AS evidence,
    count(*) AS evidence_count,
    array_sort(array_agg(DISTINCT d.duty)) AS duties,
    array_sort(array_agg(DISTINCT d.ledger)) AS ledgers,
    max(CASE WHEN m.key_or_group IS NOT NULL AND d.namespace <> 'persons' THEN 1 ELSE 0 END) = 1 AS incomparable,
    max(CASE WHEN p.event_id IS NOT NULL THEN 1 ELSE 0 END) = 1 AS some_approved
  FROM duties AS d
  LEFT JOIN mixed AS m ON m.key_or_group = d.key_or_group
  LEFT JOIN approved AS p ON p.event_id = d.event_id
  GROUP BY d.principal
),
judged AS (
  SELECT
    j.*,
    c.kind, c.key_or_group, c.time AS chain_at, c.keys, l.evidence AS chain, l.evidence_count AS chain_count, l.duties AS chain_duties, l.began,
    CASE
      WHEN c.principal IS NOT NULL AND j.person_kind = 'human' THEN 'fail toxic_chain'
      WHEN c.principal IS NOT NULL AND j.person_kind = 'automation' THEN 'undetermined needs_approval_evidence'
      WHEN j.person_kind = 'unresolved' THEN 'undetermined identity_unresolved'
      WHEN j.incomparable AND j.person_kind = 'human' THEN 'undetermined identity_unresolved'
      ELSE 'pass no_chain'
    END AS verdict
  FROM people_judged AS j
  LEFT JOIN chains AS c ON c.principal = j.principal
  LEFT JOIN links AS l ON l.principal = j.principal
)
SELECT
  CASE person_kind WHEN 'human' THEN 'person' WHEN 'automation' THEN 'automation' ELSE 'identity' END AS subject_kind,
  principal AS subject_id,
  -- A person is the same wherever he acts.
  CASE WHEN namespace = 'persons' THEN NULL ELSE provider END AS provider,
  CASE WHEN namespace = 'persons' THEN NULL ELSE account END AS account,
  CAST(NULL AS VARCHAR) AS region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  CASE
    WHEN chain IS NOT NULL THEN concat(principal, ' held ', CAST(array_length(chain_duties) AS VARCHAR), ' duties (',
      array_to_string(chain_duties, ', '), ')', CASE WHEN kind = 'same key' THEN concat(' on ', key_or_group,
        CASE WHEN keys > 1 THEN concat(' and on ', CAST(keys - 1 AS VARCHAR), ' more keys') ELSE '' END) ELSE '' END,
      ' between ', to_char(began, '%Y-%m-%d'), ' and ', to_char(chain_at, '%Y-%m-%d'), ' without approval by a second person',
      CASE split_part(verdict, ' ', 2) WHEN 'needs_approval_evidence' THEN '; it is a program, and whether its changes were approved is not on record.'
        WHEN 'identity_unresolved' THEN '; several people may stand behind this identity.' ELSE '.' END)
    WHEN verdict LIKE 'undetermined%' THEN concat('Who stands behind ', principal,
      ' cannot be told; whether one person holds several duties cannot be decided.')
    ELSE concat(principal, ' held ', array_to_string(duties, ', '), CASE WHEN some_approved THEN ', in part approved by a second person,' ELSE '' END,
      ' and no chain of duties within ', CAST($window_days AS VARCHAR), ' days.')
  END AS message,
  coalesce(chain, evidence) AS evidence,
  coalesce(chain_count, evidence_count) AS evidence_count,
  arrow_cast(make_array(), 'List(Utf8)') AS inventory_refs,
  CASE WHEN verdict LIKE 'pass%' THEN make_array(named_struct('from', $period_from, 'to', least($period_to, $as_of))) END
    AS absences,
  ledgers,
  person_basis = 'people' OR (verdict LIKE 'pass%' AND some_approved) AS attested,
  person_kind,
  person_basis,
  coalesce(chain_duties, duties) AS duties,
  key_or_group AS chain_key,
  began AS chain_began,
  chain_at AS chain_ended
FROM judged
