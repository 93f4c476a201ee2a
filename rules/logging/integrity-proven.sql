/*+++
id = "LOG-05"
title = "The log's own proof of integrity holds"
severity = "high"
needs = { aws = ["aws.kms", "aws.cloudhsm.audit"] }
# `lag`: a digest proves only what is a day older than itself.
params = { lag = "25h" }
rationale = """A report is worth what its log is worth. CloudTrail signs digests of its files, an HSM numbers its records without
a gap: both show records that were taken out or changed. Two records with one identity and different content
show it too."""
remediation = """Fetch the missing records again from the source. If they cannot be had, treat the stretch as not observed and find
out who could have changed the log."""
references = [
  "https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-intro.html",
  "https://docs.aws.amazon.com/cloudhsm/latest/userguide/get-hsm-audit-logs-using-cloudwatch.html",
]

[[controls]]
framework = "cis-aws-7.0.0"
control = "4.2"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "10.3.2"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "10.3.4"
strength = "direct"

[[controls]]
framework = "nist-sp-800-53r5"
control = "AU-9(3)"
strength = "direct"

[[controls]]
framework = "nist-sp-800-53r5"
control = "AU-10"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "LOG-09"
strength = "direct"

[[controls]]
framework = "csa-ccm-4"
control = "IAM-12"
strength = "supporting"

[[controls]]
framework = "iso-27001-2022"
control = "A.5.28"
strength = "supporting"

[[controls]]
framework = "iso-27001-2022"
control = "A.5.33"
strength = "supporting"
+++*/
WITH ledgers AS (
  SELECT ledger, max(provider) AS provider, max(account) AS account, max(region) AS region,
    max(CASE WHEN format = 'cloudhsm_audit' THEN 1 ELSE 0 END) = 1 AS of_hsm,
    max(hsm_id) AS hsm_id
  FROM events
  WHERE time < $period_to
  GROUP BY ledger
),
conflicts AS (
  SELECT ledger, count(*) AS conflicts,
    array_slice(array_agg(event_id ORDER BY time, event_id), 1, 50) AS variants,
    array_slice(array_agg(conflicts_with ORDER BY time, event_id), 1, 50) AS originals
  FROM events
  WHERE conflicts_with IS NOT NULL AND time >= $period_from AND time < $period_to
  GROUP BY ledger
),
-- The numbers of an HSM: holes within a series, and heads that are missing.
series AS (
  SELECT
    ledger, reboot_counter,
    min(time_from) AS began,
    max(seq_to) AS last_seq,
    first_value(seq_from ORDER BY seq_from) AS first_seq,
    first_value(time_from ORDER BY seq_from) AS head_at,
    first_value(first_event ORDER BY seq_from) AS head_event
  FROM hsm_sequence GROUP BY ledger, reboot_counter
),
heads AS (
  SELECT series.*,
    lag(last_seq) OVER (PARTITION BY ledger ORDER BY began, reboot_counter) AS seq_before,
    row_number() OVER (PARTITION BY ledger ORDER BY began, reboot_counter) AS place
  FROM series
),
holes AS (
  SELECT ledger, missing_before AS missing, event_before, first_event, time_before, time_from
  FROM hsm_sequence
  WHERE missing_before > 0 AND time_from >= $period_from AND coalesce(time_before, time_from) < $period_to
  UNION ALL
  -- After a restart the numbers begin at 0 or go on; anything else has lost records.
  SELECT ledger, first_seq, NULL, head_event, NULL, head_at
  FROM heads
  WHERE place > 1 AND first_seq <> 0 AND first_seq <> seq_before + 1
    AND head_at >= $period_from AND head_at < $period_to
),
holes_of AS (
  SELECT ledger, count(*) AS holes, sum(missing) AS missing,
    array_slice(array_agg(event_before ORDER BY time_from) FILTER (WHERE event_before IS NOT NULL), 1, 50) AS before_events,
    array_slice(array_agg(first_event ORDER BY time_from), 1, 50) AS after_events,
    first_value(concat('between ', coalesce(to_char(time_before, '%Y-%m-%d %H:%M'), 'its restart'), ' and ',
      to_char(time_from, '%Y-%m-%d %H:%M')) ORDER BY missing DESC, time_from) AS words
  FROM holes GROUP BY ledger
),
numbered AS (
  SELECT ledger,
    min(time_from) AS known_from, max(time_to) AS known_to, sum(records) AS records, sum(disorder) AS disorder,
    first_value(first_event ORDER BY time_from) AS first_event,
    first_value(last_event ORDER BY time_to DESC) AS last_event
  FROM hsm_sequence GROUP BY ledger
),
-- The stretches that digests prove, clipped to the period and joined.
wanted AS (
  SELECT $period_from AS wanted_from, least($period_to, $as_of) - $lag AS wanted_to
),
digests AS (
  SELECT c.ledger, coalesce(c.region, '*') AS region, c."from" AS starts, c."to" AS ends, c.status, c.detail
  FROM coverage AS c CROSS JOIN wanted AS w
  WHERE c.method = 'digest' AND c."from" < w.wanted_to AND c."to" > w.wanted_from
),
broken AS (
  SELECT ledger, count(*) AS breaks, min(starts) AS first_break, first_value(detail ORDER BY starts) AS detail
  FROM digests WHERE status <> 'covered' GROUP BY ledger
),
steps AS (
  SELECT digests.*, max(ends) OVER (PARTITION BY ledger, region ORDER BY starts, ends
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
  FROM digests WHERE status = 'covered'
),
chains AS (
  SELECT s.ledger, s.region,
    min(s.starts) AS proven_from, max(s.ends) AS proven_to,
    count(*) FILTER (WHERE s.reached < s.starts) AS missing
  FROM steps AS s GROUP BY s.ledger, s.region
),
chained AS (
  SELECT c.ledger,
    max(CASE WHEN c.missing > 0 OR c.proven_from > w.wanted_from OR c.proven_to < w.wanted_to THEN 1 ELSE 0 END) = 1 AS partial,
    max(c.proven_from) AS proven_from, min(c.proven_to) AS proven_to
  FROM chains AS c CROSS JOIN wanted AS w GROUP BY c.ledger
),
every_ledger AS (
  SELECT ledger, provider, account, region, of_hsm, hsm_id FROM ledgers
  UNION ALL
  SELECT DISTINCT d.ledger, split_part(d.ledger, '/', 1), split_part(d.ledger, '/', 2), CAST(NULL AS VARCHAR), false, CAST(NULL AS VARCHAR)
  FROM digests AS d LEFT ANTI JOIN ledgers AS l ON l.ledger = d.ledger
),
judged AS (
  SELECT
    l.*, c.conflicts, c.variants, c.originals, h.holes, h.missing, h.before_events, h.after_events, h.words,
    n.known_from, n.known_to, n.records, n.disorder, n.first_event, n.last_event, b.breaks, b.first_break, b.detail,
    g.proven_from, g.proven_to,
    CASE
      WHEN c.conflicts > 0 THEN 'fail conflicting_records'
      WHEN h.holes > 0 THEN 'fail sequence_gap'
      WHEN b.breaks > 0 THEN 'fail digest_chain_broken'
      WHEN l.of_hsm AND n.ledger IS NULL THEN 'undetermined no_sequence_numbers'
      -- Numbers prove nothing after the last of them: here that is all of the period.
      WHEN l.of_hsm AND n.known_to < $period_from THEN 'undetermined nothing_in_period'
      WHEN l.of_hsm AND n.known_from > $period_from AND hd.first_seq <> 0 THEN 'undetermined head_missing'
      WHEN l.of_hsm THEN 'pass sequence_complete'
      WHEN l.provider <> 'aws' OR l.ledger LIKE 'aws/cloudhsm/%' THEN 'not_applicable provider_gives_no_proof'
      WHEN g.ledger IS NULL THEN 'undetermined no_integrity_proof'
      WHEN g.partial THEN 'undetermined proof_incomplete'
      ELSE 'pass digest_chain_verified'
    END AS verdict
  FROM every_ledger AS l
  LEFT JOIN conflicts AS c ON c.ledger = l.ledger
  LEFT JOIN holes_of AS h ON h.ledger = l.ledger
  LEFT JOIN numbered AS n ON n.ledger = l.ledger
  LEFT JOIN heads AS hd ON hd.ledger = l.ledger AND hd.place = 1
  LEFT JOIN broken AS b ON b.ledger = l.ledger
  LEFT JOIN chained AS g ON g.ledger = l.ledger
)
SELECT
  'log' AS subject_kind,
  ledger AS subject_id,
  provider,
  account,
  CASE WHEN of_hsm THEN region END AS region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  CASE split_part(verdict, ' ', 2)
    WHEN 'conflicting_records' THEN concat(CAST(conflicts AS VARCHAR), ' records came again with the same identity and other content.')
    WHEN 'sequence_gap' THEN concat(CAST(missing AS VARCHAR), ' records are missing in ', CAST(holes AS VARCHAR),
      ' holes of the HSM''s numbering, the largest ', words, '.')
    WHEN 'digest_chain_broken' THEN concat('The chain of digests does not hold', CASE WHEN detail IS NOT NULL THEN concat(': ', detail) ELSE
      concat(' at ', to_char(first_break, '%Y-%m-%d %H:%M'), '.') END)
    WHEN 'no_sequence_numbers' THEN 'The records of this HSM carry no sequence numbers.'
    WHEN 'nothing_in_period' THEN concat('The last record is of ', to_char(known_to, '%Y-%m-%d %H:%M'), ', before the period; nothing shows that none came after it.')
    WHEN 'head_missing' THEN concat('The numbering is complete from ', to_char(known_from, '%Y-%m-%d %H:%M'),
      ', but begins in the middle; what was before is not known.')
    WHEN 'sequence_complete' THEN concat('The numbering has no hole from ', to_char(known_from, '%Y-%m-%d'), ' to the last record on ',
      to_char(known_to, '%Y-%m-%d %H:%M'), ' (', CAST(records AS VARCHAR), ' records); a numbering cannot show records missing after its end.')
    WHEN 'provider_gives_no_proof' THEN 'The provider offers no proof of integrity for this log; no record contradicts another.'
    WHEN 'no_integrity_proof' THEN 'No digest of this log was verified.'
    WHEN 'proof_incomplete' THEN concat('Digests prove ', to_char(proven_from, '%Y-%m-%d %H:%M'), ' to ', to_char(proven_to, '%Y-%m-%d %H:%M'),
      ' at most, not the whole period.')
    ELSE concat('The chain of digests is unbroken and verified from ', to_char($period_from, '%Y-%m-%d'), ' to ', to_char(proven_to, '%Y-%m-%d %H:%M'), '.')
  END AS message,
  CASE split_part(verdict, ' ', 2)
    WHEN 'conflicting_records' THEN array_concat(originals, variants)
    WHEN 'sequence_gap' THEN array_concat(coalesce(before_events, arrow_cast(make_array(), 'List(Utf8)')), after_events)
    ELSE make_array(first_event, CASE WHEN last_event <> first_event THEN last_event END) END AS evidence,
  CAST(CASE split_part(verdict, ' ', 2)
    WHEN 'conflicting_records' THEN 2 * conflicts
    WHEN 'sequence_gap' THEN coalesce(array_length(before_events), 0) + array_length(after_events)
    ELSE CASE WHEN first_event IS NULL THEN 0 WHEN last_event <> first_event THEN 2 ELSE 1 END END AS BIGINT) AS evidence_count,
  arrow_cast(make_array(), 'List(Utf8)') AS inventory_refs,
  NULL AS absences,
  missing AS records_missing,
  records AS records_numbered,
  disorder AS records_out_of_order,
  conflicts AS records_conflicting
FROM judged
