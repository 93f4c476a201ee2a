"""What the fixture servers share: HTTP on 127.0.0.1, paging, faults on demand, and a list of what was asked.

    SERVER.py [--port 0] [--seed 1] [--events 200] [--days 30] [--now 2026-10-01T00:00:00Z] [--data FILE]

The first line of standard output is the port. A server ends when its standard input closes, so that
none outlives the test that started it. The same seed, count and time give the same records; FILE holds
a JSON array of records to serve instead.

    GET  /_data        the records, late ones too: [{"id", "raw"}], `raw` as it is sent
    GET  /_requests    what was asked, in order: call, method, path, query, headers, body, at_ms, status, fault
    POST /_control     {"reset": true}                        forgets faults, requests, options
                       {"faults": [FAULT, …]}                 adds faults
                       {"late": {"every": 5, "after": 3}}     each 5th record is seen only after 3 more list calls
                       {"add": [RECORD, …]}                   records that arrive now, whatever their time
                       {"rate": {CALL: per second}}           throttles what is faster
                       {"answers": {CALL: BODY}}              what a call answers instead of its own
                       {"options": {…}}                       a server's own switches

    FAULT = {"call": "LookupEvents" or a pattern such as "*", "do": WHAT, "times": 1 (0: always), "skip": 0}
    WHAT  = throttle    too many requests, in the vendor's words; `retry_after` in seconds, or none
            error       500, or `status`
            deny        403 in the vendor's words
            tear        a body that breaks off: the length in the header is longer
            stall       half a body, then nothing for `seconds`
            hang_up     the connection closes without an answer
            garbage     200 with a page of HTML
            slow        the right answer after `seconds`
            empty_page  no record, and a token to go on with
            repeat      the page has the token that led to it
            duplicate   the page starts with the last record of the page before
            bad_token   the token is refused

One fault is used up by one request; the first that matches is taken.
"""

import argparse
import base64
import copy
import fnmatch
import gzip
import hashlib
import json
import os
import random
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

SECRET_HEADERS = {"cookie", "proxy-authorization", "x-amz-security-token", "x-goog-api-key"}


class Refusal(Exception):
    """An answer that is an error, in the vendor's words."""

    def __init__(self, status, body, headers=None):
        super().__init__(f"{status} {body}")
        self.status, self.body, self.headers = status, body, headers or {}


class Raw(str):
    """JSON text that goes into an answer as it is."""


def dump(value):
    """JSON of a value in which some parts are text already."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{dump(part)}" for name, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(dump, value)) + "]"
    return json.dumps(value)


def parse_time(text):
    """A time with any number of digits of a second, as whole nanoseconds since 1970."""
    text = text.strip().strip("'\"")
    head, _, tail = text.partition(".")
    if tail:
        digits = tail.rstrip("Zz").split("+")[0]
        base, nanos = head, int(digits.ljust(9, "0")[:9])
    else:
        base, nanos = head.rstrip("Zz").split("+")[0], 0
    if len(base) == 10:
        base += "T00:00:00"
    whole = datetime.fromisoformat(base.replace(" ", "T")).replace(tzinfo=timezone.utc)
    return int(whole.timestamp()) * 10**9 + nanos


def iso(when, digits=0):
    """A time as RFC 3339, with as many digits of a second as asked."""
    nanos, rest = divmod(int(when), 10**9)
    text = datetime.fromtimestamp(nanos, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{rest:09}"[: digits + 1] if digits else "") + "Z"


class Chance:
    """Seeded choices."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, choices):
        return self.random.choice(choices)

    def below(self, bound):
        return self.random.randrange(bound)

    def hex(self, digits):
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def uuid(self):
        text = self.hex(32)
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"

    def word(self, letters, length):
        return "".join(self.random.choice(letters) for _ in range(length))


class Record:
    """One record: where it stands in order, and its text as it is sent."""

    def __init__(self, value, when, name, raw):
        self.value, self.when, self.name, self.raw = value, when, name, Raw(raw)
        self.hidden_until = 0

    @property
    def place(self):
        return (self.when, self.name)


