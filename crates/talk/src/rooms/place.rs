//! Where plain text goes, and what moves it: the person, or others who put them out.
//!
//! A script does not see a prompt. What follows a refused `/room`, `/join` or `/leave` was meant for a
//! room that it is not in: from then on there is no current room, and a text is refused.

use chat_device::recipient::Recipient;
use chat_endpoint::{Event, MemberChange, RoomAction};
use chat_protocol::hub::Moderation;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use chat_text::item::{Item, What};
use chat_text::show::veil_mark;

use super::{Going, Step};
use crate::talk::Talk;
use crate::told::Told;

impl Talk {
    /// Goes to a room at once, so that what is typed next is said there or nowhere.
    pub(super) async fn go_by(&mut self, step: Step) -> Told {
        let (room, action) = match &step {
            Step::Join(room) => (room.clone(), RoomAction::Join { create: false }),
            Step::Make(room) => (room.clone(), RoomAction::Create { private: false }),
            Step::Leave => return Told::default(),
        };
        let to = Some(Recipient::Room(room.clone()));
        self.go_after(&room, action, (step, to)).await
    }

    /// Asks for something in a room and goes to another one, or the same; back if it is refused.
    pub(super) async fn go_after(
        &mut self,
        room: &RoomName,
        action: RoomAction,
        (step, to): (Step, Option<Recipient>),
    ) -> Told {
        if room.is_all() {
            return Told::error("ALL is no room to go to; ALL*TEXT writes to everybody");
        }
        let asked = self.client.act_in_room(room, action).await;
        match self.ordered(asked) {
            Ok(id) => {
                let from = match self.rooms.going.take() {
                    // That may be refused as well.
                    Some(Going { from, step: Step::Join(_) | Step::Make(_), .. }) => from,
                    _ => self.rooms.current.clone(),
                };
                self.rooms.going = Some(Going { id, from, to: to.clone(), step });
                self.rooms.holds_prompt = true;
                self.go(to);
                self.queued()
            }
            Err(told) => told,
        }
    }

    pub(super) async fn go_to(&mut self, room: RoomName) -> Told {
        let room = self.rooms.known(room);
        let roster = self.client.roster(&room).await;
        // The view of the lobby is fetched when something is said there.
        let is_in = (room == RoomName::lobby() && self.rooms.is_in_lobby)
            || roster.is_some_and(|r| r.members.iter().any(|(name, _)| *name == self.me));
        if !is_in || room.is_all() {
            let told = Told::error(format!("you are not in #{room}; /join it first"));
            return if self.is_person { told } else { told.and(self.lose_room()) };
        }
        self.go(Some(Recipient::Room(room)));
        self.where_am_i()
    }

    /// What is typed next is not said in a room that is being left. Whoever may not leave is back in it.
    pub(super) async fn leave(&mut self, room: RoomName) -> Told {
        let room = self.rooms.known(room);
        let to = match &self.rooms.current {
            Some(Recipient::Room(current)) if *current == room => self.rooms.refuge(&room),
            current => current.clone(),
        };
        self.go_after(&room, RoomAction::Leave, (Step::Leave, to)).await
    }

    /// What is typed goes to somebody alone from now on.
    pub(crate) fn open_with(&mut self, user: UserName) -> Told {
        if user == self.me {
            return Told::error("there is no conversation with yourself");
        }
        self.go(Some(Recipient::User(user)));
        self.where_am_i()
    }

    pub(crate) fn where_am_i(&self) -> Told {
        What::Place(self.rooms.current.clone()).into()
    }

    /// A line that was begun for a room which its writer is not in comes to nothing: it is not `sent`, or not `done`. Nothing
    /// else keeps it, so it is shown, as what was typed under the veil if it was.
    pub(crate) fn refuse_late(&self, why: &str, what: &str, line: &str) -> Told {
        let mark = veil_mark(self.is_veiled());
        Told::error(format!("{why}, so this was not {what}: {mark}{line}")).and(self.where_am_i())
    }

    /// After this there is no room that a text could go to.
    fn lose_room(&mut self) -> Told {
        self.go(None);
        self.where_am_i()
    }

