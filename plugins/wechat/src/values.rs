//! What WeChat accepts in a template's slots (§3). The key names the type: `thing1` is slot 1, a `thing`.
//!
//! Where the rules leave room the wider reading is taken: a value that is refused here is never sent, a value that is
//! refused there costs one call and is named in the answer (47003). A character is a code point.

use serde_json::{Map, Value};
use tidings_sdk::Violation;

use crate::message;

/// What is wrong with the values of a subscription message.
pub(crate) fn check_subscription(content: &Map<String, Value>) -> Vec<Violation> {
    let problem = |(key, value)| Some(violation(key, empty(value).or_else(|| broken_rule(key, value))?));
    message::data(content).filter_map(problem).collect()
}

/// What is wrong with the values of a service account's template message. Those of category templates (`thing1`) have
/// the same rules (§4); a key without a number, such as `name`, is the choice of whoever made the template.
pub(crate) fn check_official(content: &Map<String, Value>) -> Vec<Violation> {
    let problem = |(key, value): (&str, &str)| {
        let is_slot = key.ends_with(|c: char| c.is_ascii_digit()) && rule(key).is_some();
        let problem = if is_slot { empty(value).or_else(|| broken_rule(key, value)) } else { unsendable(value) };
        Some(violation(key, problem?))
    };
    message::data(content).filter_map(problem).collect()
}

/// What is wrong with values that have no rule but the wire's.
pub(crate) fn check_sendable(content: &Map<String, Value>) -> Vec<Violation> {
    let problem = |(key, value)| Some(violation(key, unsendable(value)?));
    message::data(content).filter_map(problem).collect()
}

fn violation(key: &str, problem: String) -> Violation {
    Violation { field: format!("data.{key}"), problem }
}

fn empty(value: &str) -> Option<String> {
    value.trim().is_empty().then(|| "is empty, and WeChat refuses empty values".into())
}

fn unsendable(value: &str) -> Option<String> {
    let refused = value.chars().any(|c| !message::is_sendable_char(c));
    refused.then(|| "has a control character, which WeChat does not read".into())
}

fn broken_rule(key: &str, value: &str) -> Option<String> {
    let Some(rule) = rule(key) else { return unsendable(value) };
    if value.chars().any(char::is_control) {
        return Some("has a line break or another control character".into());
    }
    let found = value.chars().count();
    (!(rule.holds)(value)).then(|| format!("takes {}; these {found} characters are something else", rule.takes))
}

/// A type of slot: what it takes, in words and as a test.
struct Rule {
    takes: &'static str,
    holds: fn(&str) -> bool,
}

/// The rule of a key's type; `None` for types without a published one (`enum`, `const`, `short_thing`, `keyword`).
fn rule(key: &str) -> Option<Rule> {
    let (takes, holds): (_, fn(&str) -> bool) = match key.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "thing" => ("at most 20 characters", |value| fits(value, 20)),
        "number" => ("at most 32 digits, maybe with a decimal point", |value| is_number(value, 32)),
        "letter" => ("at most 32 letters", |value| fits(value, 32) && all(value, |c| c.is_ascii_alphabetic())),
        "symbol" => ("at most 5 symbols", |value| fits(value, 5) && all(value, is_symbol)),
        "character_string" => {
            ("at most 32 digits, letters or symbols, no Chinese", |value| fits(value, 32) && !has_chinese(value))
        }
        "time" => ("a time such as 15:01, maybe after a date, or two joined by `~`", is_time),
        "date" => ("a date such as 2019年10月1日 or 2019-10-01, maybe with a time, or two joined by `~`", is_date),
        "amount" => ("a currency symbol, at most 10 digits with decimals, and 元 at the end if at all", is_amount),
        "phone_number" => ("at most 17 digits or symbols", |value| {
            fits(value, 17) && all(value, |c| c.is_ascii_digit() || c == ' ' || is_symbol(c))
        }),
        "car_number" => ("at most 8 letters or digits, of which the first and the last may be Chinese", is_car_number),
        "name" => ("at most 10 characters with Chinese, or at most 20 without", |value| {
            fits(value, if has_chinese(value) { 10 } else { 20 })
        }),
        "phrase" => ("at most 5 Chinese characters", |value| fits(value, 5) && all(value, is_chinese)),
        _ => return None,
    };
    Some(Rule { takes, holds })
}

fn fits(value: &str, chars_max: usize) -> bool {
    value.chars().count() <= chars_max
}

fn all(value: &str, holds: fn(char) -> bool) -> bool {
    value.chars().all(holds)
}

fn has_chinese(value: &str) -> bool {
    value.chars().any(is_chinese)
}

fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}

fn is_symbol(c: char) -> bool {
    !c.is_alphanumeric() && !c.is_whitespace() && !c.is_control()
}

