/*+++
description = """The stretches in which a key was disabled, waiting for deletion or without material, so that its
provider did not rotate it; `suspended_to` is null while the stretch lasts."""
+++*/
WITH turns AS (
  SELECT
    subject_key AS key_id, time, event_id,
    action IN ('key.enable', 'key.restore', 'key.import') OR (action = 'key.deletion.cancel' AND provider = 'azure')
      AS works
  FROM admin_events
  WHERE subject_key IS NOT NULL AND outcome = 'success'
    AND action IN ('key.disable', 'key.deletion.schedule', 'key.material.delete', 'key.enable', 'key.restore',
      'key.import', 'key.deletion.cancel')
    AND NOT (action = 'key.deletion.cancel' AND provider <> 'azure')
    -- A disabled version of a Google Cloud key does not stop the rotation of the key.
    AND NOT (provider = 'gcp' AND key_version IS NOT NULL)
)
SELECT key_id, suspended_from, from_event, suspended_to
FROM (
  SELECT
    key_id, works, time AS suspended_from, event_id AS from_event,
    min(CASE WHEN works THEN time END) OVER (
      PARTITION BY key_id ORDER BY time, event_id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS suspended_to
  FROM turns
) AS followed
WHERE NOT works
