//! Colours that a person has chosen instead of those of this program.

use ratatui::style::{Color, Modifier, Style};

use super::{Depth, Ink};

/// What has a colour of its own, by the name that it has in the file of configuration. Names of people have several, see
/// [`NAMES`].
const INKS: [(Ink, &str); 12] = [
    (Ink::Text, "text"),
    (Ink::Faint, "faint"),
    (Ink::Notice, "notice"),
    (Ink::Mark, "mark"),
    (Ink::Bad, "bad"),
    (Ink::Alarm, "alarm"),
    (Ink::Mention, "mention"),
    (Ink::Unread, "unread"),
    (Ink::Heading, "heading"),
    (Ink::Bar, "bar"),
    (Ink::BarBad, "bar_bad"),
    (Ink::Chosen, "chosen"),
];

/// The list of colours of which each name has one.
const NAMES: &str = "names";

/// Colours of names. More than a person tells apart.
const NAMES_MAX: usize = 32;

/// Colours by their names.
const COLOURS: [(&str, Color); 17] = [
    ("default", Color::Reset),
    ("black", Color::Black),
    ("red", Color::Red),
    ("green", Color::Green),
    ("yellow", Color::Yellow),
    ("blue", Color::Blue),
    ("magenta", Color::Magenta),
    ("cyan", Color::Cyan),
    ("white", Color::Gray),
    ("bright-black", Color::DarkGray),
    ("bright-red", Color::LightRed),
    ("bright-green", Color::LightGreen),
    ("bright-yellow", Color::LightYellow),
    ("bright-blue", Color::LightBlue),
    ("bright-magenta", Color::LightMagenta),
    ("bright-cyan", Color::LightCyan),
    ("bright-white", Color::White),
];

/// What is not a colour.
const ATTRIBUTES: [(&str, Modifier); 5] = [
    ("bold", Modifier::BOLD),
    ("dim", Modifier::DIM),
    ("italic", Modifier::ITALIC),
    ("underline", Modifier::UNDERLINED),
    ("reverse", Modifier::REVERSED),
];

/// The sixteen as terminals mostly show them: red, green and blue.
const SHOWN: [(Color, [u8; 3]); 16] = [
    (Color::Black, [0, 0, 0]),
    (Color::Red, [205, 0, 0]),
    (Color::Green, [0, 205, 0]),
    (Color::Yellow, [205, 205, 0]),
    (Color::Blue, [0, 0, 238]),
    (Color::Magenta, [205, 0, 205]),
    (Color::Cyan, [0, 205, 205]),
    (Color::Gray, [229, 229, 229]),
    (Color::DarkGray, [127, 127, 127]),
    (Color::LightRed, [255, 0, 0]),
    (Color::LightGreen, [0, 255, 0]),
    (Color::LightYellow, [255, 255, 0]),
    (Color::LightBlue, [92, 92, 255]),
    (Color::LightMagenta, [255, 0, 255]),
    (Color::LightCyan, [0, 255, 255]),
    (Color::White, [255, 255, 255]),
];

/// The parts of a colour in the cube of the fixed palette.
const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// Where the cube begins in the fixed palette, and where its greys do.
const CUBE_FROM: u8 = 16;
const GREYS_FROM: u8 = 232;

/// Colours that a person has chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Colours {
    inks: [Option<Style>; INKS.len()],
    names: [Option<Color>; NAMES_MAX],
}

