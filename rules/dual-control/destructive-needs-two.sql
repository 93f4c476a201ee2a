/*+++
id = "DC-01"
title = "No destructive key operation without a second person"
severity = "critical"
needs = { aws = ["aws.kms"], gcp = ["gcp.kms.admin"], azure = ["azure.keyvault.audit"] }
# `attested_m`: how many signers CloudHSM asks for, as the custodians attest; 0 where nobody did. Fewer than two
# CloudHSM does not accept, more are not logged.
params = { approval_window = "72h", min_persons = 2, attested_m = 0 }
rationale = """Whoever can destroy a key alone can destroy all data under it alone, by mistake or on purpose. A second
person who approved is shown by a quorum in the log, or by an approval of somebody else whose time and scope
fit. One person with two accounts is one person; a self-approval is none."""
remediation = """Have every disabling, deletion and destruction approved by somebody else before it is carried out, and
record the approval (ticket, privileged-access request) in approvals.csv; let pipelines carry such approvals."""
references = [
  "https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html",
  "https://docs.aws.amazon.com/cloudhsm/latest/userguide/quorum-auth-chsm-cli.html",
  "https://cloud.google.com/kms/docs/destroy-restore",
  "https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview",
]

[[controls]]
framework = "nist-sp-800-53r5"
control = "AC-3(2)"
strength = "direct"
requires = "min_persons >= 2"

[[controls]]
framework = "nist-sp-800-53r5"
control = "AC-5"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-53r5"
control = "CM-5"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "CEK-14"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "IAM-04"
strength = "direct"

[[controls]]
framework = "iso-27001-2022"
control = "A.5.3"
strength = "direct"

[[controls]]
framework = "iso-27001-2022"
control = "A.8.32"
strength = "supporting"

[[controls]]
framework = "soc2-tsc-2017"
control = "CC6.3"
strength = "supporting"

[[controls]]
framework = "soc2-tsc-2017"
control = "CC8.1"
strength = "supporting"

[[controls]]
framework = "dora-rts-2024-1774"
control = "21(b)"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "3.7.5"
strength = "supporting"
+++*/
WITH acts AS (
  SELECT *, coalesce(json_text(details, 'correlation_id'), request_id) AS call
  FROM operations
  WHERE time >= $period_from AND time < least($period_to, $as_of + INTERVAL '1 minute')
    AND (action IN ('key.deletion.schedule', 'key.destroy', 'key.purge', 'key.material.delete', 'key.disable',
        'alias.delete', 'keystore.delete', 'hsm.delete', 'hsm.zeroize', 'hsm.backup.delete', 'hsm.user.delete',
        'vault.delete', 'vault.purge')
      OR (action = 'hsm.quorum.execute' AND json_text(details, 'proposal_operation') ILIKE '%delete%'))
    -- The provider completes what was scheduled; that is nobody's operation.
    AND person_kind <> 'service'
),
-- A start without an end may have succeeded; one whose end is known is judged by its end.
ended AS (
  SELECT DISTINCT call, action FROM acts WHERE outcome <> 'unknown' AND call IS NOT NULL
),
population AS (
  SELECT acts.* FROM acts WHERE outcome = 'success'
  UNION ALL
  SELECT acts.* FROM acts LEFT ANTI JOIN ended ON ended.call = acts.call AND ended.action = acts.action
  WHERE acts.outcome = 'unknown'
),
backing AS (
  SELECT
    m.event_id,
    count(DISTINCT m.approver) FILTER (WHERE m.independent) AS seconds,
    max(CASE WHEN m.independent IS NULL AND m.basis <> 'hsm_quorum' THEN 1 ELSE 0 END) = 1 AS unclear,
    max(CASE WHEN m.independent = false THEN 1 ELSE 0 END) = 1 AS own,
    max(CASE WHEN m.basis = 'hsm_quorum' THEN m.approval_id END) AS quorum_event,
    max(CASE WHEN m.basis = 'approvals' AND m.independent THEN 1 ELSE 0 END) = 1 AS by_file,
    array_sort(array_agg(DISTINCT m.approver) FILTER (WHERE m.independent)) AS approvers,
    min(m.reference) FILTER (WHERE m.independent) AS reference
  FROM approvals_matched AS m
  WHERE m.valid_until IS NOT NULL OR m.lag_seconds <= $approval_window_seconds
  GROUP BY m.event_id
),
judged AS (
  SELECT
    p.*, b.seconds, b.quorum_event, b.by_file, b.approvers AS approved_by, b.reference,
    CASE
      WHEN p.outcome = 'unknown' THEN 'undetermined outcome_unknown'
      WHEN coalesce(b.seconds, 0) + 1 >= $min_persons THEN 'pass second_person_approved'
      -- A quorum has at least two signers, each another user.
      WHEN b.quorum_event IS NOT NULL AND greatest($attested_m, CAST(2 AS BIGINT)) >= $min_persons THEN 'pass quorum_approved'
      WHEN b.quorum_event IS NOT NULL THEN 'undetermined m_not_logged'
      WHEN b.unclear THEN 'undetermined identity_unresolved'
      WHEN p.person_kind = 'automation' AND coalesce(b.own, false) THEN 'fail self_approved'
      WHEN p.person_kind = 'automation' THEN 'undetermined needs_approval_evidence'
      WHEN p.person_kind IS NULL OR p.person_kind <> 'human' THEN 'undetermined identity_unresolved'
      WHEN b.own THEN 'fail self_approved'
      WHEN coalesce(b.seconds, 0) > 0 THEN 'fail too_few_persons'
      ELSE 'fail no_second_person'
    END AS verdict
  FROM population AS p LEFT JOIN backing AS b ON b.event_id = p.event_id
)
SELECT
  'operation' AS subject_kind,
  event_id AS subject_id,
  provider,
  account,
  region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  concat(native_action, ' on ', coalesce(object, 'an unnamed object'), ' at ', to_char(time, '%Y-%m-%d %H:%M'), ' by ', principal, ': ',
    CASE split_part(verdict, ' ', 2)
      WHEN 'outcome_unknown' THEN 'it was started, and the log does not say how it ended.'
      WHEN 'second_person_approved' THEN concat('approved by ', array_to_string(approved_by, ', '),
        CASE WHEN reference IS NOT NULL THEN concat(' (', reference, ')') ELSE '' END, '.')
      WHEN 'quorum_approved' THEN concat('approved by quorum, which needs ',
        CASE WHEN $attested_m > 2 THEN concat(CAST($attested_m AS VARCHAR), ' signers, as attested.') ELSE 'two signers at least.' END)
      WHEN 'm_not_logged' THEN 'a quorum token was approved before it, but the log does not say how many approvals are needed.'
      WHEN 'needs_approval_evidence' THEN 'a program did it; no approval by a person is on record.'
      WHEN 'identity_unresolved' THEN 'who did it, or who approved it, cannot be told apart.'
      WHEN 'self_approved' THEN 'only approved by whoever asked for it.'
      WHEN 'too_few_persons' THEN concat('approved by ', array_to_string(approved_by, ', '), '; needed are ',
        CAST($min_persons AS VARCHAR), ' persons.')
      ELSE 'no approval by a second person is on record.' END) AS message,
  make_array(quorum_event, event_id) AS evidence,
  CASE WHEN quorum_event IS NULL THEN 1 ELSE 2 END AS evidence_count,
  arrow_cast(make_array(), 'List(Utf8)') AS inventory_refs,
  NULL AS absences,
  (verdict = 'pass quorum_approved' AND $min_persons > 2) OR (verdict LIKE 'pass%' AND coalesce(by_file, false))
    OR (person_basis = 'people' AND verdict NOT LIKE 'undetermined%') AS attested,
  action,
  object,
  time AS happened_at,
  person,
  person_kind,
  person_basis,
  approved_by
FROM judged
