/*+++
description = """What is known of each key's automatic rotation: the newest statement of an event or of the
inventory. A multi-Region key has the setting of its group. `configured_since` is when the present setting was
first known to hold without a break; a policy whose content the log does not tell leaves the setting unknown."""
+++*/
WITH said AS (
  SELECT
    coalesce(key_group, subject_key) AS key_or_group,
    time AS at,
    event_id,
    CAST(NULL AS VARCHAR) AS inventory_ref,
    CASE
      WHEN action = 'key.rotation.enable' THEN true
      WHEN action = 'key.rotation.disable' THEN false
      WHEN json_bool(details, 'rotates') = false THEN false
      WHEN json_int(details, 'rotation_period_days') IS NOT NULL THEN true
      WHEN action = 'key.create' THEN false
      -- An Azure policy says whether it rotates, where the log holds it.
      ELSE json_bool(details, 'rotates')
    END AS enabled,
    CASE
      WHEN action = 'key.rotation.disable' THEN NULL
      -- EnableKeyRotation without a period means 365 days.
      WHEN action = 'key.rotation.enable' AND provider = 'aws'
        THEN coalesce(json_int(details, 'rotation_period_days'), CAST(365 AS BIGINT))
      ELSE json_int(details, 'rotation_period_days')
    END AS period_days,
    -- No provider rotates a new key unless it was asked to.
    action = 'key.create' AND json_int(details, 'rotation_period_days') IS NULL AS by_default
  FROM admin_events
  WHERE subject_key IS NOT NULL AND outcome = 'success'
    AND (action IN ('key.create', 'key.rotation.enable', 'key.rotation.disable')
      -- A new date alone changes neither period nor switch.
      OR (action = 'key.rotation.change'
        AND NOT (provider = 'gcp' AND json_int(details, 'rotation_period_days') IS NULL)))
  UNION ALL
  SELECT
    coalesce(key_group, key_id), captured_at, NULL, inventory_ref,
    coalesce(rotation_enabled, rotation_period_days IS NOT NULL), rotation_period_days, false
  FROM keys
  WHERE captured_at IS NOT NULL AND (rotation_enabled IS NOT NULL OR rotation_period_days IS NOT NULL)
),
ruled AS (
  SELECT said.*, max(CASE WHEN by_default THEN 0 ELSE 1 END) OVER (PARTITION BY key_or_group) AS anything_said
  FROM said
),
stepped AS (
  SELECT
    key_or_group, at, event_id, inventory_ref, enabled, period_days, by_default,
    CASE
      WHEN coalesce(CAST(enabled AS VARCHAR), '?')
         = coalesce(lag(coalesce(CAST(enabled AS VARCHAR), '?')) OVER (
             PARTITION BY key_or_group ORDER BY at, inventory_ref NULLS FIRST, event_id), '-')
       AND coalesce(period_days, -1)
         = coalesce(lag(coalesce(period_days, -1)) OVER (
             PARTITION BY key_or_group ORDER BY at, inventory_ref NULLS FIRST, event_id), -2)
      THEN 0 ELSE 1
    END AS step
  FROM ruled
  WHERE NOT (by_default AND anything_said = 1)
),
runs AS (
  SELECT stepped.*, sum(step) OVER (
      PARTITION BY key_or_group ORDER BY at, inventory_ref NULLS FIRST, event_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS run
  FROM stepped
),
newest AS (
  SELECT
    runs.*,
    min(at) OVER (PARTITION BY key_or_group, run) AS configured_since,
    row_number() OVER (
      PARTITION BY key_or_group ORDER BY at DESC, inventory_ref DESC NULLS LAST, event_id DESC
    ) AS place
  FROM runs
)
SELECT
  key_or_group,
  enabled AS rotation_enabled,
  period_days AS rotation_period_days,
  at AS configured_at,
  configured_since,
  event_id AS configured_event,
  inventory_ref AS configured_ref,
  by_default AS configured_by_default
FROM newest
WHERE place = 1
