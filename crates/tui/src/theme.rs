//! Colours and signs. Nothing is told by a colour alone: each has a sign or an attribute beside it, so that it is
//! there without colours, too.

use std::borrow::Cow;

use chat_text::settings::Look;
use ratatui::style::{Color, Modifier, Style};

mod colours;

pub use colours::Colours;

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None, or none are wanted.
    Plain,
    /// Those that the person has set the terminal to.
    Sixteen,
    /// The fixed palette.
    Palette,
    /// Any.
    True,
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// What somebody has said, and what is typed.
    Text,
    /// What is there but not to be looked at: times, muted conversations, hints.
    Faint,
    /// A name, by the number that [`name`] makes of it.
    Name(u32),
    /// What the program says.
    Notice,
    /// A mark at what was said.
    Mark,
    /// What has failed.
    Bad,
    /// What must be seen.
    Alarm,
    /// What names this user.
    Mention,
    /// Something new.
    Unread,
    /// A heading, or a line between two days.
    Heading,
    /// The status line and the title.
    Bar,
    /// The same where something is wrong.
    BarBad,
    /// What is chosen or was found.
    Chosen,
}

/// How this screen is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Its colours.
    pub depth: Depth,
    /// Nothing is faint, and names are bold.
    pub is_high_contrast: bool,
    /// Signs are ASCII.
    pub is_ascii: bool,
    /// What a person has chosen.
    pub colours: Colours,
}

/// Colours for names where there are sixteen. Red is for what is wrong; black, white and grey are text.
const SIXTEEN: [Color; 10] = [
    Color::Cyan,
    Color::Green,
    Color::Yellow,
    Color::Blue,
    Color::Magenta,
    Color::LightCyan,
    Color::LightGreen,
    Color::LightYellow,
    Color::LightBlue,
    Color::LightMagenta,
];

/// Colours of the fixed palette that are read on a dark and on a light ground, without red.
const PALETTE: [u8; 16] = [32, 37, 38, 64, 65, 68, 71, 97, 99, 103, 108, 133, 136, 139, 166, 172];

/// The darkest and the brightest part of a true colour of a name.
const SHADES: (u32, u32) = (88, 208);

/// The hues of names, in degrees: from orange to violet, so without red.
const HUES: (u32, u32) = (25, 310);

/// The signs of this program, and what stands for them in ASCII.
const SIGNS: [(&str, &str); 22] = [
    ("✓✓", "vv"),
    ("✓", "v"),
    ("✗", "x"),
    ("…", ".."),
    ("·", "-"),
    ("★", "*"),
    ("●", "*"),
    ("○", "o"),
    ("→", "->"),
    ("⇣", "<-"),
    ("⇡", "->"),
    ("│", "|"),
    ("─", "-"),
    ("█", "#"),
    ("░", "."),
    ("▲", "^"),
    ("▼", "v"),
    ("▸", ">"),
    ("┌", "+"),
    ("┐", "+"),
    ("└", "+"),
    ("┘", "+"),
];

