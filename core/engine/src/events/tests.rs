use std::ops::ControlFlow;
use std::sync::Arc;

use tidings_model::limits::{
    DETAIL_BYTES_MAX, EVENT_READERS_MAX, EVENTS_HELD_MAX, NAME_BYTES_MAX, RECIPIENT_BYTES_MAX,
};
use tidings_model::spelling::nearest;

use super::*;

const NOON: Timestamp = Timestamp(1_700_000_000_000);

fn message(number: i64, kind: EventKind, channel: &str) -> Happened {
    let what = What::Message(MessageChange {
        message: MessageId(number),
        channel: Arc::from(channel),
        template: Arc::from("paid"),
        recipient: "CANARY-recipient".to_owned(),
        state: State::Sent,
        reason: None,
        detail: "CANARY-detail".to_owned(),
        provider_id: Some("CANARY-provider".to_owned()),
        trace: None,
    });
    Happened { at: Timestamp(NOON.0 + number), kind, what }
}

fn sent(number: i64) -> Happened {
    message(number, EventKind::MessageSent, "orders")
}

fn ring() -> Arc<Ring> {
    Arc::new(Ring::new(NOON))
}

fn reader(ring: &Arc<Ring>, last: Option<&str>) -> EventReader {
    let begin = last.map_or(Begin::Now, |last| Begin::Behind(last.parse().unwrap()));
    EventReader::new(ring, EventFilter::default(), begin).expect("there is room")
}

/// The numbers of the messages that are there for the reader.
fn read(reader: &mut EventReader) -> Vec<i64> {
    let mut numbers = Vec::new();
    reader.read(|_, happened| {
        let What::Message(change) = &happened.what else { panic!("only messages are told here") };
        numbers.push(change.message.0);
        ControlFlow::Continue(())
    });
    numbers
}

