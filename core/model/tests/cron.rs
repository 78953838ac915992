//! Expressions from outside: what is read, what is refused and in which words, and when things fire where clocks jump.

use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;
use tidings_model::cron::{Cron, CronError, Field};

#[track_caller]
fn parse(text: &str) -> Cron {
    Cron::parse(text).unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

/// The first firings after `after`, as many as expected, by the clocks of the zone.
#[track_caller]
fn check(zone: Tz, text: &str, after: &str, expected: &[&str]) {
    let cron = parse(text);
    let mut at_ms = DateTime::parse_from_rfc3339(after).expect("a date").timestamp_millis();
    let mut found = Vec::new();
    for _ in expected {
        at_ms = cron.next_after(zone, at_ms).expect("fires again");
        let at = DateTime::from_timestamp_millis(at_ms).expect("a date").with_timezone(&zone);
        found.push(at.to_rfc3339_opts(SecondsFormat::Secs, true));
    }
    assert_eq!(found, expected, "`{text}` in {zone} after {after}");
}

/// Both fire at the same times, for a hundred times.
#[track_caller]
fn check_same(one: &str, other: &str) {
    let (one, other) = (parse(one), parse(other));
    let mut at_ms = 1_700_000_000_000;
    for _ in 0..100 {
        let next_ms = one.next_after(Tz::UTC, at_ms).expect("fires again");
        assert_eq!(Some(next_ms), other.next_after(Tz::UTC, at_ms), "{one:?} and {other:?}");
        at_ms = next_ms;
    }
}

#[track_caller]
fn refused(text: &str) -> String {
    match Cron::parse(text) {
        Ok(_) => panic!("`{text}` is read"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn text_is_kept_and_decides_equality() {
    assert_eq!(parse(" 0 9 * * 1-5\n").as_str(), "0 9 * * 1-5");
    assert_eq!(parse(" 0 9 * * 1-5\n"), parse("0 9 * * 1-5"));
    assert_ne!(parse("@daily"), parse("0 0 * * *"));
}

#[test]
fn fields_are_read_as_crontab_reads_them() {
    for (one, other) in [
        ("*/15 * * * *", "0,15,30,45 * * * *"),
        ("10-40/10 * * * *", "10,20,30,40 * * * *"),
        ("5,1-3,2 * * * *", "1,2,3,5 * * * *"),
        ("0 0 1 JAN,Jul *", "0 0 1 1,7 *"),
        ("0 0 1 jan-MAR *", "0 0 1 1-3 *"),
        ("0 0 * * mon-Fri", "0 0 * * 1-5"),
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * * sun", "0 0 * * 7"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * 1-7/2", "0 0 * * 0,1,3,5"),
        ("0 0 * * */2", "0 0 * * 0,2,4,6"),
        ("0 0 * * 0-7", "0 0 * * *"),
        ("0 12 * * *", "0 0 12 * * *"),
        ("007 0 * * *", "7 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
    ] {
        check_same(one, other);
    }
    for text in ["@yearly", "@annually", "0 0 1 1 *"] {
        check(Tz::UTC, text, "2026-05-01T00:00:00Z", &["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]);
    }
}

#[test]
fn refusals_say_what_was_found_and_what_to_write() {
    for (text, expected) in [
        ("", "expected 5 fields (or 6 with seconds), found 0"),
        ("* * * *", "expected 5 fields (or 6 with seconds), found 4"),
        ("0 0 0 * * * 2026", "expected 5 fields (or 6 with seconds), found 7"),
        ("61 * * * *", "minute: 61 is not in 0-59"),
        ("60 * * * * *", "second: 60 is not in 0-59"),
        ("0 24 * * *", "hour: 24 is not in 0-23"),
        ("0 0 0 * *", "day of month: 0 is not in 1-31"),
        ("0 0 1 13 *", "month: 13 is not in 1-12 or jan-dec"),
        ("0 0 1 juni *", "month: juni is not in 1-12 or jan-dec"),
        ("0 0 * * 8", "weekday: 8 is not in 0-7 or sun-sat"),
        ("0 0 * * monday", "weekday: monday is not in 0-7 or sun-sat"),
        ("0 0 L * *", "day of month: L is not in 1-31"),
        ("0 0 ? * *", "day of month: ? is not in 1-31"),
        ("+5 * * * *", "minute: +5 is not in 0-59"),
        ("-5 * * * *", "minute: -5 is not in 0-59"),
        ("1-2-3 * * * *", "minute: 2-3 is not in 0-59"),
        ("999999999999 * * * *", "minute: 999999999999 is not in 0-59"),
        ("1,,2 * * * *", "minute: empty item in 1,,2"),
        ("*/0 * * * *", "minute: step 0 is not in 1-60"),
        ("*/ * * * *", "minute: step */ is not in 1-60"),
        ("*/90 * * * *", "minute: step 90 is not in 1-60"),
        ("0 0 * * */8", "weekday: step 8 is not in 1-7"),
        ("*/x * * * *", "minute: step x is not in 1-60"),
        ("5/15 * * * *", "minute: 5/15 has a step without a range; write 5-59/15"),
        ("0 0 * * 7/2", "weekday: 7/2 has a step without a range; write 0-6/2"),
        ("0 22-6 * * *", "hour: range 22-6 wraps; write 22-23,0-6"),
        ("0 23-0 * * *", "hour: range 23-0 wraps; write 23,0"),
        ("0 21-6/2 * * *", "hour: range 21-6/2 wraps; write 21-23/2,1-6/2"),
        ("0 22-1/5 * * *", "hour: range 22-1/5 wraps; write 22"),
        ("0 0 1 nov-feb *", "month: range nov-feb wraps; write 11-12,1-2"),
        ("0 0 * * fri-mon", "weekday: range fri-mon wraps; write 5-6,0-1"),
        ("0 0 * * fri-sun", "weekday: range fri-sun wraps; write 5-7"),
        ("0 0 * * 7-2", "weekday: range 7-2 wraps; write 0-2"),
        ("0 0 30 2 *", "day of month: 30 in month 2: no such date in the next eight years"),
        ("0 0 31 4,jun *", "day of month: 31 in month 4,jun: no such date in the next eight years"),
        ("@reboot", "@reboot is not a time and every node would have its own; write a time, or @every with a duration"),
        (
            "@dayly",
            "expected @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or @every 1h30m, found @dayly",
        ),
        ("@every", "@every: expected a duration such as 90s, 5m, 2h or 1h30m, found nothing"),
        ("@every 90", "@every: expected a duration such as 90s, 5m, 2h or 1h30m, found 90"),
        ("@every 30m1h", "@every: expected a duration such as 90s, 5m, 2h or 1h30m, found 30m1h"),
        ("@every 1h 30m", "@every: expected a duration such as 90s, 5m, 2h or 1h30m, found 1h 30m"),
        ("@every 500ms", "@every: expected a duration such as 90s, 5m, 2h or 1h30m, found 500ms"),
        ("@every 0s", "@every: 0s is not in 1s-8784h"),
        ("@every 8785h", "@every: 8785h is not in 1s-8784h"),
        ("@every 99999999999h", "@every: 99999999999h is not in 1s-8784h"),
    ] {
        assert_eq!(refused(text), expected, "`{text}`");
    }
    assert_eq!(refused(&"1,".repeat(600)), "expected at most 1024 bytes, found 1200");
    assert_eq!(Cron::parse("0 24 * * *"), Err(CronError::Value { field: Field::Hour, found: "24".into() }));
}

// The tables below were compared with croniter 7.0.0 (PyPI), `implement_cron_bug=True` for vixie-cron's star flag. It
// agrees but for three things, each meant:
// - a fixed time in a fold: croniter fires in both passes, we in the first (cron(8): "not be repeated");
// - a wildcard job whose times are all in a gap (`*/30 2 * * *`): croniter fires at the end of the gap, we do not;
// - `@every` is unknown to it, and its calendar goes on after 2100.

#[test]
fn utc_follows_the_calendar() {
    for (text, after, expected) in [
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"][..]),
        (
            "0 9 1,15 * 1",
            "2026-06-01T09:00:00Z",
            &["2026-06-08T09:00:00Z", "2026-06-15T09:00:00Z", "2026-06-22T09:00:00Z", "2026-06-29T09:00:00Z"][..],
        ),
        (
            "0 9 */2 * 1",
            "2026-06-01T09:00:00Z",
            &["2026-06-15T09:00:00Z", "2026-06-29T09:00:00Z", "2026-07-13T09:00:00Z", "2026-07-27T09:00:00Z"][..],
        ),
        (
            "0 9 1,15 * */2",
            "2026-06-01T09:00:00Z",
            &["2026-08-01T09:00:00Z", "2026-08-15T09:00:00Z", "2026-09-01T09:00:00Z", "2026-09-15T09:00:00Z"][..],
        ),
        (
            "0 0 31 * *",
            "2026-01-31T00:00:00Z",
            &["2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z", "2026-07-31T00:00:00Z"][..],
        ),
        (
            "*/20 30 23 31 12 *",
            "2026-12-31T23:30:19Z",
            &["2026-12-31T23:30:20Z", "2026-12-31T23:30:40Z", "2027-12-31T23:30:00Z"][..],
        ),
        ("0 0 25 12 */7", "2026-01-01T00:00:00Z", &["2033-12-25T00:00:00Z", "2039-12-25T00:00:00Z"][..]),
        ("0 0 29 2 */7", "2026-01-01T00:00:00Z", &["2032-02-29T00:00:00Z", "2060-02-29T00:00:00Z"][..]),
        (
            "@every 90s",
            "2026-01-01T00:00:00Z",
            &["2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z", "2026-01-01T00:04:30Z"][..],
        ),
        (
            "@every 1h30m",
            "2026-01-01T00:00:00Z",
            &["2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z", "2026-01-01T04:30:00Z"][..],
        ),
        (
            "*/7 * * * *",
            "2026-01-01T00:50:00Z",
            &["2026-01-01T00:56:00Z", "2026-01-01T01:00:00Z", "2026-01-01T01:07:00Z", "2026-01-01T01:14:00Z"][..],
        ),
        (
            "0 0 * * 1-5",
            "2026-01-01T00:00:00Z",
            &["2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z", "2026-01-07T00:00:00Z"][..],
        ),
    ] {
        check(Tz::UTC, text, after, expected);
    }
}

#[test]
fn shanghai_has_local_days_and_had_summer_time_in_1986() {
    for (text, after, expected) in [
        (
            "0 9 * * 1-5",
            "2026-01-01T00:00:00Z",
            &[
                "2026-01-01T09:00:00+08:00",
                "2026-01-02T09:00:00+08:00",
                "2026-01-05T09:00:00+08:00",
                "2026-01-06T09:00:00+08:00",
            ][..],
        ),
        ("0 0 1 * *", "2026-01-31T15:59:59Z", &["2026-02-01T00:00:00+08:00", "2026-03-01T00:00:00+08:00"][..]),
        (
            "30 2 * * *",
            "1986-05-03T00:00:00Z",
            &["1986-05-04T03:00:00+09:00", "1986-05-05T02:30:00+09:00", "1986-05-06T02:30:00+09:00"][..],
        ),
        (
            "30 1 * * *",
            "1986-09-13T10:00:00Z",
            &["1986-09-14T01:30:00+09:00", "1986-09-15T01:30:00+08:00", "1986-09-16T01:30:00+08:00"][..],
        ),
    ] {
        check(Tz::Asia__Shanghai, text, after, expected);
    }
}

#[test]
fn new_york_jumps_at_two() {
    for (text, after, expected) in [
        (
            "30 2 * * *",
            "2026-03-06T12:00:00Z",
            &[
                "2026-03-07T02:30:00-05:00",
                "2026-03-08T03:00:00-04:00",
                "2026-03-09T02:30:00-04:00",
                "2026-03-10T02:30:00-04:00",
            ][..],
        ),
        (
            "0,30 2,3 * * *",
            "2026-03-07T12:00:00Z",
            &[
                "2026-03-08T03:00:00-04:00",
                "2026-03-08T03:30:00-04:00",
                "2026-03-09T02:00:00-04:00",
                "2026-03-09T02:30:00-04:00",
                "2026-03-09T03:00:00-04:00",
            ][..],
        ),
        (
            "0 1,2 * * *",
            "2026-03-07T12:00:00Z",
            &[
                "2026-03-08T01:00:00-05:00",
                "2026-03-08T03:00:00-04:00",
                "2026-03-09T01:00:00-04:00",
                "2026-03-09T02:00:00-04:00",
                "2026-03-10T01:00:00-04:00",
            ][..],
        ),
        (
            "*/30 * * * *",
            "2026-03-08T06:00:00Z",
            &[
                "2026-03-08T01:30:00-05:00",
                "2026-03-08T03:00:00-04:00",
                "2026-03-08T03:30:00-04:00",
                "2026-03-08T04:00:00-04:00",
            ][..],
        ),
        (
            "*/30 2 * * *",
            "2026-03-07T12:00:00Z",
            &["2026-03-09T02:00:00-04:00", "2026-03-09T02:30:00-04:00", "2026-03-10T02:00:00-04:00"][..],
        ),
        (
            "0 * * * *",
            "2026-03-08T06:00:00Z",
            &["2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00", "2026-03-08T05:00:00-04:00"][..],
        ),
        (
            "30 1 * * *",
            "2026-10-31T12:00:00Z",
            &["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00", "2026-11-03T01:30:00-05:00"][..],
        ),
        (
            "0,30 1 * * *",
            "2026-10-31T12:00:00Z",
            &[
                "2026-11-01T01:00:00-04:00",
                "2026-11-01T01:30:00-04:00",
                "2026-11-02T01:00:00-05:00",
                "2026-11-02T01:30:00-05:00",
            ][..],
        ),
        (
            "*/30 1 * * *",
            "2026-10-31T12:00:00Z",
            &[
                "2026-11-01T01:00:00-04:00",
                "2026-11-01T01:30:00-04:00",
                "2026-11-01T01:00:00-05:00",
                "2026-11-01T01:30:00-05:00",
                "2026-11-02T01:00:00-05:00",
                "2026-11-02T01:30:00-05:00",
            ][..],
        ),
        (
            "0 * * * *",
            "2026-11-01T04:00:00Z",
            &[
                "2026-11-01T01:00:00-04:00",
                "2026-11-01T01:00:00-05:00",
                "2026-11-01T02:00:00-05:00",
                "2026-11-01T03:00:00-05:00",
            ][..],
        ),
        ("30 1 * * *", "2026-11-01T06:10:00Z", &["2026-11-02T01:30:00-05:00", "2026-11-03T01:30:00-05:00"][..]),
        (
            "*/45 * * * *",
            "2026-11-01T05:30:00Z",
            &[
                "2026-11-01T01:45:00-04:00",
                "2026-11-01T01:00:00-05:00",
                "2026-11-01T01:45:00-05:00",
                "2026-11-01T02:00:00-05:00",
                "2026-11-01T02:45:00-05:00",
            ][..],
        ),
    ] {
        check(Tz::America__New_York, text, after, expected);
    }
}

#[test]
fn berlin_jumps_at_two_to_three() {
    for (text, after, expected) in [
        (
            "30 2 * * *",
            "2026-03-27T12:00:00Z",
            &[
                "2026-03-28T02:30:00+01:00",
                "2026-03-29T03:00:00+02:00",
                "2026-03-30T02:30:00+02:00",
                "2026-03-31T02:30:00+02:00",
            ][..],
        ),
        (
            "30 2 * * *",
            "2026-10-23T12:00:00Z",
            &[
                "2026-10-24T02:30:00+02:00",
                "2026-10-25T02:30:00+02:00",
                "2026-10-26T02:30:00+01:00",
                "2026-10-27T02:30:00+01:00",
            ][..],
        ),
        (
            "* * * * *",
            "2026-03-29T00:58:00Z",
            &["2026-03-29T01:59:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:01:00+02:00"][..],
        ),
        (
            "* * * * *",
            "2026-10-25T00:58:00Z",
            &["2026-10-25T02:59:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:01:00+01:00"][..],
        ),
        ("0 3 * * *", "2026-10-24T12:00:00Z", &["2026-10-25T03:00:00+01:00", "2026-10-26T03:00:00+01:00"][..]),
        ("@every 2h", "2026-03-29T00:00:00Z", &["2026-03-29T04:00:00+02:00", "2026-03-29T06:00:00+02:00"][..]),
        ("0 2 25-31 3 */7", "2026-01-01T00:00:00Z", &["2026-03-29T03:00:00+02:00", "2027-03-28T03:00:00+02:00"][..]),
    ] {
        check(Tz::Europe__Berlin, text, after, expected);
    }
}

#[test]
fn lord_howe_jumps_half_an_hour() {
    for (text, after, expected) in [
        (
            "15 2 * * *",
            "2026-10-02T16:00:00Z",
            &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00", "2026-10-06T02:15:00+11:00"][..],
        ),
        (
            "45 1 * * *",
            "2026-04-03T16:00:00Z",
            &["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30", "2026-04-07T01:45:00+10:30"][..],
        ),
        (
            "*/15 * * * *",
            "2026-10-03T15:00:00Z",
            &["2026-10-04T01:45:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-04T02:45:00+11:00"][..],
        ),
        (
            "*/15 * * * *",
            "2026-04-04T14:15:00Z",
            &[
                "2026-04-05T01:30:00+11:00",
                "2026-04-05T01:45:00+11:00",
                "2026-04-05T01:30:00+10:30",
                "2026-04-05T01:45:00+10:30",
                "2026-04-05T02:00:00+10:30",
                "2026-04-05T02:15:00+10:30",
            ][..],
        ),
    ] {
        check(Tz::Australia__Lord_Howe, text, after, expected);
    }
}

#[test]
fn sao_paulo_jumped_at_midnight() {
    for (text, after, expected) in [
        (
            "0 0 * * *",
            "2018-11-02T12:00:00Z",
            &[
                "2018-11-03T00:00:00-03:00",
                "2018-11-04T01:00:00-02:00",
                "2018-11-05T00:00:00-02:00",
                "2018-11-06T00:00:00-02:00",
            ][..],
        ),
        (
            "15,45 0 * * *",
            "2018-11-03T12:00:00Z",
            &["2018-11-04T01:00:00-02:00", "2018-11-05T00:15:00-02:00", "2018-11-05T00:45:00-02:00"][..],
        ),
        (
            "30 23 * * *",
            "2019-02-15T12:00:00Z",
            &[
                "2019-02-15T23:30:00-02:00",
                "2019-02-16T23:30:00-02:00",
                "2019-02-17T23:30:00-03:00",
                "2019-02-18T23:30:00-03:00",
            ][..],
        ),
        (
            "*/30 23 * * *",
            "2019-02-16T12:00:00Z",
            &[
                "2019-02-16T23:00:00-02:00",
                "2019-02-16T23:30:00-02:00",
                "2019-02-16T23:00:00-03:00",
                "2019-02-16T23:30:00-03:00",
                "2019-02-17T23:00:00-03:00",
            ][..],
        ),
    ] {
        check(Tz::America__Sao_Paulo, text, after, expected);
    }
}

#[test]
fn apia_skipped_the_30th_of_december_2011() {
    for (text, after, expected) in [
        (
            "0 12 * * *",
            "2011-12-28T22:00:00Z",
            &[
                "2011-12-29T12:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
                "2011-12-31T12:00:00+14:00",
                "2012-01-01T12:00:00+14:00",
            ][..],
        ),
        ("0 6,12,18 30 12 *", "2011-12-01T00:00:00Z", &["2011-12-31T00:00:00+14:00", "2012-12-30T06:00:00+14:00"][..]),
        (
            "0 0 * * *",
            "2011-12-29T00:00:00Z",
            &["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"][..],
        ),
        (
            "0 */6 * * *",
            "2011-12-30T03:00:00Z",
            &[
                "2011-12-29T18:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
                "2011-12-31T06:00:00+14:00",
                "2011-12-31T12:00:00+14:00",
            ][..],
        ),
        (
            "30 9 * * 5",
            "2011-12-20T00:00:00Z",
            &["2011-12-23T09:30:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-06T09:30:00+14:00"][..],
        ),
        (
            "30 3 * * *",
            "2011-09-23T00:00:00Z",
            &["2011-09-23T03:30:00-11:00", "2011-09-24T04:00:00-10:00", "2011-09-25T03:30:00-10:00"][..],
        ),
    ] {
        check(Tz::Pacific__Apia, text, after, expected);
    }
}

#[test]
fn next_is_strictly_after_to_the_millisecond() {
    let cron = parse("0 * * * *");
    for (after_ms, expected_ms) in [(-1, 0), (0, 3_600_000), (3_599_999, 3_600_000), (3_600_000, 7_200_000)] {
        assert_eq!(cron.next_after(Tz::UTC, after_ms), Some(expected_ms), "after {after_ms}");
    }
}

#[test]
fn calendar_is_from_1970_to_2100() {
    let cron = parse("0 0 1 1 *");
    let begin_of_2100_ms = 4_102_444_800_000;
    assert_eq!(cron.next_after(Tz::UTC, i64::MIN), Some(0));
    assert_eq!(cron.next_after(Tz::UTC, begin_of_2100_ms - 1), Some(begin_of_2100_ms));
    assert_eq!(cron.next_after(Tz::UTC, begin_of_2100_ms), None);
    assert_eq!(cron.next_after(Tz::UTC, i64::MAX), None);
}

#[test]
fn every_counts_from_the_epoch_whatever_the_zone() {
    let cron = parse("@every 1h30m");
    for zone in [Tz::UTC, Tz::Asia__Kathmandu] {
        assert_eq!(cron.next_after(zone, -1), Some(0));
        assert_eq!(cron.next_after(zone, 0), Some(5_400_000));
        assert_eq!(cron.next_after(zone, -5_400_001), Some(-5_400_000));
        assert_eq!(cron.next_after(zone, i64::MAX), None);
    }
}

#[test]
fn wildcard_firing_that_is_always_in_the_gap_is_searched_for_to_the_end() {
    // The last Sunday of March, between two and three: in Berlin no clock ever shows it while there is summer time. The
    // time zone data end with the year 2099, so the search comes out in 2100.
    check(Tz::Europe__Berlin, "*/5 2 25-31 3 */7", "2026-01-01T00:00:00Z", &["2100-03-28T02:00:00+01:00"]);
}
