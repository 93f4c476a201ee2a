/*+++
description = """Every record of an administrative event as the logs hold it, copies and amended ones included: what
`admin_events` is made of."""
+++*/
SELECT
  event_id, ledger, time, provider, service, format, account, region, action, native_action, category, outcome,
  error_code, actor_id, actor_name, actor_kind, actor_account, on_behalf_of, request_id, session_id,
  key_id, key_version, key_alias, key_group, key_spec, protection_level, origin, hsm_id, target, approvers, details,
  json_text(details, 'shared_event_id') AS shared_event_id,
  json_text(details, 'amends') AS amends
FROM events
WHERE category NOT IN ('use', 'read', 'other')
  AND action NOT IN ('hsm.login', 'hsm.logout', 'hsm.other', 'secret.read', 'certificate.read')
  AND conflicts_with IS NULL