impl Theme {
    /// What these variables of the environment say. Higher contrast is asked for elsewhere.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        let term = variable("TERM").unwrap_or_default();
        let depth = match variable("COLORTERM").as_deref() {
            _ if is_set("NO_COLOR") => Depth::Plain,
            Some("truecolor" | "24bit") => Depth::True,
            _ if term.contains("direct") => Depth::True,
            _ if term.contains("256color") => Depth::Palette,
            _ => Depth::Sixteen,
        };
        // The first that is set decides, as in the C library.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find(|name| is_set(name));
        let locale = locale.and_then(&variable).unwrap_or_default().to_ascii_lowercase();
        let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
        // The console of Linux has few signs in its font.
        let is_ascii = !is_utf8 || term == "linux";
        Self { depth, is_high_contrast: false, is_ascii, colours: Colours::default() }
    }

    /// The same as a person has set it.
    #[must_use]
    pub fn looking(self, look: Look) -> Self {
        match look {
            Look::Default => self,
            Look::Contrast => Self { is_high_contrast: true, ..self },
            Look::Plain => Self { depth: Depth::Plain, ..self },
            Look::Ascii => Self { depth: Depth::Plain, is_ascii: true, ..self },
        }
    }

    /// How something is drawn. Without colours it is drawn as this program does: what a person has chosen may tell
    /// something by a colour alone.
    pub fn style(&self, ink: Ink) -> Style {
        let chosen = self.colours.of(ink, self.depth).filter(|_| self.depth != Depth::Plain);
        match chosen {
            Some(style) if self.is_high_contrast => style.remove_modifier(Modifier::DIM),
            Some(style) => style,
            None => self.own_style(ink),
        }
    }

    fn own_style(&self, ink: Ink) -> Style {
        let plain = Style::new();
        match ink {
            Ink::Text => plain,
            Ink::Faint if self.is_high_contrast => plain,
            Ink::Faint => plain.add_modifier(Modifier::DIM),
            Ink::Name(number) => self.coloured(plain, |depth| name_colour(number, depth)).bold(),
            Ink::Notice => self.colour(plain, Color::Cyan),
            Ink::Mark => self.colour(plain, Color::Green),
            Ink::Bad => self.colour(plain, Color::Red).bold(),
            Ink::Alarm => self.colour(plain, Color::Red).bold().reversed(),
            Ink::Mention => self.colour(plain, Color::Yellow).bold(),
            Ink::Unread | Ink::Heading => plain.bold(),
            Ink::Bar if self.has_bars() => plain.fg(Color::White).bg(Color::Blue),
            Ink::Bar => plain.reversed(),
            Ink::BarBad if self.has_bars() => plain.fg(Color::White).bg(Color::Red).bold(),
            Ink::BarBad => self.colour(plain, Color::Red).reversed().bold(),
            Ink::Chosen => plain.reversed().bold(),
        }
    }

    /// Title and status line have a ground of their own; else they are in reverse.
    fn has_bars(self) -> bool {
        self.depth != Depth::Plain && !self.is_high_contrast
    }

    fn colour(self, style: Style, colour: Color) -> Style {
        self.coloured(style, |_| colour)
    }

    fn coloured(self, style: Style, colour: impl Fn(Depth) -> Color) -> Style {
        if self.depth == Depth::Plain { style } else { style.fg(colour(self.depth)) }
    }

    /// The same text with signs that this terminal has. It is for words of this program only: what people say
    /// stays as it is.
    pub fn signs<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.is_ascii || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let plain =
            SIGNS.iter().fold(text.to_owned(), |text, (sign, ascii)| text.replace(sign, ascii));
        Cow::Owned(plain)
    }
}

/// A number for a name: the same at every start, and for every spelling of its letters.
pub fn name(name: &str) -> u32 {
    // FNV-1a: short, and it spreads names that differ in one letter.
    name.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    })
}

fn name_colour(number: u32, depth: Depth) -> Color {
    let chosen = |count: usize| usize::try_from(number).unwrap_or_default() % count;
    match depth {
        Depth::Plain => Color::Reset,
        Depth::Sixteen => SIXTEEN.get(chosen(SIXTEEN.len())).copied().unwrap_or(Color::Reset),
        Depth::Palette => {
            PALETTE.get(chosen(PALETTE.len())).map_or(Color::Reset, |index| Color::Indexed(*index))
        }
        Depth::True => hue(HUES.0 + number % (HUES.1 - HUES.0)),
    }
}

