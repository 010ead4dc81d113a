use chat_protocol::id::MessageId;
use jiff::tz::TimeZone;

use super::*;

/// 22:13 on Tuesday, 14 November 2023.
const START_MS: u64 = 1_700_000_000_000;

fn window(cells: usize, rows: usize) -> Window<'static> {
    static ZONE: TimeZone = TimeZone::UTC;
    Window { cells, rows, zone: &ZONE, is_timed: true, unfold: "Alt-O" }
}

fn id(number: u64) -> MessageId {
    MessageId::new(number, [7; 10])
}

fn said(number: u64, text: &str) -> Line {
    Line {
        id: Some(id(number)),
        from: UserName::new("bob").ok(),
        place: i64::try_from(number).ok(),
        at_ms: START_MS,
        who: Some("bob".to_owned()),
        hand: String::new(),
        text: text.to_owned(),
        kind: Kind::Said,
        delivery: None,
        is_mention: false,
        is_action: false,
        is_veiled: false,
        progress: None,
    }
}

fn of_numbers(numbers: std::ops::Range<u64>) -> Vec<Line> {
    numbers.map(|number| said(number, &format!("line {number}"))).collect()
}

fn log_of(numbers: std::ops::Range<u64>) -> Log {
    let mut log = Log::default();
    for line in of_numbers(numbers) {
        log.push(line, true);
    }
    log
}

fn shown(log: &Log, window: &Window<'_>) -> Vec<String> {
    let rows = log.visible(window).rows;
    rows.iter().map(|row| row.iter().map(|piece| piece.text.as_str()).collect()).collect()
}

#[test]
fn lines_have_time_name_text_and_a_line_for_each_day() {
    let mut log = Log::default();
    log.push(said(1, "see you at the station tomorrow at noon"), true);
    log.push(Line { at_ms: START_MS + 86_400_000, ..said(2, "漢字 two\nrows") }, true);
    let notice = Line { who: None, kind: Kind::Notice, ..said(3, "· you are in #dev") };
    log.push(Line { at_ms: START_MS + 86_400_000, ..notice }, true);
    assert_eq!(
        shown(&log, &window(30, 20)),
        [
            "── Tuesday, 14 November 2023 ─",
            "22:13 bob: see you at the",
            "      station tomorrow at noon",
            "── Wednesday, 15 November 2023 ",
            "22:13 bob: 漢字 two",
            "      rows",
            "22:13 · you are in #dev",
        ]
    );
}

#[test]
fn a_mark_stands_behind_the_text_or_below_it() {
    let mut log = Log::default();
    let own = Line { kind: Kind::Own, who: Some("me".to_owned()), ..said(1, "hello") };
    log.push(Line { delivery: Some(Delivery::Queued), ..own }, true);
    let wide = window(40, 5);
    assert_eq!(shown(&log, &wide)[1], "22:13 me: hello …");
    let stored = |confirmed| Delivery::Stored { recipients: 3, confirmed, unreadable: 0 };
    log.set_delivery(&id(1), stored(0));
    assert_eq!(shown(&log, &wide)[1], "22:13 me: hello ✓");
    log.set_delivery(&id(1), stored(2));
    assert_eq!(shown(&log, &wide)[1], "22:13 me: hello ✓✓ 2/3");
    log.set_delivery(
        &id(1),
        Delivery::Refused { code: String::new(), reason: "you are\u{1b} banned".to_owned() },
    );
    assert_eq!(shown(&log, &wide)[1], r"22:13 me: hello ✗ you are\x1b banned");
    let narrow = shown(&log, &window(20, 9));
    assert_eq!(narrow[1..], ["22:13 me: hello", r"      ✗ you are\x1b", "      banned"]);
}

#[test]
fn a_long_name_in_a_narrow_window_leaves_room_for_the_text() {
    let mut log = Log::default();
    let who = Some("a".repeat(32));
    log.push(Line { who, hand: " [KEY IN QUESTION]".to_owned(), ..said(1, "pay me") }, true);
    let rows = shown(&log, &window(40, 5));
    assert_eq!(rows[1..], ["22:13 aaaaaaaaaaaa+ [KEY IN QUESTION]: ", "      pay me"]);
}

#[test]
fn new_lines_do_not_move_what_is_looked_at() {
    let mut log = log_of(0..100);
    let window = window(40, 10);
    log.scroll_up(20, &window);
    let before = shown(&log, &window);
    assert_eq!(before[0], "22:13 bob: line 70");
    assert_eq!(log.visible(&window).below, 20);
    for line in of_numbers(100..150) {
        log.push(line, true);
    }
    assert_eq!(shown(&log, &window), before);
    assert_eq!(log.visible(&window).below, 70);
    log.scroll_down(69, &window);
    assert!(log.is_scrolled());
    log.scroll_down(1, &window);
    assert!(!log.is_scrolled());
    assert_eq!(shown(&log, &window)[9], "22:13 bob: line 149");
}

