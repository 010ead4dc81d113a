use proptest::prelude::*;

use super::*;

fn cid(cid: &str) -> ConversationId {
    ConversationId::parse(cid).unwrap()
}

fn nobody(_line: &str) -> (usize, Vec<String>) {
    (0, Vec::new())
}

struct Bench(Composer, ConversationId);

impl Bench {
    fn new() -> Self {
        Self(Composer::default(), cid("room:dev"))
    }

    fn write(&mut self, text: &str) -> &mut Self {
        assert!(text.chars().all(|character| self.0.insert(character)));
        self
    }

    fn act(&mut self, action: Action) -> &mut Self {
        assert_eq!(self.0.act(action, &self.1, &nobody), Acted::Done, "{action:?}");
        self
    }

    fn complete(&mut self, action: Action) -> String {
        let known = |line: &str| match line {
            "/he" => (1, vec!["help ".to_owned()]),
            "/msg b" => (5, vec!["bert ".to_owned(), "bob ".to_owned()]),
            "b" => (0, vec!["bert*".to_owned(), "Bob*".to_owned()]),
            _ => (0, Vec::new()),
        };
        let speakers = ["Bob".to_owned(), "bob".to_owned()];
        let words = |line: &str| candidates(line, &speakers, known);
        self.0.act(action, &self.1, &words);
        self.0.text()
    }
}

#[test]
fn lines_are_edited_as_in_a_shell() {
    let mut bench = Bench::new();
    bench.write("one two three").act(Action::CutWordBack);
    assert_eq!(bench.0.text(), "one two ");
    bench.act(Action::LineStart).act(Action::Paste);
    assert_eq!(bench.0.text(), "threeone two ");
    bench.act(Action::Undo).act(Action::Undo);
    assert_eq!(bench.0.text(), "one two three");
    bench.act(Action::Redo);
    assert_eq!(bench.0.text(), "one two ");
    bench.act(Action::LineStart).act(Action::WordRight).act(Action::Cut);
    assert_eq!(bench.0.text(), "one ");
    bench.act(Action::CutBack).act(Action::Paste).act(Action::Left).act(Action::DeleteBack);
    assert_eq!(bench.0.text(), "on ");
    let acted = bench.0.act(Action::PageUp, &cid("room:dev"), &nobody);
    assert_eq!(acted, Acted::Nothing, "no key for what is typed");
}

#[test]
fn what_was_cut_can_be_inserted_in_the_next_message() {
    let mut bench = Bench::new();
    bench.write("keep cut").act(Action::CutWordBack);
    assert_eq!(bench.0.take(), "keep ");
    assert_eq!(bench.act(Action::Undo).act(Action::Paste).0.text(), "cut");
}

#[test]
fn what_was_sent_comes_back_in_its_conversation() {
    let mut bench = Bench::new();
    for (place, text) in [("room:dev", "one"), ("room:dev", "two\nrows"), ("room:ops", "else")] {
        bench.0.was_sent(&cid(place), text, false);
    }
    bench.write("draft").act(Action::Older);
    assert_eq!(bench.0.text(), "two\nrows");
    bench.act(Action::Older);
    assert_eq!(bench.0.text(), "two\nrows", "the cursor goes through its lines first");
    bench.act(Action::Older);
    assert_eq!(bench.0.text(), "one");
    bench.act(Action::Older);
    assert_eq!(bench.0.text(), "one", "there is nothing before");
    bench.act(Action::Newer).act(Action::Newer);
    assert_eq!(bench.0.text(), "draft");
    assert_eq!(bench.0.find_sent(&bench.1, "O", 0).as_deref(), Some("two\nrows"));
    assert_eq!(bench.0.find_sent(&bench.1, "O", 1).as_deref(), Some("one"));
    assert_eq!(bench.0.find_sent(&bench.1, "O", 2), None);
    assert_eq!(bench.0.find_sent(&cid("room:new"), "", 0), None);
}

/// Goal: what is remembered has a bound, and a long text that was refused comes back all the same.
#[test]
fn long_texts_make_room_for_each_other() {
    let mut bench = Bench::new();
    let texts = ["a", "b", "c"].map(|letter| letter.repeat(200 * 1_024));
    for text in &texts {
        bench.0.was_sent(&cid("room:dev"), text, false);
    }
    bench.act(Action::Older);
    assert_eq!(bench.0.text(), texts[2]);
    bench.act(Action::Older);
    assert_eq!(bench.0.text(), texts[2], "the others are forgotten");
}