fn is_number(value: &str, digits_max: usize) -> bool {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, "0"));
    let digits = value.chars().filter(char::is_ascii_digit).count();
    is_digits(whole) && is_digits(decimals) && digits <= digits_max
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The ten digits are those before the point: the rule speaks of decimals beside them.
fn is_amount(value: &str) -> bool {
    let number = value.strip_prefix(is_currency).unwrap_or(value);
    let number = number.strip_suffix('元').unwrap_or(number);
    is_number(number, usize::MAX) && number.split('.').next().is_some_and(|whole| whole.len() <= 10)
}

fn is_currency(c: char) -> bool {
    matches!(c, '$' | '\u{a2}'..='\u{a5}' | '\u{e3f}' | '\u{20a0}'..='\u{20cf}' | '＄' | '￠' | '￡' | '￥' | '￦')
}

fn is_car_number(value: &str) -> bool {
    let last = value.chars().count().saturating_sub(1);
    let holds =
        |(index, c): (usize, char)| c.is_ascii_alphanumeric() || ((index == 0 || index == last) && is_chinese(c));
    fits(value, 8) && value.chars().enumerate().all(holds)
}

/// One moment with a time of day, or a range of two.
fn is_time(value: &str) -> bool {
    is_range(value, |moment| moment.has_clock, |moment| moment.has_clock)
}

/// One moment with a date, or a range of two; the second may leave out the date: `2019-10-01 15:01~16:00`.
fn is_date(value: &str) -> bool {
    is_range(value, |moment| moment.has_date, |_| true)
}

fn is_range(value: &str, first: fn(&Moment) -> bool, second: fn(&Moment) -> bool) -> bool {
    let (from, to) = match value.split_once('~') {
        Some((from, to)) => (from, Some(to)),
        None => (value, None),
    };
    moment(from).is_some_and(|it| first(&it)) && to.is_none_or(|to| moment(to).is_some_and(|it| second(&it)))
}

struct Moment {
    has_date: bool,
    has_clock: bool,
}

/// `15:01`, `2019年10月1日`, or both.
fn moment(text: &str) -> Option<Moment> {
    let text = text.trim();
    if is_clock(text) {
        return Some(Moment { has_date: false, has_clock: true });
    }
    if is_day(text) {
        return Some(Moment { has_date: true, has_clock: false });
    }
    let (day, clock) = match text.split_once('日') {
        Some((day, clock)) => (format!("{day}日"), clock),
        None => text.split_once(' ').map(|(day, clock)| (day.to_owned(), clock))?,
    };
    (is_day(&day) && is_clock(clock.trim())).then_some(Moment { has_date: true, has_clock: true })
}

/// `15:01` or `15:01:02`, on a clock of 24 hours.
fn is_clock(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let Some((hour, rest)) = parts.split_first() else { return false };
    within(hour, 1..=2, 0..=23) && matches!(rest.len(), 1 | 2) && rest.iter().all(|part| within(part, 2..=2, 0..=59))
}

/// `2019年10月1日`, `2019-10-01`, `2019/10/1` or `2019.10.1`. Whether February has that day is left to WeChat.
fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = match text.strip_suffix('日') {
        Some(rest) => rest.split(['年', '月']).collect(),
        None => {
            let Some(separator) = text.chars().find(|c| matches!(c, '-' | '/' | '.')) else { return false };
            text.split(separator).collect()
        }
    };
    let [year, month, day] = parts[..] else { return false };
    within(year, 4..=4, 0..=9999) && within(month, 1..=2, 1..=12) && within(day, 1..=2, 1..=31)
}

