/*+++
description = """One row per key as of the assessment: of every fact the newest that an event or the inventory
tells. Facts that can change come from dated inventory only; an inventory without a date proves existence and the
facts that never change. `state_at` is when the state was established, `known_from` whether events, inventory or
both know the key. `auto_rotatable` is null where spec or origin is unknown."""
+++*/
WITH inv AS (
  SELECT
    key_id,
    max(provider) AS provider,
    first_value(account ORDER BY captured_at DESC NULLS LAST, inventory_ref)
      FILTER (WHERE account IS NOT NULL) AS account,
    first_value(region ORDER BY captured_at DESC NULLS LAST, inventory_ref)
      FILTER (WHERE region IS NOT NULL) AS region,
    first_value(key_alias ORDER BY captured_at DESC NULLS LAST, key_alias)
      FILTER (WHERE key_alias IS NOT NULL AND captured_at IS NOT NULL) AS key_alias,
    max(CASE WHEN key_alias LIKE 'alias/aws/%' THEN 1 ELSE 0 END) = 1 AS aws_managed,
    max(key_group) AS key_group,
    first_value(key_spec ORDER BY captured_at DESC NULLS LAST, inventory_ref)
      FILTER (WHERE key_spec IS NOT NULL) AS key_spec,
    first_value(key_usage ORDER BY captured_at DESC NULLS LAST, inventory_ref)
      FILTER (WHERE key_usage IS NOT NULL) AS key_usage,
    first_value(manager ORDER BY captured_at DESC NULLS LAST, inventory_ref)
      FILTER (WHERE manager IS NOT NULL) AS manager,
    first_value(origin ORDER BY captured_at DESC NULLS LAST, inventory_ref)
      FILTER (WHERE origin IS NOT NULL AND origin <> 'unknown') AS origin,
    first_value(protection_level ORDER BY captured_at DESC NULLS LAST, inventory_ref)
      FILTER (WHERE protection_level IS NOT NULL AND protection_level <> 'unknown') AS protection_level,
    min(created_at) AS created_at,
    first_value(deletion_at ORDER BY captured_at DESC, inventory_ref)
      FILTER (WHERE deletion_at IS NOT NULL AND captured_at IS NOT NULL) AS deletion_at,
    first_value(expires_at ORDER BY captured_at DESC, inventory_ref)
      FILTER (WHERE expires_at IS NOT NULL AND captured_at IS NOT NULL) AS expires_at,
    first_value(next_rotation_at ORDER BY captured_at DESC, inventory_ref)
      FILTER (WHERE next_rotation_at IS NOT NULL AND captured_at IS NOT NULL) AS next_rotation_at,
    max(captured_at) FILTER (WHERE next_rotation_at IS NOT NULL) AS next_rotation_as_of,
    max(CASE WHEN json_text(details, 'custom_key_store_id') IS NOT NULL THEN 1 ELSE 0 END) = 1 AS in_key_store,
    max(json_text(details, 'multi_region_type')) AS multi_region_type,
    first_value(json_text(details, 'primary_version') ORDER BY captured_at DESC NULLS LAST, inventory_ref)
      FILTER (WHERE json_text(details, 'primary_version') IS NOT NULL) AS primary_version,
    max(captured_at) FILTER (WHERE json_bool(details, 'rotations_listed')) AS rotations_listed_at,
    max(json_text(details, 'primary_key_arn')) AS primary_key_arn,
    max(captured_at) AS inventory_at,
    array_slice(array_agg(inventory_ref ORDER BY captured_at DESC NULLS LAST, inventory_ref), 1, 10)
      AS inventory_refs
  FROM keys
  GROUP BY key_id
),
-- A version never changes its age, so every reading of versions counts; `versions_at` is the newest one.
versions AS (
  SELECT
    key_id,
    max(provider) AS provider,
    max(account) AS account,
    max(region) AS region,
    max(captured_at) AS versions_at,
    count(DISTINCT version) AS versions,
    min(created_at) AS oldest_version_at,
    max(created_at) AS newest_version_at,
    max(key_spec) AS key_spec,
    max(protection_level) AS protection_level,
    first_value(version ORDER BY captured_at DESC NULLS LAST, inventory_ref) FILTER (WHERE is_primary)
      AS primary_version,
    first_value(json_text(details, 'origin') ORDER BY captured_at DESC NULLS LAST, inventory_ref)
      FILTER (WHERE json_text(details, 'origin') IS NOT NULL) AS origin
  FROM key_versions
  GROUP BY key_id
),
acts AS (
  SELECT * FROM admin_events WHERE subject_key IS NOT NULL AND outcome = 'success'
),
gone AS (
  SELECT subject_key AS key_id, max(time) AS gone_at
  FROM acts
  WHERE action IN ('key.destroy', 'key.purge') AND (provider <> 'gcp' OR key_version IS NULL)
  GROUP BY subject_key
),
remade AS (
  SELECT subject_key AS key_id, max(time) AS made_at
  FROM acts WHERE action IN ('key.create', 'key.import') GROUP BY subject_key
),
-- In Azure a name can be created again after it was purged, and creating an existing name adds a version.
born AS (
  SELECT
    a.subject_key AS key_id,
    min(a.time) AS created_at,
    first_value(a.event_id ORDER BY a.time, a.event_id) AS created_event,
    first_value(a.key_spec ORDER BY a.time, a.event_id) FILTER (WHERE a.key_spec IS NOT NULL) AS key_spec,
    first_value(a.origin ORDER BY a.time, a.event_id) FILTER (WHERE a.origin IS NOT NULL) AS origin,
    first_value(a.protection_level ORDER BY a.time, a.event_id)
      FILTER (WHERE a.protection_level IS NOT NULL) AS protection_level,
    max(json_text(a.details, 'key_usage')) AS key_usage,
    max(json_text(a.details, 'key_manager')) AS key_manager,
    max(CASE WHEN json_text(a.details, 'custom_key_store_id') IS NOT NULL THEN 1 ELSE 0 END) = 1 AS in_key_store
  FROM acts AS a LEFT JOIN gone ON gone.key_id = a.subject_key
    LEFT JOIN remade ON remade.key_id = a.subject_key
  WHERE (a.action = 'key.create' OR (a.action = 'key.import' AND a.provider = 'azure'))
    AND NOT (a.provider = 'azure' AND gone.gone_at IS NOT NULL AND a.time < gone.gone_at
      AND coalesce(remade.made_at > gone.gone_at, false))
  GROUP BY a.subject_key
),
primaries AS (
  SELECT subject_key AS key_id,
    first_value(json_text(details, 'primary_version') ORDER BY time DESC, event_id) AS primary_version
  FROM acts
  WHERE provider = 'gcp' AND action = 'key.rotate' AND json_text(details, 'primary_version') IS NOT NULL
  GROUP BY subject_key
),
states AS (
  SELECT
    acts.subject_key AS key_id, time AS at, event_id, CAST(NULL AS VARCHAR) AS inventory_ref,
    CASE action
      WHEN 'key.create' THEN CASE WHEN acts.origin = 'imported' AND acts.provider = 'aws' THEN 'pending_import' ELSE 'enabled' END
      WHEN 'key.import' THEN 'enabled'
      WHEN 'key.enable' THEN 'enabled'
      WHEN 'key.disable' THEN 'disabled'
      WHEN 'key.deletion.schedule' THEN 'pending_deletion'
      -- Azure gives a recovered key back as it was; the others give it back disabled.
      WHEN 'key.deletion.cancel' THEN CASE WHEN acts.provider = 'azure' THEN 'enabled' ELSE 'disabled' END
      WHEN 'key.restore' THEN 'enabled'
      WHEN 'key.destroy' THEN 'destroyed'
      WHEN 'key.purge' THEN 'destroyed'
      WHEN 'key.material.delete' THEN 'pending_import'
    END AS state,
    json_int(details, 'pending_window_days') AS window_days
  FROM acts LEFT JOIN primaries ON primaries.key_id = acts.subject_key
    LEFT JOIN versions ON versions.key_id = acts.subject_key
    LEFT JOIN inv ON inv.key_id = acts.subject_key
  WHERE action IN ('key.create', 'key.import', 'key.enable', 'key.disable', 'key.deletion.schedule',
      'key.deletion.cancel', 'key.restore', 'key.destroy', 'key.purge', 'key.material.delete')
    -- What happens to one version of a Google Cloud key concerns the key where it is the primary one.
    AND (acts.provider <> 'gcp' OR key_version IS NULL OR action IN ('key.create')
      OR (action <> 'key.import' AND key_version = coalesce(primaries.primary_version, inv.primary_version, versions.primary_version)))
    AND NOT (action = 'key.import' AND json_text(details, 'import_type') = 'NEW_KEY_MATERIAL')
  UNION ALL
  SELECT key_id, captured_at, NULL, inventory_ref, state, NULL
  FROM keys WHERE state IS NOT NULL AND captured_at IS NOT NULL
),
state_now AS (
  SELECT * FROM (
    SELECT states.*, row_number() OVER (
        PARTITION BY key_id ORDER BY at DESC, inventory_ref DESC NULLS LAST, event_id DESC) AS place
    FROM states WHERE state IS NOT NULL
  ) AS ranked WHERE place = 1
),
enabled_again AS (
  SELECT subject_key AS key_id, max(time) AS enabled_at
  FROM acts WHERE action = 'key.enable' GROUP BY subject_key
),
accesses AS (
  SELECT subject_key AS key_id, time AS at, event_id, CAST(NULL AS VARCHAR) AS inventory_ref,
    coalesce(json_text(details, 'policy_access'),
      CASE WHEN json_bool(details, 'public') THEN 'public' WHEN NOT json_bool(details, 'public') THEN 'restricted'
        ELSE 'unreadable' END) AS access,
    json_text(details, 'policy_statement') AS statement
  FROM acts
  WHERE action = 'key.policy.set'
    OR (action = 'key.create' AND json_text(details, 'policy_access') IS NOT NULL)
  UNION ALL
  SELECT key_id, captured_at, NULL, inventory_ref, access,
    coalesce(json_text(details, 'policy_statement'), json_text(details, 'statement'), json_text(details, 'binding'))
  FROM keys WHERE access IS NOT NULL AND captured_at IS NOT NULL
),
access_now AS (
  SELECT * FROM (
    SELECT accesses.*, row_number() OVER (
        PARTITION BY key_id ORDER BY at DESC, inventory_ref DESC NULLS LAST, event_id DESC) AS place
    FROM accesses
  ) AS ranked WHERE place = 1
),
aliases AS (
  SELECT subject_key AS key_id, first_value(key_alias ORDER BY time DESC, event_id) AS key_alias
  FROM acts WHERE key_alias IS NOT NULL AND action IN ('alias.create', 'alias.update') GROUP BY subject_key
),
every_key AS (
  SELECT key_id FROM inv UNION SELECT key_id FROM key_sightings
  UNION SELECT key_id FROM versions
),
joined AS (
  SELECT
    k.key_id,
    coalesce(inv.provider, seen.provider, versions.provider,
      CASE WHEN k.key_id LIKE 'arn:%' THEN 'aws' WHEN k.key_id LIKE 'projects/%' THEN 'gcp' ELSE 'azure' END)
      AS provider,
    coalesce(inv.account, seen.account, versions.account,
      CASE WHEN k.key_id LIKE 'arn:%' THEN split_part(k.key_id, ':', 5)
        WHEN k.key_id LIKE 'projects/%' THEN split_part(k.key_id, '/', 2) END) AS account,
    coalesce(inv.region, seen.region, versions.region,
      CASE WHEN k.key_id LIKE 'arn:%' THEN split_part(k.key_id, ':', 4) END) AS region,
    coalesce(seen.service, CASE
      WHEN k.key_id LIKE 'arn:%:payment-cryptography:%' THEN 'payment-cryptography'
      WHEN k.key_id LIKE 'arn:%' THEN 'kms'
      WHEN k.key_id LIKE 'projects/%' THEN 'cloudkms'
      WHEN k.key_id LIKE 'https://%.managedhsm.%' THEN 'managedhsm'
      WHEN k.key_id LIKE 'https://%' THEN 'keyvault' END) AS service,
    coalesce(inv.key_alias, aliases.key_alias) AS key_alias,
    coalesce(inv.key_group, seen.key_group,
      CASE WHEN k.key_id LIKE 'arn:%:key/mrk-%' THEN split_part(k.key_id, ':key/', 2) END) AS key_group,
    coalesce(inv.key_spec, born.key_spec, versions.key_spec, seen.key_spec) AS key_spec,
    coalesce(inv.key_usage, born.key_usage) AS key_usage,
    coalesce(inv.origin, born.origin, versions.origin, seen.origin) AS origin,
    coalesce(inv.protection_level, born.protection_level, versions.protection_level, seen.protection_level)
      AS protection_level,
    CASE
      WHEN inv.manager IS NOT NULL THEN inv.manager
      WHEN coalesce(inv.aws_managed, false) OR coalesce(seen.aws_managed, false) THEN 'provider'
      WHEN born.key_manager = 'AWS' THEN 'provider'
      -- AWS makes its own managed keys without a record of CreateKey.
      WHEN born.created_event IS NOT NULL THEN 'customer'
    END AS manager,
    coalesce(inv.in_key_store, false) OR coalesce(born.in_key_store, false) AS in_key_store,
    inv.multi_region_type,
    inv.primary_key_arn,
    state_now.state,
    state_now.at AS state_at,
    state_now.event_id AS state_event,
    state_now.inventory_ref AS state_ref,
    coalesce(CASE WHEN state_now.event_id IS NOT NULL AND state_now.state = 'pending_deletion'
      AND state_now.window_days IS NOT NULL
      THEN arrow_cast(to_timestamp_seconds(
        CAST(date_part('epoch', state_now.at) AS BIGINT) + state_now.window_days * 86400),
        'Timestamp(Microsecond, Some("UTC"))') END, inv.deletion_at) AS deletion_at,
    inv.expires_at,
    again.enabled_at,
    -- What Azure shows as the creation of a key is that of its version.
    CASE
      WHEN k.key_id LIKE 'https://%' THEN
        CASE WHEN versions.versions >= 2 THEN least(versions.oldest_version_at, coalesce(born.created_at, versions.oldest_version_at))
          -- A name that was seen before its first known creation is older than that.
          WHEN seen.first_seen < born.created_at - INTERVAL '1 minute' AND gone.gone_at IS NULL THEN NULL
          ELSE born.created_at END
      ELSE coalesce(inv.created_at, born.created_at)
    END AS created_at,
    born.created_event,
    inv.created_at AS inventory_created_at,
    versions.versions,
    -- AWS lists rotations, not versions; the list counts where it was read to its end, be it empty.
    CASE WHEN k.key_id LIKE 'arn:%' THEN inv.rotations_listed_at ELSE versions.versions_at END AS versions_at,
    versions.oldest_version_at,
    versions.newest_version_at,
    coalesce(inv.primary_version, versions.primary_version) AS primary_version,
    settings.rotation_enabled,
    settings.rotation_period_days,
    settings.configured_at AS rotation_configured_at,
    settings.configured_since AS rotation_configured_since,
    settings.configured_event AS rotation_event,
    settings.configured_ref AS rotation_ref,
    coalesce(settings.configured_by_default, false) AS rotation_by_default,
    inv.next_rotation_at,
    inv.next_rotation_as_of,
    access_now.access,
    access_now.at AS access_at,
    access_now.event_id AS access_event,
    access_now.inventory_ref AS access_ref,
    access_now.statement AS access_statement,
    inv.inventory_at,
    coalesce(inv.inventory_refs, arrow_cast(make_array(), 'List(Utf8)')) AS inventory_refs,
    seen.first_seen,
    seen.last_seen,
    coalesce(seen.used_as_symmetric, false) AS used_as_symmetric,
    coalesce(seen.used_as_asymmetric, false) AS used_as_asymmetric,
    coalesce(seen.used_as_mac, false) AS used_as_mac,
    CASE WHEN inv.key_id IS NULL AND versions.key_id IS NULL THEN 'events' WHEN seen.key_id IS NULL THEN 'inventory' ELSE 'both' END AS known_from
  FROM every_key AS k
  LEFT JOIN inv ON inv.key_id = k.key_id
  LEFT JOIN key_sightings AS seen ON seen.key_id = k.key_id
  LEFT JOIN versions ON versions.key_id = k.key_id
  LEFT JOIN born ON born.key_id = k.key_id
  LEFT JOIN gone ON gone.key_id = k.key_id
  LEFT JOIN state_now ON state_now.key_id = k.key_id
  LEFT JOIN enabled_again AS again ON again.key_id = k.key_id
  LEFT JOIN access_now ON access_now.key_id = k.key_id
  LEFT JOIN aliases ON aliases.key_id = k.key_id
  LEFT JOIN key_settings AS settings ON settings.key_or_group = coalesce(inv.key_group, seen.key_group,
    CASE WHEN k.key_id LIKE 'arn:%:key/mrk-%' THEN split_part(k.key_id, ':key/', 2) END, k.key_id)
),
groups AS (
  SELECT key_group AS grouped, array_agg(DISTINCT region ORDER BY region) AS regions,
    count(DISTINCT region) AS members,
    max(CASE WHEN upper(multi_region_type) = 'PRIMARY' OR primary_region IS NOT NULL THEN 1 ELSE 0 END) = 1 AS has_primary
  FROM (
    SELECT key_group, region, multi_region_type, NULLIF(split_part(primary_key_arn, ':', 4), '') AS primary_region
    FROM joined WHERE key_group IS NOT NULL
    UNION ALL
    SELECT key_group, split_part(primary_key_arn, ':', 4), NULL, NULL
    FROM joined WHERE key_group IS NOT NULL AND primary_key_arn LIKE 'arn:%'
  ) AS members GROUP BY key_group
)
SELECT
  joined.*,
  CASE WHEN created_at IS NULL THEN NULL
    WHEN created_at = inventory_created_at OR created_event IS NULL THEN 'inventory' ELSE 'event' END AS created_proof,
  CASE WHEN not_rotatable_because IS NOT NULL THEN false WHEN rotatable_known THEN true END AS auto_rotatable,
  CASE WHEN groups.members > 1 OR groups.has_primary THEN groups.regions WHEN groups.members = 1 THEN make_array('*') END
    AS rotation_regions