#[test]
fn what_is_told_thin_says_nothing_personal() {
    let thin = sent(7).to_json(Content::Thin);
    let right = r#"{"type":"message.sent","timestamp":"2023-11-14T22:13:20.007Z","data":{"id":"msg_7","channel":"orders","template":"paid","state":"sent"}}"#;
    assert_eq!(thin, right);
    assert!(!thin.contains("CANARY"));
    let What::Message(change) = sent(7).what else { unreachable!() };
    let trace = Some(TraceId::from_numbers(1, 2));
    let traced = Happened { what: What::Message(MessageChange { trace, ..change }), ..sent(7) }.to_json(Content::Thin);
    assert_eq!(traced, right.replace("}}", r#","trace_id":"00000000000000010000000000000002"}}"#));
    let full = sent(7).to_json(Content::Full);
    for part in ["recipient", "detail", "provider_id"] {
        assert!(full.contains(&format!("\"{part}\":\"CANARY")), "{full}");
    }
}

#[test]
fn the_largest_event_is_below_what_receivers_take() {
    let escaped = |bytes: usize| "\u{1}".repeat(bytes);
    let What::Message(change) = sent(1).what else { unreachable!() };
    let name: Name = Arc::from("x".repeat(NAME_BYTES_MAX));
    let what = What::Message(MessageChange {
        channel: Arc::clone(&name),
        template: name,
        recipient: "\"".repeat(RECIPIENT_BYTES_MAX),
        detail: escaped(DETAIL_BYTES_MAX),
        provider_id: Some(escaped(DETAIL_BYTES_MAX)),
        ..change
    });
    let bytes = Happened { what, ..sent(1) }.to_json(Content::Full).len();
    assert!(bytes < 20_000, "{bytes} bytes");
}

#[test]
fn every_kind_has_a_word_of_its_own_and_a_place_in_a_set() {
    let bits = EventKind::ALL.iter().fold(0, |bits, kind| bits | kind.bit());
    assert_eq!(bits.count_ones() as usize, EventKind::ALL.len());
    let words: std::collections::HashSet<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(words.len(), EventKind::ALL.len());
}

#[test]
fn a_filter_takes_words_groups_and_channels() {
    let filter = |words: &[&str], channels: &[&str]| {
        EventFilter::read(words.iter().copied(), channels.iter().map(|&name| name.to_owned()))
    };
    let paused = Happened {
        at: NOON,
        kind: EventKind::ChannelPaused,
        what: What::Channel { channel: Arc::from("orders"), until: None, reason: String::new() },
    };
    let failed = message(1, EventKind::MessageFailed, "news");
    let wants = |words: &[&str], channels: &[&str]| {
        let filter = filter(words, channels).unwrap();
        [&sent(1), &failed, &paused].map(|one| filter.wants(one))
    };
    assert_eq!(wants(&[], &[]), [true; 3]);
    assert_eq!(wants(&["*"], &[]), [true; 3]);
    assert_eq!(wants(&["message.*"], &[]), [true, true, false]);
    assert_eq!(wants(&["message.failed", "channel.*"], &[]), [false, true, true]);
    assert_eq!(wants(&[], &["orders"]), [true, false, true]);
    assert_eq!(wants(&["message.*"], &["news", "alerts"]), [false, true, false]);
    for wrong in ["message.snet", "message*", "m*", "mail.*", "", ".*"] {
        assert!(filter(&[wrong], &[]).is_err(), "{wrong}");
    }
    assert!(filter(&["message.snet"], &[]).unwrap_err().contains("did you mean `message.sent`?"));
    assert!(nearest("message.snet", &["message.sent"]).is_some());
}

#[test]
fn a_reader_is_told_what_happens_after_it_came_once_and_in_order() {
    let ring = ring();
    ring.append(vec![sent(1)]);
    let mut reader = reader(&ring, None);
    assert_eq!(read(&mut reader), [0_i64; 0]);
    ring.append(vec![sent(2), sent(3)]);
    ring.append(vec![sent(4)]);
    assert!(!reader.is_done());
    assert_eq!(reader.gap(), None);
    assert_eq!(read(&mut reader), [2, 3, 4]);
    assert!(reader.is_done());
    assert_eq!(read(&mut reader), [0_i64; 0]);
}

#[test]
fn a_reader_that_stops_in_the_middle_goes_on_there() {
    let ring = ring();
    let mut first = reader(&ring, None);
    ring.append((1..=5).map(sent).collect());
    let mut places = Vec::new();
    first.read(|place, _| {
        places.push(place.to_string());
        if places.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(read(&mut first), [3, 4, 5]);
    assert_eq!(places[1], format!("{}-2", NOON.0));
    let mut again = reader(&ring, Some(&places[1]));
    assert_eq!(again.gap(), None);
    assert_eq!(read(&mut again), [3, 4, 5]);
    let mut oldest = EventReader::new(&ring, EventFilter::default(), Begin::Oldest).unwrap();
    assert_eq!((oldest.gap(), read(&mut oldest)), (None, vec![1, 2, 3, 4, 5]));
}

#[test]
fn who_comes_back_too_late_is_told_how_much_it_missed() {
    let ring = ring();
    ring.append(vec![sent(1), sent(2)]);
    let many = i64::try_from(EVENTS_HELD_MAX).unwrap();
    ring.append((3..3 + many).map(sent).collect());
    let mut late = reader(&ring, Some(&format!("{}-1", NOON.0)));
    let gap = late.gap().expect("the second has left");
    assert_eq!((gap.missed, gap.since, gap.reason), (Some(1), None, GapReason::TooLate));
    assert_eq!(gap.until, Some(Timestamp(NOON.0 + 3)));
    assert_eq!(late.gap(), None, "once");
    assert_eq!(read(&mut late).first(), Some(&3));
}

#[test]
fn a_slow_reader_is_told_how_much_it_missed_and_since_when() {
    let ring = ring();
    let mut slow = reader(&ring, None);
    ring.append(vec![sent(1)]);
    assert_eq!(read(&mut slow), [1]);
    let many = i64::try_from(EVENTS_HELD_MAX).unwrap();
    ring.append(vec![sent(2), sent(3)]);
    ring.append((4..4 + many).map(sent).collect());
    assert_eq!(read(&mut slow), [0_i64; 0], "nothing is told past a gap that was not");
    let gap = slow.gap().expect("two have left");
    assert_eq!((gap.missed, gap.since, gap.reason), (Some(2), Some(Timestamp(NOON.0 + 1)), GapReason::TooSlow));
}

#[test]
fn who_comes_back_after_a_restart_is_told_so_and_everything_since() {
    let ring = ring();
    ring.append(vec![sent(1), sent(2)]);
    for before in ["1600000000000-77".to_owned(), format!("{}-99", NOON.0)] {
        let mut back = reader(&ring, Some(&before));
        let gap = back.gap().expect("nobody can say what it missed");
        assert_eq!((gap.missed, gap.reason), (None, GapReason::Restarted));
        assert_eq!(read(&mut back), [1, 2]);
    }
    for wrong in ["", "7", "x-1", "1-x", "1--1"] {
        assert!(wrong.parse::<Place>().is_err(), "{wrong:?}");
    }
}

#[test]
fn the_ring_holds_no_more_than_its_bound_and_one_transaction() {
    let ring = ring();
    for piece in 0..1000 {
        ring.append((0..100).map(|number| sent(piece * 100 + number)).collect());
        let held = ring.end() - ring.oldest();
        assert!(held < EVENTS_HELD_MAX as u64 + 100, "{held}");
    }
    assert!(ring.end() - ring.oldest() >= EVENTS_HELD_MAX as u64);
    let recent = ring.recent(3);
    let last: Vec<i64> = recent.iter().map(|one| one.at.0 - NOON.0).collect();
    assert_eq!(last, [99_999, 99_998, 99_997]);
}

#[test]
fn there_are_no_more_readers_than_the_bound_and_one_that_goes_makes_room() {
    let ring = ring();
    let mut readers: Vec<EventReader> = (0..EVENT_READERS_MAX).map(|_| reader(&ring, None)).collect();
    assert!(EventReader::new(&ring, EventFilter::default(), Begin::Now).is_none());
    readers.pop();
    assert!(EventReader::new(&ring, EventFilter::default(), Begin::Now).is_some());
    drop(readers);
    assert_eq!(ring.readers(), 0);
}

#[test]
fn many_readers_look_seldomer_than_few() {
    let ring = ring();
    let few = ring.pace();
    let readers: Vec<EventReader> = (0..EVENT_READERS_MAX).map(|_| reader(&ring, None)).collect();
    let looks = u32::try_from(readers.len()).unwrap() as f64 / ring.pace().as_secs_f64();
    assert!(looks <= 4001.0 && ring.pace() > few, "{looks} looks a second");
}

#[tokio::test]
async fn a_reader_ends_when_the_ring_is_closed_and_has_been_told_everything_before() {
    let ring = ring();
    let mut last = reader(&ring, None);
    ring.append(vec![sent(1)]);
    ring.close();
    assert!(last.wait().await);
    assert_eq!(read(&mut last), [1]);
    assert!(!last.wait().await);
}

#[test]
fn how_far_a_run_is_is_told_where_its_step_asks_for_it_and_landed() {
    use tidings_store::{Batch, Committed, RunNote, RunStep, Stepped};
    let step = |run, tell| RunStep {
        run: RunId(run),
        schedule: "digest".to_owned(),
        number: 1,
        place: String::new(),
        messages: 0..0,
        refused: 0,
        done: 500,
        total: (run == 1).then_some(1000),
        log: Vec::new(),
        tell,
    };
    let batch = Batch {
        now: NOON,
        steps: vec![step(1, true), step(2, false), step(3, true), step(4, true)],
        runs: vec![
            RunNote::end(RunId(5), "digest", RunState::Cancelled, "by local"),
            RunNote::end(RunId(6), "digest", RunState::Done, "too late"),
            RunNote::of(RunId(7), "digest"),
        ],
        ..Batch::default()
    };
    let committed = Committed {
        stepped: vec![Stepped::Done, Stepped::Done, Stepped::Before, Stepped::Over],
        ran: vec![true, false, true],
        ..Committed::default()
    };
    let told: Vec<String> = changes(&batch, &[], &[], &committed, &Names::default())
        .iter()
        .map(|happened| format!("{} {}", happened.kind, happened.data(Content::Thin)))
        .collect();
    assert_eq!(
        told,
        [
            r#"run.progress {"id":"run_1","schedule":"digest","done":500,"total":1000}"#,
            r#"run.ended {"id":"run_5","schedule":"digest","state":"cancelled","result":"by local"}"#,
        ]
    );
}

#[test]
fn a_pause_and_a_resume_of_a_schedule_are_told_and_what_it_leaves_out_is_told_as_its_times_come() {
    use tidings_store::{Batch, Committed, ScheduleChange};
    let schedule = tidings_model::ScheduleName::new("digest").unwrap();
    let pause = ScheduleChange::Pause { at: NOON, by: "ann".to_owned(), note: "maintenance".to_owned() };
    let skip = ScheduleChange::Skip { count: 1, by: "ann".to_owned(), note: String::new() };
    let schedules = [pause, skip, ScheduleChange::Resume].map(|change| (schedule.clone(), change)).to_vec();
    let batch = Batch { now: NOON, schedules, ..Batch::default() };
    let told: Vec<String> = changes(&batch, &[], &[], &Committed::default(), &Names::default())
        .iter()
        .map(|happened| format!("{} {}", happened.kind, happened.data(Content::Thin)))
        .collect();
    let paused = r#"schedule.paused {"schedule":"digest","reason":"maintenance"}"#;
    assert_eq!(told, [paused, r#"schedule.resumed {"schedule":"digest"}"#]);
}
