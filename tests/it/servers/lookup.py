"""A CloudTrail endpoint: LookupEvents with its paging, order and errors, and what is asked beside it.

    lookup.py [--regions eu-central-1,us-east-1] [--account 111122223333] [--keys FILE] …  (see wire.py)

LookupEvents holds the last 90 days of the region that the call is signed for, newest first, 50 a page,
one lookup attribute, bounds inclusive and in whole seconds; a token is good for the same parameters
alone; too fast is a ThrottlingException with status 400 (docs.aws.amazon.com/awscloudtrail/latest/
APIReference/API_LookupEvents.html). ListPublicKeys answers the keys of FILE, as `aws cloudtrail
list-public-keys` prints them. DescribeTrails, GetTrailStatus and GetEventSelectors tell of one trail;
the same endpoint is STS for GetCallerIdentity. Other calls answer what `answers` holds for their name.

Options: {"excluded": true}: the trail leaves KMS out. {"account": "…"}: who GetCallerIdentity says.
Control: {"public_keys": […]}.
"""

import json
import re
import sys

sys.dont_write_bytecode = True

from urllib.parse import parse_qs

from wire import Raw, Record, Refusal, Server, arguments, iso, parse_time, serve

DAY = 86_400 * 10**9
PREFIX = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."
JSON = {"Content-Type": "application/x-amz-json-1.1"}
PEOPLE = ["anna@example.com", "ben@example.com", "chloë@example.com"]

# name, source, reads, weight
CALLS = [
    ("Decrypt", "kms", True, 8), ("GenerateDataKey", "kms", True, 6), ("DescribeKey", "kms", True, 3),
    ("GetParametersForImport", "kms", True, 1), ("CreateKey", "kms", False, 2), ("EnableKeyRotation", "kms", False, 2),
    ("RotateKeyOnDemand", "kms", False, 1), ("DisableKey", "kms", False, 2), ("PutKeyPolicy", "kms", False, 2),
    ("ScheduleKeyDeletion", "kms", False, 1), ("CreateGrant", "kms", False, 2), ("RotateKey", "kms", False, 1),
    ("DescribeClusters", "cloudhsm", True, 1), ("CreateHsm", "cloudhsm", False, 1), ("DeleteBackup", "cloudhsm", False, 1),
    ("StopLogging", "cloudtrail", False, 1), ("PutEventSelectors", "cloudtrail", False, 1),
    ("DeleteLogGroup", "logs", False, 1), ("RunInstances", "ec2", False, 4), ("DescribeInstances", "ec2", True, 4),
]
SERVICE_EVENTS = {"RotateKey", "DeleteKey", "DeleteExpiredKeyMaterial"}
ATTRIBUTES = {"EventId", "EventName", "ReadOnly", "Username", "ResourceType", "ResourceName", "EventSource", "AccessKeyId"}
# What a denied call would have needed: the action as IAM spells it.
SERVICES = {"GetCallerIdentity": "sts", "DescribeClusters": "cloudhsm"}


