/*+++
id = "DR-03"
title = "New kinds of keys were rehearsed before production used them"
severity = "medium"
needs = { aws = ["aws.cloudhsm.audit"], gcp = ["gcp.kms.admin"], azure = ["azure.cloudhsm.audit"] }
params = { window = "90d" }
rationale = """The first import or generation of a kind of key in production is the moment at which a wrong template, mechanism or procedure does harm.
A rehearsal with the same method on a token without production keys shows beforehand that it works."""
remediation = """Set up a token without production keys (`production = false` in its section of the configuration), run `keytrail verify` on it at the
level drill, and let production use a new kind of key only after a drill of that kind has passed."""
references = ["https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final"]

[[controls]]
framework = "nist-sp-800-53r5"
control = "CM-4"
strength = "supporting"

[[controls]]
framework = "nist-sp-800-53r5"
control = "CM-3(2)"
strength = "supporting"

[[controls]]
framework = "soc2-tsc-2017"
control = "CC8.1"
strength = "supporting"

[[controls]]
framework = "csa-ccm-4"
control = "CEK-05"
strength = "supporting"

[[controls]]
framework = "pci-dss-4.0.1"
control = "6.5.3"
strength = "supporting"
+++*/
WITH born AS (
  SELECT
    e.event_id, e.time, e.provider, e.account, e.region,
    -- The log of an HSM says whether it was a key or a pair, and no more.
    CASE
      WHEN e.action = 'key.import' OR e.origin = 'imported' THEN 'imported'
      WHEN e.native_action = 'CN_GENERATE_KEY' THEN 'symmetric'
      WHEN e.native_action = 'CN_GENERATE_KEY_PAIR' THEN 'pair'
      WHEN upper(e.key_spec) LIKE 'RSA%' THEN 'rsa'
      WHEN upper(e.key_spec) LIKE 'EC%' THEN 'ec'
      WHEN upper(e.key_spec) LIKE 'AES%' OR upper(e.key_spec) LIKE '%SYMMETRIC%' THEN 'symmetric'
      ELSE 'other'
    END AS class
  FROM events AS e
  LEFT JOIN verification_steps AS s ON s.event_id = e.event_id AND s.trace <> 'unexpected'
  WHERE e.outcome = 'success' AND e.action IN ('key.create', 'key.import')
    AND (e.service = 'cloudhsm' OR (e.service = 'cloudkms' AND e.protection_level IN ('hsm', 'hsm_single_tenant')))
    -- A public key that is brought in is no key to rehearse; what verify made itself was no production.
    AND e.native_action <> 'CN_CREATE_OBJECT' AND s.event_id IS NULL
),
firsts AS (
  SELECT
    provider, account, class,
    min(time) AS first_at,
    count(*) AS keys,
    first_value(event_id ORDER BY time, event_id) AS first_event,
    first_value(region ORDER BY time, event_id) AS region
  FROM born GROUP BY provider, account, class
),
drills AS (
  SELECT v.provider, v.ended, v.run_id, v.token,
    max(CASE WHEN v.check_id = 'drill.generate.aes' AND v.verdict = 'PASS' THEN 1 ELSE 0 END) = 1 AS symmetric,
    max(CASE WHEN v.check_id = 'drill.generate.rsa' AND v.verdict = 'PASS' THEN 1 ELSE 0 END) = 1 AS rsa,
    max(CASE WHEN v.check_id IN ('drill.generate.ec', 'drill.generate.ed25519') AND v.verdict = 'PASS' THEN 1 ELSE 0 END) = 1 AS ec,
    max(CASE WHEN v.check_id IN ('drill.import.wrapped', 'drill.import.object') AND v.verdict = 'PASS' THEN 1 ELSE 0 END) = 1 AS imported,
    max(CASE WHEN v.check_id = 'drill.rotation' AND v.verdict = 'PASS' THEN 1 ELSE 0 END) = 1 AS rotated,
    array_agg(v.inventory_ref ORDER BY v.inventory_ref)
      FILTER (WHERE v.check_id LIKE 'drill.generate.%' OR v.check_id LIKE 'drill.import.%' OR v.check_id = 'drill.rotation') AS refs
  FROM verifications AS v
  WHERE v.level IN ('drill', 'operator') AND NOT v.production
  GROUP BY v.provider, v.ended, v.run_id, v.token
),
matched AS (
  SELECT
    f.provider, f.account, f.class,
    count(d.run_id) AS drills,
    first_value(d.ended ORDER BY d.ended DESC, d.run_id) FILTER (WHERE d.good) AS drilled_at,
    first_value(d.token ORDER BY d.ended DESC, d.run_id) FILTER (WHERE d.good) AS token,
    first_value(d.refs ORDER BY d.ended DESC, d.run_id) FILTER (WHERE d.good) AS refs
  FROM firsts AS f
  LEFT JOIN (
    SELECT c.provider, c.account, c.class, c.first_at, d.run_id, d.ended, d.token, d.refs,
      d.rotated AND ((c.class = 'symmetric' AND d.symmetric) OR (c.class IN ('rsa', 'pair') AND d.rsa)
        OR (c.class IN ('ec', 'pair') AND d.ec) OR (c.class = 'imported' AND d.imported)) AS good
    FROM firsts AS c JOIN drills AS d ON d.provider = c.provider
    WHERE d.ended <= c.first_at AND d.ended >= c.first_at - $window
  ) AS d ON d.provider = f.provider AND (d.account IS NOT DISTINCT FROM f.account) AND d.class = f.class
  GROUP BY f.provider, f.account, f.class
),
known AS (
  SELECT count(*) AS rehearsals FROM drills
),
judged AS (
  SELECT
    f.*, m.drills, m.drilled_at, m.token, m.refs,
    CASE
      WHEN f.first_at < $period_from THEN 'not_applicable used_before'
      WHEN m.drilled_at IS NOT NULL THEN 'pass rehearsed'
      WHEN f.class = 'other' THEN 'undetermined no_drill_of_this_kind'
      WHEN k.rehearsals = 0 THEN 'undetermined no_rehearsal_known'
      WHEN m.drills > 0 THEN 'fail rehearsal_failed'
      ELSE 'fail not_rehearsed'
    END AS verdict
  FROM firsts AS f
  JOIN matched AS m ON m.provider = f.provider AND (m.account IS NOT DISTINCT FROM f.account) AND m.class = f.class
  CROSS JOIN known AS k
  WHERE f.first_at < $period_to
)
SELECT
  'key_class' AS subject_kind,
  concat(provider, '/', coalesce(account, 'unknown'), '/', class) AS subject_id,
  provider, account, region,
  split_part(verdict, ' ', 1) AS status,
  split_part(verdict, ' ', 2) AS reason,
  CASE split_part(verdict, ' ', 2)
    WHEN 'used_before' THEN concat('Keys of this kind were made before the period, first on ', to_char(first_at, '%Y-%m-%d'), '.')
    WHEN 'rehearsed' THEN concat('First made on ', to_char(first_at, '%Y-%m-%d'), '; a drill passed on ', to_char(drilled_at, '%Y-%m-%d'),
      ' on a token without production keys.')
    WHEN 'no_drill_of_this_kind' THEN 'The log does not say what kind of key it is, or no drill makes this kind.'
    WHEN 'no_rehearsal_known' THEN concat('First made on ', to_char(first_at, '%Y-%m-%d'), '; no drill on a token without production keys is known.')
    WHEN 'rehearsal_failed' THEN concat('First made on ', to_char(first_at, '%Y-%m-%d'), '; the drills before it did not pass for this kind.')
    ELSE concat('First made on ', to_char(first_at, '%Y-%m-%d'), '; no drill took place in the time before it.')
  END AS message,
  make_array(first_event) AS evidence,
  CAST(1 AS BIGINT) AS evidence_count,
  refs AS inventory_refs,
  NULL AS absences,
  keys AS keys_made, first_at, drilled_at, token
FROM judged
