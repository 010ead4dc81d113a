//! Where there is little room, and where there is much to be shown.

use proptest::prelude::*;

use super::*;
use crate::composer::TYPED_MAX;

/// Goal: what is to be read once is there at every size that is promised. (The build before had it in the title alone,
/// which lower screens do not have.)
#[test]
fn what_is_to_be_read_once_is_seen_without_a_title_too() {
    for height in [10, 11, 12, 24] {
        let mut desk = Desk::new(40, height);
        desk.key(KeyCode::Char('c'), CTRL);
        assert!(desk.text().contains("Ctrl-C again, Ctrl-D or /quit leaves"), "{}", desk.text());
        desk.facts.status.link = Link::Offline(Some(5));
        desk.key(KeyCode::Char('u'), ALT);
        assert!(desk.text().contains("nothing here is unread"), "{}", desk.text());
        desk.key(KeyCode::Char('p'), ALT);
        assert!(desk.text().contains("looking further back; any key ends that"), "{}", desk.text());
    }
}

/// Goal: the first line that nobody has looked at is found where it is not in memory any more, with the rule above it.
/// (The build before went to the oldest line in memory, and no further.)
#[test]
fn the_first_unread_line_is_fetched_from_the_home() {
    let mut desk = Desk::new(80, 24);
    let bob = cid("dm:alice:bob");
    let from_bob = |number: u64| line(number, "bob", &format!("line {number}"));
    desk.screen.tell(Some(&bob), notice(Kind::Notice, "bob is here"));
    for number in 100..300 {
        // It has no place yet, and what is said between is nowhere in the home.
        desk.screen.tell(Some(&bob), Line { place: None, ..from_bob(number) });
        desk.screen.tell(Some(&bob), notice(Kind::Notice, "bob is away"));
    }
    desk.screen.opened(bob.clone());
    desk.key(KeyCode::Char('u'), ALT);
    assert!(desk.text().contains("looking further back"), "{}", desk.text());
    let page = |from: u64, to: u64| (from..to).map(from_bob).collect::<Vec<_>>();
    assert_eq!(desk.screen.wants_older(&desk.facts), Some((bob.clone(), None)));
    desk.screen.older(&desk.facts, &bob, page(150, 300), false);
    assert_eq!(desk.screen.wants_older(&desk.facts), Some((bob.clone(), Some(150))));
    desk.screen.older(&desk.facts, &bob, page(50, 150), false);
    let text = desk.text();
    let rule = text.find("── new ─").unwrap_or_else(|| panic!("{text}"));
    assert!(
        text.find("line 99 ").unwrap() < rule && rule < text.find("line 100 ").unwrap(),
        "{text}"
    );
    assert_eq!(desk.screen.wants_older(&desk.facts), None, "it is found");
    assert!(!desk.text().contains("looking"), "{}", desk.text());
}

/// Goal: what the home does not have any more is looked for to its end, and no further.
#[test]
fn where_the_first_unread_line_is_gone_the_oldest_is_the_nearest() {
    let mut desk = Desk::new(80, 24);
    let bob = cid("dm:alice:bob");
    for number in 100..300 {
        desk.screen.tell(Some(&bob), line(number, "bob", "x"));
    }
    desk.screen.opened(bob.clone());
    desk.key(KeyCode::Char('u'), ALT);
    let page = (200..250).map(|number| line(number, "bob", &format!("line {number}")));
    desk.screen.older(&desk.facts, &bob, page.collect(), true);
    assert!(desk.text().contains("line 200 "), "{}", desk.text());
    assert!(!desk.text().contains("looking"), "{}", desk.text());
}

/// Goal: a look further back comes to its end also where others go on talking, and reads each page once. (The build before
/// forgot what it had fetched with each new line, and fetched it again.)
#[test]
fn what_is_said_meanwhile_does_not_hold_up_a_look_further_back() {
    const PAGE: u64 = 200;
    let mut desk = Desk::new(80, 24);
    let lobby = cid("room:lobby");
    let said = |number: u64| {
        let text = if number == 7 { "the needle" } else { "hay" };
        line(number, "bob", text)
    };
    let mut newest = 3_000;
    for number in 2_000..newest {
        desk.screen.tell(None, said(number));
    }
    desk.key(KeyCode::Char('s'), CTRL);
    desk.write("needle");
    assert!(desk.text().contains("looking further back"), "{}", desk.text());
    let mut ends = Vec::new();
    while let Some((_, Some(before))) = desk.screen.wants_older(&desk.facts) {
        assert!(!ends.contains(&before), "{before} again, behind {ends:?}");
        ends.push(before);
        let before = u64::try_from(before).unwrap();
        let page: Vec<Line> = (before.saturating_sub(PAGE)..before).map(said).collect();
        let is_all = page.is_empty();
        desk.screen.older(&desk.facts, &lobby, page, is_all);
        for _ in 0..5 {
            desk.screen.tell(None, said(newest));
            newest += 1;
        }
    }
    assert!(desk.text().contains("the needle"), "{}", desk.text());
    assert!(!desk.text().contains("looking"), "{}", desk.text());
}