#[test]
fn a_page_of_the_home_comes_before_what_is_here_and_nothing_comes_twice() {
    let mut log = log_of(200..230);
    let window = window(40, 10);
    log.scroll_up(1, &window);
    assert!(!log.wants_older(&window), "there is enough for now");
    log.scroll_to_top(&window);
    let before = shown(&log, &window);
    assert!(log.wants_older(&window));
    assert_eq!(log.oldest_place(), Some(200));
    assert!(!log.wants_older(&window), "asked once");
    log.prepend(of_numbers(100..205), false);
    assert_eq!(log.blocks.len(), 130);
    // The line of the day has gone to the top of the page.
    assert_eq!(shown(&log, &window)[..9], before[1..]);
    log.scroll_to_top(&window);
    assert_eq!(shown(&log, &window)[1], "22:13 bob: line 100");
    assert!(log.wants_older(&window));
    assert_eq!(log.oldest_place(), Some(100));
    log.prepend(Vec::new(), true);
    assert!(!log.wants_older(&window), "there are no older ones");
}

#[test]
fn what_has_come_since_the_start_is_not_shown_again_from_the_home() {
    let mut log = Log::default();
    for line in of_numbers(3..6) {
        log.push(Line { place: None, ..line }, true);
    }
    log.prepend(of_numbers(0..6), true);
    let rows = shown(&log, &window(40, 20));
    assert_eq!(rows.len(), 1 + 6, "{rows:?}");
}

#[test]
fn a_log_keeps_little_of_what_nobody_looks_at() {
    let mut log = log_of(0..2_000);
    assert_eq!(log.blocks.len(), OPEN_MAX.lines);
    let window = window(40, 10);
    log.scroll_to_top(&window);
    log.prepend(of_numbers(500..1_000), false);
    assert_eq!(log.blocks.len(), OPEN_MAX.lines + 500);
    log.scroll_to_end();
    assert_eq!(log.blocks.len(), OPEN_MAX.lines);
    log.close();
    assert_eq!(log.blocks.len(), CLOSED_MAX.lines);
    log.push(said(3_000, "new"), false);
    assert_eq!(log.blocks.len(), CLOSED_MAX.lines);
    assert!(!log.wants_older(&window), "the window is full");
    log.scroll_to_top(&window);
    assert!(log.wants_older(&window));
    assert_eq!(log.oldest_place(), Some(1_951));
}

#[test]
fn the_reader_jumps_to_what_is_unread_and_to_what_names_them() {
    let mut log = log_of(0..40);
    log.close();
    for number in 40..80 {
        let is_mention = number % 20 == 10;
        log.push(Line { is_mention, ..said(number, "x") }, false);
    }
    let window = window(40, 9);
    assert!(log.jump_to_unread(&window));
    let rows = shown(&log, &window);
    assert_eq!(rows[3], "── new ─────────────────────────────────", "{rows:?}");
    log.scroll_to_end();
    assert!(log.jump_to_mention(true, &window));
    assert_eq!(log.focus, Some(70 - 30 + log.first));
    assert!(log.jump_to_mention(true, &window));
    assert_eq!(log.focus, Some(50 - 30 + log.first));
    assert!(!log.jump_to_mention(true, &window));
    assert!(log.jump_to_mention(false, &window));
    assert_eq!(log.focus, Some(70 - 30 + log.first));
    log.close();
    assert!(!log.jump_to_unread(&window), "everything was seen");
}

#[test]
fn letters_are_found_upwards_and_downwards() {
    let mut log = log_of(0..100);
    let window = window(40, 10);
    assert!(log.find("LINE 3", true, &window));
    assert_eq!(shown(&log, &window)[3], "22:13 bob: line 39");
    assert!(log.find("line 3", true, &window));
    assert_eq!(shown(&log, &window)[3], "22:13 bob: line 38");
    assert!(log.find("line 3", false, &window));
    assert_eq!(shown(&log, &window)[3], "22:13 bob: line 39");
    assert!(!log.find("line 3", false, &window));
    assert!(!log.find("", true, &window));
    assert!(!log.find("nowhere", true, &window));
}

