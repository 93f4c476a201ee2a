"""Azure: Resource Manager, the query API of Log Analytics, and the data plane of Key Vault.

    azure.py [--subscription ID] [--workspace ID] [--vaults 2] [--keys 5] [--page 50] …  (see wire.py)

Activity Log (learn.microsoft.com/rest/api/monitor/activity-logs/list): the filter is required and takes
the documented patterns alone, 90 days back at most; pages by nextLink, newest first. Vaults, Managed
HSMs, Cloud HSM clusters, deleted vaults and HSMs, diagnostic settings. Log Analytics
(learn.microsoft.com/azure/azure-monitor/logs/api/response-format): `POST /v1/workspaces/ID/query` over
the tables AZKVAuditLogs, AzureDiagnostics (Managed HSM), CloudHsmServiceOperationAuditLogs and
AzureActivity (empty), errors as documented. Key Vault (learn.microsoft.com/rest/api/keyvault/keys):
keys, versions, one key, rotation policies, deleted keys. A vault is told by the first label of
the Host header, or by /vault/NAME before the path; else it is the first one. Resources answer real
`vaultUri`s; with the option `local_uris` they are http://127.0.0.1:PORT/vault/NAME/.

Options: {"order": "shuffled"}: Activity Log pages in no order. {"next_host": "http://127.0.0.1:1"}: links to
the next page lead elsewhere. {"no_table": ["AZKVAuditLogs"]}: tables that do not exist. {"partial": true}:
Log Analytics answers half of the rows beside an error. {"no_settings": true}: no diagnostic setting.
{"row_limit": 100}: no more rows than that, in silence but for the error beside them. {"challenge": true}:
the data plane wants a token first, as Key Vault does.

Calls: `activity.list`, `vaults.list`, `managedHSMs.list`, `cloudHsmClusters.list`, `deletedVaults.list`,
`deletedManagedHSMs.list`, `diagnosticSettings.list`, `subscriptions.get`, `resources.list`, `workspaces.get`,
`tables.get`, `query`, `keys.list`, `keys.versions`, `keys.get`, `keys.rotationpolicy`, `deletedkeys.list`.
"""

import base64
import json
import re
import sys
from urllib.parse import quote

sys.dont_write_bytecode = True

from azure_query import QueryError, run
from wire import Record, Refusal, Server, arguments, digest, iso, parse_time, serve

DAY, MINUTE = 86_400 * 10**9, 60 * 10**9
TENANT = "99999999-8888-4777-8666-555555555555"
PEOPLE = ["freya@example.com", "jonas@example.com", "zoë@example.com"]
OPERATIONS = [
    ("Microsoft.KeyVault/vaults/write", 3), ("Microsoft.KeyVault/vaults/delete", 1), ("Microsoft.KeyVault/vaults/accessPolicies/write", 1),
    ("Microsoft.KeyVault/managedHSMs/write", 1), ("Microsoft.KeyVault/vaults/keys/write", 1),
    ("Microsoft.Insights/diagnosticSettings/delete", 1), ("Microsoft.Insights/diagnosticSettings/write", 1),
    ("Microsoft.Authorization/roleAssignments/write", 1), ("Microsoft.Compute/virtualMachines/write", 3),
]
KEY_CALLS = [("KeySign", 200, "OK"), ("KeyUnwrap", 200, "OK"), ("KeyCreate", 200, "OK"), ("KeyRotate", 200, "OK"), ("KeyDelete", 200, "OK"),
             ("KeyPurge", 403, "Forbidden"), ("SecretGet", 200, "OK"), ("KeyGet", 404, "Not Found"), ("KeyRotationPolicySet", 200, "OK")]
HSM_CALLS = [("BackupCreate", "/backup", 202), ("SecurityDomainBackup", "/securitydomain/download", 202), ("KeyCreate", "/keys/root/create", 200),
             ("RoleAssignmentCreate", "/keys/providers/Microsoft.Authorization/roleAssignments/1", 201)]
