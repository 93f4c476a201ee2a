/*+++
description = """One row per run of `verify`. `newest` counts the runs of a token from the newest, `newest_drill` those that made keys
of their own (levels drill and operator; null for the others)."""
+++*/
SELECT
  run_id, token, token_serial, token_model, name, provider, account, region, production, level, started, ended, log,
  row_number() OVER (PARTITION BY token ORDER BY ended DESC, run_id DESC) AS newest,
  CASE WHEN level IN ('drill', 'operator') THEN
    row_number() OVER (PARTITION BY token, level IN ('drill', 'operator') ORDER BY ended DESC, run_id DESC) END AS newest_drill
FROM (
  SELECT DISTINCT run_id, token, token_serial, token_model, name, provider, account, region, production, level, started, ended, log
  FROM verifications
) AS runs