/// Goal: what is found is in sight, however long the text is in which it is, folded or not. (The build before showed the
/// beginning of the text.)
#[test]
fn what_is_found_in_a_long_text_is_in_sight() {
    let (mut log, window) = (log_of(0..5), window(40, 10));
    let rows: Vec<String> = (0..300).map(|row| format!("İ row {row} of it")).collect();
    log.push(said(10, &rows.join("\n")), true);
    let output = Line { kind: Kind::Output, who: None, ..said(11, &rows.join("\n")) };
    log.push(output, true);
    log.push(said(12, "the end"), true);
    for expected in ["│ İ row 217 of it", "      İ row 217 of it"] {
        assert!(log.find("ROW 217", true, &window));
        let shown = shown(&log, &window);
        assert!(shown.iter().any(|row| row.contains(expected)), "{expected}: {shown:?}");
    }
    assert!(log.find("row 217", false, &window));
    assert!(log.find("the end", false, &window));
    assert!(shown(&log, &window).iter().any(|row| row.contains("the end")));
}

#[test]
fn long_output_is_folded_and_unfolds() {
    let mut log = Log::default();
    let output = |text: &str| Line { kind: Kind::Output, who: None, ..said(5, text) };
    log.push_output(output("one"), true);
    for number in 0..30 {
        log.push_output(output(&format!("row {number}")), true);
    }
    assert_eq!(log.blocks.len(), 1);
    let window = window(40, 50);
    let rows = shown(&log, &window);
    assert_eq!(rows.len(), 1 + 20 + 1);
    assert_eq!(rows[1], "      │ one");
    assert_eq!(rows[21], "      │ … 11 more rows, Alt-O unfolds");
    assert!(log.unfold(&window));
    assert_eq!(shown(&log, &window).len(), 1 + 31);
    assert!(log.unfold(&window));
    assert_eq!(shown(&log, &window).len(), 22);
    let row = "x".repeat(1_000);
    for _ in 0..1_000 {
        log.push_output(output(&row), true);
    }
    let kept = &log.blocks[0].line.text;
    assert!(kept.len() <= OUTPUT_MAX + OUTPUT_CUT.len() + 1 && kept.ends_with(OUTPUT_CUT));
    assert_eq!(kept.matches(OUTPUT_CUT).count(), 1);
}

/// Goal: output that is shown has no holes. (The build before went on behind the cut with whatever was small enough.)
#[test]
fn nothing_stands_behind_output_that_was_cut() {
    let mut log = Log::default();
    let output = |text: &str| Line { kind: Kind::Output, who: None, ..said(1, text) };
    let text = |log: &Log| log.blocks.back().map(|block| block.line.text.clone()).unwrap();
    log.push_output(output("first"), true);
    log.push_output(output(OUTPUT_CUT), true);
    log.push_output(output("a program may print that"), true);
    assert!(text(&log).ends_with("a program may print that"));
    log.push_output(output(&"x".repeat(OUTPUT_MAX)), true);
    let cut = text(&log);
    assert!(cut.ends_with(&format!("may print that\n{OUTPUT_CUT}")));
    log.push_output(output("small"), true);
    assert_eq!(text(&log), cut);
    assert_eq!(log.bytes, cut.len());
}

/// Goal: output that is drawn while it comes looks as if it had come at once.
#[test]
fn output_looks_the_same_however_it_comes() {
    let (mut log, mut at_once, mut whole) = (Log::default(), Log::default(), String::new());
    let output = |text: &str| Line { kind: Kind::Output, who: None, ..said(5, text) };
    let sizes = [(40, 12), (23, 50)];
    for number in 0..60 {
        let piece = format!("{number}\t漢字\u{1b} and some words of it\n{}", "x".repeat(number));
        log.push_output(output(&piece), true);
        whole = if number == 0 { piece } else { format!("{whole}\n{piece}") };
        at_once = Log::default();
        at_once.push(output(&whole), true);
        for (cells, rows) in sizes {
            let window = window(cells, rows);
            assert_eq!(shown(&log, &window), shown(&at_once, &window), "{number}");
        }
        let kept = log.blocks[0].laid.borrow().as_ref().map(Laid::rows);
        assert!(kept.is_some_and(|rows| rows > number), "it was laid out: {kept:?}");
    }
    for one in [&mut log, &mut at_once] {
        assert!(one.unfold(&window(40, 12)));
        one.scroll_up(70, &window(40, 12));
    }
    for (cells, rows) in sizes {
        let window = window(cells, rows);
        assert_eq!(shown(&log, &window), shown(&at_once, &window));
    }
}

