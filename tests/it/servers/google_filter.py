"""The Logging query language, as far as audit queries use it (cloud.google.com/logging/docs/view/logging-query-language).

`parse(text)` gives a function that tells whether an entry matches, or raises `ValueError`. Known:
comparisons with = != > >= < <= : =~ !~ of a path with a text, number or time, lists of alternatives
in parentheses, AND, OR, NOT, -, parentheses, new lines and neighbours as AND, `--` comments. Operators
are upper case; other bare words look for text anywhere, as the service does.
"""

import json
import re

from wire import parse_time

TOKEN = re.compile(r'\s*(?:(--[^\n]*)|("(?:[^"\\]|\\.)*")|(!=|>=|<=|=~|!~|[=<>:()])|([^\s"=<>:()!]+))')
TIMES = {"timestamp", "receiveTimestamp"}


def tokens(text):
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise ValueError(f"unparseable filter at {text[at:at + 20]!r}")
        at = match.end()
        comment, quoted, sign, word = match.groups()
        if quoted is not None:
            found.append(("text", json.loads(quoted)))
        elif sign:
            found.append(("sign", sign))
        elif word:
            found.append(("word", word))
        elif not comment:
            raise ValueError("unparseable filter")
    return found


class Parser:
    def __init__(self, text):
        self.rest = tokens(text)

    def peek(self, kind=None, value=None):
        if not self.rest:
            return False
        return (kind is None or self.rest[0][0] == kind) and (value is None or self.rest[0][1] == value)

    def take(self, kind=None, value=None):
        if not self.peek(kind, value):
            raise ValueError(f"unparseable filter near {self.rest[:1]}")
        return self.rest.pop(0)

    def all_of(self):
        parts = [self.any_of()]
        while self.rest and not self.peek("sign", ")"):
            if self.peek("word", "AND"):
                self.take()
            parts.append(self.any_of())
        return lambda entry: all(part(entry) for part in parts)

    def any_of(self):
        # OR binds tighter than AND in this language.
        parts = [self.one()]
        while self.peek("word", "OR"):
            self.take()
            parts.append(self.one())
        return lambda entry: any(part(entry) for part in parts)

    def one(self):
        if self.peek("word", "NOT"):
            self.take()
            inner = self.one()
            return lambda entry: not inner(entry)
        if self.peek("word") and self.rest[0][1].startswith("-") and len(self.rest[0][1]) > 1:
            self.rest[0] = ("word", self.rest[0][1][1:])
            inner = self.one()
            return lambda entry: not inner(entry)
        if self.peek("sign", "("):
            self.take()
            inner = self.all_of()
            self.take("sign", ")")
            return inner
        return self.comparison()

    def comparison(self):
        kind, left = self.take()
        if kind == "sign":
            raise ValueError(f"unexpected {left}")
        if not self.peek("sign") or self.rest[0][1] in "()":
            return lambda entry: left.lower() in json.dumps(entry).lower()
        operator = self.take("sign")[1]
        if not self.peek("sign", "("):
            wanted = self.take()[1]
            return lambda entry: compare(entry, left, operator, wanted)
        self.take()
        choices, every = [self.take()[1]], False
        while not self.peek("sign", ")"):
            joint = self.take("word")[1]
            if joint not in ("OR", "AND"):
                raise ValueError(f"{joint} joins nothing")
            every = joint == "AND"
            choices.append(self.take()[1])
        self.take("sign", ")")
        join = all if every else any
        return lambda entry: join(compare(entry, left, operator, wanted) for wanted in choices)


def values(entry, path):
    found = [entry]
    for part in re.findall(r'"[^"]*"|[^."]+', path):
        part = part.strip('"')
        inner = []
        for one in found:
            for element in one if isinstance(one, list) else [one]:
                if isinstance(element, dict) and part in element:
                    inner.append(element[part])
        found = inner
    return [leaf for one in found for leaf in (one if isinstance(one, list) else [one])]


def compare(entry, path, operator, wanted):
    found = values(entry, path)
    if operator == "!=":
        return not any(equal(value, wanted) for value in found)
    if operator == "!~":
        return not any(re.search(wanted, str(value)) for value in found)
    if operator == ":":
        return bool(found) if wanted == "*" else any(wanted.lower() in str(value).lower() for value in found)
    if operator == "=~":
        return any(re.search(wanted, str(value)) for value in found)
    if operator == "=":
        return any(equal(value, wanted) for value in found)
    return any(ordered(path, value, operator, wanted) for value in found)


def equal(value, wanted):
    if isinstance(value, bool):
        return str(value).lower() == wanted.lower()
    return str(value).lower() == str(wanted).lower()


def ordered(path, value, operator, wanted):
    if path in TIMES:
        left, right = parse_time(value), parse_time(wanted)
    else:
        left, right = (float(value), float(wanted)) if isinstance(value, (int, float)) else (str(value), str(wanted))
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]


def parse(text):
    if not text.strip():
        return lambda entry: True
    parser = Parser(text)
    query = parser.all_of()
    if parser.rest:
        raise ValueError(f"unparseable filter near {parser.rest[0]}")
    return query
