//! Where plain text goes, and what moves it: the person, or others who put them out.
//!
//! A script does not see a prompt. What follows a refused `/room`, `/join` or `/leave` was meant for a
//! room that it is not in: from then on there is no current room, and a text is refused.

use chat_endpoint::{Event, MemberChange, RoomAction};
use chat_protocol::hub::Moderation;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName};
use serde_json::json;

use super::{Going, Said, Step, Talk};

impl Talk {
    /// Goes to a room at once, so that what is typed next is said there or nowhere.
    pub(super) async fn go_by(&mut self, step: Step) -> Said {
        let (room, action) = match &step {
            Step::Join(room) => (room.clone(), RoomAction::Join { create: false }),
            Step::Make(room) => (room.clone(), RoomAction::Create { private: false }),
            Step::Leave => return Said::default(),
        };
        self.go_after(&room.clone(), action, (step, Some(room))).await
    }

    /// Asks for something in a room and goes to another one, or the same; back if it is refused.
    pub(super) async fn go_after(
        &mut self,
        room: &RoomName,
        action: RoomAction,
        (step, to): (Step, Option<RoomName>),
    ) -> Said {
        if room.is_all() {
            return self.error("ALL is no room to go to; ALL*TEXT writes to everybody");
        }
        match self.ordered(room, action).await {
            Ok(id) => {
                let from = match self.rooms.going.take() {
                    // That may be refused as well.
                    Some(Going { from, step: Step::Join(_) | Step::Make(_), .. }) => from,
                    _ => self.rooms.current.clone(),
                };
                self.rooms.going = Some(Going { id, from, to: to.clone(), step });
                self.rooms.holds_prompt = true;
                self.rooms.go(&self.lines.me, to);
                self.queued()
            }
            Err(said) => said,
        }
    }

    pub(super) async fn go(&mut self, room: RoomName) -> Said {
        let room = self.rooms.known(room);
        let roster = self.client.roster(&room).await;
        let me = &self.lines.me;
        // The view of the lobby is fetched when something is said there.
        let is_in = (room == RoomName::lobby() && self.rooms.is_in_lobby)
            || roster.is_some_and(|r| r.members.iter().any(|(name, _)| name == me));
        if !is_in || room.is_all() {
            let said = self.error(&format!("you are not in #{room}; /join it first"));
            return if self.returns { said } else { self.lose_room(said) };
        }
        self.rooms.go(me, Some(room));
        self.where_am_i()
    }

    /// What is typed next is not said in a room that is being left. Whoever may not leave is back in it.
    pub(super) async fn leave(&mut self, room: RoomName) -> Said {
        let room = self.rooms.known(room);
        let to = match &self.rooms.current {
            Some(current) if *current == room => self.rooms.refuge(&room),
            current => current.clone(),
        };
        self.go_after(&room, RoomAction::Leave, (Step::Leave, to)).await
    }

    pub(super) fn where_am_i(&self) -> Said {
        let room = self.rooms.current.as_ref();
        Said::line(match room {
            _ if self.is_json => {
                json!({"event": "room", "room": room, "state": "current"}).to_string()
            }
            Some(room) => format!("· what you type goes to #{room}"),
            None => "· you are in no room; /join ROOM or /room ROOM".to_owned(),
        })
    }

    /// A text that was begun for a room which its writer is not in goes nowhere.
    pub(in crate::chat) fn refuse_late(&self, why: &str, text: &str) -> Said {
        let mut said = self.error(&format!("{why}, so this was not sent: {text}"));
        said.lines.extend(self.where_am_i().lines);
        said
    }

    /// After this there is no room that a text could go to.
    fn lose_room(&mut self, mut said: Said) -> Said {
        self.rooms.go(&self.lines.me, None);
        said.lines.extend(self.where_am_i().lines);
        said
    }