TABLES = {
    "AZKVAuditLogs": {
        "TenantId": "string", "TimeGenerated": "datetime", "OperationName": "string", "OperationVersion": "string", "ResultType": "string",
        "ResultSignature": "string", "ResultDescription": "string", "DurationMs": "int", "CallerIpAddress": "string", "CorrelationId": "string",
        "Identity": "dynamic", "Id": "string", "ClientInfo": "string", "HttpStatusCode": "int", "RequestUri": "string", "Tlsversion": "string",
        "IsRbacAuthorized": "bool", "Algorithm": "string", "SourceSystem": "string", "Type": "string", "_ResourceId": "string", "_SubscriptionId": "string"},
    "AzureDiagnostics": {
        "TenantId": "string", "TimeGenerated": "datetime", "ResourceId": "string", "Category": "string", "ResourceGroup": "string",
        "SubscriptionId": "string", "ResourceProvider": "string", "Resource": "string", "ResourceType": "string", "OperationName": "string",
        "ResultType": "string", "CorrelationId": "string", "CallerIPAddress": "string", "DurationMs": "long", "httpStatusCode_d": "real",
        "requestUri_s": "string", "clientInfo_s": "string", "OperationVersion": "string", "_SubscriptionId": "string",
        "identity_claim_http_schemas_xmlsoap_org_ws_2005_05_identity_claims_upn_s": "string", "Type": "string", "_ResourceId": "string"},
    "CloudHsmServiceOperationAuditLogs": {
        "TenantId": "string", "TimeGenerated": "datetime", "OperationName": "string", "Opcode": "string", "ResultType": "string", "ResultDescription": "string",
        "CallerIpAddress": "string", "CorrelationId": "string", "HsmInstance": "string", "MemberId": "string", "ClientInfo": "string",
        "DurationMs": "long", "Type": "string", "_ResourceId": "string", "_SubscriptionId": "string"},
    "AzureActivity": {"TimeGenerated": "datetime", "OperationNameValue": "string", "Type": "string"},
}
# What stands in Azure's own text of a refusal.
ACTIONS = {
    "activity.list": "Microsoft.Insights/eventtypes/values/read", "workspaces.get": "Microsoft.OperationalInsights/workspaces/read",
    "tables.get": "Microsoft.OperationalInsights/workspaces/tables/read", "vaults.list": "Microsoft.KeyVault/vaults/read",
    "managedHSMs.list": "Microsoft.KeyVault/managedHSMs/read", "diagnosticSettings.list": "Microsoft.Insights/diagnosticSettings/read",
    "cloudHsmClusters.list": "Microsoft.HardwareSecurityModules/cloudHsmClusters/read", "deletedVaults.list": "Microsoft.KeyVault/deletedVaults/read",
    "deletedManagedHSMs.list": "Microsoft.KeyVault/deletedManagedHSMs/read", "subscriptions.get": "Microsoft.Resources/subscriptions/read",
}
FILTER = re.compile(
    r"eventTimestamp ge '([^']+)'(?: and eventTimestamp le '([^']+)')?"
    r"(?: and (resourceGroupName|resourceUri|resourceId|resourceProvider|correlationId) eq '?([^' ]+)'?)?(?: and eventChannels eq '[^']*')?", re.IGNORECASE)


def failure(status, code, message, headers=None):
    return Refusal(status, {"error": {"code": code, "message": message}}, headers)


