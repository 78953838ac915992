//! What the ledger is good for: how many sends one recipient can get, and how many people can be reached until when.
//!
//! Nobody sends and nothing arrives in a forecast: it says what is left of today's permits on a later day. What may be
//! bound is what the claim says may be bound ([`usable_until`], [`fits`]); there is no second opinion here.

use std::time::Duration;

use crate::credential::{fits, usable_until};
use crate::time::Timestamp;

/// Days a forecast looks ahead.
pub const FORECAST_DAYS: usize = 30;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a template asks of a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its channel's sources, and how long before its end a permit of each is no longer bound.
    pub sources: Vec<(String, Duration)>,
    /// The provider's scope of it.
    pub scope: String,
}

/// A free permit of some recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<'a> {
    /// Its source.
    pub source: &'a str,
    /// The one scope it is for; `None` for any.
    pub scope: Option<&'a str>,
    /// Messages it carries.
    pub uses: u32,
    /// When it ends; `None` never.
    pub expires_at: Option<Timestamp>,
}

/// What permits of one recipient come to for one template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// How many messages they carry.
    pub sends: u64,
    /// When the last of them can no longer be bound; `None` for ever.
    pub until: Option<Timestamp>,
}

impl Wanted {
    /// Until when that permit can be bound to a message of the template, the inner `None` for ever. The outer `None` if
    /// it cannot be now.
    pub fn until(&self, held: &Held<'_>, now: Timestamp) -> Option<Option<Timestamp>> {
        let (_, margin) = self.sources.iter().find(|(source, _)| source == held.source)?;
        let until = usable_until(held.expires_at, *margin);
        let usable = held.uses > 0 && fits(held.scope, &self.scope) && until.is_none_or(|until| now < until);
        usable.then_some(until)
    }

    /// What these permits of one recipient come to; `None` if none can be bound now.
    pub fn reach(&self, held: &[Held<'_>], now: Timestamp) -> Option<Reach> {
        let mut reach: Option<Reach> = None;
        for permit in held {
            let Some(until) = self.until(permit, now) else { continue };
            let sends = u64::from(permit.uses);
            reach = Some(match reach {
                None => Reach { sends, until },
                Some(before) => Reach {
                    sends: before.sends + sends,
                    until: before.until.zip(until).map(|(one, other)| one.max(other)),
                },
            });
        }
        reach
    }
}

/// What runs out in the course of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Day {
    /// People whose last permit it is that can no longer be bound.
    pub people_lost: u64,
    /// Messages that those permits would have carried which end.
    pub sends_lost: u64,
}

/// How many people can be reached with one template, and what runs out when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The instant it is for.
    pub now: Timestamp,
    /// People with a permit that can be bound now.
    pub people: u64,
    /// Messages that all those permits carry.
    pub sends: u64,
    /// People with a permit that has no end.
    pub people_without_end: u64,
    /// What runs out, by days of 24 hours from `now`.
    pub days: [Day; FORECAST_DAYS],
}

impl Forecast {
    /// Of nobody.
    pub fn new(now: Timestamp) -> Forecast {
        Forecast { now, people: 0, sends: 0, people_without_end: 0, days: [Day::default(); FORECAST_DAYS] }
    }

