/*+++
description = """Who stands behind each identity that acted, one row per identity as the log writes it. A row of
people.csv decides first; then an e-mail, which is a person wherever it acts; then a user name that means
somebody within its own account, tenant or cluster alone (`namespace`). Roles, root users and whatever else several
people may share stay unresolved. Two identities are two persons only within one namespace."""
+++*/
WITH acted AS (
  SELECT provider, account, actor_id, actor_name, actor_kind, actor_account, on_behalf_of FROM admin_events
  UNION ALL
  -- Operations inside an HSM are attributed to who logged in.
  SELECT provider, account, actor_id, actor_name, actor_kind, actor_account, on_behalf_of FROM events
  WHERE action = 'hsm.login' AND outcome = 'success' AND format = 'cloudhsm_audit'
),
-- Users of an HSM are users of its cluster.
clusters AS (
  SELECT hsm_id, max(cluster_id) AS cluster_id FROM hsms WHERE cluster_id IS NOT NULL GROUP BY hsm_id
),
identities AS (
  SELECT
    o.provider, coalesce(o.account, '') AS account, o.actor_id, o.actor_name, o.actor_kind,
    coalesce(c.cluster_id, o.actor_account, '') AS actor_account, o.on_behalf_of,
    concat_ws('|', o.provider, coalesce(o.account, '-'), coalesce(o.actor_id, '-'), coalesce(o.actor_name, '-'),
      o.actor_kind, coalesce(o.actor_account, '-'), coalesce(o.on_behalf_of, '-')) AS actor_key
  FROM (SELECT DISTINCT provider, account, actor_id, actor_name, actor_kind, actor_account, on_behalf_of FROM acted) AS o
  LEFT JOIN clusters AS c ON c.hsm_id = o.actor_account
),
spelled AS (
  SELECT
    identities.*,
    -- Personal accounts come as `live.com#name@host`.
    case_fold(regexp_replace(coalesce(actor_name, actor_id, ''), '^[a-z.]+#', '')) AS own_name,
    case_fold(coalesce(on_behalf_of, '')) AS behind
  FROM identities
),
listed AS (
  SELECT actor_key, person, kind FROM (
    SELECT
      s.actor_key, case_fold(p.person) AS person, p.kind,
      row_number() OVER (PARTITION BY s.actor_key
        ORDER BY
          CASE WHEN case_fold(p.identity) = s.behind THEN 0 WHEN case_fold(p.identity) = s.own_name THEN 1 ELSE 2 END,
          CASE WHEN p.account IS NULL THEN 1 ELSE 0 END, CASE WHEN p.provider IS NULL THEN 1 ELSE 0 END, p.person
      ) AS place
    FROM spelled AS s JOIN people AS p
      ON (case_fold(p.identity) = s.own_name OR case_fold(p.identity) = case_fold(s.actor_id)
        OR case_fold(p.identity) = case_fold(s.actor_name) OR case_fold(p.identity) = s.behind)
      AND (p.provider IS NULL OR p.provider = s.provider)
      -- The account of the identity, or the one in whose log it stands (a subscription, for a user of a tenant).
      AND (p.account IS NULL OR p.account = s.actor_account OR p.account = s.account)
  ) AS ranked WHERE place = 1
)
SELECT
  s.actor_key,
  CASE
    WHEN l.person IS NOT NULL THEN l.person
    WHEN s.actor_kind = 'service' THEN NULL
    WHEN s.behind LIKE '%_@_%._%' AND s.behind NOT LIKE '%gserviceaccount.com' THEN s.behind
    WHEN s.actor_kind = 'workload' THEN coalesce(s.actor_id, s.actor_name)
    WHEN s.own_name LIKE '%_@_%._%' AND s.own_name NOT LIKE '%gserviceaccount.com' AND s.own_name NOT LIKE '%:%'
      THEN s.own_name
    WHEN s.actor_kind = 'hsm_user' AND s.actor_account <> ''
      THEN concat('hsm:', s.actor_account, ':user/', coalesce(s.actor_name, s.actor_id))
    WHEN s.provider = 'aws' AND s.actor_id LIKE 'arn:%:iam::%:user/%'
      THEN concat('aws:', split_part(s.actor_id, ':', 5), ':', split_part(s.actor_id, ':', 6))
    WHEN s.actor_kind = 'human' AND s.provider = 'azure' AND s.actor_id IS NOT NULL
      THEN concat('azure:', s.actor_account, ':', s.actor_id)
    WHEN s.provider = 'aws' AND s.behind <> '' THEN concat('aws-identity-center:', s.behind)
  END AS person,
  CASE
    WHEN l.person IS NOT NULL THEN coalesce(nullif(l.kind, ''), 'human')
    WHEN s.actor_kind = 'service' THEN 'service'
    WHEN s.behind LIKE '%_@_%._%' AND s.behind NOT LIKE '%gserviceaccount.com' THEN 'human'
    WHEN s.actor_kind = 'workload' THEN 'automation'
    WHEN s.own_name LIKE '%gserviceaccount.com' THEN 'automation'
    WHEN s.own_name LIKE '%_@_%._%' AND s.own_name NOT LIKE '%:%' THEN 'human'
    WHEN s.actor_kind = 'hsm_user' AND s.actor_account <> '' THEN 'human'
    WHEN s.provider = 'aws' AND s.actor_id LIKE 'arn:%:iam::%:user/%' THEN 'human'
    WHEN s.actor_kind = 'human' AND s.provider = 'azure' AND s.actor_id IS NOT NULL THEN 'human'
    WHEN s.provider = 'aws' AND s.behind <> '' THEN 'human'
    ELSE 'unresolved'
  END AS person_kind,
  CASE
    WHEN l.person IS NOT NULL THEN 'people'
    WHEN s.actor_kind = 'service' THEN 'provider'
    WHEN s.behind LIKE '%_@_%._%' AND s.behind NOT LIKE '%gserviceaccount.com' THEN 'delegation'
    WHEN s.actor_kind = 'workload' OR s.own_name LIKE '%gserviceaccount.com' THEN 'workload'
    WHEN s.own_name LIKE '%_@_%._%' AND s.own_name NOT LIKE '%:%' THEN 'email'
    WHEN (s.actor_kind = 'hsm_user' AND s.actor_account <> '')
      OR (s.provider = 'aws' AND (s.actor_id LIKE 'arn:%:iam::%:user/%' OR s.behind <> ''))
      OR (s.actor_kind = 'human' AND s.provider = 'azure' AND s.actor_id IS NOT NULL) THEN 'namespace'
    ELSE 'none'
  END AS person_basis,
  CASE
    WHEN l.person IS NOT NULL THEN 'persons'
    WHEN s.actor_kind = 'service' THEN NULL
    WHEN s.behind LIKE '%_@_%._%' AND s.behind NOT LIKE '%gserviceaccount.com' THEN 'persons'
    WHEN s.actor_kind = 'workload' OR s.own_name LIKE '%gserviceaccount.com' THEN 'automation'
    WHEN s.own_name LIKE '%_@_%._%' AND s.own_name NOT LIKE '%:%' THEN 'persons'
    WHEN s.actor_kind = 'hsm_user' AND s.actor_account <> '' THEN concat('hsm:', s.actor_account)
    WHEN s.provider = 'aws' AND s.actor_id LIKE 'arn:%:iam::%:user/%' THEN concat('aws:', split_part(s.actor_id, ':', 5))
    WHEN s.actor_kind = 'human' AND s.provider = 'azure' AND s.actor_id IS NOT NULL THEN concat('azure:', s.actor_account)
    WHEN s.provider = 'aws' AND s.behind <> '' THEN 'aws-identity-center'
  END AS namespace
FROM spelled AS s LEFT JOIN listed AS l ON l.actor_key = s.actor_key