impl Colours {
    /// What may be chosen, by name.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        INKS.iter().map(|(_, name)| *name).chain([NAMES])
    }

    /// Whether it takes a list of colours.
    pub fn is_list(name: &str) -> bool {
        name == NAMES
    }

    /// Chooses how something is drawn: `bright-yellow bold`, `white on blue`, `208`, `#ff8700 underline`; for names a list
    /// of colours.
    ///
    /// # Errors
    /// What is wrong, and what is right.
    pub fn choose(&mut self, name: &str, values: &[String]) -> Result<(), String> {
        if name == NAMES {
            if values.is_empty() || values.len() > NAMES_MAX {
                return Err(format!("write a list of 1 to {NAMES_MAX} colours"));
            }
            let colours = values.iter().map(|value| colour(value).map(Some));
            let colours = colours.collect::<Result<Vec<_>, _>>()?;
            self.names = [None; NAMES_MAX];
            for (place, colour) in self.names.iter_mut().zip(colours) {
                *place = colour;
            }
            return Ok(());
        }
        let at = INKS.iter().position(|(_, known)| *known == name);
        let place = at.and_then(|at| self.inks.get_mut(at));
        let place = place.ok_or_else(|| format!("nothing is called {name}"))?;
        *place = Some(style(values.first().map_or("", String::as_str))?);
        Ok(())
    }

    /// How something is drawn where a person has chosen that.
    pub(super) fn of(&self, ink: Ink, depth: Depth) -> Option<Style> {
        if let Ink::Name(number) = ink {
            let count = self.names.iter().flatten().count();
            let at = usize::try_from(number).unwrap_or_default().checked_rem(count)?;
            let colour = self.names.get(at).copied().flatten()?;
            return Some(Style::new().fg(fit(colour, depth)).add_modifier(Modifier::BOLD));
        }
        let at = INKS.iter().position(|(known, _)| *known == ink)?;
        let style = self.inks.get(at).copied().flatten()?;
        let fits = |colour: Option<Color>| colour.map(|colour| fit(colour, depth));
        Some(Style { fg: fits(style.fg), bg: fits(style.bg), ..style })
    }
}

/// Reads words such as `bright-yellow on #202020 bold`.
fn style(text: &str) -> Result<Style, String> {
    let mut style = Style::new();
    let mut words = text.split_whitespace().peekable();
    if words.peek().is_none() {
        return Err(format!("write a colour, or {}", names_of(&ATTRIBUTES)));
    }
    while let Some(word) = words.next() {
        let word = word.to_ascii_lowercase();
        let attribute = ATTRIBUTES.iter().find(|(name, _)| *name == word);
        style = match (attribute, word.as_str()) {
            (Some((_, attribute)), _) => style.add_modifier(*attribute),
            (None, "on") => {
                let ground = words.next().ok_or("behind `on` stands a colour")?;
                style.bg(colour(ground)?)
            }
            (None, word) if style.fg.is_none() => style.fg(colour(word)?),
            (None, word) => {
                return Err(format!("{word} is a second colour; write `on` before a ground"));
            }
        };
    }
    Ok(style)
}

/// Reads one colour.
fn colour(word: &str) -> Result<Color, String> {
    let lower = word.trim().to_ascii_lowercase();
    if let Some((_, colour)) = COLOURS.iter().find(|(name, _)| *name == lower) {
        return Ok(*colour);
    }
    let parts = |digits: &str| {
        let is_hex = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
        let [_, red, green, blue] = number.to_be_bytes();
        Some(Color::Rgb(red, green, blue))
    };
    let number = || lower.parse().ok().map(Color::Indexed);
    lower.strip_prefix('#').map_or_else(number, parts).ok_or_else(|| {
        let shown: String = word.chars().take(40).collect();
        format!(
            "{shown:?} is no colour; write one of {}, a number from 0 to 255, or #rrggbb",
            names_of(&COLOURS)
        )
    })
}