class Request:
    def __init__(self, method, target, headers, body):
        parts = urlsplit(target)
        self.method, self.headers, self.body = method, headers, body
        self.path = unquote(parts.path)
        self.pairs = parse_qsl(parts.query, keep_blank_values=True)
        self.query = dict(self.pairs)

    def json(self):
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class State:
    """Faults, options and what was asked; shared by all threads."""

    def __init__(self):
        self.lock = threading.RLock()
        self.started = time.monotonic()
        self.reset()

    def reset(self):
        self.faults, self.requests, self.rates, self.answers, self.options = [], [], {}, {}, {}
        self.lists = 0
        self.recent = {}

    def fault(self, call):
        """The fault that this call meets, used up by it."""
        with self.lock:
            for fault in self.faults:
                if not fnmatch.fnmatchcase(call, fault.get("call", "*")):
                    continue
                if fault.get("skip", 0) > 0:
                    fault["skip"] -= 1
                    continue
                times = fault.setdefault("times", 1)
                if times == 1:
                    self.faults.remove(fault)
                elif times > 1:
                    fault["times"] -= 1
                return dict(fault)
        return {}

    def too_fast(self, call, scope):
        limit = self.rates.get(call)
        if not limit:
            return False
        now = time.monotonic()
        with self.lock:
            recent = [at for at in self.recent.get((call, scope), []) if now - at < 1.0]
            refused = len(recent) >= limit
            self.recent[(call, scope)] = recent if refused else [*recent, now]
        return refused