def epoch(when):
    """Seconds as the vendor's own servers write them: 1.7592768E9."""
    digits = repr(when / 10**9) if when % 10**9 else str(when // 10**9)
    whole, _, rest = digits.partition(".")
    return Raw(f"{whole[0]}.{(whole[1:] + rest).rstrip('0') or '0'}E{len(whole) - 1}")


class Lookup(Server):
    def __init__(self, options):
        super().__init__(options)
        self.regions = options.regions.split(",")
        self.keys = json.load(open(options.keys, encoding="utf-8")) if options.keys else []
        self.keys = self.keys.get("PublicKeyList", []) if isinstance(self.keys, dict) else self.keys
        names = [self.chance.uuid() for _ in range(8)]
        self.load([self.event(when, names) for when in self.times(options.events, 0)])

    # What happened.

    def event(self, when, keys):
        """A record as CloudTrail writes it."""
        chance = self.chance
        name, source, reads, _ = chance.random.choices(CALLS, [call[3] for call in CALLS])[0]
        region, account = chance.pick(self.regions), self.arguments.account
        key = f"arn:aws:kms:{region}:{account}:key/{chance.pick(keys)}"
        record = {
            "eventVersion": "1.11", "userIdentity": self.identity(chance.pick(PEOPLE), when, name), "eventTime": iso(when),
            "eventSource": f"{source}.amazonaws.com", "eventName": name, "awsRegion": region,
            "sourceIPAddress": f"203.0.113.{chance.below(250) + 1}", "userAgent": "aws-cli/2.31.0 md/Botocore#1.40",
        }
        if chance.below(15) == 0 and name not in SERVICE_EVENTS:
            record |= {"errorCode": "AccessDenied", "errorMessage": f"User is not authorized to perform: {source}:{name} – déni"}
        about_key = source == "kms" and name != "CreateKey"
        record |= {
            "requestParameters": {"keyId": key} if about_key else {}, "responseElements": None,
            "requestID": chance.uuid(), "eventID": chance.uuid(), "readOnly": reads,
            "eventType": "AwsApiCall", "managementEvent": True, "recipientAccountId": account, "eventCategory": "Management",
        }
        if name in SERVICE_EVENTS:
            record |= {"eventType": "AwsServiceEvent", "requestParameters": None, "serviceEventDetails": {"keyId": key.split("/")[1]},
                       "sourceIPAddress": "AWS Internal", "userAgent": "AWS Internal"}
        if source == "kms":
            record["resources"] = [{"accountId": account, "type": "AWS::KMS::Key", "ARN": key}]
        return record

    def identity(self, who, when, name):
        account = self.arguments.account
        if name in SERVICE_EVENTS:
            return {"accountId": account, "invokedBy": "AWS Internal"}
        return {
            "type": "AssumedRole", "principalId": f"AROAEXAMPLEEXAMPLE01:{who}", "accountId": account,
            "arn": f"arn:aws:sts::{account}:assumed-role/KeyAdmin/{who}", "accessKeyId": "ASIAEXAMPLEEXAMPLE01",
            "sessionContext": {
                "sessionIssuer": {"type": "Role", "principalId": "AROAEXAMPLEEXAMPLE01", "accountId": account,
                                  "arn": f"arn:aws:iam::{account}:role/KeyAdmin", "userName": "KeyAdmin"},
                "attributes": {"creationDate": iso(when - 60 * 10**9), "mfaAuthenticated": "true"}},
        }

    def record(self, value):
        # Written with spaces now and then, so that who writes it anew is found out.
        spaced = int(value["eventID"][0], 16) % 4 == 0
        raw = json.dumps(value, ensure_ascii=spaced, separators=None if spaced else (",", ":"))
        return Record(value, parse_time(value["eventTime"]), value["eventID"], raw)

    # What is asked.

    def route(self, request):
        scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/", request.headers.get("Authorization", ""))
        region = scope.group(1) if scope else self.regions[0]
        target = request.headers.get("X-Amz-Target", "")
        name = target.rsplit(".", 1)[-1]
        asked = request.json()
        if not target:
            form = parse_qs(request.body.decode("utf-8", "replace"))
            name = form.get("Action", [request.query.get("Action", "unknown")])[0]
        known = {
            "LookupEvents": self.lookup, "ListPublicKeys": self.public_keys, "DescribeTrails": self.trails,
            "GetTrail": self.trails, "GetTrailStatus": self.trail_status, "GetEventSelectors": self.selectors,
            "GetCallerIdentity": self.caller,
        }
        call = known.get(name, self.unknown)
        return name, region, lambda fault: call(asked, region, fault)

    def refuse(self, kind, call, fault):
        status, code, message = {
            "throttle": (400, "ThrottlingException", "Rate exceeded"),
            "deny": (400, "AccessDeniedException", self.denied(call)),
            "error": (500, "InternalFailure", "The request processing has failed because of an unknown error."),
            "bad_token": (400, "InvalidNextTokenException", "The NextToken is invalid or its parameters changed."),
        }[kind]
        status = fault.get("status", status)
        headers = {"Retry-After": fault["retry_after"]} if fault.get("retry_after") is not None else {}
        if call == "GetCallerIdentity":
            body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code.replace('Exception', '')}</Code><Message>{message}</Message></Error></ErrorResponse>"
            return Refusal(403 if kind == "deny" else status, body.encode(), {"Content-Type": "text/xml", **headers})
        return Refusal(status, {"__type": code, "message": message}, JSON | headers)

    def denied(self, call):
        service = SERVICES.get(call, "cloudtrail")
        return f"User: arn:aws:iam::{self.arguments.account}:user/reader is not authorized to perform: {service}:{call}"

    def invalid(self, code, message):
        return Refusal(400, {"__type": code, "message": message}, JSON)

    def unknown(self, _asked, _region, _fault):
        raise self.invalid("UnknownOperationException", "")

    def lookup(self, asked, region, fault):
        size, token = asked.get("MaxResults", 50), asked.get("NextToken")
        if not 1 <= size <= 50:
            raise self.invalid("InvalidMaxResultsException", "A max results value of 1 to 50 is valid.")
        attributes = asked.get("LookupAttributes") or []
        if len(attributes) > 1 or any(one.get("AttributeKey") not in ATTRIBUTES for one in attributes):
            raise self.invalid("InvalidLookupAttributesException", "You can only specify one lookup attribute.")
        since, until = asked.get("StartTime"), asked.get("EndTime")
        if since is not None and until is not None and since > until:
            raise self.invalid("InvalidTimeRangeException", "The start time must not be after the end time.")
        oldest = (self.now - 90 * DAY) // 10**9
        low, high = max(int(since or 0), oldest), int(until if until is not None else 1 << 60)
        chosen = [
            record for record in self.visible()
            if record.value["awsRegion"] == region and low <= record.when // 10**9 <= high
            and all(matches(self.envelope(record), one) for one in attributes)
        ]
        same = {name: value for name, value in asked.items() if name not in ("NextToken", "MaxResults")} | {"region": region}
        page, following = self.page(chosen, size, same, token, newest_first=True, fault=fault)
        return {"Events": [self.envelope(record) for record in page]} | ({"NextToken": following} if following else {})

    def envelope(self, record):
        """What LookupEvents puts around a record."""
        value = record.value
        who = value["userIdentity"]
        told = {"EventId": value["eventID"], "EventName": value["eventName"], "ReadOnly": str(value["readOnly"]).lower()}
        if "accessKeyId" in who:
            told |= {"AccessKeyId": who["accessKeyId"], "Username": who["arn"].rsplit("/", 1)[-1]}
        return told | {
            "EventTime": epoch(record.when), "EventSource": value["eventSource"],
            "Resources": [{"ResourceType": one["type"], "ResourceName": one["ARN"]} for one in value.get("resources", [])],
            "CloudTrailEvent": str(record.raw),
        }

    def public_keys(self, asked, _region, _fault):
        low, high = asked.get("StartTime", 0), asked.get("EndTime", 1 << 60)
        chosen = [key | {name: epoch(seconds(key[name]) * 10**9) for name in ("ValidityStartTime", "ValidityEndTime")}
                  for key in self.keys if seconds(key["ValidityEndTime"]) >= low and seconds(key["ValidityStartTime"]) <= high]
        return {"PublicKeyList": chosen}

    def control(self, order):
        self.keys = order.get("public_keys", self.keys)

    # The trail.

    def trail(self):
        region, account = self.regions[0], self.arguments.account
        return {
            "Name": "main", "S3BucketName": "example-trail", "IncludeGlobalServiceEvents": True, "IsMultiRegionTrail": True,
            "HomeRegion": region, "TrailARN": f"arn:aws:cloudtrail:{region}:{account}:trail/main",
            "LogFileValidationEnabled": True, "HasCustomEventSelectors": True, "HasInsightSelectors": False,
            "IsOrganizationTrail": False,
        }

    def trails(self, asked, _region, _fault):
        return {"Trail": self.trail()} if "Name" in asked else {"trailList": [self.trail()]}

    def trail_status(self, _asked, _region, _fault):
        return {"IsLogging": True, "LatestDeliveryTime": epoch(self.now), "StartLoggingTime": epoch(self.now - 200 * DAY),
                "LatestDigestDeliveryTime": epoch(self.now), "LatestDeliveryAttemptTime": iso(self.now)}

    def selectors(self, _asked, _region, _fault):
        left_out = ["kms.amazonaws.com"] if self.state.options.get("excluded") else []
        return {"TrailARN": self.trail()["TrailARN"], "EventSelectors": [
            {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [], "ExcludeManagementEventSources": left_out}]}

    def caller(self, _asked, _region, _fault):
        account = self.state.options.get("account", self.arguments.account)
        raise Refusal(200, (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            f"<Arn>arn:aws:iam::{account}:user/reader</Arn><UserId>AIDAEXAMPLEEXAMPLE01</UserId><Account>{account}</Account>"
            "</GetCallerIdentityResult><ResponseMetadata><RequestId>00000000-0000-4000-8000-000000000001</RequestId>"
            "</ResponseMetadata></GetCallerIdentityResponse>").encode(), {"Content-Type": "text/xml"})


def seconds(value):
    return value if isinstance(value, (int, float)) else parse_time(value) // 10**9


def matches(envelope, attribute):
    key, wanted = attribute["AttributeKey"], attribute["AttributeValue"]
    if key in ("ResourceType", "ResourceName"):
        return any(one[key] == wanted for one in envelope["Resources"])
    return envelope.get(key) == wanted


def more(parser):
    parser.add_argument("--regions", default="eu-central-1,us-east-1")
    parser.add_argument("--account", default="111122223333")
    parser.add_argument("--keys", help="public keys for digests")


if __name__ == "__main__":
    serve(Lookup(arguments(__doc__, more)))
