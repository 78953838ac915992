//! The value rules of subscription messages and category templates, by the prefix of the key (`wechat.md §3`).
//!
//! Where the table leaves room the stricter reading is taken, so that what passes here has the best chance there.

use serde::Deserialize;

/// What counts as one character; the sheet does not know (`wechat.md §3`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CharacterUnit {
    /// A Unicode scalar value: an emoji counts one.
    CodePoint,
    /// A UTF-16 unit: an emoji counts two.
    Utf16,
}

/// Why a value breaks its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Empty,
    Invalid,
}

/// Checks a value by the type its key names: `thing1` is a `thing`. Keys of unknown types (`keyword1`, `const2`, `enum3`)
/// only have to be non-blank: `enum` lists live with the template, and the others have no published limit.
pub(crate) fn check(key: &str, value: &str, unit: CharacterUnit) -> Result<(), Broken> {
    if value.trim().is_empty() {
        return Err(Broken::Empty);
    }
    let holds: fn(&str, CharacterUnit) -> bool = match key.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "thing" => |value, unit| length(value, unit) <= 20,
        "number" => |value, _| is_number(value, 32),
        "letter" => |value, _| value.len() <= 32 && value.bytes().all(|byte| byte.is_ascii_alphabetic()),
        "symbol" => |value, unit| length(value, unit) <= 5 && value.chars().all(is_symbol),
        "character_string" => |value, unit| {
            length(value, unit) <= 32 && value.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ' || is_symbol(c))
        },
        "time" => |value, _| is_range(value, is_time),
        "date" => |value, _| is_range(value, is_date_maybe_time),
        "amount" => |value, _| is_amount(value),
        "phone_number" => {
            |value, unit| length(value, unit) <= 17 && value.chars().all(|c| c.is_ascii_digit() || is_symbol(c))
        }
        "car_number" => |value, unit| length(value, unit) <= 8 && is_car_number(value),
        "name" => |value, unit| length(value, unit) <= if is_western_name(value) { 20 } else { 10 },
        "phrase" => |value, unit| length(value, unit) <= 5 && value.chars().all(is_chinese),
        _ => return Ok(()),
    };
    // Of all types with a rule: no newlines, no control characters.
    if value.chars().any(char::is_control) || !holds(value, unit) {
        return Err(Broken::Invalid);
    }
    Ok(())
}

fn length(value: &str, unit: CharacterUnit) -> usize {
    match unit {
        CharacterUnit::CodePoint => value.chars().count(),
        CharacterUnit::Utf16 => value.encode_utf16().count(),
    }
}

/// Digits with at most one point inside; no sign, for the table names none. Every digit counts towards the limit.
fn is_number(value: &str, digits_max: usize) -> bool {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    is_digits(whole) && is_digits(fraction) && digits <= digits_max
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_symbol(c: char) -> bool {
    !c.is_alphanumeric() && !c.is_whitespace() && !c.is_control()
}

fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}

/// One, or two joined by `~`.
fn is_range(value: &str, holds: fn(&str) -> bool) -> bool {
    match value.split_once('~') {
        Some((from, to)) => holds(from.trim()) && holds(to.trim()),
        None => holds(value.trim()),
    }
}

/// `15:01`, `15:01:02`, or either after a date.
fn is_time(text: &str) -> bool {
    match text.rsplit_once(' ') {
        Some((date, clock)) => is_date(date.trim_end()) && is_clock(clock),
        None => is_clock(text),
    }
}

fn is_date_maybe_time(text: &str) -> bool {
    is_date(text) || (text.contains(' ') && is_time(text))
}

fn is_clock(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let bounds = [24, 60, 60];
    matches!(parts.len(), 2 | 3)
        && parts.iter().zip(bounds).enumerate().all(|(index, (part, bound))| {
            let width_holds = part.len() == 2 || (index == 0 && part.len() == 1);
            width_holds && small_number(part).is_some_and(|number| number < bound)
        })
}

/// `2019年10月1日`, `2019-10-01`, `2019/10/1`, `2019.10.1`.
fn is_date(text: &str) -> bool {
    if let Some(rest) = text.strip_suffix('日') {
        let Some((year, rest)) = rest.split_once('年') else { return false };
        let Some((month, day)) = rest.split_once('月') else { return false };
        return is_day_of_calendar(year, month, day);
    }
    ['-', '/', '.'].iter().any(|separator| {
        let mut parts = text.split(*separator);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(year), Some(month), Some(day), None) => is_day_of_calendar(year, month, day),
            _ => false,
        }
    })
}

fn is_day_of_calendar(year: &str, month: &str, day: &str) -> bool {
    let (Some(year_number), Some(month), Some(day)) = (small_number(year), small_number(month), small_number(day))
    else {
        return false;
    };
    let is_leap = year_number % 4 == 0 && (year_number % 100 != 0 || year_number % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return false,
    };
    year.len() == 4 && (1..=days).contains(&day)
}

/// One to four digits.
fn small_number(text: &str) -> Option<u16> {
    if !is_digits(text) || text.len() > 4 {
        return None;
    }
    text.parse().ok()
}