class Server:
    """A vendor. What it must say: `route`, `refuse`, and `records` where it has a log."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.chance = Chance(arguments.seed)
        self.now = parse_time(arguments.now) if arguments.now else time.time_ns() // 3_600_000_000_000 * 3_600_000_000_000
        self.state = State()
        self.port = 0
        self.records = []

    def route(self, request):
        """The name of a call, its scope for quotas, and what answers it."""
        raise NotImplementedError

    def refuse(self, kind, call, fault):
        """The vendor's words for `throttle`, `deny`, `error` and `bad_token`: a `Refusal`."""
        raise NotImplementedError

    def record(self, value):
        """A record of a value."""
        raise NotImplementedError

    def control(self, order):
        """Switches of a server's own."""

    def load(self, values):
        self.records = sorted((self.record(value) for value in values), key=lambda record: record.place)

    def add(self, values):
        self.records = sorted([*self.records, *(self.record(value) for value in values)], key=lambda record: record.place)

    def times(self, count, digits):
        """`count` times before now, some at the same moment, in order."""
        span = int(self.arguments.days * 86_400 * 10**9)
        unit = 10 ** (9 - digits)
        drawn = []
        for _ in range(count):
            if drawn and self.chance.below(6) == 0:
                drawn.append(drawn[-1])
            else:
                drawn.append((self.now - 1 - self.chance.below(span)) // unit * unit)
        return sorted(drawn)

    def hide(self, every, after):
        for number, record in enumerate(self.records, 1):
            if number % every == 0:
                record.hidden_until = self.state.lists + after

    def visible(self):
        """The records that can be seen by now; counts as one listing."""
        with self.state.lock:
            seen = [record for record in self.records if record.hidden_until <= self.state.lists]
            self.state.lists += 1
        return seen

    def page(self, records, size, asked, token, **how):
        """One page of records, with the token of the next or none. `asked` must stay the same from page to page."""
        newest_first, fault = how.get("newest_first", False), how.get("fault", {})
        what = fault.get("do")
        position = self.position(asked, token, fault)
        ordered = sorted(records, key=lambda record: record.place, reverse=newest_first)
        beyond = (lambda place: place < position) if newest_first else (lambda place: place > position)
        rest = [record for record in ordered if position is None or beyond(record.place)]
        before = ordered[: len(ordered) - len(rest)]
        if what == "empty_page":
            return [], self.token(asked, position)
        chosen = rest[:size]
        following = self.token(asked, chosen[-1].place) if len(rest) > size else None
        if what == "duplicate" and before:
            chosen = [before[-1], *chosen[: max(1, size - 1)]]
            following = self.token(asked, chosen[-1].place) if len(rest) > len(chosen) - 1 else None
        if what == "repeat":
            following = token or self.token(asked, None)
        return chosen, following

    def position(self, asked, token, fault):
        """The place that a token stands for."""
        if fault.get("do") == "bad_token" and token:
            raise self.refuse("bad_token", "", fault)
        if not token:
            return None
        try:
            content = json.loads(base64.urlsafe_b64decode(token))
            good = content["asked"] == digest(asked)
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            raise self.refuse("bad_token", "", fault)
        return tuple(content["after"]) if content["after"] else None

    def token(self, asked, after):
        with self.state.lock:
            serial = self.state.lists
        content = {"asked": digest(asked), "after": after, "serial": serial}
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fixture", ""
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        request = Request(self.command, self.path, self.headers, body)
        if request.path.startswith("/_"):
            return self.control(request)
        return self.call(request)

    do_GET = do_POST = do_PUT = do_DELETE = do_any

    def control(self, request):
        vendor = self.server.vendor
        state = vendor.state
        with state.lock:
            if request.path == "/_requests":
                answer = state.requests
            elif request.path == "/_data":
                answer = [{"id": record.name, "raw": str(record.raw)} for record in vendor.records]
            elif request.path == "/_control" and request.method == "POST":
                self.order(request.json())
                answer = {}
            else:
                return self.send(404, {}, b"{}")
            body = json.dumps(answer).encode()
        return self.send(200, {}, body)

    def order(self, order):
        vendor, state = self.server.vendor, self.server.vendor.state
        if order.get("reset"):
            state.reset()
            for record in vendor.records:
                record.hidden_until = 0
        state.faults.extend(copy.deepcopy(order.get("faults", [])))
        state.rates.update(order.get("rate", {}))
        state.answers.update(order.get("answers", {}))
        state.options.update(order.get("options", {}))
        vendor.add(order.get("add", []))
        if late := order.get("late"):
            vendor.hide(late.get("every", 1), late.get("after", 1))
        vendor.control(order)

    def call(self, request):
        vendor, state = self.server.vendor, self.server.vendor.state
        name, scope, answer = vendor.route(request)
        fault = state.fault(name)
        entry = describe(request, name, scope, state)
        with state.lock:
            state.requests.append(entry)
        entry["fault"] = fault.get("do")
        try:
            if fault.get("do") in ("throttle", "deny", "error"):
                raise vendor.refuse(fault["do"], name, fault)
            if state.too_fast(name, scope):
                raise vendor.refuse("throttle", name, {})
            body = state.answers[name] if name in state.answers else answer(fault)
            status, headers = 200, {}
        except Refusal as refusal:
            status, body, headers = refusal.status, refusal.body, refusal.headers
        entry["status"] = status
        data = body if isinstance(body, bytes) else dump(body).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", **headers}
        if state.options.get("gzip") and "gzip" in request.headers.get("Accept-Encoding", ""):
            data, headers["Content-Encoding"] = gzip.compress(data, mtime=0), "gzip"
        return self.deliver(fault, status, headers, data)

    def deliver(self, fault, status, headers, data):
        """Sends an answer, well or badly."""
        what = fault.get("do")
        if what == "slow":
            time.sleep(fault.get("seconds", 1))
        if what == "garbage":
            return self.send(200, {"Content-Type": "text/html"}, b"<html><body>Service temporarily confused</body></html>")
        if what == "hang_up":
            self.close_connection = True
            return None
        if what in ("tear", "stall"):
            self.send(status, headers, data[: len(data) // 2], len(data))
            if what == "stall":
                time.sleep(fault.get("seconds", 5))
            self.close_connection = True
            return None
        return self.send(status, headers, data)

    def send(self, status, headers, data, length=None):
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, str(value))
            if status != 204:
                self.send_header("Content-Length", str(len(data) if length is None else length))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def describe(request, name, scope, state):
    """What was asked, without secrets."""
    headers = {}
    for key, value in request.headers.items():
        key = key.lower()
        if key == "authorization":
            # Who signed for which service is no secret; the signature or token is.
            value = value.split(",")[0] if value.startswith("AWS4-") else value.split(" ")[0]
        headers[key] = "hidden" if key in SECRET_HEADERS else value
    try:
        body = json.loads(request.body) if request.body else None
    except ValueError:
        body = request.body.decode("utf-8", "replace")
    return {
        "call": name, "scope": scope, "method": request.method, "path": request.path, "query": request.query, "headers": headers,
        "body": body, "at_ms": int((time.monotonic() - state.started) * 1000), "status": None, "fault": None,
    }


def arguments(document, more=None):
    parser = argparse.ArgumentParser(description=document.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--now", help="the hour that it is, without it the clock's")
    parser.add_argument("--data", help="a JSON array of records to serve")
    if more:
        more(parser)
    return parser.parse_args()


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def serve(vendor):
    """Serves until standard input closes."""
    if vendor.arguments.data:
        with open(vendor.arguments.data, encoding="utf-8") as file:
            vendor.load(json.load(file))
    listener = Listener(("127.0.0.1", vendor.arguments.port), Handler)
    listener.vendor = vendor
    vendor.port = listener.server_address[1]
    print(vendor.port, flush=True)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)