/// The colour of this hue, in degrees.
fn hue(degrees: u32) -> Color {
    let (low, high) = SHADES;
    let (sector, part) = (degrees / 60 % 6, degrees % 60);
    let rising = low + (high - low) * part / 60;
    let falling = high - (high - low) * part / 60;
    let (red, green, blue) = match sector {
        0 => (high, rising, low),
        1 => (falling, high, low),
        2 => (low, high, rising),
        3 => (low, falling, high),
        4 => (rising, low, high),
        _ => (high, low, falling),
    };
    let byte = |part: u32| u8::try_from(part).unwrap_or(u8::MAX);
    Color::Rgb(byte(red), byte(green), byte(blue))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(variables: &[(&str, &str)]) -> Theme {
        Theme::detect(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_says_how_many_colours_there_are() {
        for (variables, depth) in [
            (&[][..], Depth::Sixteen),
            (&[("TERM", "xterm")], Depth::Sixteen),
            (&[("TERM", "screen-256color")], Depth::Palette),
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")], Depth::True),
            (&[("TERM", "xterm"), ("COLORTERM", "yes")], Depth::Sixteen),
            (&[("TERM", "xterm-direct")], Depth::True),
            (&[("COLORTERM", "24bit"), ("NO_COLOR", "1")], Depth::Plain),
            (&[("TERM", "xterm-256color"), ("NO_COLOR", "")], Depth::Palette),
        ] {
            assert_eq!(detected(variables).depth, depth, "{variables:?}");
        }
    }

    #[test]
    fn signs_are_ascii_where_the_terminal_has_no_others() {
        for (variables, is_ascii) in [
            (&[][..], true),
            (&[("LANG", "C")], true),
            (&[("LANG", "en_GB.UTF-8")], false),
            (&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")], true),
            (&[("LC_CTYPE", "C.utf8")], false),
            (&[("LANG", "en_GB.UTF-8"), ("TERM", "linux")], true),
        ] {
            assert_eq!(detected(variables).is_ascii, is_ascii, "{variables:?}");
        }
        let theme = detected(&[("LANG", "C")]);
        assert_eq!(theme.signs("✓✓ 2/3 ✗ no … ✓"), "vv 2/3 x no .. v");
        for (sign, ascii) in SIGNS {
            assert!(ascii.is_ascii() && theme.signs(sign).is_ascii(), "{sign}");
        }
    }

    /// The hue of a colour in degrees, and how far it is from grey, of 255.
    fn hue_of((red, green, blue): (u8, u8, u8)) -> (u32, u32) {
        let [red, green, blue] = [red, green, blue].map(i32::from);
        let (high, low) = (red.max(green).max(blue), red.min(green).min(blue));
        let span = high - low;
        let part = |of: i32| 60 * of / span.max(1);
        let degrees = if high == red {
            part(green - blue)
        } else if high == green {
            120 + part(blue - red)
        } else {
            240 + part(red - green)
        };
        (degrees.rem_euclid(360).unsigned_abs(), span.unsigned_abs())
    }

    /// A colour of the cube of the fixed palette.
    fn of_cube(index: u8) -> (u8, u8, u8) {
        let at = index.checked_sub(16).filter(|at| *at < 216).expect("one of the cube");
        let level = |part: u8| if part == 0 { 0 } else { 55 + 40 * part };
        (level(at / 36), level(at / 6 % 6), level(at % 6))
    }

    #[test]
    fn a_name_keeps_its_colour_and_is_never_red() {
        assert_eq!(name("Bob"), name("bob"));
        assert_ne!(name("bob"), name("bop"));
        assert_eq!(hue_of((208, 0, 0)), (0, 208));
        assert_eq!((hue_of((255, 0, 64)).0, hue_of((0, 0, 9)).0), (345, 240));
        for number in (0..5_000).map(|number| name(&format!("user{number}"))) {
            for depth in [Depth::Sixteen, Depth::Palette, Depth::True] {
                let colour = match name_colour(number, depth) {
                    Color::Rgb(red, green, blue) => (red, green, blue),
                    Color::Indexed(index) => of_cube(index),
                    colour => {
                        assert!(!matches!(colour, Color::Red | Color::LightRed | Color::Reset));
                        continue;
                    }
                };
                let (degrees, span) = hue_of(colour);
                let is_red = degrees < HUES.0 || degrees > HUES.1;
                assert!(!is_red && span >= 40, "{colour:?}: {degrees} degrees");
            }
        }
    }

    #[test]
    fn without_colours_attributes_are_left() {
        let theme = detected(&[("NO_COLOR", "1")]);
        for ink in [Ink::Alarm, Ink::Bad, Ink::Mention, Ink::Bar, Ink::Name(7), Ink::Chosen] {
            let style = theme.style(ink);
            assert_eq!(style.fg, None, "{ink:?}");
            assert!(!style.add_modifier.is_empty(), "{ink:?}");
        }
    }

    #[test]
    fn nothing_is_faint_in_high_contrast() {
        let theme = Theme { is_high_contrast: true, ..detected(&[]) };
        assert_eq!(theme.style(Ink::Faint), Style::new());
        let mut colours = Colours::default();
        colours.choose("faint", &["blue dim".to_owned()]).unwrap();
        let style = Theme { colours, ..theme }.style(Ink::Faint);
        assert!(style.fg == Some(Color::Blue) && !style.add_modifier.contains(Modifier::DIM));
    }

    #[test]
    fn chosen_colours_are_used_where_there_are_colours() {
        let mut colours = Colours::default();
        colours.choose("alarm", &["208".to_owned()]).unwrap();
        let with = |variables| Theme { colours, ..detected(variables) }.style(Ink::Alarm);
        assert_eq!(with(&[("TERM", "xterm-256color")]).fg, Some(Color::Indexed(208)));
        let plain = with(&[("NO_COLOR", "1")]);
        assert!(plain.fg.is_none() && plain.add_modifier.contains(Modifier::REVERSED));
    }
}
