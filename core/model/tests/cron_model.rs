//! Firings against a model: every minute of a month put through a matcher of its own, by a clock as vixie-cron runs it.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use proptest::sample::select;
use tidings_model::Timestamp;
use tidings_model::cron::{Cron, Language, jitter};

/// Zones whose offsets are whole minutes since 1980, with gaps and folds of half an hour, an hour and a day.
const ZONES: &[Tz] = &[
    Tz::UTC,
    Tz::Asia__Shanghai,
    Tz::America__New_York,
    Tz::America__Sao_Paulo,
    Tz::Europe__Berlin,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Apia,
    Tz::Pacific__Kwajalein,
    Tz::Africa__Casablanca,
    Tz::Antarctica__Troll,
];

proptest! {
    #[test]
    fn a_firing_is_after_the_instant_it_was_asked_for(
        text in expressions(),
        zone in select(&TZ_VARIANTS[..]),
        after_ms in prop_oneof![any::<i64>(), -100_000_000_000_i64..4_200_000_000_000],
    ) {
        if let Ok(cron) = Cron::parse(&text)
            && let Some(next_ms) = cron.next_after(zone, after_ms)
        {
            prop_assert!(next_ms > after_ms);
            prop_assert_eq!(cron.next_after(zone, next_ms - 1), Some(next_ms));
        }
    }
}

proptest! {
    // A case walks through a thousand firings, and the days between them.
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn firings_are_counted_as_they_come_one_by_one(
        text in expressions_with_seconds(),
        zone in select(ZONES),
        after_s in 315_532_800_i64..2_524_608_000,
        most in 0_usize..40,
    ) {
        let Ok(cron) = Cron::parse(&text) else {
            return Err(TestCaseError::reject("no such date"));
        };
        let after_ms = after_s * 1000;
        let first = cron.next_after(zone, after_ms);
        let all: Vec<i64> = std::iter::successors(first, |at| cron.next_after(zone, *at)).take(1000).collect();
        let until_ms = all.last().map_or(after_ms, |at| *at);
        prop_assert_eq!(cron.count(zone, after_ms, until_ms), all.len() as u64);
        prop_assert_eq!(cron.count(zone, after_ms, until_ms - 1), all.len().saturating_sub(1) as u64);
        let last = cron.last(zone, after_ms, until_ms, most);
        prop_assert_eq!(&last[..], &all[all.len() - most.min(all.len())..]);
    }

    #[test]
    fn every_expression_has_words_in_both_languages(text in expressions_with_seconds()) {
        if let Ok(cron) = Cron::parse(&text) {
            for language in [Language::English, Language::Chinese] {
                let words = cron.words(language);
                prop_assert!(!words.is_empty() && words.trim() == words && !words.contains("  "), "{} is {:?}", text, words);
            }
        }
    }

    #[test]
    fn jitter_is_below_its_bound_before_the_next_time_and_the_same_again(
        name in "[a-z]{1,8}",
        nominal in any::<i32>(),
        gap_ms in 1_i64..100_000,
        most_ms in 0_u64..100_000,
    ) {
        let nominal = Timestamp(i64::from(nominal) * 1000);
        let (next, most) = (Timestamp(nominal.0 + gap_ms), Duration::from_millis(most_ms));
        let found = jitter(&name, nominal, Some(next), most);
        prop_assert!(nominal.after(found) < next && (found < most || most.is_zero()));
        prop_assert_eq!(jitter(&name, nominal, Some(next), most), found);
    }
}

proptest! {
    // A case walks a year by the minute.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn firings_of_a_year_are_its_minutes_that_match(text in expressions(), zone in select(ZONES), year in 1980..2050) {
        check(&text, zone, year, 1, 366)?;
    }
}

proptest! {
    // A case walks a month by the minute.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn firings_of_a_month_are_its_minutes_that_match(
        text in expressions(),
        zone in select(ZONES),
        year in 1980..2050,
        month in 1_u32..=12,
    ) {
        check(&text, zone, year, month, 31)?;
    }

    #[test]
    fn firings_of_december_2011_in_apia_are_its_minutes_that_match(text in expressions()) {
        check(&text, Tz::Pacific__Apia, 2011, 12, 31)?;
    }
}