#[test]
fn words_are_completed_and_who_spoke_last_comes_first() {
    let mut bench = Bench::new();
    assert_eq!(bench.write("/he").complete(Action::Complete), "/help ");
    bench.0.take();
    bench.write("/msg b");
    assert_eq!(bench.complete(Action::Complete), "/msg bob ");
    assert_eq!(bench.complete(Action::Complete), "/msg bert ");
    assert_eq!(bench.complete(Action::Complete), "/msg bob ");
    bench.0.take();
    bench.write("b");
    assert_eq!(bench.complete(Action::Complete), "Bob: ");
    bench.0.take();
    bench.write("ask @b");
    assert_eq!(bench.complete(Action::CompleteBack), "ask @bert ");
    assert_eq!(bench.complete(Action::CompleteBack), "ask @bob ");
    assert_eq!(bench.write("x").complete(Action::Complete), "ask @bob x", "another word");
    bench.0.take();
    assert_eq!(bench.complete(Action::Complete), "", "nothing becomes nothing");
}

#[test]
fn the_cursor_stands_where_the_next_character_comes() {
    let mut bench = Bench::new();
    let typed = |bench: &Bench| bench.0.typed(12);
    assert_eq!(typed(&bench), Typed { rows: vec![String::new()], cursor: (0, 0) });
    bench.write("hello 漢字");
    assert_eq!(typed(&bench).cursor, (0, 1), "behind a full row");
    assert_eq!(typed(&bench).rows, ["hello 漢字", ""]);
    bench.write("x");
    assert_eq!(
        (typed(&bench).rows, typed(&bench).cursor),
        (vec!["hello".into(), "漢字x".into()], (5, 1))
    );
    bench.act(Action::Newline).write("\u{202e}a");
    assert_eq!(typed(&bench).rows[2..], [r"\u{202e}a"]);
    bench.act(Action::Left);
    assert_eq!(typed(&bench).cursor, (8, 2));
    bench.act(Action::Older).act(Action::LineStart);
    assert_eq!(typed(&bench).cursor, (0, 0));
}

/// Goal: the cursor stands where it is drawn, also behind a character that is kept for what follows it. (The build before
/// took the joiner before the cursor for one that does nothing, and counted the eight letters of its escape.)
#[test]
fn the_cursor_stands_behind_what_is_shown_before_it() {
    let mut bench = Bench::new();
    bench.write("\t\u{7}می\u{200c}خواهم");
    for _ in 0..5 {
        bench.act(Action::Left);
    }
    let before = crate::wrap::width("    \\x07می\u{200c}");
    assert_eq!(before, 10);
    assert_eq!(bench.0.typed(40).cursor, (before, 0));
}

#[test]
fn a_long_message_shows_the_rows_around_the_cursor() {
    let mut bench = Bench::new();
    for row in 0..30 {
        bench.write(&format!("{row}")).act(Action::Newline);
    }
    let typed = bench.0.typed(40);
    assert_eq!((typed.rows.len(), typed.cursor), (10, (0, 9)));
    assert_eq!(typed.rows[0], "21");
}

/// Goal: what was cut is there until something else is cut. (The build before took the whole line for cut that a recalled
/// one took the place of.)
#[test]
fn what_was_cut_stays_whatever_takes_the_place_of_the_line() {
    let mut bench = Bench::new();
    bench.0.was_sent(&cid("room:dev"), "sent before", false);
    bench.write("keep cut").act(Action::CutWordBack).act(Action::Older);
    assert_eq!(bench.0.text(), "sent before");
    bench.act(Action::Paste);
    assert_eq!(bench.0.text(), "sent beforecut");
    bench.0.set("a draft ");
    bench.act(Action::Paste);
    assert_eq!(bench.0.text(), "a draft cut");
    // A character that is deleted is not cut, of however many parts it is.
    bench.write("e\u{301}").act(Action::DeleteBack).act(Action::Paste);
    assert_eq!(bench.0.text(), "a draft cutcut");
}

/// Goal: one key goes over what a person takes for one character, and deletes it. (The build before left half a sign
/// behind, and could not pass an accent at the end of a line.)
#[test]
fn a_character_of_several_parts_is_one() {
    let technologist = "👩\u{200d}💻";
    let mut bench = Bench::new();
    bench.write(&format!("a{technologist}🇩🇪e\u{301}")).act(Action::Newline).write("b");
    bench.act(Action::Left).act(Action::Left);
    for _ in 0..4 {
        bench.act(Action::Left);
    }
    assert_eq!(bench.0.typed(30).cursor, (0, 0));
    for column in [1, 3, 5, 6] {
        bench.act(Action::Right);
        assert_eq!(bench.0.typed(30).cursor, (column, 0));
    }
    bench.act(Action::Right);
    assert_eq!(bench.0.typed(30).cursor, (0, 1), "the next line");
    bench.act(Action::Left).act(Action::DeleteBack).act(Action::DeleteBack);
    assert_eq!(bench.0.text(), format!("a{technologist}\nb"));
    bench.act(Action::Undo).act(Action::LineStart).act(Action::Right).act(Action::Delete);
    assert_eq!(bench.0.text(), "a🇩🇪\nb");
    bench.act(Action::Undo);
    assert_eq!(bench.0.text(), format!("a{technologist}🇩🇪\nb"), "with one key");
}

