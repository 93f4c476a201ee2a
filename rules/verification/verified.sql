/*+++
id = "DR-04"
title = "Keys of HSMs were exercised, and the HSM's log shows it"
severity = "high"
needs = { aws = ["aws.cloudhsm.audit"], gcp = ["gcp.kms.admin", "gcp.kms.data"], azure = ["azure.cloudhsm.audit"] }
params = { max_age = "30d" }
rationale = """That a key works, that the old version still decrypts after a rotation, and that the token refuses what it must refuse is shown
by doing it, not by reading attributes. What was done must stand in the log of the HSM: a log that lacks it lacks more."""
remediation = """Run `keytrail verify` on each token at least every thirty days, at the level use for keys of production; look at the checks that
fail, and at calls that the log lacks."""
references = ["https://docs.oasis-open.org/pkcs11/pkcs11-base/v3.0/os/pkcs11-base-v3.0-os.html"]

[[controls]]
framework = "nist-sp-800-53r5"
control = "SC-12"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-53r5"
control = "CA-7"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-53r5"
control = "CP-4"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "3.7.4"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "CEK-09"
strength = "supporting"
+++*/
WITH tokens AS (
  SELECT * FROM verified_runs WHERE newest = 1
),
drills AS (
  SELECT * FROM verified_runs WHERE newest_drill = 1
),
-- What a token as a whole is judged by: its newest run, and its newest drill.
token_checks AS (
  SELECT v.token, v.check_id, v.verdict, v.fails, v.message, v.inventory_ref, v.check_id LIKE 'drill.%' OR v.check_id LIKE 'operator.%' AS drilled
  FROM verifications AS v
  LEFT JOIN tokens AS t ON t.run_id = v.run_id
  LEFT JOIN drills AS d ON d.run_id = v.run_id
  WHERE v.subject_kind = 'token'
    AND (t.run_id IS NOT NULL OR (d.run_id IS NOT NULL AND (v.check_id LIKE 'drill.%' OR v.check_id LIKE 'operator.%')))
),
token_sums AS (
  SELECT
    token,
    count(*) FILTER (WHERE verdict = 'PASS') AS passed,
    count(*) FILTER (WHERE verdict = 'PASS' AND drilled) AS drilled,
    count(*) FILTER (WHERE fails) AS failed,
    count(*) FILTER (WHERE verdict = 'INCONCLUSIVE') AS inconclusive,
    array_slice(array_agg(DISTINCT check_id ORDER BY check_id) FILTER (WHERE fails), 1, 20) AS failing,
    array_slice(array_agg(inventory_ref ORDER BY fails DESC, inventory_ref), 1, 100) AS refs
  FROM token_checks GROUP BY token
),
traces AS (
  SELECT
    s.run_id,
    min(s.window_from) AS window_from, max(s.window_to) AS window_to,
    first_value(s.ledgers ORDER BY s.run_id) AS ledgers,
    count(*) FILTER (WHERE s.trace IN ('matched_by_key', 'matched_by_count')) AS matched,
    count(*) FILTER (WHERE s.trace = 'missing') AS missing,
    count(*) FILTER (WHERE s.trace = 'unexpected') AS unexpected,
    array_slice(array_agg(DISTINCT s.function ORDER BY s.function) FILTER (WHERE s.trace = 'missing'), 1, 10) AS missing_functions,
    array_agg(s.event_id ORDER BY s.event_id) FILTER (WHERE s.trace IN ('matched_by_key', 'matched_by_count')) AS matched_events,
    array_agg(s.event_id ORDER BY s.event_id) FILTER (WHERE s.trace = 'unexpected') AS unexpected_events
  FROM verification_steps AS s GROUP BY s.run_id
),
token_rows AS (
  SELECT
    t.*, s.passed, s.drilled, s.failed, s.inconclusive, s.failing, s.refs,
    r.window_from, r.window_to, r.ledgers, r.matched, r.missing, r.unexpected, r.missing_functions,
    r.matched_events, r.unexpected_events,
    json_text(t.log, 'principal') AS principal,
    contains(coalesce(json_text(t.log, 'disabled'), ''), 'use') AS use_not_logged,
    CASE
      WHEN s.failed > 0 THEN 'fail check_failed'
      WHEN r.missing > 0 THEN 'fail not_in_log'
      WHEN r.unexpected > 0 AND json_text(t.log, 'principal') IS NOT NULL THEN 'fail unexpected_use'
      WHEN t.ended < $as_of - $max_age THEN 'undetermined stale'
      WHEN s.inconclusive > 0 THEN 'undetermined inconclusive'
      WHEN coalesce(s.passed, 0) = 0 THEN 'undetermined nothing_shown'
      -- A log was named: silence about it is no proof.
      WHEN t.log IS NOT NULL AND r.run_id IS NULL THEN 'undetermined log_not_looked_at'
      ELSE 'pass verified'
    END AS verdict
  FROM tokens AS t
  LEFT JOIN token_sums AS s ON s.token = t.token
  LEFT JOIN traces AS r ON r.run_id = t.run_id
),
-- Keys that the newest run saw, each with the newest run that exercised it.
seen AS (
  SELECT v.token, v.subject_id, max(v.key_id) AS key_id, max(v.key_spec) AS key_spec, min(v.inventory_ref) AS seen_ref
  FROM verifications AS v JOIN tokens AS t ON t.run_id = v.run_id
  WHERE v.check_id = 'inventory.key'
  GROUP BY v.token, v.subject_id
),
exercises AS (
  SELECT
    v.token, v.subject_id, v.run_id, v.ended,
    count(*) FILTER (WHERE v.verdict = 'PASS' AND v.check_id IN ('use.sign', 'use.decrypt', 'use.mac')) AS worked,
    count(*) FILTER (WHERE v.verdict = 'PASS') AS passed,
    count(*) FILTER (WHERE v.fails) AS failed,
    count(*) FILTER (WHERE v.verdict = 'INCONCLUSIVE') AS inconclusive,
    first_value(v.message ORDER BY v.check_id) FILTER (WHERE v.fails) AS failure,
    first_value(v.message ORDER BY v.check_id) FILTER (WHERE v.verdict = 'INCONCLUSIVE') AS doubt,
    array_slice(array_agg(v.inventory_ref ORDER BY v.fails DESC, v.inventory_ref), 1, 100) AS refs,
    row_number() OVER (PARTITION BY v.token, v.subject_id ORDER BY v.ended DESC, v.run_id DESC) AS newest
  FROM verifications AS v
  WHERE v.subject_kind = 'key' AND v.check_id LIKE 'use.%'
  GROUP BY v.token, v.subject_id, v.run_id, v.ended
),
set_up AS (
  SELECT v.token, v.subject_id, min(v.message) AS failure, min(v.inventory_ref) AS ref
  FROM verifications AS v JOIN tokens AS t ON t.run_id = v.run_id
  WHERE v.subject_kind = 'key' AND v.check_id LIKE 'inventory.%' AND v.fails
  GROUP BY v.token, v.subject_id
),
key_rows AS (
  SELECT
    t.provider, t.account, t.region, t.token, s.subject_id, s.key_id, s.key_spec, e.ended, e.passed, e.doubt,
    coalesce(e.failure, u.failure) AS failure,
    array_concat(make_array(coalesce(u.ref, s.seen_ref)), coalesce(e.refs, arrow_cast(make_array(), 'List(Utf8)'))) AS refs,
    CASE
      WHEN e.failed > 0 THEN 'fail exercise_failed'
      WHEN u.failure IS NOT NULL THEN 'fail wrongly_set_up'
      WHEN e.subject_id IS NULL THEN 'undetermined not_exercised'
      WHEN e.ended < $as_of - $max_age THEN 'undetermined stale'
      WHEN e.inconclusive > 0 THEN 'undetermined inconclusive'
      WHEN e.worked = 0 THEN 'undetermined not_used'
      ELSE 'pass works'
    END AS verdict
  FROM seen AS s
  JOIN tokens AS t ON t.token = s.token
  LEFT JOIN set_up AS u ON u.token = s.token AND u.subject_id = s.subject_id
  LEFT JOIN exercises AS e ON e.token = s.token AND e.subject_id = s.subject_id AND e.newest = 1
)
SELECT
  'token' AS subject_kind,
  token AS subject_id,
  provider, account, region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  CASE split_part(verdict, ' ', 2)
    WHEN 'check_failed' THEN concat(CAST(failed AS VARCHAR), ' checks fail: ', array_to_string(failing, ', '), '.')
    WHEN 'not_in_log' THEN concat(CAST(missing AS VARCHAR), ' calls of the run of ', to_char(ended, '%Y-%m-%d'),
      ' do not stand in the log that should have them: ', array_to_string(missing_functions, ', '), '.')
    WHEN 'unexpected_use' THEN concat('While the run went on, ', principal, ' did ', CAST(unexpected AS VARCHAR),
      ' things that the run did not do.')
    WHEN 'stale' THEN concat('The token was last exercised on ', to_char(ended, '%Y-%m-%d'), '.')
    WHEN 'inconclusive' THEN concat(CAST(inconclusive AS VARCHAR), ' checks came to no verdict.')
    WHEN 'nothing_shown' THEN 'No check of the token passed.'
    WHEN 'log_not_looked_at' THEN 'None of the calls of the run could be held against the log that was named.'
    ELSE concat(CAST(passed AS VARCHAR), ' checks passed on ', to_char(ended, '%Y-%m-%d'),
      CASE WHEN coalesce(drilled, 0) = 0 THEN '; no drill was made' ELSE '' END,
      CASE WHEN log IS NULL THEN '; the calls were not looked for in a log.'
        WHEN coalesce(matched, 0) = 0 THEN '; the log holds no calls of this kind.'
        ELSE concat('; ', CAST(matched AS VARCHAR), ' calls stand in its log.') END)
  END AS message,
  array_slice(CASE WHEN verdict = 'fail unexpected_use' THEN unexpected_events ELSE matched_events END, 1, 100) AS evidence,
  CASE WHEN verdict = 'fail unexpected_use' THEN unexpected ELSE coalesce(matched, 0) END AS evidence_count,
  refs AS inventory_refs,
  -- That a call is missing, and that nothing else was done, rests on the log being whole.
  CASE WHEN verdict IN ('fail not_in_log', 'pass verified') AND window_from IS NOT NULL AND window_from < window_to
    THEN make_array(named_struct('from', window_from, 'to', window_to)) END AS absences,
  ledgers,
  CASE WHEN provider = 'gcp' AND use_not_logged THEN make_array('gcp.kms.admin') END AS needs,
  token_model, level, ended AS exercised_at, missing, unexpected, CAST(NULL AS VARCHAR) AS key_id
