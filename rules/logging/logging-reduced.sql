/*+++
id = "LOG-02"
title = "Logging was not stopped, reduced or redirected"
severity = "critical"
needs = { aws = ["aws.cloudtrail"], gcp = ["gcp.logging"], azure = ["azure.activity"] }
params = { min_retention = "365d" }
rationale = """Whoever wants to use or destroy a key unseen first sees to the log. What is not logged cannot be recovered, and
every other rule is blind for that stretch."""
remediation = """Switch the logging on again, find out who changed it and why, and treat the stretch in between as not observed."""
references = [
  "https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html",
  "https://cloud.google.com/logging/docs/audit/configure-data-access",
  "https://learn.microsoft.com/azure/azure-monitor/essentials/diagnostic-settings",
]

[[controls]]
framework = "pci-dss-4.0.1"
control = "10.2.1.6"
strength = "direct"

[[controls]]
framework = "pci-dss-4.0.1"
control = "10.7.2"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-53r5"
control = "AU-5"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-53r5"
control = "AU-9"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-53r5"
control = "AU-12"
strength = "supporting"

[[controls]]
framework = "cis-aws-7.0.0"
control = "5.5"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "LOG-13"
strength = "direct"

[[controls]]
framework = "nis2-ir-2024-2690"
control = "3.2.3(k)"
strength = "direct"

[[controls]]
framework = "dora-rts-2024-1774"
control = "12(2)(e)"
strength = "direct"
+++*/
WITH accounts AS (
  SELECT provider, account FROM key_state
  UNION SELECT provider, account FROM operations WHERE category = 'logging'
  UNION SELECT provider, account FROM hsm_state WHERE account IS NOT NULL
),
acts AS (
  SELECT
    o.*,
    lower(native_action) AS name,
    json_int(details, 'retention_days') AS retention_days,
    json_bool(details, 'reduces_logging') AS reduces,
    json_bool(details, 'excludes_kms') AS excludes_kms,
    coalesce(json_text(details, 'correlation_id'), request_id) AS call
  FROM operations AS o
  WHERE category = 'logging' AND action <> 'logging.start' AND outcome IN ('success', 'unknown')
    AND time >= $period_from AND time < least($period_to, $as_of + INTERVAL '1 minute')
),
ended AS (
  SELECT DISTINCT coalesce(json_text(details, 'correlation_id'), request_id) AS call, action
  FROM operations
  WHERE category = 'logging' AND outcome <> 'unknown'
),
approved AS (
  SELECT DISTINCT event_id FROM approvals_matched WHERE independent
),
weighed AS (
  SELECT
    a.*,
    p.event_id IS NOT NULL AS is_approved,
    CASE
      WHEN a.outcome = 'unknown' THEN CASE WHEN e.call IS NOT NULL THEN 'harmless' ELSE 'outcome_unknown' END
      WHEN a.action = 'logging.stop' OR name = 'disableawsserviceaccess' THEN 'logging_stopped'
      WHEN a.action = 'logging.delete' THEN 'logging_deleted'
      WHEN excludes_kms THEN 'key_events_excluded'
      WHEN excludes_kms = false THEN 'harmless'
      -- An Azure diagnostic setting lists what it logs.
      WHEN json_bool(details, 'logs_keys') = false THEN 'key_events_excluded'
      WHEN json_bool(details, 'logs_keys') THEN 'harmless'
      WHEN reduces THEN 'logging_reduced'
      WHEN reduces = false THEN 'harmless'
      WHEN retention_days < $min_retention_days THEN 'retention_too_short'
      WHEN retention_days >= $min_retention_days AND json_text(details, 'destination') IS NULL THEN 'harmless'
      WHEN name = 'updatetrail' AND (json_bool(details, 'multi_region_trail') = false
        OR json_bool(details, 'log_file_validation') = false) THEN 'logging_reduced'
      WHEN name = 'deletesubscriptionfilter' THEN 'logging_reduced'
      -- Adding a log, a copy or a guard takes nothing away.
      WHEN name LIKE 'create%' OR name LIKE 'associate%' OR name LIKE 'register%' OR name LIKE 'enable%' OR name LIKE 'restore%'
        OR name IN ('deleteretentionpolicy', 'putsubscriptionfilter', 'putmetricfilter', 'deletemetricfilter',
          'putinsightselectors', 'putloggroupdeletionprotection', 'deletelink') THEN 'harmless'
      WHEN (name = 'updatetrail' AND json_text(details, 'bucket') IS NOT NULL)
        OR (name = 'updatesink' AND json_text(details, 'destination') IS NOT NULL) THEN 'logging_redirected'
      ELSE 'change_unclear'
    END AS weight
  FROM acts AS a
  LEFT JOIN approved AS p ON p.event_id = a.event_id
  LEFT JOIN ended AS e ON e.call = a.call AND e.action = a.action
),
ranked AS (
  SELECT *,
    CASE
      WHEN weight = 'harmless' THEN 9
      WHEN is_approved AND weight NOT IN ('logging_stopped', 'logging_deleted', 'key_events_excluded', 'outcome_unknown') THEN 8
      WHEN weight = 'logging_stopped' THEN 0
      WHEN weight = 'key_events_excluded' THEN 1
      WHEN weight = 'logging_deleted' THEN 2
      WHEN weight = 'logging_reduced' THEN 3
      WHEN weight = 'retention_too_short' THEN 4
      WHEN weight = 'logging_redirected' THEN 5
      WHEN weight = 'outcome_unknown' THEN 6
      ELSE 7
    END AS rank
  FROM weighed
),
by_account AS (
  SELECT
    provider, account,
    min(rank) AS worst,
    first_value(weight ORDER BY rank, time, event_id) AS weight,
    first_value(concat(native_action, CASE WHEN target IS NULL THEN '' ELSE concat(' of ', target) END, ' on ',
      to_char(time, '%Y-%m-%d %H:%M'), ' by ', principal) ORDER BY rank, time, event_id) AS words,
    first_value(target ORDER BY rank, time, event_id) AS target,
    first_value(time ORDER BY rank, time, event_id) AS happened_at,
    count(*) FILTER (WHERE rank < 6) AS findings,
    count(*) FILTER (WHERE rank < 8) AS relevant,
    max(CASE WHEN rank = 8 THEN 1 ELSE 0 END) = 1 AS some_approved,
    array_slice(array_agg(event_id ORDER BY time, event_id) FILTER (WHERE rank < 6), 1, 100) AS finding_events,
    array_slice(array_agg(event_id ORDER BY time, event_id) FILTER (WHERE rank < 8), 1, 100) AS relevant_events,
    array_slice(array_agg(event_id ORDER BY time, event_id), 1, 100) AS all_events,
    count(*) AS changes
  FROM ranked GROUP BY provider, account
),
resumed AS (
  SELECT b.provider, b.account, min(o.time) AS resumed_at
  FROM by_account AS b JOIN operations AS o
    ON o.provider = b.provider AND o.account = b.account AND o.action = 'logging.start' AND o.outcome = 'success'
    AND o.time > b.happened_at AND (o.target IS NOT DISTINCT FROM b.target)
  WHERE b.worst = 0
  GROUP BY b.provider, b.account
),
judged AS (
  SELECT a.provider, a.account, b.worst, b.weight, b.words, b.happened_at, b.findings, b.relevant, b.some_approved, b.finding_events,
    b.relevant_events, b.all_events, b.changes, r.resumed_at,
    CASE
      WHEN b.worst IS NULL THEN 'pass no_change'
      WHEN b.worst < 6 THEN concat('fail ', b.weight)
      WHEN b.worst < 8 THEN concat('undetermined ', b.weight)
      ELSE 'pass no_reduction'
    END AS verdict
  FROM accounts AS a
  LEFT JOIN by_account AS b ON b.provider = a.provider AND (b.account IS NOT DISTINCT FROM a.account)
  LEFT JOIN resumed AS r ON r.provider = a.provider AND r.account = a.account
)
SELECT
  'account' AS subject_kind,
  coalesce(account, 'unknown') AS subject_id,
  provider,
  account,
  CAST(NULL AS VARCHAR) AS region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  CASE
    WHEN verdict = 'pass no_change' THEN 'Nothing about logging was changed in the period.'
    WHEN verdict = 'pass no_reduction' THEN concat(CAST(changes AS VARCHAR), ' changes of logging in the period took nothing away',
      CASE WHEN some_approved THEN ' or were approved by a second person.' ELSE '.' END)
    ELSE concat(words, CASE split_part(verdict, ' ', 2)
        WHEN 'logging_stopped' THEN concat(' stopped logging', CASE WHEN resumed_at IS NOT NULL
          THEN concat(', until ', to_char(resumed_at, '%Y-%m-%d %H:%M')) ELSE '; that it was started again is not known' END)
        WHEN 'key_events_excluded' THEN ' excluded the events of keys from the log'
        WHEN 'logging_deleted' THEN ' deleted a log or its setting'
        WHEN 'logging_reduced' THEN ' reduced what is logged'
        WHEN 'retention_too_short' THEN concat(' cut the retention below ', CAST($min_retention_days AS VARCHAR), ' days')
        WHEN 'logging_redirected' THEN ' sent the log elsewhere'
        WHEN 'outcome_unknown' THEN ' was started, and the log does not say how it ended'
        ELSE ' changed logging; the log does not tell whether that took anything away' END,
      CASE WHEN relevant > 1 THEN concat(' (', CAST(relevant AS VARCHAR), ' such changes in the period).') ELSE '.' END)
  END AS message,
  coalesce(finding_events, relevant_events, all_events) AS evidence,
  CASE WHEN finding_events IS NOT NULL THEN findings WHEN relevant_events IS NOT NULL THEN relevant ELSE coalesce(changes, 0) END AS evidence_count,
  arrow_cast(make_array(), 'List(Utf8)') AS inventory_refs,
  CASE WHEN verdict LIKE 'pass%' THEN make_array(named_struct('from', $period_from, 'to', least($period_to, $as_of))) END AS absences,
  verdict = 'pass no_reduction' AND some_approved AS attested,
  happened_at,
  resumed_at,
  findings
FROM judged
