//! What each code leads to, written down a second time from the specification and not from the table: a row that is
//! changed fails here.

use super::*;

const TOKEN: &[Call] = &[Call::Token];
const SENDS: &[Call] = &[Call::Subscribe, Call::OfficialTemplate, Call::Template];
const WITH_CREDENTIAL: &[Call] = &[Call::Subscribe, Call::Template];
const WITHOUT_CREDENTIAL: &[Call] = &[Call::OfficialTemplate];
const ALL: &[Call] = &[Call::Token, Call::Subscribe, Call::OfficialTemplate, Call::Template];

/// At which calls, which codes, lead to which outcome.
const EXPECTED: &[(&[Call], &[i64], &str)] = &[
    // R: the token.
    (TOKEN, &[40001], "halt"),
    (SENDS, &[40001], "token_rejected"),
    (SENDS, &[40014, 42001, 48012], "token_rejected"),
    (SENDS, &[41001], "rejected"),
    // B, Q, D: pace and quota.
    (ALL, &[-1], "retry"),
    (SENDS, &[43108, 43117], "retry"),
    (ALL, &[45011], "throttled"),
    (ALL, &[45009, 45040, 45104], "quota_exhausted"),
    (SENDS, &[45029], "quota_exhausted"),
    (SENDS, &[40241], "duplicate"),
    // C: the credential, where there is one.
    (WITH_CREDENTIAL, &[41029], "credential_spent"),
    (WITH_CREDENTIAL, &[41028, 41031, 43101], "credential_invalid"),
    (WITHOUT_CREDENTIAL, &[41028, 41029, 41031, 43101], "rejected"),
    // U: the recipient.
    (SENDS, &[40003], "recipient_gone"),
    (SENDS, &[43004, 50005, 43006, 43019, 48002], "recipient_gone"),
    // T: the template.
    (SENDS, &[40036, 40037], "template_broken"),
    (SENDS, &[43116, 48011], "template_broken"),
    (SENDS, &[43102, 43105], "template_broken"),
    (SENDS, &[41030, 40165, 40166], "template_broken"),
    // G: the message.
    (SENDS, &[47003], "rejected"),
    (SENDS, &[47001, 47002, 40033, 44002, 40035, 40038], "rejected"),
    (SENDS, &[45002, 45012, 45013, 45014], "rejected"),
    (SENDS, &[45168, 40249], "rejected"),
    (SENDS, &[40039, 40066], "rejected"),
    (SENDS, &[50001, 50002], "rejected"),
    (SENDS, &[43001, 43002, 43003], "rejected"),
    (SENDS, &[45026, 45027, 43100], "rejected"),
    (SENDS, &[43107, 85107], "rejected"),
    // S: the app.
    (ALL, &[45063], "halt"),
    (ALL, &[40002, 41002, 41004], "halt"),
    (ALL, &[40013, 40125, 40243], "halt"),
    (ALL, &[40164, 61004, 45035], "halt"),
    (ALL, &[89501, 89502, 89503, 89504, 89505], "halt"),
    (ALL, &[89506, 89507], "halt"),
    (ALL, &[41032, 41034, 41035], "halt"),
    (ALL, &[48001, 48008, 43104, 61007], "halt"),
    (ALL, &[48003, 48004, 48009, 45102, 45501, 50004, 200011], "halt"),
    (ALL, &[43106], "halt"),
    (ALL, &[45103, 45109], "halt"),
];

/// Codes beside those of the table, some of them next to one.
const UNKNOWN: &[i64] = &[1, 40000, 43118, 45010, 45015, 47004, 89500, 89508, 99999, i64::MIN, i64::MAX];

#[test]
fn each_code_leads_to_what_the_specification_says_and_keeps_what_was_said() {
    for (calls, codes, name) in EXPECTED {
        for (call, code) in calls.iter().flat_map(|call| codes.iter().map(move |code| (*call, *code))) {
            let outcome = classify(call, code, "said so");
            assert_eq!(outcome.name(), *name, "{code} at {call:?}");
            assert!(outcome.detail().contains(&format!("({code}: said so)")), "{}", outcome.detail());
            assert!(!outcome.detail().starts_with("a code nobody here knows"), "{}", outcome.detail());
        }
    }
}

#[test]
fn an_unknown_code_is_rejected_with_all_that_was_said() {
    for code in UNKNOWN {
        for call in SENDS {
            let reason = format!("a code nobody here knows ({code}: said so)");
            assert_eq!(classify(*call, *code, "said so"), Outcome::Rejected { reason });
        }
    }
}

#[test]
fn no_code_of_the_table_is_forgotten_here() {
    let expected: Vec<i64> = EXPECTED.iter().flat_map(|(_, codes, _)| codes.iter().copied()).collect();
    for code in TABLE.iter().flat_map(|row| row.first..=row.last) {
        assert!(expected.contains(&code), "{code}");
    }
}

#[test]
fn what_passes_is_tried_again_when_the_channel_likes() {
    for code in [-1, 43108] {
        let outcome = classify(Call::Subscribe, code, "");
        assert!(matches!(outcome, Outcome::Retry { after: None, .. }), "{code}: {outcome:?}");
    }
}

#[test]
fn a_recipient_who_was_told_too_often_is_left_alone_for_minutes() {
    let Outcome::Retry { after, .. } = classify(Call::Subscribe, 43117, "") else { panic!("no retry") };
    assert_eq!(after, Some(Duration::from_secs(300)));
}

#[test]
fn the_minute_limit_cools_the_channel_for_a_minute() {
    let Outcome::Throttled { retry_after, .. } = classify(Call::Subscribe, 45011, "") else { panic!("not throttled") };
    assert_eq!(retry_after, Some(Duration::from_secs(60)));
}

