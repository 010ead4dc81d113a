//! A removal that is withheld, and a key of who has made it that stays without an answer. Whoever tells this lie
//! ends the connection each time.

use std::collections::BTreeSet;

use chat_protocol::frame::Binary;
use chat_protocol::header::Header;
use chat_protocol::id::Digest;
use chat_testkit::middle::{Message, Passing, Way};

use crate::detour::{Place, around};
use crate::{Act, Switch, read};

/// Which key gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The first one, which the hub does not take.
    BeforeKey,
    /// The first one, which the hub takes and delivers.
    BeforeAnswer,
    /// None ever does, and none is taken.
    Always,
}

/// As [`around`]; besides, keys that `remover` makes in the room get no answer. `cuts` counts the times.
pub fn around_and_cut(
    room: &'static str,
    kept: &'static str,
    (remover, others): (&'static str, &'static [&'static str]),
    (cut, cuts): (Cut, Switch),
) -> Act {
    let mut around = around(room, kept, others, Place::Now);
    let mut keys =
        Keys { room, cut, cuts, line: None, taken: BTreeSet::new(), ids: BTreeSet::new() };
    Box::new(move |scene, passing| {
        if passing.user == remover && keys.is_cut_off(&passing) {
            return Vec::new();
        }
        around(scene, passing)
    })
}

struct Keys {
    room: &'static str,
    cut: Cut,
    cuts: Switch,
    /// The connection of the first key.
    line: Option<usize>,
    /// Keys that did not come to the hub, and the ids of all.
    taken: BTreeSet<Digest>,
    ids: BTreeSet<String>,
}

impl Keys {
    fn is_cut_off(&mut self, passing: &Passing) -> bool {
        match passing.way {
            Way::ToClient => {
                let answer =
                    ["ACK", "NOACK"].iter().find_map(|tag| read::text(passing, passing.way, tag));
                let id = answer.as_ref().and_then(|answer| answer["id"].as_str());
                let is_cut = self.cut == Cut::BeforeAnswer && self.line == Some(passing.line);
                let is_cut = is_cut && id.is_some_and(|id| self.ids.contains(id));
                if is_cut {
                    self.cuts.tell();
                }
                is_cut
            }
            Way::ToHub => match read::frame(passing) {
                Some((Header::Key(header), frame)) if header.cid.to_string() == self.room => {
                    let first = *self.line.get_or_insert(passing.line);
                    self.ids.insert(header.eid.to_string());
                    let is_cut = match self.cut {
                        Cut::BeforeKey => passing.line == first,
                        Cut::BeforeAnswer => false,
                        Cut::Always => true,
                    };
                    let e = chat_protocol::epoch::digest(&frame);
                    if is_cut {
                        self.taken.insert(e);
                        self.cuts.tell();
                    } else {
                        self.taken.remove(&e);
                    }
                    is_cut
                }
                Some(_) => false,
                None => self.is_part(passing),
            },
        }
    }

    /// Whether it is a part of a key that was cut off.
    fn is_part(&self, passing: &Passing) -> bool {
        let Message::Binary(bytes) = &passing.message else { return false };
        let upload = Binary::decode(bytes.clone());
        matches!(upload, Ok(Binary::Upload(upload)) if self.taken.contains(&upload.epoch()))
    }
}
