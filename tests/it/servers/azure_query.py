"""The query language of Log Analytics, as far as reading an audit table needs it.

`run(query, tables, ingested)` gives columns and rows, or raises `QueryError`. Known: a table or
`union [isfuzzy=true] A, B`; `where`, `extend`, `project`, `project-away`, `order by`, `sort by`, `take`,
`limit`, `count`, `summarize … [by …]` with count, min, max; comparisons, `in`, `in~`, `has`, `contains`,
`startswith`, `and`, `or`, `not()`, `between (a .. b)`; the functions below. A column that no row has is a
semantic error, as is a table that does not exist.
"""

import json
import re

from wire import iso, parse_time

TOKEN = re.compile(r"""\s*(?:(//[^\n]*)|(@?"(?:[^"\\]|\\.)*"|@?'(?:[^'\\]|\\.)*')|(datetime\([^)]*\))|(\d+(?:\.\d+)?[smhd]?\b)"""
                   r"""|(==|=~|!=|!~|>=|<=|\.\.|[=<>(),|*/+-])|([A-Za-z_$][\w.$-]*~?)(?!\w))""")
WORDS = ("in", "in~", "has", "contains", "startswith", "between")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class QueryError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Time(int):
    """Nanoseconds since 1970."""


def tokens(text):
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise QueryError("SYN0002", f"Query could not be parsed at '{text[at:at + 12]}'")
        at = match.end()
        comment, quoted, moment, number, sign, word = match.groups()
        if quoted:
            plain = quoted.lstrip("@")
            found.append(("text", plain[1:-1] if quoted[0] == "@" else plain[1:-1].replace("\\\\", "\\").replace('\\"', '"').replace("\\'", "'")))
        elif moment:
            found.append(("time", Time(parse_time(moment[9:-1]))))
        elif number:
            found.append(("number", number))
        elif sign or word:
            found.append(("sign" if sign else "word", sign or word))
        elif not comment:
            raise QueryError("SYN0002", "Query could not be parsed")
    return found