#[test]
fn when_the_quota_is_new_is_left_to_the_calendar() {
    let outcome = classify(Call::Subscribe, 45009, "");
    assert!(matches!(outcome, Outcome::QuotaExhausted { until: None, .. }), "{outcome:?}");
}

#[test]
fn whoever_stops_the_app_says_what_to_do() {
    for row in TABLE.iter().filter(|row| matches!(row.action, Action::StopApp(_))) {
        let call = if row.at == At::Token { Call::Token } else { Call::Subscribe };
        let reason = classify(call, row.first, "no").detail().to_owned();
        let (_, remedy) = reason.split_once("); ").unwrap();
        assert!(remedy.len() > 20 && !remedy.contains('{'), "{reason}");
    }
}

#[test]
fn no_code_stands_in_the_table_twice() {
    for (index, row) in TABLE.iter().enumerate() {
        assert!(row.first <= row.last, "{row:?}");
        for other in &TABLE[index + 1..] {
            let apart = row.last < other.first || other.last < row.first;
            let by_call = row.at != other.at && row.at != At::Anywhere && other.at != At::Anywhere;
            assert!(apart || by_call, "{row:?} and {other:?}");
        }
    }
}

#[test]
fn every_row_has_words_and_a_source() {
    for row in TABLE {
        assert!(!row.meaning.is_empty() && row.meaning.is_ascii() && !row.meaning.ends_with('.'), "{row:?}");
        assert!(row.section.starts_with('§'), "{row:?}");
    }
}

#[test]
fn every_row_leaves_room_for_what_wechat_said() {
    let longest = "一".repeat(1000) + " rid: " + &"r".repeat(63);
    for row in TABLE {
        for call in [Call::Token, Call::Template] {
            let outcome = classify(call, row.first, &longest);
            let chars = outcome.detail().chars().count();
            assert_eq!(chars, 300, "{}", outcome.detail());
            assert!(outcome.detail().contains("一一一"), "{}", outcome.detail());
            assert!(outcome.detail().ends_with("r]"), "{}", outcome.detail());
        }
    }
}

#[track_caller]
fn check_detail(errmsg: &str, expected: &str) {
    assert_eq!(classify(Call::Template, 99999, errmsg).detail(), expected);
}

#[test]
fn the_rid_moves_to_the_end_and_the_hint_goes() {
    check_detail("invalid form id rid: 5f-a-b", "a code nobody here knows (99999: invalid form id) [rid 5f-a-b]");
    check_detail("invalid form id, rid: 5f", "a code nobody here knows (99999: invalid form id) [rid 5f]");
    check_detail("invalid form id hint: [x1 y]", "a code nobody here knows (99999: invalid form id)");
    check_detail("no, hints: [ req_id: z ] rid: 7-8", "a code nobody here knows (99999: no) [rid 7-8]");
    check_detail("rid: 7-8", "a code nobody here knows (99999) [rid 7-8]");
    check_detail("rid:", "a code nobody here knows (99999)");
    check_detail("the grid: 4 by 4", "a code nobody here knows (99999: the grid: 4 by 4)");
    check_detail("", "a code nobody here knows (99999)");
}

#[test]
fn details_of_one_cause_differ_in_the_bracket_alone() {
    let of = |rid: &str| classify(Call::Template, 41028, &format!("invalid form id rid: {rid}")).detail().to_owned();
    let cause = |detail: &str| detail.split(" [rid").next().unwrap().to_owned();
    assert_ne!(of("a"), of("b"));
    assert_eq!(cause(&of("a")), cause(&of("b")));
}

#[test]
fn a_detail_is_one_line_without_control_characters() {
    check_detail("a\u{1b}[31m\nb\u{202e}c\u{0}", "a code nobody here knows (99999: a [31m bc)");
}

#[test]
fn a_detail_never_shows_a_token() {
    let token = "57_".to_owned() + &"CANARY".repeat(25);
    let texts = [
        format!("invalid access_token={token}&x=1"),
        format!("bad {token}"),
        format!("bad \"access_token\":\"{token}\""),
        "access_token=CANARY-short".to_owned(),
        "\"secret\": \"CANARY\"".to_owned(),
        "appsecret=CANARY".to_owned(),
        format!("rid: {token}"),
    ];
    for text in texts {
        for call in [Call::Token, Call::Subscribe, Call::OfficialTemplate, Call::Template] {
            for code in [-1, 40001, 40003, 40037, 40164, 41028, 47003, 99999] {
                let outcome = classify(call, code, &text);
                assert!(!format!("{outcome:?}").contains("CANARY"), "{outcome:?}");
            }
        }
    }
}

#[test]
fn words_about_a_token_stay_readable() {
    check_detail(
        "invalid credential, access_token is invalid or not latest",
        "a code nobody here knows (99999: invalid credential, access_token is invalid or not latest)",
    );
}

#[track_caller]
fn check_ip(errmsg: &str, expected: &str) {
    for code in [40164, 61004, 45035] {
        let outcome = classify(Call::Token, code, errmsg);
        assert!(outcome.detail().contains(&format!("; add {expected} to the IP whitelist")), "{}", outcome.detail());
    }
}

#[test]
fn the_ip_to_list_is_the_one_wechat_saw() {
    check_ip("invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist", "203.0.113.9");
    check_ip("invalid ip ::ffff:203.0.113.9, not in whitelist", "203.0.113.9");
    check_ip("invalid ip 2001:db8::7, not in whitelist", "2001:db8::7");
    check_ip("invalid ip 203.0.113.9. rid: 1", "203.0.113.9");
    check_ip("not in whitelist", "the address of this machine");
}