FROM (
  SELECT
    joined.*,
    CASE
      WHEN service = 'payment-cryptography' THEN 'payment keys do not rotate by themselves'
      WHEN origin = 'imported' THEN 'its material is imported'
      WHEN origin = 'external' OR protection_level = 'external' THEN 'its material stays outside the provider'
      WHEN in_key_store OR (provider = 'aws' AND protection_level = 'hsm_single_tenant')
        THEN 'it lives in a custom key store'
      WHEN provider = 'aws' AND (key_spec LIKE 'HMAC%' OR key_usage = 'GENERATE_VERIFY_MAC' OR used_as_mac)
        THEN 'it is an HMAC key'
      WHEN provider = 'aws' AND (key_spec <> 'SYMMETRIC_DEFAULT' OR key_usage IN ('SIGN_VERIFY', 'KEY_AGREEMENT')
        OR used_as_asymmetric) THEN 'it is an asymmetric key'
      WHEN provider = 'gcp' AND key_usage = 'MAC' THEN 'it is an HMAC key'
      WHEN provider = 'gcp' AND key_usage LIKE 'ASYMMETRIC%' THEN 'it is an asymmetric key'
      WHEN provider = 'gcp' AND key_usage <> 'ENCRYPT_DECRYPT' THEN 'its purpose does not allow it'
      WHEN provider = 'gcp' AND (key_spec LIKE 'RSA%' OR key_spec LIKE 'EC%' OR key_spec LIKE 'PQ%')
        THEN 'it is an asymmetric key'
      WHEN provider = 'gcp' AND key_spec LIKE 'HMAC%' THEN 'it is an HMAC key'
    END AS not_rotatable_because,
    CASE provider
      WHEN 'aws' THEN (key_spec = 'SYMMETRIC_DEFAULT' AND origin = 'generated')
        OR (rotation_enabled AND NOT rotation_by_default)
      WHEN 'gcp' THEN key_usage = 'ENCRYPT_DECRYPT' OR key_spec = 'GOOGLE_SYMMETRIC_ENCRYPTION'
        OR (rotation_enabled AND NOT rotation_by_default)
      -- Every key of a vault or Managed HSM that was not imported can have a rotation policy.
      ELSE true
    END IS TRUE AS rotatable_known
  FROM joined
) AS joined
LEFT JOIN groups ON groups.grouped = joined.key_group
