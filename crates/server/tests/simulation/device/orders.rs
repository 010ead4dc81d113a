//! What the user says, and does in rooms.

use chat_endpoint::{CommandOptions, Endpoint, RoomAction};
use chat_protocol::name::{ConversationId, RoomName, UserName};

use super::{DeviceActor, Draft};
use crate::{
    facts::{What, person},
    keys,
    plan::{RoomAct, Whereto},
    world::now_ms,
};

/// The room that people make, and come to, and leave.
fn crew() -> RoomName {
    RoomName::new("crew").unwrap()
}

fn user(index: usize) -> UserName {
    UserName::new(keys::NAMES[index]).unwrap()
}

impl DeviceActor {
    pub(super) fn say(&mut self, endpoint: &mut Endpoint, whereto: Whereto) {
        self.said += 1;
        let text = format!("{} {}", self.name, self.said);
        let now = now_ms();
        let me = endpoint.device().user.clone();
        let direct = |to: &UserName| ConversationId::direct(&me, to).unwrap();
        let text_of = What::Text(text.clone());
        let mut in_room = |room: RoomName| {
            let id = endpoint.say(now, &room, &text).unwrap();
            (id, ConversationId::room(&room), None, text_of.clone())
        };
        let (id, place, to, what) = match whereto {
            Whereto::Lobby => in_room(RoomName::lobby()),
            Whereto::Everybody => in_room(RoomName::all()),
            Whereto::Crew => in_room(crew()),
            Whereto::Person(index) => {
                let other = user(index);
                let id = endpoint.tell_user(now, &other, &text).unwrap();
                (id, direct(&other), Some(other.to_string()), text_of)
            }
            Whereto::Machine => {
                let other = UserName::new(keys::MACHINE).unwrap();
                let argv = vec!["echo".to_owned(), text.clone()];
                let id = endpoint.run(now, &other, argv, CommandOptions::default()).unwrap();
                let what = What::Command { machine: other.to_string(), argv: text };
                (id, direct(&other), Some(other.to_string()), what)
            }
        };
        self.drafts.push(Draft::Message { id, place, to, what });
    }

    pub(super) fn act(&mut self, endpoint: &mut Endpoint, act: RoomAct) {
        let action = match act {
            RoomAct::Create { private } => RoomAction::Create { private },
            RoomAct::Join => RoomAction::Join { create: false },
            RoomAct::Leave => RoomAction::Leave,
            RoomAct::Admit(who) => RoomAction::Admit(user(who)),
            RoomAct::Remove { who, ban } => RoomAction::Remove { who: user(who), ban },
            RoomAct::Role { who, admin } => RoomAction::Role { who: user(who), admin },
        };
        let id = endpoint.act_in_room(now_ms(), &crew(), action);
        self.drafts.push(Draft::Order { id, what: format!("{act:?}") });
    }

    /// Says something wherever this device has said something, and in every room that its user is in.
    pub(super) fn talk(&mut self, endpoint: &mut Endpoint) {
        let me = person(&self.name);
        let is_in_crew = endpoint
            .roster(&crew())
            .is_some_and(|roster| roster.members.iter().any(|(name, _)| name.as_str() == me));
        let mut places = self.spoken.clone();
        places.insert(Whereto::Lobby);
        // Who asks a machine waits for its answer, and a machine asks nobody.
        if places.remove(&Whereto::Machine) {
            let machine = keys::NAMES.iter().position(|name| *name == keys::MACHINE).unwrap();
            places.insert(Whereto::Person(machine));
            places.insert(Whereto::Machine);
        }
        if is_in_crew {
            places.insert(Whereto::Crew);
        } else {
            places.remove(&Whereto::Crew);
        }
        for place in places {
            self.say(endpoint, place);
        }
    }
}