    /// Counts one recipient with all free permits of the template's app.
    pub fn count(&mut self, wanted: &Wanted, held: &[Held<'_>]) {
        let Some(reach) = wanted.reach(held, self.now) else { return };
        self.people += 1;
        self.sends += reach.sends;
        match reach.until {
            None => self.people_without_end += 1,
            Some(until) => {
                if let Some(day) = self.day(until) {
                    day.people_lost += 1;
                }
            }
        }
        for permit in held {
            if let Some(Some(until)) = wanted.until(permit, self.now)
                && let Some(day) = self.day(until)
            {
                day.sends_lost += u64::from(permit.uses);
            }
        }
    }

    /// People who can still be reached when so many days are over, if nobody sends and nothing arrives.
    pub fn people_after(&self, days: usize) -> u64 {
        self.people - self.days.iter().take(days).map(|day| day.people_lost).sum::<u64>()
    }

    /// The day at whose end what can be bound before `until` no longer can.
    fn day(&mut self, until: Timestamp) -> Option<&mut Day> {
        let before = until.since(self.now).saturating_sub(Duration::from_millis(1));
        let index = usize::try_from(before.as_millis() / DAY.as_millis()).ok()?;
        self.days.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::credential::{Need, Permit, bind, is_usable};

    const NOON: Timestamp = Timestamp(1_700_000_000_000);
    const MARGINS: [(&str, Duration); 2] = [("a.one", Duration::from_secs(86_400)), ("a.two", Duration::ZERO)];

    fn wanted() -> Wanted {
        let sources = MARGINS.map(|(source, margin)| (source.to_owned(), margin)).to_vec();
        Wanted { sources, scope: "t".to_owned() }
    }

    fn held(source: &str, hours: Option<u32>) -> Held<'_> {
        Held {
            source,
            scope: None,
            uses: 1,
            expires_at: hours.map(|hours| NOON.after(Duration::from_secs(3600) * hours)),
        }
    }

    #[test]
    fn a_person_is_reached_until_the_last_permit_can_no_longer_be_bound() {
        let reach = wanted().reach(&[held("a.one", Some(72)), held("a.two", Some(30))], NOON).unwrap();
        assert_eq!(reach, Reach { sends: 2, until: Some(NOON.after(DAY * 2)) });
        let ever = wanted().reach(&[held("a.one", Some(72)), held("a.two", None)], NOON).unwrap();
        assert_eq!(ever, Reach { sends: 2, until: None });
        assert_eq!(wanted().reach(&[held("a.one", Some(24)), held("a.other", None)], NOON), None);
    }

    #[test]
    fn what_ends_with_a_day_is_lost_on_that_day_and_not_on_the_next() {
        let mut forecast = Forecast::new(NOON);
        for hours in [1, 24, 25, 24 * 30, 24 * 30 + 1] {
            forecast.count(&wanted(), &[held("a.two", Some(hours))]);
        }
        forecast.count(&wanted(), &[held("a.two", None)]);
        assert_eq!((forecast.people, forecast.people_without_end), (6, 1));
        assert_eq!(forecast.days[0], Day { people_lost: 2, sends_lost: 2 });
        assert_eq!(forecast.days[1].people_lost, 1);
        assert_eq!(forecast.days[29].people_lost, 1);
        assert_eq!([0, 1, 2, 29, 30].map(|days| forecast.people_after(days)), [6, 4, 3, 3, 2]);
    }

    proptest! {
        /// The model says each person and each day anew, by asking the claim's own functions.
        #[test]
        fn a_forecast_is_what_claims_would_find_on_each_day(
            people in proptest::collection::vec(
                proptest::collection::vec((0usize..3, 0u8..3, 0u32..4, proptest::option::of(-40i64..900)), 0..6), 0..8),
        ) {
            const SOURCES: [&str; 3] = ["a.one", "a.two", "a.other"];
            const SCOPES: [Option<&str>; 3] = [None, Some("t"), Some("other")];
            let hour = 3_600_000;
            let people: Vec<Vec<Held<'_>>> = people.iter().map(|permits| permits.iter().map(|(source, scope, uses, end)| {
                let expires_at = end.map(|hours| Timestamp(NOON.0 + hours * hour));
                Held { source: SOURCES[*source], scope: SCOPES[usize::from(*scope)], uses: *uses, expires_at }
            }).collect()).collect();
            let mut forecast = Forecast::new(NOON);
            for person in &people {
                forecast.count(&wanted(), person);
            }
            let could_send = |person: &[Held<'_>], at: Timestamp| {
                let free: Vec<Permit<'_, usize>> = person.iter().enumerate()
                    .filter(|(_, held)| MARGINS.iter().any(|(source, margin)|
                        *source == held.source && held.uses > 0 && is_usable(held.expires_at, *margin, at)))
                    .map(|(index, held)| Permit {
                        credential: index, recipient: "ann", scope: held.scope, expires_at: held.expires_at,
                    }).collect();
                let needs: Vec<Need<'_, usize>> = (0..9).map(|message| Need { message, recipient: "ann", scope: "t" }).collect();
                bind(&needs, &free).into_iter().flatten().map(|index| u64::from(person[index].uses)).sum::<u64>()
            };
            for days in 0..=FORECAST_DAYS {
                let at = NOON.after(DAY * u32::try_from(days).unwrap());
                let reached = people.iter().filter(|person| could_send(person, at) > 0).count() as u64;
                prop_assert_eq!(forecast.people_after(days), reached, "after {} days", days);
                let left: u64 = people.iter().map(|person| could_send(person, at)).sum();
                let lost: u64 = forecast.days.iter().take(days).map(|day| day.sends_lost).sum();
                prop_assert_eq!(forecast.sends - lost, left, "after {} days", days);
            }
        }
    }
}
