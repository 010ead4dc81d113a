//! The fields as one line of printable ASCII.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::operation::Operation;

/// What a line usually needs; a longer one grows once.
const LINE_BYTES_USUAL: usize = 512;

/// The operation as one JSON object and a newline, in printable ASCII.
///
/// Everything else is written as `\uXXXX`, so that a C1 control, a text direction override or a
/// line separator in a peer's name survives in the log without acting on anybody's terminal.
/// The error cannot happen with today's fields; the caller counts it instead of trusting that.
pub fn line(operation: &Operation<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = Vec::with_capacity(LINE_BYTES_USUAL);
    operation.serialize(&mut Serializer::with_formatter(&mut line, AsciiFormatter))?;
    line.push(b'\n');
    Ok(line)
}

/// Compact JSON in which every character outside printable ASCII is escaped. `serde_json`
/// itself escapes quotes, backslashes and C0 controls before a fragment comes here.
struct AsciiFormatter;

impl Formatter for AsciiFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(is_printable) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            match u8::try_from(character) {
                Ok(byte) if is_printable(byte) => writer.write_all(&[byte])?,
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_printable(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::operation::{Level, Outcome, TEXT_BYTES_MAX, Text};

    fn parse(line: &[u8]) -> Operation<'static> {
        serde_json::from_slice(line).unwrap()
    }

    #[test]
    fn a_full_line_reads_as_documented() {
        let operation = Operation {
            ts: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
            level: Level::Warn,
            op_id: 7,
            conn_id: Some(3),
            user: Some("alice".into()),
            peer: Some("bob".into()),
            tag: Some("DM".into()),
            id: Some("AZ".into()),
            conversation: Some("dm".into()),
            priority: Some("interactive".into()),
            bytes: Some(812),
            outcome: Some(Outcome::Refused),
            code: Some("E_POLICY".into()),
            reason: Some("not allowed here".into()),
            queue_us: Some(12),
            total_us: Some(3400),
            ..Operation::new("frame.refused")
        };
        assert_eq!(
            String::from_utf8(line(&operation).unwrap()).unwrap(),
            concat!(
                r#"{"ts":"2026-01-02T03:04:05.000006Z","level":"warn","op":"frame.refused","op_id":7,"#,
                r#""conn_id":3,"user":"alice","peer":"bob","type":"DM","id":"AZ","conversation":"dm","#,
                r#""priority":"interactive","bytes":812,"outcome":"refused","code":"E_POLICY","#,
                r#""reason":"not allowed here","queue_us":12,"total_us":3400}"#,
                "\n"
            )
        );
    }

    #[test]
    fn whole_seconds_keep_six_digits() {
        let operation =
            Operation { ts: "2026-01-02T03:04:05Z".parse().unwrap(), ..Operation::new("x") };
        let line = String::from_utf8(line(&operation).unwrap()).unwrap();
        assert!(line.contains("05.000000Z"), "{line}");
    }

    proptest! {
        /// Goal: one event is one parsable line, whatever stands in its fields. Method: strings
        /// with controls, quotes, line ends, ANSI and anything else in every text field.
        #[test]
        fn any_field_content_is_one_parsable_ascii_line(
            texts in prop::collection::vec(
                prop_oneof![
                    any::<String>(),
                    "[\\x00-\\x1f\\x7f\u{80}-\u{9f}\u{202a}-\u{202e}\u{2028}\"\\\\{}]{0,40}",
                    Just("\r\n{\"op\":\"forged\"}\u{1b}]52;c;x\u{7}".to_owned()),
                ],
                12,
            ),
            number in any::<u64>(),
            exit in any::<i32>(),
        ) {
            let text = |index: usize| Some(Text::from(texts[index].as_str()));
            let operation = Operation {
                address: text(0), user: text(1), peer: text(2), tag: text(3), id: text(4),
                conversation: text(5), priority: text(6), argv_sha256: text(7), stage: text(8),
                code: text(9), reason: text(10), seq: Some(number), exit: Some(exit),
                ..Operation::new(&texts[11])
            };
            let line = line(&operation).unwrap();
            let (end, body) = line.split_last().unwrap();
            prop_assert_eq!(*end, b'\n');
            prop_assert!(body.iter().all(|byte| is_printable(*byte)));
            let back = parse(&line);
            prop_assert_eq!(back.reason.map(|text| text.to_string()), text(10).map(|text| text.to_string()));
            prop_assert_eq!(back.op.to_string(), Text::from(texts[11].as_str()).to_string());
            prop_assert_eq!(back.seq, Some(number));
            prop_assert!(body.len() < 12 * TEXT_BYTES_MAX * 6 + 1024);
        }
    }
}
