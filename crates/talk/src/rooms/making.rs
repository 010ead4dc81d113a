//! Rooms that do not exist yet: `/join` makes them and says so. A person who may have mistyped the name
//! of another room is asked first.

use std::sync::PoisonError;

use chat_device::identity::is_yes;
use chat_device::names::look;
use chat_endpoint::Event;
use chat_protocol::code;
use chat_protocol::name::RoomName;
use chat_text::item::{Asked, What};
use strsim::osa_distance;

use super::{Going, Step};
use crate::talk::Talk;
use crate::told::Told;

/// Slips of the fingers between two names of rooms that are taken for one.
const SLIPS_MAX: usize = 1;

/// Shorter names differ in a letter on purpose: `a` and `b`.
const LETTERS_MIN: usize = 3;

impl Talk {
    /// Goes on where the room that was to be joined does not exist. Nothing for any other event.
    pub(crate) async fn make_room(&mut self, event: &Event) -> Option<Told> {
        let Event::Refused { id, code, .. } = event else { return None };
        let is_joining = |going: &mut Going| going.id == *id && matches!(going.step, Step::Join(_));
        if code != code::NO_SUCH_ROOM {
            return None;
        }
        let going = self.rooms.going.take_if(is_joining)?;
        let Step::Join(room) = going.step.clone() else { return None };
        let like = self.rooms.like(&room);
        // A line that is being typed is no answer, and whoever has gone elsewhere wants to be there.
        if self.rooms.current != going.to || (self.rooms.is_typing && like.is_some()) {
            let error = Told::error(format!("there is no #{room}; /create {room} makes it"));
            return Some(error.and(self.go_back(going)));
        }
        self.go(going.from);
        match like {
            Some(like) if self.is_person => {
                let asked = Asked::Room { room, like };
                self.asked = Some(asked.clone());
                Some(What::Asked(asked).into())
            }
            _ => Some(self.go_by(Step::Make(room)).await),
        }
    }

    /// What was typed is the answer to whether a room is to be made: it goes nowhere else.
    pub(crate) async fn answer_room(&mut self, room: RoomName, answer: &str) -> Told {
        if is_yes(answer) {
            return self.go_by(Step::Make(room)).await;
        }
        Told::from(What::NotMade(room)).and(self.where_am_i())
    }
}

impl super::Rooms {
    /// A room whose name is a slip away from this one, or looks like it.
    fn like(&self, room: &RoomName) -> Option<String> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().find(|name| is_like(name, room.as_str())).cloned()
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