/// `￥12.50`, `12.50元`, `12.5`: at most one currency symbol in front, at most ten digits, `元` may follow.
fn is_amount(value: &str) -> bool {
    const CURRENCIES: [char; 10] = ['¥', '￥', '$', '＄', '€', '£', '₩', '₽', '฿', '₹'];
    let number = value.strip_prefix(CURRENCIES).unwrap_or(value);
    let number = number.strip_suffix('元').unwrap_or(number);
    is_number(number, 10)
}

/// First and last may be Chinese, what is between may not.
fn is_car_number(value: &str) -> bool {
    let last = value.chars().count().saturating_sub(1);
    value
        .chars()
        .enumerate()
        .all(|(index, c)| c.is_ascii_alphanumeric() || ((index == 0 || index == last) && is_chinese(c)))
}

fn is_western_name(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphabetic() || c == ' ' || is_symbol(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_all(key: &str, good: &[&str], bad: &[&str]) {
        for value in good {
            assert_eq!(check(key, value, CharacterUnit::Utf16), Ok(()), "{key} = {value:?} should pass");
        }
        for value in bad {
            assert_eq!(check(key, value, CharacterUnit::Utf16), Err(Broken::Invalid), "{key} = {value:?} should not");
        }
    }

    #[test]
    fn a_thing_is_at_most_twenty_characters_of_any_kind() {
        check_all(
            "thing1",
            &["一二三四五六七八九十一二三四五六七八九十", "mixed 中文 1!"],
            &[&"字".repeat(21), "a\nb"],
        );
    }

    #[test]
    fn a_number_is_at_most_thirty_two_digits_with_decimals() {
        check_all("number2", &["0", "12.5", &"9".repeat(32)], &["-1", "1.", ".5", "1.2.3", "12a", &"9".repeat(33)]);
    }

    #[test]
    fn a_letter_value_is_at_most_thirty_two_letters() {
        check_all("letter1", &["abc", &"Z".repeat(32)], &["a1", "中", "a b", &"Z".repeat(33)]);
    }

    #[test]
    fn a_symbol_value_is_at_most_five_symbols() {
        check_all("symbol1", &["!", "+-*/%", "。！"], &["!!!!!!", "a", "1", "中", "! !"]);
    }

    #[test]
    fn a_character_string_has_no_chinese() {
        check_all("character_string1", &["A-1 #2", &"x".repeat(32)], &["订单1", &"x".repeat(33)]);
    }

    #[test]
    fn a_time_is_on_a_twenty_four_hour_clock_maybe_after_a_date_maybe_a_range() {
        check_all(
            "time1",
            &[
                "15:01",
                "9:05",
                "23:59:59",
                "2019年10月1日 15:01",
                "2019-10-01 15:01:02",
                "15:01~16:00",
                "08:00 ~ 09:00",
            ],
            &["24:00", "15:60", "15", "15:1", "3:01 pm", "2019-10-01", "1:00~2:00~3:00"],
        );
    }

    #[test]
    fn a_date_is_a_day_that_exists_maybe_with_a_time_maybe_a_range() {
        check_all(
            "date1",
            &["2019年10月1日", "2019-10-01", "2019/10/1", "2019.10.1", "2020-02-29 15:01", "2019-10-01~2019-10-07"],
            &["2019-02-29", "2019-13-01", "19-10-01", "15:01", "tomorrow", "2019-10"],
        );
    }

    #[test]
    fn an_amount_is_one_currency_symbol_ten_digits_and_yuan() {
        check_all(
            "amount1",
            &["￥12.50", "12.50元", "¥0", "100", "1234567890"],
            &["12345678901", "￥￥1", "1 元", "free"],
        );
    }

    #[test]
    fn a_phone_number_is_at_most_seventeen_digits_and_symbols() {
        check_all("phone_number1", &["+86-0766-66888866", "13800138000"], &["call me", "+86-0766-668888661"]);
    }

    #[test]
    fn a_car_number_may_begin_and_end_in_chinese() {
        check_all("car_number1", &["粤A8Z888挂", "粤A8Z888"], &["粤A粤Z888", "粤A8Z8888挂"]);
    }

    #[test]
    fn a_name_is_ten_characters_or_twenty_when_purely_western() {
        check_all(
            "name1",
            &["张三", "Jean-Luc O'Neill", &"字".repeat(10)],
            &[&"字".repeat(11), "abcdefghij张", &"a".repeat(21)],
        );
    }

    #[test]
    fn a_phrase_is_at_most_five_chinese_characters() {
        check_all("phrase1", &["已发货", "五个汉字啊"], &["六个汉字啊啊", "ok", "好的!"]);
    }

    #[test]
    fn a_blank_value_is_empty_whatever_its_type() {
        for key in ["thing1", "amount2", "keyword1", "const1"] {
            assert_eq!(check(key, "  ", CharacterUnit::Utf16), Err(Broken::Empty));
        }
    }

    #[test]
    fn a_key_of_an_unknown_type_has_no_limit() {
        check_all("keyword1", &[&"字".repeat(500)], &[]);
    }

    #[test]
    fn an_emoji_counts_two_units_or_one_character() {
        let value = "😀".repeat(11);
        assert_eq!(check("thing1", &value, CharacterUnit::Utf16), Err(Broken::Invalid));
        assert_eq!(check("thing1", &value, CharacterUnit::CodePoint), Ok(()));
    }
}