/// Goal: where what comes takes the room for older lines, a look further back ends and says so. (The build before said
/// without end that it was looking.)
#[test]
fn a_look_further_back_ends_where_there_is_no_room_for_it() {
    let mut desk = Desk::new(80, 24);
    let said = |number: u64, text: &str| line(number, "bob", text);
    desk.screen.tell(None, said(1_000, "hay"));
    desk.key(KeyCode::Char('s'), CTRL);
    desk.write("needle");
    let wanted = desk.screen.wants_older(&desk.facts).unwrap();
    let page = (800..1_000).map(|number| said(number, "hay")).collect();
    desk.screen.older(&desk.facts, &wanted.0, page, false);
    assert!(desk.text().contains("looking further back"), "{}", desk.text());
    let long = "hay ".repeat(256 * 1_024);
    for number in 2_000..2_070 {
        desk.screen.tell(None, said(number, &long));
    }
    assert_eq!(desk.screen.wants_older(&desk.facts), None);
    assert!(!desk.text().contains("looking"), "{}", desk.text());
    assert!(desk.text().contains("(not found)"), "{}", desk.text());
}

/// Goal: what was looked for in one conversation is not looked for in another, and nothing says so there.
#[test]
fn a_look_further_back_ends_where_the_talk_goes_elsewhere() {
    let mut desk = Desk::new(80, 24);
    desk.screen.tell(None, line(100, "bob", "hay"));
    desk.key(KeyCode::Char('s'), CTRL);
    desk.write("needle");
    assert!(desk.text().contains("looking further back"), "{}", desk.text());
    desk.screen.opened(cid("dm:alice:bob"));
    assert!(!desk.text().contains("looking"), "{}", desk.text());
}

/// Goal: nothing of a paste is lost that has no room once it is seen as it is.
#[test]
fn a_paste_that_grows_beyond_the_bound_stays_in_the_draft() {
    let mut desk = Desk::new(80, 24);
    desk.write("typed ");
    let pasted = format!("a\n{}", "b\u{202e}".repeat(TYPED_MAX / 8));
    desk.paste(&pasted);
    assert!(desk.text().contains("Paste 2 lines?"), "{}", desk.text());
    assert_eq!(desk.screen.take_typed(), [format!("typed {pasted}")]);
}

/// Goal: a paste that cannot be sent is refused and its size is said, and nothing that is typed is lost.
#[test]
fn a_paste_that_is_too_long_is_refused() {
    for height in [10, 24] {
        let mut desk = Desk::new(40, height);
        desk.write("typed");
        for text in ["x".repeat(10_000_000), format!("{}x", "x\n".repeat(5_000_000))] {
            desk.paste(&text);
            assert!(
                desk.text().contains("✗ too long, 10.0 MB: /send it as a file"),
                "{}",
                desk.text()
            );
            assert!(desk.screen.popup.is_none());
        }
        let rest = TYPED_MAX - "typed".len();
        desk.paste(&"x".repeat(rest));
        assert!(!desk.text().contains("too long"), "{}", desk.text());
        desk.write("y");
        assert!(desk.text().contains("✗ too long"), "{}", desk.text());
        let typed = desk.screen.take_typed();
        assert_eq!(typed.iter().map(String::len).collect::<Vec<_>>(), [TYPED_MAX]);
        desk.screen.ask(Some("sure?".to_owned()));
        desk.paste(&"z".repeat(1_000_000));
        let Some(Need::Line(answer)) = desk.key(KeyCode::Enter, NONE) else { panic!("no answer") };
        assert_eq!(answer.len(), 512);
    }
}

/// One thing that happens to a screen.
#[derive(Debug, Clone)]
enum Happens {
    Size(u16, u16),
    Key(KeyCode, KeyModifiers),
    Paste(String),
    Said(Kind, String),
    Mouse(MouseEventKind, u16, u16),
    Asked(Option<String>),
    Page(u64, bool),
    Opened(bool),
    Frame(u16, u16),
}

