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
        text.chars().for_each(|character| self.0.insert(character));
        self
    }

    fn act(&mut self, action: Action) -> &mut Self {
        assert!(self.0.act(action, &self.1, &nobody), "{action:?}");
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
    assert!(!bench.0.act(Action::PageUp, &cid("room:dev"), &nobody), "no key for what is typed");
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
        bench.0.was_sent(&cid(place), text);
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
        bench.0.was_sent(&cid("room:dev"), text);
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
    }
}