fn names_of<T>(named: &[(&'static str, T)]) -> String {
    named.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The nearest colour that the terminal has.
fn fit(colour: Color, depth: Depth) -> Color {
    match (colour, depth) {
        (Color::Rgb(red, green, blue), Depth::Palette) => {
            let part = |value: u8| {
                let near = |(_, shade): &(u8, u8)| shade.abs_diff(value);
                (0..).zip(CUBE).min_by_key(near).map_or(0, |(at, _)| at)
            };
            Color::Indexed(CUBE_FROM + 36 * part(red) + 6 * part(green) + part(blue))
        }
        (Color::Rgb(red, green, blue), Depth::Sixteen) => sixteen([red, green, blue]),
        // The first sixteen of the palette are those that the person has set.
        (Color::Indexed(index), Depth::Sixteen) if index >= CUBE_FROM => sixteen(shown(index)),
        _ => colour,
    }
}

/// The parts of a colour of the fixed palette, from its cube on.
fn shown(index: u8) -> [u8; 3] {
    if index >= GREYS_FROM {
        return [8 + 10 * (index - GREYS_FROM); 3];
    }
    let at = index.saturating_sub(CUBE_FROM);
    [at / 36, at / 6 % 6, at % 6].map(|part| CUBE.get(usize::from(part)).copied().unwrap_or(0))
}

fn sixteen(parts: [u8; 3]) -> Color {
    let apart = |shown: &[u8; 3]| -> u32 {
        let each = shown.iter().zip(parts);
        each.map(|(one, other)| u32::from(one.abs_diff(other)).pow(2)).sum()
    };
    let nearest = SHOWN.iter().min_by_key(|(_, shown)| apart(shown));
    nearest.map_or(Color::Reset, |(colour, _)| *colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(name: &str, value: &str) -> Result<Colours, String> {
        let mut colours = Colours::default();
        colours.choose(name, &[value.to_owned()])?;
        Ok(colours)
    }

    #[test]
    fn words_are_read_as_they_are_meant() {
        let plain = Style::new();
        for (value, expected) in [
            ("red", plain.fg(Color::Red)),
            ("Bright-Yellow BOLD", plain.fg(Color::LightYellow).add_modifier(Modifier::BOLD)),
            ("white on blue", plain.fg(Color::Gray).bg(Color::Blue)),
            ("on 208", plain.bg(Color::Indexed(208))),
            ("#ff8700 underline", plain.fg(Color::Rgb(255, 135, 0)).underlined()),
            ("reverse", plain.reversed()),
        ] {
            let colours = chosen("mention", value).unwrap();
            assert_eq!(colours.of(Ink::Mention, Depth::True), Some(expected), "{value}");
            assert_eq!(colours.of(Ink::Text, Depth::True), None, "{value}");
        }
    }

    #[test]
    fn what_is_no_colour_is_refused_with_what_is_one() {
        for (name, value, part) in [
            ("mention", "pink", "\"pink\" is no colour; write one of default, black, red"),
            ("mention", "#12345", "is no colour"),
            ("mention", "256", "a number from 0 to 255"),
            ("mention", "red blue", "blue is a second colour; write `on`"),
            ("mention", "red on", "behind `on` stands a colour"),
            ("mention", " ", "write a colour, or bold"),
            ("mentoin", "red", "nothing is called mentoin"),
            ("names", "bold", "is no colour"),
        ] {
            let error = chosen(name, value).expect_err(value);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_terminal_shows_the_nearest_colour_that_it_has() {
        for (colour, depth, expected) in [
            (Color::Rgb(255, 135, 0), Depth::True, Color::Rgb(255, 135, 0)),
            (Color::Rgb(255, 135, 0), Depth::Palette, Color::Indexed(208)),
            (Color::Rgb(250, 10, 10), Depth::Sixteen, Color::LightRed),
            (Color::Indexed(208), Depth::Sixteen, Color::Yellow),
            (Color::Indexed(244), Depth::Sixteen, Color::DarkGray),
            (Color::Indexed(9), Depth::Sixteen, Color::Indexed(9)),
        ] {
            assert_eq!(fit(colour, depth), expected, "{colour:?}");
        }
    }

    #[test]
    fn names_share_the_colours_of_the_list() {
        let mut colours = Colours::default();
        let list = ["cyan", "208"].map(str::to_owned);
        colours.choose("names", &list).unwrap();
        let of = |number| colours.of(Ink::Name(number), Depth::Palette).and_then(|style| style.fg);
        assert_eq!((of(0), of(1), of(2)), (Some(Color::Cyan), Some(Color::Indexed(208)), of(0)));
        assert!(colours.choose("names", &[]).is_err());
    }
}