class Query:
    def __init__(self, text, tables, columns, now):
        self.rest, self.tables, self.columns, self.now = tokens(text), tables, columns, now

    def peek(self, *values):
        return bool(self.rest) and self.rest[0][0] in ("sign", "word") and self.rest[0][1] in values

    def take(self, *values):
        if not self.rest or (values and not self.peek(*values)):
            raise QueryError("SYN0002", f"Query could not be parsed at '{self.rest[0][1] if self.rest else 'end of query'}'")
        return self.rest.pop(0)

    # Stages.

    def run(self):
        rows, names = self.source()
        while self.rest:
            self.take("|")
            stage = self.take()[1]
            step = getattr(self, "do_" + str(stage).replace("-", "_"), None)
            if not step:
                raise QueryError("SYN0002", f"Query could not be parsed at '{stage}'")
            rows, names = step(rows, names)
        return rows, names

    def source(self):
        fuzzy, asked = False, []
        if self.peek("union"):
            self.take()
            while self.peek("isfuzzy", "kind", "withsource"):
                fuzzy |= self.take()[1] == "isfuzzy"
                self.take("=")
                self.take()
            asked.append(self.take()[1])
            while self.peek(","):
                self.take()
                asked.append(self.take()[1])
        else:
            asked.append(self.take()[1])
        known = [name for name in asked if name in self.tables]
        if not known or (len(known) < len(asked) and not fuzzy):
            lost = next(name for name in asked if name not in self.tables)
            raise QueryError("SEM0100", f"'where' operator: Failed to resolve table or column expression named '{lost}'")
        rows = [dict(row) for name in known for row in self.tables[name]]
        return rows, list(dict.fromkeys(column for name in known for column in self.columns[name]))

    def do_where(self, rows, names):
        wanted = self.expression(names)
        return [row for row in rows if wanted(row)], names

    def assignments(self, names):
        made = []
        while True:
            name = self.take()[1]
            if self.peek("="):
                self.take()
                made.append((name, self.expression(names)))
            else:
                self.rest.insert(0, ("word", name))
                made.append((name, self.expression(names)))
            if not self.peek(","):
                return made
            self.take()

    def do_extend(self, rows, names):
        made = self.assignments(names)
        for row in rows:
            row.update({name: value(row) for name, value in made})
        return rows, names + [name for name, _ in made if name not in names]

    def do_project(self, rows, names):
        made = self.assignments(names)
        return [{name: value(row) for name, value in made} | {"$ingested": row["$ingested"]} for row in rows], [name for name, _ in made]

    def do_project_away(self, rows, names):
        lost = [name for name, _ in self.assignments(names)]
        return rows, [name for name in names if name not in lost]

    def do_order(self, rows, names):
        self.take("by")
        keys = []
        while True:
            value, down = self.expression(names), True
            if self.peek("asc", "desc"):
                down = self.take()[1] == "desc"
            keys.append((value, down))
            if not self.peek(","):
                break
            self.take()
        for value, down in reversed(keys):
            rows = sorted(rows, key=lambda row: (value(row) is not None, value(row)), reverse=down)
        return rows, names

    do_sort = do_order

    def do_take(self, rows, names):
        return rows[: int(self.take()[1])], names

    do_limit = do_take

    def do_count(self, rows, _names):
        return [{"Count": len(rows), "$ingested": 0}], ["Count"]

    def do_summarize(self, rows, names):
        made, by, groups = [], [], {}
        while not self.peek("by", "|") and self.rest:
            name = None
            if len(self.rest) > 1 and self.rest[1] == ("sign", "="):
                name = self.take()[1]
                self.take("=")
            function = self.take("count", "min", "max")[1]
            self.take("(")
            value = None if self.peek(")") else self.expression(names)
            self.take(")")
            made.append((name or f"{function}_", function, value))
            if self.peek(","):
                self.take()
        if self.peek("by"):
            self.take()
            by = self.assignments(names)
        for row in rows:
            groups.setdefault(tuple(value(row) for _, value in by), []).append(row)
        if not by:
            groups.setdefault((), [])
        out = [dict(zip([name for name, _ in by], key)) | {name: fold(function, value, group) for name, function, value in made} | {"$ingested": 0}
               for key, group in groups.items()]
        return out, [name for name, _ in by] + [name for name, _, _ in made]

    # Expressions.

    def expression(self, names):
        left = self.both(names)
        while self.peek("or"):
            self.take()
            left = (lambda a, b: lambda row: a(row) or b(row))(left, self.both(names))
        return left

    def both(self, names):
        left = self.compared(names)
        while self.peek("and"):
            self.take()
            left = (lambda a, b: lambda row: a(row) and b(row))(left, self.compared(names))
        return left

    def compared(self, names):
        left = self.primary(names)
        if self.peek("==", "!=", "=~", "!~", ">", ">=", "<", "<="):
            sign, right = self.take()[1], self.primary(names)
            return lambda row: compare(left(row), sign, right(row))
        if self.peek(*WORDS):
            word = self.take()[1]
            if word == "between":
                self.take("(")
                low = self.primary(names)
                self.take("..")
                high = self.primary(names)
                self.take(")")
                return lambda row: compare(left(row), ">=", low(row)) and compare(left(row), "<=", high(row))
            if word in ("in", "in~"):
                choices = self.listed(names)
                sign = "==" if word == "in" else "=~"
                return lambda row: any(compare(left(row), sign, one(row)) for one in choices)
            right = self.primary(names)
            test = {"has": lambda a, b: b in a, "contains": lambda a, b: b in a, "startswith": lambda a, b: a.startswith(b)}[word]
            return lambda row: test(str(left(row) or "").lower(), str(right(row)).lower())
        if self.peek("-", "+"):
            sign, right = (1 if self.take()[1] == "+" else -1), self.primary(names)
            return lambda row: Time(left(row) + sign * right(row))
        return left

    def listed(self, names):
        self.take("(")
        found = []
        while not self.peek(")"):
            found.append(self.expression(names))
            if self.peek(","):
                self.take()
        self.take(")")
        return found

    def primary(self, names):
        kind, value = self.take()
        if kind in ("text", "time"):
            return lambda row: value
        if kind == "number":
            number = int(float(value[:-1]) * UNITS[value[-1]] * 10**9) if value[-1] in UNITS else float(value) if "." in value else int(value)
            return lambda row: number
        if value == "(":
            inner = self.expression(names)
            self.take(")")
            return inner
        if self.peek("("):
            return self.function(value, self.listed(names), names)
        if value in ("true", "false"):
            return lambda row: value == "true"
        if value not in names:
            raise QueryError("SEM0100", f"'where' operator: Failed to resolve column or scalar expression named '{value}'")
        if value == "TimeGenerated":
            return lambda row: row[value] if isinstance(row[value], Time) else Time(parse_time(row[value]))
        return lambda row: row.get(value)

    def function(self, name, given, names):
        one = given[0] if given else None
        known = {
            "ingestion_time": lambda row: Time(row["$ingested"]), "now": lambda row: Time(self.now), "not": lambda row: not one(row),
            "ago": lambda row: Time(self.now - one(row)), "isnotempty": lambda row: one(row) not in (None, ""),
            "isempty": lambda row: one(row) in (None, ""), "tolower": lambda row: str(one(row) or "").lower(),
            "tostring": lambda row: text(one(row)), "todatetime": lambda row: Time(parse_time(one(row))),
            "coalesce": lambda row: next((value(row) for value in given if value(row) not in (None, "")), None),
            "strcat": lambda row: "".join(text(value(row)) for value in given),
            "pack_all": lambda row: {column: shown(row.get(column)) for column in names if row.get(column) is not None},
            "column_ifexists": lambda row: row.get(one(row)) if one(row) in names else given[1](row),
        }
        if name not in known:
            raise QueryError("SEM0260", f"Unknown function: '{name}'.")
        return known[name]


def fold(function, value, rows):
    found = [value(row) for row in rows] if value else rows
    return len(found) if function == "count" else {"min": min, "max": max}[function](found, default=None)


def text(value):
    value = shown(value)
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def compare(left, sign, right):
    if left is None or right is None:
        return sign in ("!=", "!~")
    if sign in ("=~", "!~"):
        return (str(left).lower() == str(right).lower()) == (sign == "=~")
    if isinstance(left, str) != isinstance(right, str):
        left, right = str(left), str(right)
    return {"==": left == right, "!=": left != right, ">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[sign]


def shown(value):
    return iso(value, 7) if isinstance(value, Time) else value


def kind_of(values):
    value = next((value for value in values if value is not None), "")
    for kind, name in ((Time, "datetime"), (bool, "bool"), (int, "long"), (float, "real"), ((dict, list), "dynamic")):
        if isinstance(value, kind):
            return name
    return "string"


def run(query, tables, columns, now):
    """Columns as (name, type), and rows; `columns` maps a table to its columns and their types."""
    rows, names = Query(query, tables, columns, now).run()
    types = {name: kind for table in columns.values() for name, kind in table.items()}
    head = [(name, types.get(name) or kind_of(row.get(name) for row in rows)) for name in names]
    body = [[json.dumps(value) if isinstance(value, (dict, list)) else value for value in (shown(row.get(name)) for name in names)] for row in rows]
    return head, body
