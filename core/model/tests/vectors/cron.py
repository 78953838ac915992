#!/usr/bin/env python3
"""Makes cron.json: when expressions fire next around changes of clocks, as croniter has it.

croniter shares no code with ours. It is no vixie-cron, though: where clocks change it has rules of its own. So each of its
answers stands beside that of a clock that is walked here minute by minute, as cron(8) describes it, and what differs is
named. To make the file again:

    python3 -m venv croniter && croniter/bin/pip install croniter==7.0.0 tzdata==2026.6
    croniter/bin/python core/model/tests/vectors/cron.py > core/model/tests/vectors/cron.json
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from croniter import croniter

MINUTE = timedelta(minutes=1)
# The walk ends there: what is rarer is croniter's word alone.
WALK_DAYS = 45

# A zone and the instants at which its clocks change, in UTC; of those that have none, any instant.
CHANGES = {
    "UTC": ["2024-02-28T23:00", "2023-12-31T23:30"],
    "America/New_York": ["2024-03-10T07:00", "2024-11-03T06:00"],
    "Europe/Berlin": ["2024-03-31T01:00", "2024-10-27T01:00"],
    # Half an hour.
    "Australia/Lord_Howe": ["2024-10-05T15:30", "2024-04-06T15:00"],
    # A whole day, 30 December 2011, and an hour.
    "Pacific/Apia": ["2011-12-30T10:00", "2011-04-02T14:00"],
    # At midnight.
    "America/Sao_Paulo": ["2018-11-04T03:00", "2018-02-18T02:00"],
    # The last summer time of China, and none since.
    "Asia/Shanghai": ["1991-04-13T18:00", "1991-09-14T17:00", "2024-06-30T16:00"],
}

BEFORE = [timedelta(hours=26), timedelta(minutes=91), timedelta(minutes=1), timedelta(minutes=-31)]

EXPRESSIONS = [
    "* * * * *", "*/15 * * * *", "0 * * * *", "0 0 * * *", "30 0 * * *", "15 1 * * *", "30 1 * * *", "0 2 * * *",
    "15 2 * * *", "30 2 * * *", "0 3 * * *", "59 23 * * *", "5,35 0-3 * * *", "0 */2 * * *", "*/20 1-3 * * *",
    "0 9 * * 1-5", "0 0 * * 7", "0 0 1 * *", "0 12 30 12 *", "30 2 13 * 5", "0 9 */2 * 1", "0 0 29 2 *",
]


def admits(field, value, low, high):
    for item in field.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            first, last = low, high
        else:
            first, _, last = span.partition("-")
            first, last = int(first), int(last or first)
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


def matches(fields, wall):
    minute, hour, day, month, weekday = fields
    if not (admits(minute, wall.minute, 0, 59) and admits(hour, wall.hour, 0, 23) and admits(month, wall.month, 1, 12)):
        return False
    number = wall.isoweekday() % 7
    by_day = admits(day, wall.day, 1, 31)
    by_weekday = admits(weekday, number, 0, 7) or (number == 0 and admits(weekday, 7, 0, 7))
    # vixie-cron's flag: the field starts with a star, whatever follows.
    if day.startswith("*") or weekday.startswith("*"):
        return by_day and by_weekday
    return by_day or by_weekday


def walk(expression, zone, after):
    """The clock of cron(8): a job with a star in minute or hour follows it as it shows; another runs once for each time,
    at the first instant that shows it or is past it."""
    fields = expression.split()
    wildcard = fields[0].startswith("*") or fields[1].startswith("*")
    at = after - timedelta(days=2)
    shown = at.astimezone(zone).replace(tzinfo=None)
    for _ in range(WALK_DAYS * 24 * 60):
        wall = at.astimezone(zone).replace(tzinfo=None)
        fires = wildcard and matches(fields, wall)
        while shown < wall:
            shown += MINUTE
            fires = fires or (not wildcard and matches(fields, shown))
        if fires and at > after:
            return at
        at += MINUTE
    return None


def named(expression, zone, ours, theirs):
    """Why the two differ."""
    fields = expression.split()
    if fields[2].startswith("*/") and fields[4] != "*":
        return "a day of month that starts with a star"
    wildcard = fields[0].startswith("*") or fields[1].startswith("*")
    kind = "a wildcard" if wildcard else "a plain time"
    early, late = min(ours, theirs), max(ours, theirs)
    offsets = {(early + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in range(-27, 28)}
    offsets |= {at.astimezone(zone).utcoffset() for at in (early, late)}
    if len(offsets) == 1:
        return "?"
    first = (early - timedelta(hours=27)).astimezone(zone).utcoffset()
    last = (early + timedelta(hours=27)).astimezone(zone).utcoffset()
    return f"{kind} near a gap" if last > first else f"{kind} near a fold"


def main():
    rows = []
    for name, changes in CHANGES.items():
        zone = ZoneInfo(name)
        for change in changes:
            for before in BEFORE:
                after = datetime.fromisoformat(change).replace(tzinfo=timezone.utc) - before
                for expression in EXPRESSIONS:
                    theirs = croniter(expression, after.astimezone(zone)).get_next(datetime).astimezone(timezone.utc)
                    text = lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ")
                    row = [expression, name, text(after), text(theirs)]
                    ours = walk(expression, zone, after) if theirs - after < timedelta(days=WALK_DAYS - 5) else theirs
                    if ours is None:
                        sys.exit(f"{row}: the walk found nothing")
                    if ours != theirs:
                        row += [text(ours), named(expression, zone, ours, theirs)]
                    rows.append(row)
    print("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]")


main()
