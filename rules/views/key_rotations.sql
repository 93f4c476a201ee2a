/*+++
description = """One row per key and rotation that is proven: by an event that says that new material took over, or
by the inventory's list of versions; a rotation that both show is one row. A request to rotate is no proof,
nor is an event whose material did not change, an Azure `KeyRotateIfDue` without a new version, or a Google Cloud
primary version set back to an older one. A rotation of a multi-Region key counts for all keys of its group."""
+++*/
WITH acts AS (
  SELECT * FROM admin_events
  WHERE subject_key IS NOT NULL AND outcome = 'success'
    AND (action IN ('key.rotate', 'key.create', 'key.import') OR lower(native_action) = 'keyrotateifdue')
),
-- Versions of Azure keys in the order in which the log first names them.
azure_versions AS (
  SELECT subject_key AS key_id, key_version AS version, min(time) AS first_named_at
  FROM acts WHERE provider = 'azure' AND key_version IS NOT NULL
  GROUP BY subject_key, key_version
),
azure_first AS (
  SELECT key_id, min(first_named_at) AS first_named_at FROM azure_versions GROUP BY key_id
),
azure_made AS (
  SELECT DISTINCT a.event_id
  FROM acts AS a JOIN key_versions AS v ON v.key_id = a.subject_key
  WHERE a.provider = 'azure' AND lower(a.native_action) = 'keyrotateifdue'
    AND v.created_at BETWEEN a.time - INTERVAL '10 minutes' AND a.time + INTERVAL '10 minutes'
    AND (a.key_version IS NULL OR a.key_version = v.version)
),
primaries AS (
  SELECT event_id,
    TRY_CAST(key_version AS BIGINT) AS number,
    max(TRY_CAST(key_version AS BIGINT)) OVER (
      PARTITION BY subject_key ORDER BY time, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
  FROM acts WHERE provider = 'gcp' AND action = 'key.rotate'
),
by_event AS (
  SELECT
    coalesce(a.key_group, a.subject_key) AS key_or_group, a.time, a.event_id, a.provider,
    coalesce(json_text(a.details, 'current_key_material_id'), a.key_version) AS version,
    CASE
      WHEN lower(json_text(a.details, 'rotation_type')) = 'automatic' OR lower(a.native_action) = 'keyrotateifdue'
        THEN 'automatic'
      WHEN lower(json_text(a.details, 'rotation_type')) = 'on_demand' THEN 'on_demand'
      WHEN a.action = 'key.import' THEN 'import'
      WHEN a.provider = 'aws' THEN 'unstated'
      WHEN a.actor_kind = 'service' THEN 'automatic'
      ELSE 'manual'
    END AS method
  FROM acts AS a
  LEFT JOIN key_state AS k ON k.key_id = a.subject_key
  LEFT JOIN azure_versions AS av ON av.key_id = a.subject_key AND av.version = a.key_version
  LEFT JOIN azure_first AS af ON af.key_id = a.subject_key
  LEFT JOIN azure_made AS am ON am.event_id = a.event_id
  LEFT JOIN primaries AS p ON p.event_id = a.event_id
  WHERE CASE
      WHEN lower(a.native_action) = 'keyrotateifdue' THEN
        am.event_id IS NOT NULL
        OR (av.first_named_at = a.time AND (a.action = 'key.rotate' OR af.first_named_at < a.time))
      WHEN a.action = 'key.rotate' AND a.provider = 'gcp'
        THEN p.number IS NULL OR p.before IS NULL OR p.number > p.before
      WHEN a.action = 'key.rotate' THEN
        coalesce(json_text(a.details, 'previous_key_material_id')
          <> json_text(a.details, 'current_key_material_id'), true)
      -- Creating or importing an existing Azure name adds a version.
      WHEN a.provider = 'azure' THEN k.created_at IS NULL OR a.time > k.created_at + INTERVAL '1 minute'
      ELSE false
    END
),
events_once AS (
  SELECT * FROM (
    SELECT by_event.*, row_number() OVER (
        PARTITION BY key_or_group, coalesce(version, event_id) ORDER BY time, event_id) AS place
    FROM by_event
  ) AS ranked WHERE place = 1
),
by_inventory AS (
  SELECT
    coalesce(k.key_group, v.key_id) AS key_or_group,
    coalesce(v.rotated_at, v.created_at) AS time,
    v.version,
    max(v.inventory_ref) AS inventory_ref,
    max(coalesce(v.rotation_type, CASE WHEN v.provider = 'aws' THEN 'unstated' ELSE 'version' END)) AS method
  FROM key_versions AS v JOIN key_state AS k ON k.key_id = v.key_id
  WHERE CASE v.provider
      WHEN 'aws' THEN v.rotated_at IS NOT NULL AND coalesce(v.state, '') NOT LIKE 'pending%'
      -- Versions up to the primary one took over in turn; the first is the creation.
      WHEN 'gcp' THEN v.created_at IS NOT NULL AND TRY_CAST(v.version AS BIGINT) > 1
        AND TRY_CAST(v.version AS BIGINT) <= TRY_CAST(k.primary_version AS BIGINT)
        AND coalesce(v.state, '') NOT IN ('pending_generation', 'pending_import', 'import_failed', 'generation_failed')
      -- The only version that is known may be the first or a later one; the key's material is as old as it.
      ELSE v.created_at IS NOT NULL
        AND (k.created_at IS NULL OR v.created_at > k.created_at + INTERVAL '1 minute')
    END
  GROUP BY coalesce(k.key_group, v.key_id), coalesce(v.rotated_at, v.created_at), v.version
),
matched AS (
  SELECT e.event_id, i.inventory_ref, i.key_or_group, i.time, i.version,
    row_number() OVER (PARTITION BY e.event_id
      ORDER BY abs(date_part('epoch', e.time) - date_part('epoch', i.time)), i.inventory_ref) AS place
  FROM events_once AS e JOIN by_inventory AS i ON i.key_or_group = e.key_or_group
  WHERE e.version = i.version
    OR ((e.version IS NULL OR i.version IS NULL OR e.provider = 'aws')
      AND (e.version IS NULL OR i.version IS NULL)
      AND i.time BETWEEN e.time - INTERVAL '1 day' AND e.time + INTERVAL '1 day')
    OR (e.method = 'automatic' AND e.version IS NULL
      AND i.time BETWEEN e.time - INTERVAL '1 day' AND e.time + INTERVAL '1 day')
),
together AS (
  SELECT e.key_or_group, e.time, e.method, e.event_id, m.inventory_ref, e.version
  FROM events_once AS e LEFT JOIN matched AS m ON m.event_id = e.event_id AND m.place = 1
  UNION ALL
  SELECT i.key_or_group, i.time, i.method, NULL, i.inventory_ref, i.version
  FROM by_inventory AS i
  LEFT ANTI JOIN matched AS m
    ON m.key_or_group = i.key_or_group AND m.time = i.time AND (m.version IS NOT DISTINCT FROM i.version)
)
SELECT
  k.key_id, t.time, t.method, t.event_id, t.inventory_ref, t.version,
  CASE WHEN t.event_id IS NULL THEN 'inventory' WHEN t.inventory_ref IS NULL THEN 'event' ELSE 'both' END AS proof
FROM together AS t
JOIN key_state AS k ON coalesce(k.key_group, k.key_id) = t.key_or_group