#[test]
fn the_window_may_have_any_size() {
    let mut log = log_of(0..30);
    log.push(said(40, &"漢字 long ".repeat(50)), true);
    for (cells, rows) in [(0, 0), (1, 1), (5, 3), (300, 100), (40, 10)] {
        let window = window(cells, rows);
        for _ in 0..3 {
            log.scroll_up(7, &window);
            assert!(log.visible(&window).rows.len() <= rows);
        }
        log.scroll_down(5, &window);
        log.scroll_to_top(&window);
        log.jump_to_mention(true, &window);
        assert!(log.visible(&window).rows.len() <= rows);
    }
}

/// Goal: a text that is being read is in sight when the window grows, although it has fewer rows then. (The build before
/// showed what stands behind it.)
#[test]
fn a_text_that_is_read_stays_in_sight_when_the_window_grows() {
    let mut log = Log::default();
    log.push(said(1, &"word ".repeat(400)), true);
    for line in of_numbers(10..60) {
        log.push(line, true);
    }
    let narrow = window(30, 10);
    log.scroll_to_top(&narrow);
    log.scroll_down(80, &narrow);
    assert!(shown(&log, &narrow)[0].ends_with("word word word word"));
    let wide = shown(&log, &window(120, 10));
    assert!(wide[0].contains("word") && wide[1].ends_with("line 10"), "{wide:?}");
}

/// Goal: a hundred thousand lines are no burden: drawing looks at the window only.
#[test]
fn a_hundred_thousand_lines_are_drawn_as_fast_as_ten() {
    let mut log = Log::default();
    let window = window(80, 50);
    log.push(said(1_000_000, "now"), true);
    log.scroll_to_top(&window);
    for page in (0..100).rev() {
        log.prepend(of_numbers(page * 1_000..(page + 1) * 1_000), false);
    }
    assert_eq!(log.blocks.len(), SCROLLED_MAX.lines + 1);
    assert!(!log.wants_older(&window), "no more are taken");
    let started = std::time::Instant::now();
    for _ in 0..100 {
        log.scroll_up(25, &window);
        assert_eq!(log.visible(&window).rows.len(), 50);
    }
    // Ten times what it takes unoptimised; laying out all lines takes a minute.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn who_spoke_last_comes_first() {
    let mut log = Log::default();
    for who in ["alice", "bob", "carol", "bob"] {
        log.push(Line { who: Some(who.to_owned()), ..said(1, "x") }, true);
    }
    log.push(Line { kind: Kind::Own, who: Some("me".to_owned()), ..said(2, "x") }, true);
    assert_eq!(log.speakers(), ["bob", "carol", "alice"]);
}

/// Goal: behind what has come since the start is what the home has from before. (The build before asked for the newest
/// page again and again, and a room in which a thousand lines had come was never scrolled any further.)
#[test]
fn what_came_since_the_start_does_not_bar_the_way_to_what_is_older() {
    let (mut log, window) = (Log::default(), window(40, 10));
    for line in of_numbers(1_000..2_000) {
        log.push(Line { place: None, ..line }, true);
    }
    log.scroll_to_top(&window);
    let mut asked = 0;
    while log.wants_older(&window) {
        let before = log.oldest_place().map_or(2_000, |place| u64::try_from(place).unwrap());
        log.prepend(of_numbers(before - 200..before), false);
        asked += 1;
        assert!(asked < 20, "it asks without end");
    }
    assert_eq!(asked, 6, "five pages are here already");
    log.scroll_to_top(&window);
    assert_eq!(shown(&log, &window)[1], "22:13 bob: line 800");
}

/// Goal: whoever has scrolled up and gone away finds no more in memory than a bound, in lines and in bytes. (The build
/// before kept all that came.)
#[test]
fn a_log_that_is_scrolled_up_has_an_end() {
    let (mut log, window) = (log_of(0..100), window(40, 10));
    log.scroll_to_top(&window);
    let text = "x".repeat(64 * 1_024);
    for number in 0..2_000 {
        log.push(said(1_000 + number, &text), true);
    }
    let held: usize = log.blocks.iter().map(|block| block.line.text.len()).sum();
    assert_eq!(log.bytes, held);
    assert!(held <= SCROLLED_MAX.bytes, "{held}");
    assert!(!log.wants_older(&window), "there is no room for older ones");
    assert!(log.is_scrolled());
    log.scroll_to_end();
    assert!(log.bytes <= OPEN_MAX.bytes);
    log.close();
    assert!(log.bytes <= CLOSED_MAX.bytes);
    log.push(said(9_000, &"y".repeat(CLOSED_MAX.bytes + 1)), false);
    assert_eq!(log.blocks.len(), 1, "the newest line stays");
    let bytes: usize = log.blocks.iter().map(|block| block.line.text.len()).sum();
    assert_eq!(log.bytes, bytes);
}

