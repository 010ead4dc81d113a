//! Rooms that do not exist yet: `/join` makes them and says so. A person who may have mistyped the name
//! of another room is asked first.

use std::sync::PoisonError;

use chat_endpoint::Event;
use chat_protocol::code;
use chat_protocol::name::RoomName;

use super::{Going, Said, Step, Talk};
use crate::chat::Asked;
use chat_device::identity::is_yes;
use chat_device::names::look;
use strsim::osa_distance;

/// Slips of the fingers between two names of rooms that are taken for one.
const SLIPS_MAX: usize = 1;

/// Shorter names differ in a letter on purpose: `a` and `b`.
const LETTERS_MIN: usize = 3;

impl Talk {
    /// Goes on where the room that was to be joined does not exist. Nothing for any other event.
    pub(in crate::chat) async fn make_room(&mut self, event: &Event) -> Option<Said> {
        let Event::Refused { id, code, .. } = event else { return None };
        let is_joining = |going: &mut Going| going.id == *id && matches!(going.step, Step::Join(_));
        if code != code::NO_SUCH_ROOM {
            return None;
        }
        let going = self.rooms.going.take_if(is_joining)?;
        let Step::Join(room) = going.step.clone() else { return None };
        let like = self.rooms.like(&room);
        // A line that is being typed is no answer, and whoever has gone elsewhere wants to be there.
        if self.rooms.current != going.to || (self.rooms.is_typing && !like.is_empty()) {
            return Some(self.not_made(&room, going));
        }
        self.rooms.go(&self.lines.me, going.from);
        match like.first() {
            Some(like) if self.returns => {
                let ask = format!(
                    "There is no #{room}, but a #{like}. Make #{room} all the same? Type yes; Enter leaves it"
                );
                self.rooms.ask_to_make(&room);
                self.question = Some(Asked::Room(room));
                Some(Said::line(ask))
            }
            _ => Some(self.go_by(Step::Make(room)).await),
        }
    }

    fn not_made(&mut self, room: &RoomName, going: Going) -> Said {
        let reason = format!("there is no #{room}; /create {room} makes it");
        let lines = self.go_back(going);
        self.error(&reason).and(Said { lines, ..Said::default() })
    }

    /// What was typed is the answer to whether a room is to be made: it goes nowhere else.
    pub(in crate::chat) async fn answer_room(&mut self, room: RoomName, answer: &str) -> Said {
        if is_yes(answer) {
            return self.go_by(Step::Make(room)).await;
        }
        let mut said = Said::line(format!("· #{room} is not made"));
        said.lines.extend(self.where_am_i().lines);
        said
    }
}

impl super::Rooms {
    /// Rooms whose names are a slip away from this one, or look like it.
    fn like(&self, room: &RoomName) -> Vec<String> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().filter(|name| is_like(name, room.as_str())).cloned().collect()
    }

    fn ask_to_make(&self, room: &RoomName) {
        let mut prompt = self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        *prompt = format!("make #{room}? ");
    }
}

/// Whether one of two names of rooms may be a mistyped form of the other.
fn is_like(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    one != other
        && (look(&one) == look(&other)
            || (one.len().min(other.len()) >= LETTERS_MIN
                && osa_distance(&one, &other) <= SLIPS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_away_is_alike_and_short_names_differ() {
        for (one, other, is_alike) in [
            ("crew", "crew2", true),
            ("crew", "cerw", true),
            ("ops", "op", false),
            ("ops", "opss", true),
            ("a", "b", false),
            ("dev-1", "dev1", true),
            ("lobby", "lobby", false),
            ("lobby", "random", false),
            ("team-one", "team-two", false),
        ] {
            assert_eq!(is_like(one, other), is_alike, "{one} {other}");
        }
    }
}
