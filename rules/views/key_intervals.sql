/*+++
description = """The stretches between the rotations of each key: from its creation to the first rotation, between
rotations, and from the last one to the assessment (`to_kind` open). Where the creation is not proven, the first
stretch begins when the key was first seen (`from_kind` seen), or at no known time (unknown). A replica of a
multi-Region key has the material of its group, which is as old as the oldest key of it."""
+++*/
WITH groups AS (
  SELECT key_group, min(created_at) AS created_at, min(first_seen) AS first_seen, count(*) AS members
  FROM key_state WHERE key_group IS NOT NULL GROUP BY key_group
),
made AS (
  SELECT
    k.key_id,
    CASE
      WHEN k.key_group IS NULL THEN k.created_at
      -- A replica that stands alone is younger than its material.
      WHEN upper(k.multi_region_type) = 'REPLICA' AND g.created_at = k.created_at THEN NULL
      ELSE g.created_at
    END AS created_at,
    coalesce(g.first_seen, k.first_seen) AS first_seen,
    k.created_event, k.created_proof, k.inventory_refs
  FROM key_state AS k LEFT JOIN groups AS g ON g.key_group = k.key_group
),
firsts AS (
  SELECT key_id, min(time) AS first_rotation FROM key_rotations GROUP BY key_id
),
points AS (
  SELECT key_id, time AS at, 1 AS rank, 'rotation' AS kind, event_id, inventory_ref, method FROM key_rotations
  UNION ALL
  SELECT
    m.key_id,
    CASE
      WHEN m.created_at IS NOT NULL THEN m.created_at
      WHEN m.first_seen < coalesce(f.first_rotation, $as_of) THEN m.first_seen
    END,
    0,
    CASE
      WHEN m.created_at IS NOT NULL THEN 'creation'
      WHEN m.first_seen < coalesce(f.first_rotation, $as_of) THEN 'seen'
      ELSE 'unknown'
    END,
    CASE WHEN m.created_proof = 'event' THEN m.created_event END,
    CASE WHEN m.created_proof = 'inventory' THEN m.inventory_refs[1] END,
    NULL
  FROM made AS m LEFT JOIN firsts AS f ON f.key_id = m.key_id
),
following AS (
  SELECT
    points.*,
    lead(at) OVER w AS ended_at,
    lead(event_id) OVER w AS to_event,
    lead(inventory_ref) OVER w AS to_ref,
    lead(kind) OVER w AS next_kind
  FROM points
  WINDOW w AS (PARTITION BY key_id ORDER BY at NULLS FIRST, rank, event_id, inventory_ref)
)
SELECT
  key_id,
  at AS started_at,
  kind AS from_kind,
  event_id AS from_event,
  inventory_ref AS from_ref,
  method AS from_method,
  coalesce(ended_at, $as_of) AS ended_at,
  CASE WHEN next_kind IS NULL THEN 'open' ELSE next_kind END AS to_kind,
  to_event,
  to_ref,
  CAST(floor((date_part('epoch', coalesce(ended_at, $as_of)) - date_part('epoch', at)) / 86400) AS BIGINT) AS days
FROM following