class Azure(Server):
    def __init__(self, options):
        super().__init__(options)
        self.subscription, self.workspace = options.subscription, options.workspace
        self.scope = f"/subscriptions/{self.subscription}/resourceGroups/rg-keys/providers/Microsoft.KeyVault"
        self.vaults = [f"kv-example-{number}" for number in range(options.vaults)]
        self.hsm = "mhsm-example"
        self.law = f"/subscriptions/{self.subscription}/resourceGroups/rg-logs/providers/Microsoft.OperationalInsights/workspaces/law-example"
        self.keys = {holder: self.stock(holder) for holder in [*self.vaults, self.hsm]}
        values = []
        for number, when in enumerate(self.times(options.events, 7)):
            values += self.activity(number, when)
        values += [self.row(number, when) for number, when in enumerate(self.times(options.events, 7))]
        self.load(values)

    # What happened.

    def activity(self, number, when):
        """The events of one call to Resource Manager: begin and end, where the end is not lost."""
        chance = self.chance
        operation = chance.random.choices([one[0] for one in OPERATIONS], [one[1] for one in OPERATIONS])[0]
        who, correlation, provider = chance.pick(PEOPLE), chance.uuid(), operation.split("/")[0]
        resource = f"{self.scope}/vaults/{chance.pick(self.vaults)}"
        if provider != "Microsoft.KeyVault":
            resource += f"/providers/{provider}/{operation.split('/')[1]}/one"
        failed, events = chance.below(12) == 0, []
        final = "Failed" if failed else "Succeeded"
        for step, status in enumerate(("Started", final)[: 1 if number % 13 == 12 else 2]):
            at, event = when + step * 3 * 10**9, chance.uuid()
            code = "" if step == 0 else "Forbidden" if failed else "OK"
            name = {"value": ("BeginRequest", "EndRequest")[step], "localizedValue": ("Begin request", "End request")[step]}
            body = {"requestbody": '{"properties":{"enablePurgeProtection":true}}'} if number % 5 == 0 else {}
            events.append({
                "authorization": {"action": operation, "scope": resource}, "caller": who, "channels": "Operation",
                "claims": {"aud": "https://management.azure.com/", "appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "ipaddr": "203.0.113.41",
                           "http://schemas.microsoft.com/identity/claims/objectidentifier": "11111111-2222-4333-8444-555555555555",
                           "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": who},
                "correlationId": correlation, "description": "", "eventDataId": event,
                "eventName": {"value": None, "localizedValue": ""} if number % 7 == 6 else name,
                "category": {"value": "Administrative", "localizedValue": "Administrative"}, "eventTimestamp": iso(at, 7),
                "id": f"{resource}/events/{event}/ticks/{at // 100 + 621355968000000000}", "level": ("Informational", "Information")[number % 2],
                "operationId": correlation, "operationName": {"value": operation, "localizedValue": operation},
                "resourceGroupName": "rg-keys", "resourceProviderName": {"value": provider, "localizedValue": provider},
                "resourceType": {"value": operation.rsplit("/", 1)[0], "localizedValue": operation.rsplit("/", 1)[0]}, "resourceId": resource,
                "status": {"value": status, "localizedValue": status}, "subStatus": {"value": code, "localizedValue": code},
                "submissionTimestamp": iso(at + (3 + chance.below(17)) * MINUTE, 7), "subscriptionId": self.subscription, "tenantId": TENANT,
                "httpRequest": {"clientRequestId": chance.uuid(), "clientIpAddress": "203.0.113.41", "method": "PUT"},
                "properties": {"statusCode": code, "eventCategory": "Administrative", "entity": resource, "message": operation, **body},
                "relatedEvents": []})
        return events

    def row(self, number, when):
        """A row of one of the tables of the workspace."""
        chance, who = self.chance, self.chance.pick(PEOPLE)
        common = {"TenantId": self.workspace, "TimeGenerated": iso(when, 7), "CorrelationId": chance.uuid()}
        if number % 8 == 7:
            name = chance.pick(["CN_LOGIN", "CN_GENERATE_KEY", "CN_TOMBSTONE_OBJECT", "CN_CREATE_USER"])
            cluster = f"/subscriptions/{self.subscription}/resourceGroups/rg-keys/providers/Microsoft.HardwareSecurityModules/cloudHsmClusters/chsm-example"
            return common | {"OperationName": name, "Opcode": name, "ResultType": "Success", "ResultDescription": "", "CallerIpAddress": "203.0.113.42",
                             "HsmInstance": "hsm1", "MemberId": "member-1", "ClientInfo": "azurecloudhsm", "DurationMs": 12,
                             "Type": "CloudHsmServiceOperationAuditLogs", "_ResourceId": cluster.lower(), "_SubscriptionId": self.subscription}
        if number % 8 == 6:
            name, path, status = chance.pick(HSM_CALLS)
            resource = f"{self.scope}/managedHSMs/{self.hsm}"
            return common | {
                "ResourceId": resource.upper(), "Category": "AuditEvent", "ResourceGroup": "RG-KEYS", "SubscriptionId": self.subscription,
                "ResourceProvider": "MICROSOFT.KEYVAULT", "Resource": self.hsm.upper(), "ResourceType": "MANAGEDHSMS", "OperationName": name,
                "ResultType": "Success", "CallerIPAddress": "203.0.113.42", "DurationMs": 488, "httpStatusCode_d": float(status),
                "requestUri_s": f"https://{self.hsm}.managedhsm.azure.net{path}", "clientInfo_s": "azsdk-python-core/1.7.0", "OperationVersion": "7.6",
                "identity_claim_http_schemas_xmlsoap_org_ws_2005_05_identity_claims_upn_s": who, "Type": "AzureDiagnostics", "_ResourceId": resource.lower(),
                "_SubscriptionId": self.subscription}
        name, status, signature = chance.pick(KEY_CALLS)
        vault = chance.pick(self.vaults)
        kind = "secrets" if name.startswith("Secret") else "keys"
        uri = f"https://{vault}.vault.azure.net/{kind}/key-{chance.below(self.arguments.keys)}"
        return common | {
            "OperationName": name, "OperationVersion": "7.6", "ResultType": "Success", "ResultSignature": signature, "ResultDescription": "",
            "DurationMs": 10 + chance.below(90), "CallerIpAddress": "203.0.113.41",
            "Identity": {"claim": {"upn": who, "oid": "11111111-2222-4333-8444-555555555555", "idtyp": "user"}}, "Id": uri,
            "ClientInfo": "azsdk-net-Security.KeyVault.Keys/4.7.0", "HttpStatusCode": status, "RequestUri": f"{uri}?api-version=7.6",
            "Tlsversion": "TLS1_3", "IsRbacAuthorized": status < 400, "Algorithm": None, "SourceSystem": "Azure", "Type": "AZKVAuditLogs",
            "_ResourceId": f"{self.scope}/vaults/{vault}".lower(), "_SubscriptionId": self.subscription}

    def record(self, value):
        if "eventDataId" in value:
            name, when, log = value["eventDataId"], parse_time(value["eventTimestamp"]), "activity"
        else:
            name, when, log = digest(value), parse_time(value["TimeGenerated"]), value["Type"]
        spaced = digest(value)[0] in "0123"
        raw = json.dumps(value, ensure_ascii=spaced, separators=None if spaced else (",", ":"))
        record = Record(value, when, f"{log}/{name}", raw)
        record.log = log
        # When a row could be queried first: some minutes after it happened.
        record.ingested = when + (1 + int(digest(value)[1:3], 16) % 10) * MINUTE
        return record

    # What exists.

    def stock(self, holder):
        chance = self.chance
        host = f"https://{holder}.managedhsm.azure.net" if holder == self.hsm else f"https://{holder}.vault.azure.net"
        return {f"key-{index}": {"url": f"{host}/keys/key-{index}", "versions": [chance.hex(32) for _ in range(1 + index % 3)], "index": index}
                for index in range(self.arguments.keys)}

    def base(self, holder):
        if self.state.options.get("local_uris"):
            return f"http://127.0.0.1:{self.port}/vault/{holder}/"
        return f"https://{holder}.{'managedhsm' if holder == self.hsm else 'vault'}.azure.net/"

    def vault(self, name):
        return {
            "id": f"{self.scope}/vaults/{name}", "name": name, "type": "Microsoft.KeyVault/vaults", "location": "westeurope", "tags": {"owner": "treasury"},
            "systemData": {"createdBy": PEOPLE[0], "createdByType": "User", "createdAt": iso(self.now - 400 * DAY, 3)},
            "properties": {"sku": {"family": "A", "name": "premium"}, "tenantId": TENANT, "accessPolicies": [], "enabledForDeployment": False,
                           "enableSoftDelete": True, "softDeleteRetentionInDays": 90, "enableRbacAuthorization": True, "enablePurgeProtection": True,
                           "networkAcls": {"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": [], "virtualNetworkRules": []},
                           "vaultUri": self.base(name), "provisioningState": "Succeeded", "publicNetworkAccess": "Disabled"}}

    def managed_hsm(self):
        return {"id": f"{self.scope}/managedHSMs/{self.hsm}", "name": self.hsm, "type": "Microsoft.KeyVault/managedHSMs", "location": "westeurope",
                "sku": {"family": "B", "name": "Standard_B1"}, "tags": {},
                "properties": {"tenantId": TENANT, "hsmUri": self.base(self.hsm), "enableSoftDelete": True, "softDeleteRetentionInDays": 90,
                               "enablePurgeProtection": True, "initialAdminObjectIds": ["11111111-2222-4333-8444-555555555555"], "statusMessage": "The Managed HSM is provisioned and ready to use.",
                               "provisioningState": "Succeeded", "publicNetworkAccess": "Enabled",
                               "securityDomainProperties": {"activationStatus": "Active", "activationStatusMessage": "Your HSM has been activated."}}}

    def resources(self, kind):
        at = f"/subscriptions/{self.subscription}/providers/Microsoft.KeyVault/locations/westeurope"
        cluster = f"/subscriptions/{self.subscription}/resourceGroups/rg-keys/providers/Microsoft.HardwareSecurityModules/cloudHsmClusters/chsm-example"
        deleted = {"location": "westeurope", "deletionDate": iso(self.now - 5 * DAY), "scheduledPurgeDate": iso(self.now + 85 * DAY), "purgeProtectionEnabled": True, "tags": {}}
        return {
            "vaults": [self.vault(name) for name in self.vaults], "managedhsms": [self.managed_hsm()],
            "cloudhsmclusters": [{"id": cluster, "name": "chsm-example", "type": "Microsoft.HardwareSecurityModules/cloudHsmClusters",
                                  "location": "westeurope", "sku": {"family": "B", "name": "Standard_B1"},
                                  "properties": {"activationState": "Active", "provisioningState": "Succeeded", "publicNetworkAccess": "Disabled",
                                                 "statusMessage": "", "autoGeneratedDomainNameLabelScope": "TenantReuse",
                                                 "hsms": [{"fqdn": f"hsm{n}.chsm-example.privatelink.cloudhsm.azure.net", "state": "Active", "stateMessage": ""} for n in (1, 2, 3)]}}],
            "deletedvaults": [{"id": f"{at}/deletedVaults/kv-gone", "name": "kv-gone", "type": "Microsoft.KeyVault/deletedVaults",
                               "properties": {"vaultId": f"{self.scope}/vaults/kv-gone", **deleted}}],
            "deletedmanagedhsms": [{"id": f"{at}/deletedManagedHSMs/mhsm-gone", "name": "mhsm-gone", "type": "Microsoft.KeyVault/deletedManagedHSMs",
                                    "properties": {"mhsmId": f"{self.scope}/managedHSMs/mhsm-gone", **deleted}}],
        }[kind.lower()]

    def settings(self, resource):
        """Diagnostic settings: by category for one vault, by group for the others, none for the last."""
        if self.state.options.get("no_settings") or resource.lower().endswith(f"/{self.vaults[-1]}") and len(self.vaults) > 1:
            return []
        first = resource.lower().endswith(f"/{self.vaults[0]}")
        log = {"category": "AuditEvent", "categoryGroup": None} if first else {"category": None, "categoryGroup": "audit"}
        if resource.lower() == f"/subscriptions/{self.subscription}".lower():
            log = {"category": "Administrative", "categoryGroup": None}
        return [{"id": f"{resource.lower()}/providers/microsoft.insights/diagnosticSettings/audit", "type": "Microsoft.Insights/diagnosticSettings",
                 "name": "audit", "location": None, "kind": None, "tags": None, "identity": None,
                 "properties": {"storageAccountId": None, "serviceBusRuleId": None, "workspaceId": self.law, "eventHubAuthorizationRuleId": None,
                                "eventHubName": None, "metrics": [], "logs": [log | {"enabled": True, "retentionPolicy": {"enabled": False, "days": 0}}],
                                "logAnalyticsDestinationType": None}}]

    # What is asked.

    def route(self, request):
        path, low = request.path, request.path.lower()
        scope = self.subscription
        if re.fullmatch(r"/subscriptions/[^/]+/providers/microsoft.insights/eventtypes/management/values", low):
            return "activity.list", scope, lambda fault: self.activity_log(request, low.split("/")[2], fault)
        if match := re.fullmatch(r"(/.+?|)/providers/microsoft.insights/diagnosticsettings", low):
            return "diagnosticSettings.list", scope, lambda fault: {"value": self.settings(path[: len(match[1])])}
        if match := re.fullmatch(r"/subscriptions/[^/]+/providers/microsoft\.(?:keyvault|hardwaresecuritymodules)/([a-z]+)", low):
            kind = path.rsplit("/", 1)[1]
            if match[1] in ("vaults", "managedhsms", "cloudhsmclusters", "deletedvaults", "deletedmanagedhsms"):
                spelt = {"managedhsms": "managedHSMs", "cloudhsmclusters": "cloudHsmClusters", "deletedvaults": "deletedVaults",
                         "deletedmanagedhsms": "deletedManagedHSMs"}.get(match[1], match[1])
                return f"{spelt}.list", scope, lambda fault: self.listed(request, self.resources(kind), fault)
        if match := re.fullmatch(r"/subscriptions/.+/providers/microsoft.operationalinsights/workspaces/[^/]+(?:/tables/([^/]+))?", low):
            return ("tables.get" if match[1] else "workspaces.get"), scope, lambda fault: self.about_workspace(path, match[1])
        if re.fullmatch(r"/subscriptions/[^/]+/resources", low):
            return "resources.list", scope, lambda fault: self.listed(request, self.some_resources(request), fault)
        if re.fullmatch(r"/subscriptions/[^/]+", low):
            return "subscriptions.get", scope, lambda fault: {"id": path, "subscriptionId": self.subscription, "tenantId": TENANT, "displayName": "Example",
                                                              "state": "Enabled", "subscriptionPolicies": {"spendingLimit": "Off"}, "authorizationSource": "RoleBased"}
        if match := re.fullmatch(r"/v1/workspaces/([^/]+)/query", low):
            return "query", match[1], lambda fault: self.query(match[1], request)
        return self.data_plane(request)

    def data_plane(self, request):
        match = re.fullmatch(r"(?:/vault/([^/]+))?/+(keys|deletedkeys)(?:/([^/]+))?(?:/([^/]+))?/?", request.path)
        if not match:
            return "unknown", self.subscription, self.unknown
        host = request.headers.get("Host", "").split(":")[0].split(".")[0]
        holder = match[1] or (host if host in self.keys else self.vaults[0])
        kind, name, more = match[2], match[3], match[4]
        if name is None:
            call = f"{kind}.list"
        else:
            call = {"versions": "keys.versions", "rotationpolicy": "keys.rotationpolicy"}.get(more, f"{kind}.get")
        return call, holder, lambda fault: self.vault_call(call, holder, (name, more), request, fault)

    def unknown(self, _fault):
        raise failure(404, "InvalidResourceType", "The resource type could not be found in the namespace for api version.")

    def refuse(self, kind, call, fault):
        headers = {"Retry-After": fault["retry_after"]} if fault.get("retry_after") is not None else {}
        on_keys = call.startswith(("keys.", "deletedkeys."))
        if kind == "throttle":
            code = "Throttled" if on_keys else "TooManyRequests" if call == "activity.list" else "ThrottledError" if call == "query" else "SubscriptionRequestsThrottled"
            return failure(429, code, "Number of requests exceeded the limit, try again later.", headers)
        if kind == "bad_token":
            return failure(400, "InvalidSkipToken", "The provided skipToken is invalid or expired.")
        if kind == "error":
            return failure(fault.get("status", 500), "InternalServerError", "Encountered internal server error.", headers)
        if call == "query":
            return failure(403, "InsufficientAccessError", "The provided credentials have insufficient access to perform the requested operation")
        if on_keys:
            return failure(403, "Forbidden", "Caller is not authorized to perform action on resource.\r\nAction: 'Microsoft.KeyVault/vaults/keys/read'")
        action = ACTIONS.get(call, "Microsoft.Resources/subscriptions/resources/read")
        return failure(403, "AuthorizationFailed", f"The client 'reader' with object id '11111111-2222-4333-8444-555555555555' does not have authorization "
                       f"to perform action '{action}' over scope '/subscriptions/{self.subscription}' or the scope is invalid. If access was recently "
                       "granted, please refresh your credentials.")

    def paged(self, request, records, size, fault, **how):
        """One page as Azure sends it: `value`, and the address of the next."""
        same = [request.path, {name: value for name, value in request.query.items() if name != "$skiptoken"}]
        page, following = self.page(records, size, same, request.query.get("$skiptoken"), fault=fault, **how)
        answer = {"value": [record.raw if record.raw else record.value for record in page]}
        if following:
            base = self.state.options.get("next_host", f"http://127.0.0.1:{self.port}")
            pairs = [*((name, value) for name, value in request.pairs if name != "$skiptoken"), ("$skiptoken", following)]
            answer["nextLink"] = f"{base}{quote(request.path)}?" + "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in pairs)
        return answer

    def about_workspace(self, path, table):
        if path.split("/tables/")[0].lower() != self.law.lower():
            raise failure(404, "ResourceNotFound", f"The Resource '{path}' was not found.")
        if table is None:
            return {"id": self.law, "name": "law-example", "type": "Microsoft.OperationalInsights/workspaces", "location": "westeurope", "tags": {},
                    "properties": {"customerId": self.workspace, "provisioningState": "Succeeded", "sku": {"name": "PerGB2018"}, "retentionInDays": 90,
                                   "features": {"enableLogAccessUsingOnlyResourcePermissions": True},
                                   "workspaceCapping": {"dailyQuotaGb": -1.0, "dataIngestionStatus": "RespectQuota"}}}
        known = {name.lower(): name for name in TABLES if name not in self.state.options.get("no_table", [])}
        if table not in known:
            raise failure(404, "ResourceNotFound", f"Table {table} not found.")
        name = known[table]
        return {"id": f"{self.law}/tables/{name}", "name": name,
                "properties": {"retentionInDays": 90, "totalRetentionInDays": 90, "plan": "Analytics", "schema": {"name": name, "tableType": "Microsoft"},
                               "provisioningState": "Succeeded"}}

    def listed(self, request, values, fault):
        if "api-version" not in request.query:
            raise failure(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
        return self.paged(request, [Record(value, 0, value["id"], "") for value in values], self.arguments.page, fault)

    def some_resources(self, request):
        wanted = re.findall(r"resourceType eq '([^']+)'", request.query.get("$filter", ""), re.IGNORECASE)
        return [{name: value[name] for name in ("id", "name", "type", "location", "tags") if name in value} for kind in wanted
                for value in self.resources(kind.split("/")[1])]

    def activity_log(self, request, subscription, fault):
        if request.query.get("api-version") != "2015-04-01":
            raise failure(400, "InvalidApiVersionParameter", "The api-version is invalid. The supported versions are '2014-04-01,2015-04-01'.")
        if subscription != self.subscription.lower():
            raise failure(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        match = FILTER.fullmatch(request.query.get("$filter", "").strip())
        if not match:
            raise failure(400, "BadRequest", "The $filter is missing, or uses syntax that is not allowed.")
        since, until = parse_time(match[1]), parse_time(match[2]) if match[2] else 1 << 62
        if since < self.now - 90 * DAY - 10 * MINUTE:
            raise failure(400, "BadRequest", "The start time cannot be more than 90 days in the past.")
        if since > until:
            raise failure(400, "BadRequest", "The start time must be before the end time.")
        member = {"resourcegroupname": "resourceGroupName", "resourceuri": "resourceId", "resourceid": "resourceId", "correlationid": "correlationId",
                  "resourceprovider": "resourceProviderName"}.get((match[3] or "").lower())
        chosen = []
        for record in self.visible():
            if record.log != "activity" or not since <= record.when <= until:
                continue
            held = record.value[member] if member else None
            if member and str(held["value"] if isinstance(held, dict) else held).lower() != match[4].lower():
                continue
            chosen.append(record)
        if self.state.options.get("order") == "shuffled":
            chosen = [Record(record.value, digest(record.name), record.name, record.raw) for record in chosen]
        return self.paged(request, chosen, self.arguments.page, fault, newest_first=True)

    def query(self, workspace, request):
        if workspace != self.workspace.lower():
            raise Refusal(404, {"error": {"message": f"The workspace could not be found: {workspace}", "code": "WorkspaceNotFoundError"}})
        asked = request.json()
        hidden, tables = self.state.options.get("no_table", []), {name: [] for name in TABLES}
        low, high = timespan(asked.get("timespan"))
        for record in self.visible():
            if record.log in TABLES and low <= record.when < high:
                tables[record.log].append(record.value | {"$ingested": record.ingested})
        try:
            head, rows = run(asked.get("query") or "", {name: rows for name, rows in tables.items() if name not in hidden}, TABLES, self.now)
        except QueryError as problem:
            outer = ("SyntaxError", "A syntax error has been identified in the query.") if problem.code.startswith("SYN") else ("SemanticError", "A semantic error occurred.")
            raise Refusal(400, {"error": {"message": "The request had some invalid properties", "code": "BadArgumentError", "correlationId": self.chance.uuid(),
                                          "innererror": {"code": outer[0], "message": outer[1], "innererror": {"code": problem.code, "message": problem.message}}}}) from None
        limit = min(self.state.options.get("row_limit", 500_000), len(rows) // 2 if self.state.options.get("partial") else 1 << 30)
        answer = {"tables": [{"name": "PrimaryResult", "columns": [{"name": name, "type": kind} for name, kind in head], "rows": rows[:limit]}]}
        if limit < len(rows):
            answer["error"] = {"code": "PartialError", "message": "There were some errors when processing your query.", "details": [
                {"code": "EngineError", "message": "Something went wrong processing your query on the server.",
                 "innererror": {"code": "-2133196797", "message": "Query result set has exceeded the internal record count limit", "severity": 2, "severityName": "Error"}}]}
        return answer

    # The data plane.

    def vault_call(self, call, holder, names, request, fault):
        if self.state.options.get("challenge") and "Authorization" not in request.headers:
            raise Refusal(401, {"error": {"code": "Unauthorized", "message": "AKV10000: Request is missing a Bearer or PoP token."}},
                          {"WWW-Authenticate": f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net"'})
        if holder not in self.keys:
            raise failure(404, "VaultNotFound", f"The vault {holder} was not found.")
        if "api-version" not in request.query:
            raise failure(400, "BadParameter", "The request URI is missing the api-version.")
        keys, (name, more) = self.keys[holder], names
        size = min(int(request.query.get("maxresults", 25)), 25)
        if call == "keys.list":
            live = [self.item(key, key["url"]) for key in keys.values() if not gone(key)]
            return self.key_page(request, live, size, fault)
        if call == "deletedkeys.list":
            return self.key_page(request, [self.deleted(key) for key in keys.values() if gone(key)], size, fault)
        key = keys.get(name or "")
        if not key or gone(key) != call.startswith("deleted"):
            raise failure(404, "KeyNotFound", f"A key with (name/id) {name} was not found in this key vault.")
        if call == "keys.versions":
            return self.key_page(request, [self.item(key, f"{key['url']}/{version}", at) for at, version in enumerate(key["versions"])], size, fault)
        if call == "keys.rotationpolicy":
            return self.rotation(key)
        return self.deleted(key) | self.bundle(key, None) if gone(key) else self.bundle(key, more)

    def key_page(self, request, values, size, fault):
        answer = self.paged(request, [Record(value, 0, value["kid"], "") for value in values], size, fault)
        # Key Vault says null where there is no further page.
        return {"value": answer["value"], "nextLink": answer.get("nextLink")}

    def attributes(self, key, at=-1):
        made = (self.now - 300 * DAY) // 10**9 + (len(key["versions"]) + at if at < 0 else at) * 90 * 86_400
        return {"enabled": key["index"] % 5 != 3, "created": made, "updated": made, "recoveryLevel": "Recoverable", "recoverableDays": 90,
                "exportable": False, "hsmPlatform": "2"} | ({"exp": made + 400 * 86_400} if key["index"] % 2 else {})

    def item(self, key, url, at=-1):
        return {"kid": url, "attributes": self.attributes(key, at), "tags": {"owner": "treasury"}}

    def bundle(self, key, version):
        at = key["versions"].index(version) if version in key["versions"] else len(key["versions"]) - 1
        if version and version not in key["versions"]:
            raise failure(404, "KeyNotFound", f"A key with (name/id) {version} was not found in this key vault.")
        modulus = base64.urlsafe_b64encode((digest(key["url"]) * 16).encode()).decode().rstrip("=")
        return {"key": {"kid": f"{key['url']}/{key['versions'][at]}", "kty": "RSA-HSM", "key_ops": ["wrapKey", "unwrapKey"], "n": modulus, "e": "AQAB"},
                "attributes": self.attributes(key, at), "tags": {"owner": "treasury"}}

    def rotation(self, key):
        actions = [{"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Notify"}}]
        if key["index"] % 2 == 0:
            actions.insert(0, {"trigger": {"timeAfterCreate": "P90D"}, "action": {"type": "Rotate"}})
        made = (self.now - 300 * DAY) // 10**9
        return {"id": f"{key['url']}/rotationpolicy", "lifetimeActions": actions,
                "attributes": {"expiryTime": "P400D", "created": made, "updated": made} if key["index"] % 2 == 0 else {}}

    def deleted(self, key):
        seconds = self.now // 10**9
        return {"recoveryId": key["url"].replace("/keys/", "/deletedkeys/"), "deletedDate": seconds - 3 * 86_400,
                "scheduledPurgeDate": seconds + 87 * 86_400, **self.item(key, key["url"])}


def gone(key):
    return key["index"] % 5 == 4


def timespan(text):
    """The bounds of `FROM/TO`; anything else bounds nothing."""
    match = re.fullmatch(r"(\d[^/]+)/(\d[^/]+)", text or "")
    return (parse_time(match[1]), parse_time(match[2])) if match else (0, 1 << 62)


def more(parser):
    parser.add_argument("--subscription", default="5a5a5a5a-0000-4000-8000-000000000001")
    parser.add_argument("--workspace", default="77777777-0000-4000-8000-000000000001")
    parser.add_argument("--vaults", type=int, default=2)
    parser.add_argument("--keys", type=int, default=5, help="keys a vault")
    parser.add_argument("--page", type=int, default=50, help="elements a page")


if __name__ == "__main__":
    serve(Azure(arguments(__doc__, more)))