fn within(text: &str, width: std::ops::RangeInclusive<usize>, bounds: std::ops::RangeInclusive<u16>) -> bool {
    is_digits(text) && width.contains(&text.len()) && text.parse().is_ok_and(|number| bounds.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;
    use serde_json::json;

    fn violations(key: &str, value: &str) -> Vec<Violation> {
        check_subscription(&object(json!({"data": {key: value}})))
    }

    #[track_caller]
    fn check(key: &str, good: &[&str], bad: &[&str]) {
        for value in good {
            assert_eq!(violations(key, value), [], "{key} = {value:?} should pass");
        }
        for value in bad {
            let found = violations(key, value);
            assert_eq!(found.len(), 1, "{key} = {value:?} should not pass");
            assert_eq!(found[0].field, format!("data.{key}"));
        }
    }

    #[test]
    fn a_thing_takes_twenty_characters_of_any_kind() {
        let twenty = "一二三四五六七八九十".repeat(2);
        check("thing1", &[&twenty, "mixed 中文 1!", &"😀".repeat(20)], &[&format!("{twenty}!"), "a\nb", "a\u{1}"]);
    }

    #[test]
    fn a_number_takes_thirty_two_digits_and_a_point() {
        let most = "9".repeat(32);
        let too_many = "9".repeat(33);
        check("number12", &["0", "12.5", &most], &["-1", "1.", ".5", "1.2.3", "1,000", "十", "１", &too_many]);
    }

    #[test]
    fn a_letter_slot_takes_thirty_two_letters() {
        check("letter1", &["abc", &"Z".repeat(32)], &["a1", "a b", "中", &"Z".repeat(33)]);
    }

    #[test]
    fn a_symbol_slot_takes_five_symbols() {
        check("symbol1", &["!", "+-*/%", "。！"], &["!!!!!!", "a", "1", "中", "! !"]);
    }

    #[test]
    fn a_character_string_takes_thirty_two_of_anything_but_chinese() {
        check("character_string1", &["A-1 #2", &"x".repeat(32)], &["订单1", &"x".repeat(33), "a\tb"]);
    }

    #[test]
    fn a_time_is_on_a_clock_of_24_hours_maybe_after_a_date_maybe_a_range() {
        check(
            "time1",
            &[
                "15:01",
                "9:05",
                "23:59:59",
                "2019年10月1日 15:01",
                "2019年10月1日15:01",
                "2019/10/1 15:01~16:00",
                "8:00 ~ 9:00",
            ],
            &[
                "24:00",
                "15:60",
                "15:1",
                "15",
                "15：01",
                "3:01 pm",
                "2019年10月1日",
                "8:00~",
                "8:00~9:00~10:00",
                "15:01:02:03",
            ],
        );
    }

    #[test]
    fn a_date_is_year_month_day_maybe_with_a_time_maybe_a_range() {
        check(
            "date1",
            &[
                "2019年10月1日",
                "2019年10月01日 15:01",
                "2019-10-01",
                "2019/10/1",
                "2019.10.1 15:01:02",
                "2019-10-01~2019-10-07",
                "2019-10-01 15:01~16:00",
            ],
            &[
                "15:01",
                "2019-13-01",
                "2019-10-32",
                "2019-10/01",
                "19-10-01",
                "2019年10月",
                "tomorrow",
                "2019-10-01~",
                "2019-10-01 noon",
            ],
        );
    }

    #[test]
    fn an_amount_has_one_currency_ten_digits_and_maybe_yuan() {
        check(
            "amount1",
            &["￥100", "¥12.50", "$0.5", "€1234567890.00", "100元", "￥100.00元", "12"],
            &["￥￥1", "12345678901", "1,000", "-5", "RMB 5", "元", "5元元", "1.2.3"],
        );
    }

    #[test]
    fn a_phone_number_takes_seventeen_digits_or_symbols() {
        check("phone_number1", &["+86-0766-66888866", "13800138000"], &["+86-0766-668888661", "call me", "电话"]);
    }

    #[test]
    fn a_car_number_may_begin_and_end_with_chinese() {
        check("car_number1", &["粤A8Z888挂", "粤A8Z888", "A1"], &["粤A8Z8888挂", "A粤8Z888", "A-1"]);
    }

    #[test]
    fn a_name_takes_ten_characters_with_chinese_or_twenty_without() {
        let (ten, eleven) = ("三".repeat(10), "三".repeat(11));
        check("name1", &["张三", &ten, "Jean-Luc B. O'Neill"], &[&eleven, "Ann Sophie 三三", &"a".repeat(21)]);
    }

    #[test]
    fn a_phrase_takes_five_chinese_characters() {
        check("phrase1", &["已发货", "一二三四五"], &["一二三四五六", "sent", "好!"]);
    }

    #[test]
    fn a_type_without_a_published_rule_takes_anything_but_nothing() {
        for key in ["enum1", "const2", "short_thing3", "keyword4", "remark"] {
            check(key, &[&"长".repeat(200), "a\nb"], &["", "  ", "a\u{1}b"]);
        }
    }

    #[test]
    fn an_empty_value_is_refused_whatever_its_type() {
        for key in ["thing1", "number1", "date1", "phrase1"] {
            check(key, &[], &["", " ", "\n"]);
        }
    }

    #[test]
    fn a_problem_says_the_rule_and_not_the_value() {
        let found = violations("phrase1", "SECRET");
        assert_eq!(found[0].problem, "takes at most 5 Chinese characters; these 6 characters are something else");
    }

    #[test]
    fn a_service_account_has_the_rules_for_numbered_slots_only() {
        let of = |key: &str, value: &str| check_official(&object(json!({"data": {key: value}}))).len();
        assert_eq!(of("thing1", &"长".repeat(21)), 1);
        assert_eq!(of("thing1", ""), 1);
        assert_eq!(of("date", "tomorrow"), 0);
        assert_eq!(of("remark", ""), 0);
        assert_eq!(of("keyword1", ""), 0);
        assert_eq!(of("keyword1", "two\nlines"), 0);
        assert_eq!(of("keyword1", "a\u{7}"), 1);
    }
}