FROM token_rows
UNION ALL
SELECT
  'key', subject_id, provider, account, region,
  split_part(verdict, ' ', 1),
  split_part(verdict, ' ', 2),
  CASE split_part(verdict, ' ', 2)
    WHEN 'not_exercised' THEN 'The key was seen on the token, and never exercised.'
    WHEN 'exercise_failed' THEN failure
    WHEN 'wrongly_set_up' THEN failure
    WHEN 'stale' THEN concat('The key was last exercised on ', to_char(ended, '%Y-%m-%d'), '.')
    WHEN 'inconclusive' THEN doubt
    WHEN 'not_used' THEN 'Nothing that the key does could be checked outside of the token.'
    ELSE concat('The key did on ', to_char(ended, '%Y-%m-%d'), ' what it is for, checked outside of the token: ',
      CAST(passed AS VARCHAR), ' checks passed.')
  END,
  NULL, CAST(0 AS BIGINT), refs, NULL, NULL, NULL, key_spec, NULL, ended, NULL, NULL, key_id
FROM key_rows
UNION ALL
-- Clusters of which no token was ever exercised.
SELECT
  'cluster', c.hsm_id, c.provider, c.account, c.region, 'undetermined', 'never_verified',
  'No run of verify on a token of this cluster is known.',
  NULL, CAST(0 AS BIGINT), c.inventory_refs, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM hsm_state AS c
WHERE c.kind = 'cluster' AND c.provider IN ('aws', 'azure')
  AND NOT EXISTS (SELECT 1 FROM tokens AS t WHERE t.provider = c.provider AND (t.account IS NULL OR t.account = c.account))