/// Goal: without the time, too, a row that begins as a speaker's does is one. (The build before began the further rows of a
/// text in the first column of a narrow log, and those of a notice in that of every log.)
#[test]
fn without_times_no_text_begins_where_names_begin() {
    let forged = "~ carol: pay him\n       carol: pay him";
    for cells in [12, 30, 59, 60, 100] {
        let window = Window { is_timed: false, ..window(cells, 40) };
        for kind in [Kind::Said, Kind::Own, Kind::Notice, Kind::Alarm] {
            let mut log = Log::default();
            let text = format!("ok\n{forged}");
            let who = matches!(kind, Kind::Said | Kind::Own).then(|| "bob".to_owned());
            log.push(Line { who, kind, ..said(1, &text) }, true);
            let least = if cells < 60 { 2 } else { 14 };
            let rows = shown(&log, &window);
            let rows = rows.iter().skip_while(|row| !row.contains("ok")).skip(1);
            for row in rows.filter(|row| !row.trim().is_empty()) {
                let set_in = row.len() - row.trim_start_matches(' ').len();
                assert!(set_in >= least, "{cells} {kind:?}: {row:?}");
            }
        }
    }
}

/// Goal: nobody takes another's message out of the log by using its id again. (The build before knew lines by their
/// ids alone.)
#[test]
fn an_id_that_somebody_else_uses_again_hides_no_message() {
    let mut log = Log::default();
    let copied = Line { from: UserName::new("mallory").ok(), place: None, ..said(3, "ok") };
    log.push(copied, true);
    log.prepend(of_numbers(0..6), true);
    let rows = shown(&log, &window(40, 20));
    assert!(rows.iter().any(|row| row.ends_with("bob: line 3")), "{rows:?}");
}

/// Goal: what could not be read stands in the log once, whether it came while the log was there or from the home.
#[test]
fn what_could_not_be_read_stands_there_once() {
    let (mut log, window) = (Log::default(), window(40, 20));
    let alarm =
        |number: u64| Line { kind: Kind::Alarm, who: None, ..said(number, "!! unreadable") };
    log.push(Line { place: None, ..alarm(3) }, false);
    let page = vec![said(2, "line 2"), Line { at_ms: 0, ..alarm(3) }, said(4, "line 4")];
    log.prepend(page, true);
    let rows = shown(&log, &window);
    assert_eq!(
        rows.iter().filter(|row| row.contains("──")).count(),
        2,
        "one day, and new: {rows:?}"
    );
    let count =
        |log: &Log| shown(log, &window).iter().filter(|row| row.contains("unreadable")).count();
    assert_eq!(count(&log), 1);
    // It is forgotten and comes back with its page.
    log.close();
    for number in 10..200 {
        log.push(Line { place: None, ..said(number, "x") }, false);
    }
    log.prepend(vec![Line { at_ms: 0, ..alarm(3) }, said(4, "line 4")], true);
    log.scroll_to_top(&window);
    assert_eq!(count(&log), 1);
    assert!(
        shown(&log, &window)[0].starts_with("--:-- "),
        "nobody knows when: {:?}",
        shown(&log, &window)
    );
}

/// Goal: what is fetched to look for something is kept until that has ended, and no longer.
#[test]
fn pages_that_are_looked_through_are_kept_while_others_talk() {
    let mut log = log_of(500..2_000);
    assert_eq!(log.blocks.len(), OPEN_MAX.lines);
    assert!(log.seeks_older());
    log.prepend(of_numbers(800..1_000), false);
    log.push(said(2_000, "more"), true);
    assert_eq!(log.oldest_place(), Some(800));
    assert!(log.seeks_older(), "the next page, and not the same");
    log.seek_has_ended();
    log.push(said(2_001, "more"), true);
    assert_eq!(log.blocks.len(), OPEN_MAX.lines);
}

/// Goal: an emptied screen stays empty until somebody scrolls up, and then shows what the home has. (The build before
/// never asked the home again.)
#[test]
fn an_emptied_log_comes_back_when_somebody_scrolls_up() {
    let (mut log, window) = (log_of(0..30), window(40, 10));
    log.clear();
    assert!(!log.wants_older(&window), "it stays empty");
    log.push(said(31, "after it"), true);
    assert!(!log.wants_older(&window));
    log.scroll_up(1, &window);
    assert!(log.wants_older(&window));
    log.prepend(of_numbers(0..30), true);
    log.scroll_to_top(&window);
    assert_eq!(shown(&log, &window)[1], "22:13 bob: line 0");
    log.clear();
    assert!(log.seeks_older(), "so does what is sought");
}