fn happens() -> impl Strategy<Value = Happens> {
    let size = || (prop_oneof![0_u16..20, 35_u16..130], prop_oneof![0_u16..26, 26_u16..60]);
    let text = "(\\PC|[a-c漢👩 \n\u{300}\u{200d}\u{1b}\u{202e}ﾞ]|🇩🇪){0,120}";
    let kind = prop_oneof![
        Just(Kind::Said),
        Just(Kind::Own),
        Just(Kind::Notice),
        Just(Kind::Alarm),
        Just(Kind::Output)
    ];
    let held = prop_oneof![Just(NONE), Just(CTRL), Just(ALT)];
    let code = prop_oneof![
        "[a-z?y_/漢]".prop_map(|key| KeyCode::Char(key.chars().next().unwrap_or('a'))),
        Just(KeyCode::Enter),
        Just(KeyCode::Esc),
        Just(KeyCode::Tab),
        Just(KeyCode::Backspace),
        Just(KeyCode::Delete),
        Just(KeyCode::Left),
        Just(KeyCode::Right),
        Just(KeyCode::Up),
        Just(KeyCode::Down),
        Just(KeyCode::Home),
        Just(KeyCode::End),
        Just(KeyCode::PageUp),
        Just(KeyCode::PageDown),
        Just(KeyCode::F(1)),
    ];
    let mouse = prop_oneof![
        Just(MouseEventKind::ScrollUp),
        Just(MouseEventKind::ScrollDown),
        Just(MouseEventKind::Down(MouseButton::Left))
    ];
    prop_oneof![
        2 => size().prop_map(|(width, height)| Happens::Size(width, height)),
        8 => (code, held).prop_map(|(code, held)| Happens::Key(code, held)),
        1 => text.prop_map(Happens::Paste),
        4 => (kind, text).prop_map(|(kind, text)| Happens::Said(kind, text)),
        1 => (mouse, 0_u16..130, 0_u16..60).prop_map(|(kind, x, y)| Happens::Mouse(kind, x, y)),
        1 => proptest::option::of(text).prop_map(Happens::Asked),
        1 => (0_u64..1_000, any::<bool>()).prop_map(|(from, is_all)| Happens::Page(from, is_all)),
        1 => any::<bool>().prop_map(Happens::Opened),
        1 => size().prop_map(|(width, height)| Happens::Frame(width, height)),
    ]
}

impl Desk {
    fn meet(&mut self, number: u64, one: Happens) {
        match one {
            Happens::Size(width, height) => self.screen.resize(width, height),
            Happens::Key(code, held) => drop(self.key(code, held)),
            Happens::Paste(text) => self.paste(&text),
            Happens::Said(kind, text) => {
                let delivery = (kind == Kind::Own)
                    .then(|| Delivery::Refused { code: String::new(), reason: text.clone() });
                let said = Line { kind, delivery, place: None, ..line(number, "bob", &text) };
                let place = number.is_multiple_of(3).then(|| cid("dm:alice:bob"));
                self.screen.tell(place.as_ref(), said);
            }
            Happens::Mouse(kind, column, row) => {
                let event = MouseEvent { kind, column, row, modifiers: NONE };
                self.screen.mouse(event, &self.facts);
            }
            Happens::Asked(words) => self.screen.ask(words),
            Happens::Page(from, is_all) => {
                if let Some((place, _)) = self.screen.wants_older(&self.facts) {
                    let page = (from..from + 30).map(|number| line(number, "carol", "older"));
                    self.screen.older(&self.facts, &place, page.collect(), is_all);
                }
            }
            Happens::Opened(is_bob) => {
                self.screen.opened(cid(if is_bob { "dm:alice:bob" } else { "room:lobby" }));
            }
            // The terminal may have another size before the screen is told of it.
            Happens::Frame(width, height) => {
                let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
                terminal.draw(|frame| self.screen.draw(&self.facts, frame)).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Goal: whatever happens, in whatever order and at whatever size, something is drawn and nothing panics.
    #[test]
    fn whatever_happens_is_drawn(all in proptest::collection::vec(happens(), 1..40)) {
        let mut desk = Desk::new(80, 24);
        desk.facts.members =
            vec![Member { name: "bob".to_owned(), is_online: true, is_admin: true }];
        for (number, one) in (1_u64..).zip(all) {
            desk.meet(number, one);
            desk.drawn();
        }
    }
}
