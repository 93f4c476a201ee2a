"""Google Cloud: Logging's entries.list, Cloud KMS v1, and the policy of a project.

    google.py [--project example-prod] [--locations europe-west3,global] [--keys 4] …  (see wire.py)

entries.list (cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list): filter, order by time
and insertId, 50 a page unless told and 1000 at most, a token that is good for the same question alone,
members without value left out, JSON printed with indents as Google's servers do. Cloud KMS
(cloud.google.com/kms/docs/reference/rest): locations, key rings, keys, versions, import jobs,
single-tenant HSMs with their proposals, EKM connections, policies. A project's policy holds auditConfigs
(v1 and v3), testIamPermissions what is granted. Buckets and sinks of the log router.

Options: {"hide_log": "data_access"}: entries of that log are left out in silence, as they are for who may
not read private logs, and testIamPermissions does not grant it. {"audit_configs": […]}: of the
project. {"no_single_tenant": true}: the API does not know single-tenant HSMs.

Calls are named `entries.list`, `kms.cryptoKeys.list`, `kms.cryptoKeys.get`, `kms.cryptoKeys.getIamPolicy`,
`projects.getIamPolicy`, `projects.testIamPermissions`, `projects.getAncestry`, `projects.get`, `logging.sinks.list`, `logging.sinks.get`, ….
"""

import base64
import json
import re
import sys

sys.dont_write_bytecode = True

from google_filter import parse
from wire import Record, Raw, Refusal, Server, arguments, iso, parse_time, serve

AUDIT = "type.googleapis.com/google.cloud.audit.AuditLog"
DAY = 86_400 * 10**9
PEOPLE = ["lena@example.com", "gustav@example.com", "zoë@example.com"]

# method, log, permission, weight
METHODS = [
    ("CreateCryptoKey", "activity", "cryptoKeys.create", 2), ("CreateCryptoKeyVersion", "activity", "cryptoKeyVersions.create", 2),
    ("UpdateCryptoKeyPrimaryVersion", "activity", "cryptoKeys.update", 2), ("UpdateCryptoKey", "activity", "cryptoKeys.update", 2),
    ("UpdateCryptoKeyVersion", "activity", "cryptoKeyVersions.update", 2), ("DestroyCryptoKeyVersion", "activity", "cryptoKeyVersions.destroy", 1),
    ("RestoreCryptoKeyVersion", "activity", "cryptoKeyVersions.restore", 1), ("SetIamPolicy", "activity", "cryptoKeys.setIamPolicy", 1),
    ("Encrypt", "data_access", "cryptoKeyVersions.useToEncrypt", 6), ("Decrypt", "data_access", "cryptoKeyVersions.useToDecrypt", 6),
    ("GetCryptoKey", "data_access", "cryptoKeys.get", 2), ("google.logging.v2.ConfigServiceV2.UpdateSink", "activity", "logging.sinks.update", 1),
    ("SetIamPolicy", "activity", "resourcemanager.projects.setIamPolicy", 1), ("v1.compute.instances.insert", "activity", "compute.instances.create", 2),
    ("google.cloud.kms.v1.Autokey.CreateKeyHandle", "activity", "keyHandles.create", 1),
]
CODES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}
COLLECTIONS = {
    "keyRings": "keyRings", "cryptoKeys": "cryptoKeys", "cryptoKeyVersions": "cryptoKeyVersions", "importJobs": "importJobs",
    "singleTenantHsmInstances": "singleTenantHsmInstances", "proposals": "singleTenantHsmInstanceProposals",
    "ekmConnections": "ekmConnections", "locations": "locations",
}


def pretty(value, depth=0):
    """JSON as Google's servers print it; a record's text is taken as it is."""
    if isinstance(value, Raw):
        return str(value)
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(f"{inner}{json.dumps(k)}: {pretty(v, depth + 1)}" for k, v in value.items()) + f"\n{outer}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inner + pretty(one, depth + 1) for one in value) + f"\n{outer}]"
    return json.dumps(value, ensure_ascii=False)