    /// Keeps the books about rooms. Says where text goes from now on, if that has changed.
    pub(crate) fn learn_rooms(&mut self, event: &Event) -> Vec<Item> {
        let arrived = self.arrived(event);
        let before = self.rooms.current.clone();
        match event {
            Event::Rooms { rooms, entering, .. } => {
                for info in rooms {
                    self.rooms.learn(&info.room);
                }
                let lobby = rooms.iter().find(|info| info.room == RoomName::lobby());
                let is_news = self.rooms.going.is_none() && !self.rooms.has_entered_lobby;
                if let Some(lobby) = lobby.filter(|_| is_news) {
                    // A new account joins it meanwhile: a list that was made before says nothing.
                    self.rooms.enters_lobby = entering.contains(&lobby.room);
                    self.rooms.is_in_lobby = lobby.member || self.rooms.enters_lobby;
                    // A script's texts are refused by the server, which has the last word.
                    let is_there = before == Some(Recipient::Room(RoomName::lobby()));
                    if !self.rooms.is_in_lobby && is_there && self.is_person {
                        self.rooms.is_unsettled = true;
                        self.is_put(None);
                    }
                }
            }
            Event::Joined { cid, .. } => self.entered(cid),
            Event::MemberChanged { cid, change, who, .. } => {
                if let ConversationKind::Room(room) = cid.kind()
                    && !room.is_all()
                {
                    self.rooms.learn(&room);
                }
                match change {
                    MemberChange::Removed | MemberChange::Banned if *who == self.me => {
                        self.put_out(cid);
                    }
                    MemberChange::Joined | MemberChange::Added if *who == self.me => {
                        self.entered(cid);
                    }
                    _ => {}
                }
            }
            Event::Moderated { who, act: Moderation::Kick | Moderation::Ban, .. }
                if *who == self.me =>
            {
                self.put_out(&ConversationId::room(&RoomName::lobby()));
            }
            Event::Left { cid, .. } => self.put_out(cid),
            _ => {}
        }
        if self.rooms.current != before && arrived.items.is_empty() {
            return self.where_am_i().items;
        }
        arrived.items
    }

    /// Takes the answer about the room that was gone to.
    fn arrived(&mut self, event: &Event) -> Told {
        let Some(id) = event.answers() else { return Told::default() };
        let Some(going) = self.rooms.going.take_if(|going| going.id == id) else {
            return Told::default();
        };
        let is_refused = matches!(event, Event::Refused { .. });
        if is_refused && self.is_person {
            return self.go_back(going);
        }
        let Going { from, step, .. } = going;
        match step {
            _ if is_refused => self.lose_room(),
            Step::Make(room) => {
                let cid = Some(ConversationId::room(&room));
                Item { cid, id: Some(id), what: What::Made(room) }.into()
            }
            Step::Leave if from != self.rooms.current => self.where_am_i(),
            Step::Leave | Step::Join(_) => Told::default(),
        }
    }

    /// Whoever was refused is where they came from, unless they have gone elsewhere meanwhile. A line that they
    /// type was meant for where the prompt says that they are.
    pub(super) fn go_back(&mut self, Going { from, to, step, .. }: Going) -> Told {
        if self.rooms.current != to || from == to {
            return Told::default();
        }
        self.is_put(from.clone());
        if !self.rooms.is_typing {
            return Told::default();
        }
        self.rooms.moved = Some(match (step, from) {
            (Step::Join(room) | Step::Make(room), _) => format!("you are not in #{room}"),
            (Step::Leave, Some(Recipient::Room(room))) => format!("you are still in #{room}"),
            (Step::Leave, _) => "you are in no room".to_owned(),
        });
        self.where_am_i()
    }

    fn entered(&mut self, cid: &ConversationId) {
        let ConversationKind::Room(room) = cid.kind() else { return };
        if room.is_all() {
            return;
        }
        self.rooms.learn(&room);
        if room == RoomName::lobby() {
            (self.rooms.is_in_lobby, self.rooms.has_entered_lobby) = (true, true);
            self.rooms.enters_lobby = false;
            if std::mem::take(&mut self.rooms.is_unsettled) && self.rooms.current.is_none() {
                self.is_put(Some(Recipient::Room(room)));
            }
        }
    }

    /// This user is in this room no more.
    fn put_out(&mut self, cid: &ConversationId) {
        let ConversationKind::Room(room) = cid.kind() else { return };
        if room == RoomName::lobby() {
            (self.rooms.is_in_lobby, self.rooms.has_entered_lobby) = (false, false);
            self.rooms.enters_lobby = false;
        }
        if self.rooms.room() != Some(&room) {
            return;
        }
        // It was gone to since, and the answer to that decides.
        let is_joined = |going: &Going| match &going.step {
            Step::Join(to) | Step::Make(to) => *to == room,
            Step::Leave => false,
        };
        if self.rooms.going.as_ref().is_some_and(is_joined) {
            return;
        }
        // Others have done it, or another device: what is being typed, or follows in a script, was meant for
        // that room.
        let to = self.rooms.refuge(&room).filter(|_| self.is_person);
        self.is_put(to);
        self.rooms.moved = Some(format!("you are not in #{room} any more"));
    }
}

impl super::Rooms {
    /// Where whoever is no more in `room` goes: to the lobby, if they are in it.
    fn refuge(&self, room: &RoomName) -> Option<Recipient> {
        let is_refuge = self.is_in_lobby && *room != RoomName::lobby();
        is_refuge.then(|| Recipient::Room(RoomName::lobby()))
    }
}
