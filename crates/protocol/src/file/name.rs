//! A file's name from outside, reduced to one that is safe in any folder.

/// Longest reduced name in bytes: leaves room for ` (999)` and `.part` under the 255 of file systems.
pub const REDUCED_BYTES_MAX: usize = 100;

/// Longest ending that is kept when a name is cut, with its dot.
const ENDING_BYTES_MAX: usize = 16;

/// What a name becomes of which nothing is left.
const NAMELESS: &str = "file";

/// Names that mean a device on some systems, in any case and with any ending.
const RESERVED: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// Reduces a claimed name to `[A-Za-z0-9._ -]{1,100}`: the part behind the last separator, without
/// dots, dashes and spaces at its front, or dots and spaces at its end, and never a reserved name.
pub fn reduce(claimed: &str) -> String {
    let last = claimed.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._ -".contains(c) { c } else { '_' };
    let name: String = last.chars().map(safe).collect();
    let name = name.trim_start_matches(['.', '-', ' ']).trim_end_matches(['.', ' ']);
    let name = cut(name);
    if name.is_empty() {
        return NAMELESS.to_owned();
    }
    if is_reserved(&name) { format!("_{name}") } else { name }
}

/// Cuts to the length allowed and keeps a short ending, so that the kind of file stays visible.
fn cut(name: &str) -> String {
    if name.len() <= REDUCED_BYTES_MAX {
        return name.to_owned();
    }
    let ending = name.rfind('.').and_then(|dot| name.get(dot..));
    let ending = ending.filter(|ending| ending.len() <= ENDING_BYTES_MAX).unwrap_or_default();
    let stem = name.get(..REDUCED_BYTES_MAX - ending.len()).unwrap_or_default();
    format!("{}{ending}", stem.trim_end_matches(['.', ' ']))
}

fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let bare = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = stem.len() - bare.len();
    RESERVED.contains(&bare) && (digits == 0 || (digits == 1 && bare.len() == 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay_and_hostile_ones_lose_what_is_hostile() {
        for (claimed, reduced) in [
            ("report.pdf", "report.pdf"),
            ("my notes (2).txt", "my notes _2_.txt"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("/etc/shadow", "shadow"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("- -.x", "x"),
            ("..", "file"),
            ("", "file"),
            ("dir/", "file"),
            ("a\0b\u{1b}[31m\n", "a_b__31m_"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("naïve.txt", "na_ve.txt"),
            ("con", "_con"),
            ("NUL.txt", "_NUL.txt"),
            ("com1.log", "_com1.log"),
            ("com10.log", "com10.log"),
            ("console.log", "console.log"),
            ("name. . .", "name"),
        ] {
            assert_eq!(reduce(claimed), reduced, "{claimed:?}");
        }
    }

    #[test]
    fn long_names_are_cut_and_keep_their_ending() {
        let reduced = reduce(&format!("{}.tar.gz", "a".repeat(300)));
        assert_eq!(reduced.len(), REDUCED_BYTES_MAX);
        assert_eq!(reduced.rsplit('.').next(), Some("gz"));
        assert_eq!(reduce(&"é".repeat(300)).len(), REDUCED_BYTES_MAX);
        assert_eq!(reduce(&format!("a.{}", "b".repeat(300))).len(), REDUCED_BYTES_MAX);
    }

    #[test]
    fn reducing_twice_changes_nothing() {
        for name in ["a. b", "..a..", "x\u{301}", "CON", "_", "é.é", "a/b\\c", &"é.".repeat(99)]
        {
            let once = reduce(name);
            assert_eq!(reduce(&once), once, "{name:?}");
        }
    }
}
