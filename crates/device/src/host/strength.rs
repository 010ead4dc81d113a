//! Whether a password that is newly set is good enough, and one that is.
//!
//! A hub that cheats can guess off-line against what it keeps. Nothing but the password itself stands
//! against that, so a weak one is refused where it is made; at a sign-in it is what it is.

use bip39::Language;
use chat_protocol::crypto::random;
use chat_protocol::name::UserName;
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};
use zxcvbn::{Score, zxcvbn};

use crate::password::Password;

/// Fewer characters are few guesses whatever they are.
const CHARACTERS_MIN: usize = 10;

/// Of four: more than 10^6 guesses, each of which costs 600,000 rounds.
const SCORE_MIN: Score = Score::Two;

/// Words of a passphrase that is offered: 66 bits.
const OFFERED_WORDS: usize = 6;

/// Why a password cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WeakPassword {
    /// Too short.
    #[error(
        "this password has {characters} characters, a new one needs at least {CHARACTERS_MIN}; \
         some words that do not belong together are easy to keep in mind"
    )]
    Short {
        /// How many it has.
        characters: usize,
    },
    /// Long enough and easy to guess.
    #[error("this password is easy to guess ({score} of 4, a new one needs 2). {hint}")]
    Guessable {
        /// 0 or 1.
        score: u8,
        /// What would help.
        hint: String,
    },
}

/// How strong a new password of this user is, 2 to 4 of 4, or why it cannot be set.
pub fn of_new(password: &Password, user: &UserName) -> Result<u8, WeakPassword> {
    let characters = password.expose().chars().count();
    if characters < CHARACTERS_MIN {
        return Err(WeakPassword::Short { characters });
    }
    let estimate = zxcvbn(password.expose(), &[user.as_str()]);
    let score = u8::from(estimate.score());
    if estimate.score() >= SCORE_MIN {
        return Ok(score);
    }
    let mut hints = Vec::new();
    if let Some(feedback) = estimate.feedback() {
        hints.extend(feedback.warning().map(|warning| warning.to_string()));
        hints.extend(feedback.suggestions().iter().map(ToString::to_string));
    }
    if hints.is_empty() {
        hints.push("Take more words, and less usual ones.".to_owned());
    }
    Err(WeakPassword::Guessable { score, hint: hints.join(" ") })
}

/// A passphrase that nobody has had before.
pub fn offered() -> Zeroizing<String> {
    let list = Language::English.word_list();
    let mut dice: [u8; 2 * OFFERED_WORDS] = random();
    let words = dice.chunks_exact(2).map(|two| {
        // The list has 2,048 words, of which two bytes choose each equally often.
        let index = two.iter().fold(0, |index, byte| index << 8 | usize::from(*byte)) % list.len();
        list.get(index).copied().unwrap_or_default()
    });
    let phrase = Zeroizing::new(words.collect::<Vec<_>>().join(" "));
    dice.zeroize();
    phrase
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unwrap_in_result, reason = "a test may panic: both are written here")]
    fn judge(password: &str) -> Result<u8, WeakPassword> {
        of_new(&Password::new(password).unwrap(), &UserName::new("alice").unwrap())
    }

    #[test]
    fn short_and_common_ones_are_refused_with_what_would_help() {
        assert_eq!(judge("x7$Kq!9zW"), Err(WeakPassword::Short { characters: 9 }));
        for weak in ["passwordpassword", "1234567890", "alicealicealice", "qwertyuiop"] {
            let refused = judge(weak).unwrap_err();
            let WeakPassword::Guessable { score, hint } = &refused else { panic!("{weak}") };
            assert!(*score < 2 && hint.len() > 10, "{weak}: {refused}");
        }
    }

    #[test]
    fn those_of_the_manual_and_offered_ones_are_good() {
        for good in ["correct horse battery staple", "a new and better one", &offered()] {
            assert!(judge(good).is_ok(), "{good}: {:?}", judge(good));
        }
        assert_eq!(offered().split(' ').count(), OFFERED_WORDS);
        assert_ne!(offered(), offered());
    }
}