    /// Keeps the books about rooms. Lines say where text goes from now on, if that has changed.
    pub(in crate::chat) fn learn_rooms(&mut self, event: &Event) -> Vec<String> {
        let mut lines = self.arrived(event);
        let before = self.rooms.current.clone();
        match event {
            Event::Rooms { rooms, .. } => {
                for info in rooms {
                    self.rooms.learn(&info.room);
                }
                let lobby = rooms.iter().find(|info| info.room == RoomName::lobby());
                let is_news = self.rooms.going.is_none() && !self.rooms.has_entered_lobby;
                if let Some(lobby) = lobby.filter(|_| is_news) {
                    self.rooms.is_in_lobby = lobby.member;
                    // A script's texts are refused by the server, which has the last word.
                    if !lobby.member && before == Some(RoomName::lobby()) && self.returns {
                        self.rooms.is_unsettled = true;
                        self.rooms.go(&self.lines.me, None);
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
                    MemberChange::Removed | MemberChange::Banned if *who == self.lines.me => {
                        self.put_out(cid);
                    }
                    MemberChange::Joined | MemberChange::Added if *who == self.lines.me => {
                        self.entered(cid);
                    }
                    _ => {}
                }
            }
            Event::Moderated { who, act: Moderation::Kick | Moderation::Ban, .. }
                if *who == self.lines.me =>
            {
                self.put_out(&ConversationId::room(&RoomName::lobby()));
            }
            Event::Left { cid, .. } => self.put_out(cid),
            _ => {}
        }
        if self.rooms.current != before && lines.is_empty() {
            lines = self.where_am_i().lines;
        }
        lines
    }

    /// Takes the answer about the room that was gone to.
    fn arrived(&mut self, event: &Event) -> Vec<String> {
        let Some(id) = event.answers() else { return Vec::new() };
        let Some(going) = self.rooms.going.take_if(|going| going.id == id) else {
            return Vec::new();
        };
        let is_refused = matches!(event, Event::Refused { .. });
        if is_refused && self.returns {
            return self.go_back(going);
        }
        let Going { from, step, .. } = going;
        match step {
            _ if is_refused => self.lose_room(Said::default()).lines,
            Step::Make(room) if self.is_json => {
                let me = &self.lines.me;
                let object = json!({
                    "event": "room", "room": room, "state": "made", "user": me, "by": me,
                });
                vec![object.to_string()]
            }
            Step::Make(room) => vec![format!("· made #{room}")],
            Step::Leave if from != self.rooms.current => self.where_am_i().lines,
            Step::Leave | Step::Join(_) => Vec::new(),
        }
    }

    /// Whoever was refused is where they came from, unless they have gone elsewhere meanwhile. A line that they
    /// type was meant for where the prompt says that they are.
    pub(super) fn go_back(&mut self, Going { from, to, step, .. }: Going) -> Vec<String> {
        if self.rooms.current != to || from == to {
            return Vec::new();
        }
        self.rooms.go(&self.lines.me, from.clone());
        if !self.rooms.is_typing {
            return Vec::new();
        }
        self.rooms.moved = Some(match (step, from) {
            (Step::Join(room) | Step::Make(room), _) => format!("you are not in #{room}"),
            (Step::Leave, Some(room)) => format!("you are still in #{room}"),
            (Step::Leave, None) => "you are in no room".to_owned(),
        });
        self.where_am_i().lines
    }

    fn entered(&mut self, cid: &ConversationId) {
        let ConversationKind::Room(room) = cid.kind() else { return };
        if room.is_all() {
            return;
        }
        self.rooms.learn(&room);
        if room == RoomName::lobby() {
            (self.rooms.is_in_lobby, self.rooms.has_entered_lobby) = (true, true);
            if std::mem::take(&mut self.rooms.is_unsettled) && self.rooms.current.is_none() {
                self.rooms.go(&self.lines.me, Some(room));
            }
        }
    }

    /// This user is in this room no more.
    fn put_out(&mut self, cid: &ConversationId) {
        let ConversationKind::Room(room) = cid.kind() else { return };
        if room == RoomName::lobby() {
            (self.rooms.is_in_lobby, self.rooms.has_entered_lobby) = (false, false);
        }
        if self.rooms.current.as_ref() != Some(&room) {
            return;
        }
        // Others have done it, or another device: what is being typed, or follows in a script, was meant for
        // that room.
        let to = self.rooms.refuge(&room).filter(|_| self.returns);
        self.rooms.go(&self.lines.me, to);
        self.rooms.moved = Some(format!("you are not in #{room} any more"));
    }
}

impl super::Rooms {
    /// Where whoever is no more in `room` goes: to the lobby, if they are in it.
    fn refuge(&self, room: &RoomName) -> Option<RoomName> {
        (self.is_in_lobby && *room != RoomName::lobby()).then(RoomName::lobby)
    }
}