/// Goal: there is no more than can be sent, whatever brings it. (The build before took ten megabytes, and laid them out
/// three times for each frame.)
#[test]
fn what_is_typed_has_a_bound() {
    let mut bench = Bench::new();
    assert!(!bench.0.paste(&"x".repeat(TYPED_MAX + 1)));
    assert!(bench.0.is_empty());
    // What nobody sees takes more room where it is made visible.
    assert!(!bench.0.paste(&format!("a{}", "\u{200b}".repeat(TYPED_MAX / 3))));
    let half = "word ".repeat(TYPED_MAX / 10);
    assert!(bench.0.paste(&half));
    bench.act(Action::CutBack).act(Action::Paste).act(Action::Paste);
    let full = bench.0.bytes();
    assert!(full > TYPED_MAX - 20 && full <= TYPED_MAX);
    let act = |bench: &mut Bench, action| bench.0.act(action, &cid("room:dev"), &nobody);
    assert_eq!(act(&mut bench, Action::Paste), Acted::NoRoom);
    while bench.0.insert('y') {}
    assert_eq!(bench.0.bytes(), TYPED_MAX);
    assert_eq!(act(&mut bench, Action::Newline), Acted::NoRoom);
    assert_eq!(act(&mut bench, Action::Left), Acted::Done);
    // What is longer all the same is whole, and takes no more.
    bench.0.set(&"x".repeat(TYPED_MAX + 1));
    assert!(bench.0.bytes() > TYPED_MAX && !bench.0.insert('y'));
    assert_eq!(act(&mut bench, Action::DeleteBack), Acted::Done);
}

#[test]
fn what_nobody_would_see_in_a_paste_becomes_visible() {
    let mut bench = Bench::new();
    bench.0.paste("a\u{1b}[2J\r\nb\u{202e}");
    assert_eq!(bench.0.text(), "a\\x1b[2J\nb\\u{202e}");
}

/// Goal: a private line that is pasted stays private. (The build before made letters of the mark before the name, and what
/// followed was said to the room.)
#[test]
fn what_hides_before_a_line_is_not_pasted() {
    let mut bench = Bench::new();
    bench.0.paste("\u{feff}bob*salary\r\n\u{200b}/msg bob salary");
    assert_eq!(bench.0.text(), "bob*salary\n/msg bob salary");
    bench.0.set("\u{feff}bob*salary");
    assert_eq!(bench.0.text(), "bob*salary");
}

proptest! {
    #[test]
    fn the_cursor_is_always_inside(text in "([a-c漢👩é ]|\\PC){0,60}", cells in 3_usize..30, back in 0_usize..60) {
        let mut bench = Bench::new();
        bench.0.paste(&text);
        for _ in 0..back {
            bench.act(Action::Left);
        }
        let typed = bench.0.typed(cells);
        prop_assert!(typed.cursor.1 < typed.rows.len(), "{typed:?}");
        prop_assert!(typed.cursor.0 < cells, "{typed:?}");
        prop_assert_eq!(&typed, &bench.0.typed(cells), "it is laid out once");
    }

    /// Goal: the rows around the cursor are those of the whole text.
    #[test]
    fn only_what_is_around_the_cursor_is_laid_out(
        text in "([a-c漢 ]{0,9}\n){0,30}", cells in 3_usize..9, up in 0_usize..30
    ) {
        let mut bench = Bench::new();
        bench.0.paste(&text);
        for _ in 0..up.min(text.matches('\n').count()) {
            bench.act(Action::Older);
        }
        bench.act(Action::LineStart);
        let typed = bench.0.typed(cells);
        let width = (cells - 2).max(1);
        let all = crate::wrap::wrap(&text, width, width);
        let is_part = all.windows(typed.rows.len()).any(|part| part == typed.rows);
        prop_assert!(is_part, "{typed:?} of {all:?}");
        prop_assert_eq!(typed.rows.len(), all.len().min(10));
    }
}