def error(status, message, reason=None):
    body = {"code": status, "message": message, "status": CODES.get(status, "UNKNOWN")}
    if reason:
        body["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]
    return Refusal(status, pretty({"error": body}).encode())


class Google(Server):
    def __init__(self, options):
        super().__init__(options)
        self.project, self.locations = options.project, options.locations.split(",")
        self.inventory = {}
        self.policies = {}
        for location in self.locations:
            self.stock(location)
        keys = [name for name in self.inventory if re.fullmatch(r".*/cryptoKeys/[^/]+", name)]
        self.load([self.entry(number, when, keys) for number, when in enumerate(self.times(options.events, 9))])

    # What happened.

    def entry(self, number, when, keys):
        """An audit entry; some have no fraction of a second, some are halves of a long operation."""
        chance = self.chance
        method, log, permission, _ = chance.random.choices(METHODS, [one[3] for one in METHODS])[0]
        key, who = chance.pick(keys), chance.pick(PEOPLE)
        if "Version" in method and method != "CreateCryptoKeyVersion" and "Primary" not in method:
            key += "/cryptoKeyVersions/1"
        labels = {"project_id": self.project, "location": key.split("/")[3], "key_ring_id": key.split("/")[5], "crypto_key_id": key.split("/")[7]}
        when = when // 10**9 * 10**9 if number % 9 == 0 else when // 10**3 * 10**3 if number % 9 == 1 else when
        stamp = iso(when, 0 if when % 10**9 == 0 else 6 if when % 10**3 == 0 else 9)
        refused = chance.below(14) == 0
        access = "ADMIN_WRITE" if log == "activity" else "ADMIN_READ" if method.startswith("Get") else "DATA_READ"
        service, kind = "cloudkms", "cloudkms_cryptokeyversion" if "/cryptoKeyVersions/" in key else "cloudkms_cryptokey"
        if permission.startswith(("logging.", "resourcemanager.", "compute.")):
            service = {"resourcemanager": "cloudresourcemanager"}.get(permission.split(".")[0], permission.split(".")[0])
            key, labels = f"projects/{self.project}", {"project_id": self.project, "location": "global"}
            kind = {"logging": "logging_sink", "compute": "gce_instance"}.get(service, "project")
        else:
            permission = f"cloudkms.{permission}"
        request = {"@type": f"type.googleapis.com/google.cloud.kms.v1.{method.rsplit('.', 1)[-1]}Request", "name": key}
        payload = {
            "@type": AUDIT, "authenticationInfo": {"principalEmail": who, "principalSubject": f"user:{who}"},
            "authorizationInfo": [{"resource": key, "permission": permission, "granted": not refused,
                                   "resourceAttributes": {}, "permissionType": access}],
            "methodName": method, "request": request,
            "requestMetadata": {"callerIp": "private" if number % 11 == 0 else f"203.0.113.{chance.below(250) + 1}",
                                "callerSuppliedUserAgent": "google-cloud-sdk gcloud/540.0.0", "destinationAttributes": {},
                                "requestAttributes": {"auth": {}, "time": stamp}},
            "resourceLocation": {"currentLocations": [labels["location"]]}, "resourceName": key, "serviceName": f"{service}.googleapis.com",
            "status": {"code": 7, "message": "Permission denied – verweigert"} if refused else {},
        }
        entry = {
            "protoPayload": payload, "insertId": chance.word("abcdefghijklmnopqrstuvwxyz0123456789", 12),
            "resource": {"type": kind, "labels": labels},
            "timestamp": stamp, "severity": "ERROR" if refused else "NOTICE" if log == "activity" else "INFO",
            "logName": f"projects/{self.project}/logs/cloudaudit.googleapis.com%2F{log}",
            "receiveTimestamp": iso(when + (chance.below(90) + 1) * 10**8, 9),
        }
        if "KeyHandle" in method:
            entry["operation"] = {"id": f"projects/{self.project}/locations/{labels['location']}/operations/{number}",
                                  "producer": "cloudkms.googleapis.com", ("first" if number % 2 else "last"): True}
        return entry

    def record(self, value):
        raw = pretty(value, 2)
        log = value["logName"].rsplit("%2F", 1)[-1]
        return Record(value, parse_time(value["timestamp"]), f"{value['insertId']}/{log}", raw)

    # What exists.

    def stock(self, location):
        chance, at = self.chance, f"projects/{self.project}/locations/{location}"
        created = self.now - 400 * DAY
        self.inventory[at] = {"name": at, "locationId": location, "metadata": {
            "@type": "type.googleapis.com/google.cloud.kms.v1.LocationMetadata", "hsmAvailable": True, "ekmAvailable": True}}
        for number in range(2):
            ring = f"{at}/keyRings/ring-{number}"
            self.inventory[ring] = {"name": ring, "createTime": iso(created, 9)}
            for index in range(self.arguments.keys):
                self.key(f"{ring}/cryptoKeys/key-{index}", index, created)
            self.policies[ring] = {"version": 1, "etag": "ACAB"}
        job = f"{at}/keyRings/ring-0/importJobs/import-0"
        self.inventory[job] = {
            "name": job, "importMethod": "RSA_OAEP_4096_SHA256_AES_256", "protectionLevel": "HSM", "createTime": iso(created, 9),
            "generateTime": iso(created + 10**9, 9), "expireTime": iso(created + 3 * DAY, 9), "expireEventTime": iso(created + 3 * DAY, 9),
            "state": "EXPIRED"}
        self.single_tenant(at, created, chance)

    def key(self, name, index, created):
        symmetric, level = index % 3 != 2, ("HSM", "SOFTWARE", "HSM", "HSM_SINGLE_TENANT")[index % 4]
        algorithm = "GOOGLE_SYMMETRIC_ENCRYPTION" if symmetric else "EC_SIGN_P384_SHA384"
        versions = []
        for number in range(1, 3 + index % 2):
            made = created + number * 90 * DAY
            version = {"name": f"{name}/cryptoKeyVersions/{number}", "state": "ENABLED", "createTime": iso(made, 9),
                       "protectionLevel": level, "algorithm": algorithm, "generateTime": iso(made, 9)}
            if number == 1 and index % 4 == 1:
                version |= {"state": "DESTROY_SCHEDULED", "destroyTime": iso(self.now + 20 * DAY, 9)}
            versions.append(version)
            self.inventory[version["name"]] = version
        key = {"name": name, "purpose": "ENCRYPT_DECRYPT" if symmetric else "ASYMMETRIC_SIGN", "createTime": iso(created, 9),
               "versionTemplate": {"protectionLevel": level, "algorithm": algorithm}, "destroyScheduledDuration": "2592000s",
               "labels": {"owner": "treasury"}}
        if symmetric:
            key = {"name": name, "primary": versions[-1]} | key
        if symmetric and index % 2 == 0:
            key |= {"rotationPeriod": "7776000s", "nextRotationTime": iso(self.now + 30 * DAY)}
        if level == "HSM_SINGLE_TENANT":
            key["cryptoKeyBackend"] = f"{name.split('/keyRings/')[0]}/singleTenantHsmInstances/sthi-0"
        self.inventory[name] = key
        members = ["allUsers"] if index == 1 else [f"serviceAccount:app@{self.project}.iam.gserviceaccount.com"]
        self.policies[name] = {"version": 1, "etag": "BwYdemo0001=", "bindings": [
            {"role": "roles/cloudkms.cryptoKeyEncrypterDecrypter", "members": members}]}

    def single_tenant(self, at, created, chance):
        name = f"{at}/singleTenantHsmInstances/sthi-0"
        pems = [f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(bytes.fromhex(chance.hex(128))).decode()}\n-----END PUBLIC KEY-----\n" for _ in range(3)]
        self.inventory[name] = {
            "name": name, "createTime": iso(created, 9), "state": "ACTIVE", "keyPortabilityEnabled": False,
            "quorumAuth": {"totalApproverCount": 3, "requiredApproverCount": 2, "twoFactorPublicKeyPems": pems},
            "unrefreshedDurationUntilDisable": "63072000s", "disableTime": iso(created + 730 * DAY, 9)}
        for number, (state, approved) in enumerate((("SUCCEEDED", pems[:2]), ("PENDING", pems[:1]), ("DELETED", []))):
            proposal = f"{name}/proposals/proposal-{number}"
            self.inventory[proposal] = {
                "name": proposal, "createTime": iso(self.now - (number + 1) * DAY, 9), "state": state,
                "quorumParameters": {"requiredApproverCount": 2, "challenges": [{"challenge": "AAECAw==", "publicKeyPem": pem} for pem in pems],
                                     "approvedTwoFactorPublicKeyPems": approved},
                "expireTime": iso(self.now + DAY, 9), "refreshSingleTenantHsmInstance": {}}
            if state == "DELETED":
                self.inventory[proposal] |= {"deleteTime": iso(self.now - DAY, 9), "purgeTime": iso(self.now + 29 * DAY, 9)}

    # What is asked.

    def route(self, request):
        path, method, query = request.path, request.method, request.query
        if path == "/v2/entries:list" and method == "POST":
            return "entries.list", self.project, lambda fault: self.entries(request.json(), fault)
        if match := re.fullmatch(r"/v[13]/(projects|folders|organizations)/([^/:]+):(getIamPolicy|testIamPermissions)", path):
            what = self.project_policy if match[3] == "getIamPolicy" else self.permissions
            return f"{match[1]}.{match[3]}", match[2], lambda fault: what(match[1], request.json())
        if match := re.fullmatch(r"/v1/projects/([^/:]+):getAncestry", path):
            return "projects.getAncestry", match[1], lambda fault: pretty({"ancestor": [
                {"resourceId": {"type": kind, "id": name}} for kind, name in (("project", match[1]), ("folder", "42"), ("organization", "77"))]}).encode()
        if match := re.fullmatch(r"/v[13]/projects/([^/:]+)", path):
            return "projects.get", match[1], lambda fault: self.about_project(match[1])
        if match := re.fullmatch(r"/v2/(?:projects|folders|organizations)/[^/]+(?:/locations/[^/]+)?/(sinks|exclusions|buckets)(?:/([^/]+))?", path):
            verb = "get" if match[2] else "list"
            return f"logging.{match[1]}.{verb}", self.project, lambda fault: self.router(match[1], match[2])
        if match := re.fullmatch(r"/v1/(projects/[^:]+):getIamPolicy", path):
            kind = match[1].split("/")[-2]
            return f"kms.{kind}.getIamPolicy", self.project, lambda fault: self.policy(match[1])
        if match := re.fullmatch(r"/v1/(projects/[^/]+(?:/.+)?)", path):
            return self.kms(match[1], query)
        return "unknown", self.project, self.unknown

    def unknown(self, _fault):
        raise error(404, "The requested URL was not found on this server.")

    def refuse(self, kind, call, fault):
        if kind == "throttle":
            refusal = error(429, "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of service "
                            "'logging.googleapis.com' for consumer 'project_number:123456789012'.", "RATE_LIMIT_EXCEEDED")
        elif kind == "deny":
            refusal = error(403, f"Permission '{permission_of(call)}' denied on resource 'projects/{self.project}' (or it may not exist).",
                            "IAM_PERMISSION_DENIED")
        elif kind == "bad_token":
            refusal = error(400, "page_token doesn't match arguments from the request, or it has expired")
        else:
            refusal = error(fault.get("status", 500), "Internal error encountered.")
        if fault.get("retry_after") is not None:
            refusal.headers["Retry-After"] = fault["retry_after"]
        return refusal

    def entries(self, asked, fault):
        """Answers what protobuf's JSON reading takes: camelCase or snake_case members."""
        asked = {re.sub(r"_(\w)", lambda one: one[1].upper(), name): value for name, value in asked.items()}
        names, size = asked.get("resourceNames") or [], asked.get("pageSize") or 50
        order, token = asked.get("orderBy") or "timestamp asc", asked.get("pageToken")
        if not names:
            raise error(400, "At least one resource name is required.")
        if len(names) > 100 or size > 1000 or size < 0 or len(asked.get("filter", "")) > 20_000:
            raise error(400, "page_size must not exceed 1000, resource_names 100, filter 20000 characters.")
        if order not in ("timestamp asc", "timestamp desc", "timestamp"):
            raise error(400, f"Unsupported order_by: {order}")
        try:
            wanted = parse(asked.get("filter", ""))
        except ValueError as problem:
            raise error(400, f"Unparseable filter: {problem}") from None
        hidden = self.state.options.get("hide_log", "\0")
        chosen = [record for record in self.visible()
                  if record.value["logName"].rsplit("/logs/", 1)[0] in names and not record.value["logName"].endswith(hidden)
                  and wanted(record.value)]
        same = {name: value for name, value in asked.items() if name not in ("pageToken", "pageSize")}
        page, following = self.page(chosen, size, same, token, newest_first=order.endswith("desc"), fault=fault)
        answer = {"entries": [record.raw for record in page]} if page else {}
        return pretty(answer | ({"nextPageToken": following} if following else {})).encode()

    def kms(self, name, query):
        """A list where the path ends with a collection, else one thing."""
        parts = name.split("/")
        if len(parts) % 2 == 1 and parts[-1] in COLLECTIONS:
            parent = "/".join(parts[:-1])
            return f"kms.{parts[-1]}.list", self.project, lambda fault: self.listed(parent, parts[-1], query, fault)
        return f"kms.{parts[-2]}.get", self.project, lambda fault: self.got(name)

    def known(self, name):
        if "singleTenantHsm" in name and self.state.options.get("no_single_tenant"):
            raise error(404, "The requested URL was not found on this server.")
        if len(name.split("/")) > 2 and name not in self.inventory:
            raise error(404, f"{name} not found.")

    def listed(self, parent, kind, query, fault):
        self.known(f"{parent}/{kind}" if kind.startswith("singleTenant") and self.state.options.get("no_single_tenant") else parent)
        found = [value for name, value in self.inventory.items() if re.fullmatch(re.escape(f"{parent}/{kind}/") + "[^/]+", name)]
        if kind == "proposals" and str(query.get("showDeleted", "false")).lower() != "true":
            found = [value for value in found if value["state"] != "DELETED"]
        view = query.get("view") or query.get("versionView")
        if kind == "cryptoKeyVersions" and view in ("FULL", "1"):
            found = [with_attestation(value) for value in found]
        size, token = int(query.get("pageSize") or 0) or 100, query.get("pageToken")
        records = [Record(value, 0, value["name"], "") for value in found]
        page, following = self.page(records, size, [parent, kind], token, fault=fault)
        answer = {COLLECTIONS[kind]: [record.value for record in page]} if page else {}
        if following:
            answer["nextPageToken"] = following
        if kind != "locations" and found and fault.get("do") != "empty_page":
            answer["totalSize"] = len(found)
        return pretty(answer).encode()

    def got(self, name):
        if name.endswith("/ekmConfig"):
            return pretty({"name": name}).encode()
        self.known(name)
        return pretty(self.inventory.get(name, {"name": name})).encode()

    def policy(self, name):
        self.known(name)
        return pretty(self.policies.get(name, {"version": 1, "etag": "ACAB"})).encode()

    def project_policy(self, kind, _asked):
        if kind != "projects":
            return pretty({"version": 1, "etag": "ACAB"}).encode()
        default = [{"service": "cloudkms.googleapis.com", "auditLogConfigs": [
            {"logType": "ADMIN_READ"}, {"logType": "DATA_READ", "exemptedMembers": ["user:gustav@example.com"]}, {"logType": "DATA_WRITE"}]}]
        configs = self.state.options.get("audit_configs", default)
        return pretty({"version": 1, "etag": "BwYdemo0003=", "bindings": [{"role": "roles/owner", "members": ["user:gustav@example.com"]}]}
                      | ({"auditConfigs": configs} if configs else {})).encode()

    def permissions(self, _kind, asked):
        lost = {"logging.privateLogEntries.list"} if self.state.options.get("hide_log") else set()
        granted = [one for one in asked.get("permissions", []) if one not in lost | set(self.state.options.get("lost", []))]
        return pretty({"permissions": granted} if granted else {}).encode()

    def about_project(self, project):
        return pretty({"name": "projects/123456789012", "projectId": project, "projectNumber": "123456789012", "parent": "folders/42",
                       "state": "ACTIVE", "lifecycleState": "ACTIVE", "displayName": project, "createTime": iso(self.now - 900 * DAY, 3)}).encode()

    def router(self, kind, name):
        at = f"projects/{self.project}/locations/global/buckets"
        held = {
            "buckets": [{"name": f"{at}/_Default", "retentionDays": 30, "lifecycleState": "ACTIVE"},
                        {"name": f"{at}/_Required", "retentionDays": 400, "lifecycleState": "ACTIVE", "locked": True}],
            "sinks": [{"name": "_Default", "destination": f"logging.googleapis.com/{at}/_Default",
                       "filter": 'NOT LOG_ID("cloudaudit.googleapis.com/activity")'},
                      {"name": "archive", "destination": "storage.googleapis.com/example-archive",
                       "filter": 'protoPayload.serviceName="cloudkms.googleapis.com"',
                       "exclusions": [{"name": "reads", "filter": 'protoPayload.methodName="Decrypt"'}]}],
            "exclusions": [],
        }[kind]
        if name is None:
            return pretty({kind: held} if held else {}).encode()
        for one in held:
            if one["name"].split("/")[-1] == name:
                return pretty(one).encode()
        raise error(404, f"{name} not found.")


def with_attestation(version):
    if version["protectionLevel"] not in ("HSM", "HSM_SINGLE_TENANT"):
        return version
    return version | {"attestation": {"format": "CAVIUM_V2_COMPRESSED", "content": "H4sIAAAAAAAC/wMAAAAAAAAAAAA="}}


def permission_of(call):
    kind, verb = call.rsplit(".", 1)
    if call == "entries.list":
        return "logging.logEntries.list"
    if kind.startswith("kms."):
        kind = kind.replace("kms.", "cloudkms.").replace("proposals", "singleTenantHsmInstanceProposals")
        return f"{kind}.{verb}"
    return f"resourcemanager.{kind}.{verb}" if kind in ("projects", "folders", "organizations") else call


def more(parser):
    parser.add_argument("--project", default="example-prod")
    parser.add_argument("--locations", default="europe-west3,global")
    parser.add_argument("--keys", type=int, default=4, help="keys a ring")


if __name__ == "__main__":
    serve(Google(arguments(__doc__, more)))
