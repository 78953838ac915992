//! The six fields of an expression, as sets of values.

use super::parse::range;
use super::{CronError, Field};

/// What each field admits.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) second: Values,
    pub(super) minute: Values,
    pub(super) hour: Values,
    pub(super) day: Values,
    pub(super) month: Values,
    pub(super) weekday: Values,
}

impl Fields {
    /// Such a job follows the clock as it is; the others run once for each time of a day.
    pub(super) fn is_wildcard(&self) -> bool {
        self.minute.star || self.hour.star
    }

    /// Day of month or weekday is enough: both are restricted. Otherwise both must hold.
    pub(super) fn either_day(&self) -> bool {
        !self.day.star && !self.weekday.star
    }
}

/// The values that a field admits.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) field: Field,
    /// Bit `n` for value `n`.
    pub(super) bits: u64,
    /// vixie-cron's star flag: the field starts with `*`, whatever follows.
    pub(super) star: bool,
}

impl Values {
    pub(super) fn parse(field: Field, text: &str) -> Result<Values, CronError> {
        let mut bits = 0;
        for item in text.split(',') {
            if item.is_empty() {
                return Err(CronError::EmptyItem { field, found: text.to_owned() });
            }
            for value in range(field, item)? {
                bits |= 1 << if value > field.last() { 0 } else { value };
            }
        }
        Ok(Values { field, bits, star: text.starts_with('*') })
    }

    pub(super) fn has(&self, value: u32) -> bool {
        value < u64::BITS && self.bits & (1 << value) != 0
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.bits.count_ones()
    }

    /// How many there are up to this one, and with it.
    pub(super) fn count_to(&self, value: u32) -> u32 {
        (self.bits & (u64::MAX >> (u64::BITS - 1 - value.min(u64::BITS - 1)))).count_ones()
    }

    /// Whether every value is admitted.
    pub(super) fn is_all(&self) -> bool {
        self.count() == u32::from(self.field.size())
    }

    /// The values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u8> {
        (self.field.bounds().0..=self.field.last()).filter(|value| self.has(u32::from(*value)))
    }

    /// The values as the `cron` crate reads them, `shift` added to each.
    pub(super) fn list(&self, shift: u8) -> String {
        self.iter().map(|value| (value + shift).to_string()).collect::<Vec<_>>().join(",")
    }
}