fn check(text: &str, zone: Tz, year: i32, month: u32, days: i64) -> Result<(), TestCaseError> {
    let Ok(cron) = Cron::parse(text) else {
        return Err(TestCaseError::reject("no such date"));
    };
    let begin = NaiveDate::from_ymd_opt(year, month, 1).expect("a date").and_time(Default::default()).and_utc();
    let end = begin + TimeDelta::days(days);

    let mut found = Vec::new();
    let mut at_ms = begin.timestamp_millis() - 1;
    while let Some(next_ms) = cron.next_after(zone, at_ms).filter(|next_ms| *next_ms < end.timestamp_millis()) {
        found.push(DateTime::from_timestamp_millis(next_ms).expect("a date").with_timezone(&zone));
        at_ms = next_ms;
    }
    prop_assert_eq!(found, Model::new(text).firings(zone, begin.with_timezone(&zone), end.with_timezone(&zone)));
    Ok(())
}

struct Model<'a> {
    fields: Vec<&'a str>,
    minutes: Vec<bool>,
    hours: Vec<bool>,
}

impl Model<'_> {
    fn new(text: &str) -> Model<'_> {
        let fields: Vec<&str> = text.split(' ').collect();
        let minutes = (0..60).map(|minute| admits(fields[0], minute, 0)).collect();
        let hours = (0..24).map(|hour| admits(fields[1], hour, 0)).collect();
        Model { fields, minutes, hours }
    }

    /// A clock goes through the minutes. A wildcard job runs when what it shows matches; another when it first shows,
    /// or has passed, a time that matches.
    fn firings(&self, zone: Tz, begin: DateTime<Tz>, end: DateTime<Tz>) -> Vec<DateTime<Tz>> {
        let minute = TimeDelta::minutes(1);
        let wildcard = self.fields[0].starts_with('*') || self.fields[1].starts_with('*');
        let mut fired = Vec::new();
        // Early enough to be in no fold that reaches into the month.
        let mut at = begin - TimeDelta::days(2);
        let mut shown = at.naive_local();
        while at < end {
            let wall = at.naive_local();
            let mut matches = wildcard && self.matches(wall);
            while shown < wall {
                shown += minute;
                matches |= !wildcard && self.matches(shown);
            }
            if matches && at >= begin {
                fired.push(at);
            }
            at = (at + minute).with_timezone(&zone);
        }
        fired
    }

    fn matches(&self, wall: NaiveDateTime) -> bool {
        let time = self.minutes[index(wall.minute())] && self.hours[index(wall.hour())];
        time && self.date_matches(wall.date())
    }

    fn date_matches(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        let by_day = admits(self.fields[2], date.day(), 1);
        let by_weekday = admits(self.fields[4], weekday, 0) || weekday == 0 && admits(self.fields[4], 7, 0);
        let both = self.fields[2].starts_with('*') || self.fields[4].starts_with('*');
        let day = if both { by_day && by_weekday } else { by_day || by_weekday };
        day && admits(self.fields[3], date.month(), 1)
    }
}

/// `value` is in the list; `*` counts from `low`.
fn admits(list: &str, value: u32, low: u32) -> bool {
    list.split(',').any(|item| {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (low, 99),
            Some((first, last)) => (number(first), number(last)),
            None => (number(range), number(range)),
        };
        (first..=last).contains(&value) && (value - first).is_multiple_of(number(step))
    })
}

fn number(text: &str) -> u32 {
    text.parse().expect("digits")
}

fn index(value: u32) -> usize {
    usize::try_from(value).expect("small")
}

fn expressions() -> impl Strategy<Value = String> {
    let fields = (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7));
    fields.prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

/// Some of them with seconds, some by the second.
fn expressions_with_seconds() -> impl Strategy<Value = String> {
    let second = prop_oneof![3 => Just(String::new()), 1 => field(0, 59).prop_map(|second| format!("{second} "))];
    let every = (1..100_000_u32).prop_map(|seconds| format!("@every {seconds}s"));
    prop_oneof![8 => (second, expressions()).prop_map(|(second, rest)| second + &rest), 1 => every]
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    let size = high - low + 1;
    let size = if high == 7 { 7 } else { size };
    let range = (low..=high, low..=high).prop_map(|(one, other)| format!("{}-{}", one.min(other), one.max(other)));
    let item = prop_oneof![
        2 => Just("*".to_owned()),
        2 => (1..=size).prop_map(|step| format!("*/{step}")),
        4 => (low..=high).prop_map(|value| value.to_string()),
        2 => range.clone(),
        1 => (range, 1..=size).prop_map(|(range, step)| format!("{range}/{step}")),
    ];
    prop_oneof![
        2 => Just("*".to_owned()),
        3 => proptest::collection::vec(item, 1..4).prop_map(|items| items.join(",")),
    ]
}
