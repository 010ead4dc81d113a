//! The rooms of a chat: which one is the current one, and what the commands about rooms do.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chat_endpoint::{Event, RoomAction, Roster};
use chat_protocol::hub::RoomInfo;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use serde_json::json;

use super::{Said, Talk};
use crate::client::SendError;
use crate::identity::Question;
use crate::show::{retention, rooms as show};
use crate::slash::RoomCommand;

/// What a list of rooms was asked for.
enum Wanted {
    /// Names to complete.
    Names,
    /// To be shown.
    List,
    /// The topic of one.
    Topic(RoomName),
    /// How long one keeps messages.
    Retention(RoomName),
}

/// What the chat knows about rooms.
pub(super) struct Rooms {
    /// Where plain text goes.
    pub(super) current: RoomName,
    /// What is typed goes out under the veil.
    pub(super) is_veiled: bool,
    /// What the prompt says.
    pub(super) prompt: Arc<Mutex<String>>,
    /// Names seen, for completion.
    pub(super) names: Arc<Mutex<BTreeSet<String>>>,
    /// A room that was gone to before the answer came, and where from.
    going: Option<(MessageId, RoomName)>,
    /// Lists under way, in the order of the asking.
    wanted: VecDeque<Wanted>,
    /// Lists of members under way.
    rosters: BTreeSet<ConversationId>,
}

impl Rooms {
    pub(super) fn new(me: &UserName) -> Self {
        let rooms = Self {
            current: RoomName::lobby(),
            is_veiled: false,
            prompt: Arc::default(),
            names: Arc::default(),
            going: None,
            wanted: VecDeque::new(),
            rosters: BTreeSet::new(),
        };
        rooms.show_prompt(me);
        rooms
    }

    /// Whether the answer about the room that was gone to is still to come.
    pub(super) fn is_going(&self) -> bool {
        self.going.is_some()
    }

    /// Goes there without waiting for the answer any longer.
    pub(super) fn stop_waiting(&mut self) {
        self.going = None;
    }

    fn go(&mut self, me: &UserName, room: RoomName) {
        self.current = room;
        self.show_prompt(me);
    }

    /// Writes the prompt anew: name, veil, room.
    pub(super) fn show_prompt(&self, me: &UserName) {
        let mut prompt = self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = if self.is_veiled { "~" } else { "" };
        *prompt = format!("{me} {mark}#{}> ", self.current);
    }

    /// The prompt is what is asked, until the next line is typed.
    pub(super) fn show_question(&self, question: &Question) {
        let mut prompt = self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        *prompt = format!("{} {}? yes, or the six words: ", question.kind.verb(), question.user);
    }

    /// The room in the spelling under which it is known.
    fn known(&self, room: RoomName) -> RoomName {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().find(|name| name.eq_ignore_ascii_case(room.as_str()));
        known.and_then(|name| RoomName::new(name).ok()).unwrap_or(room)
    }

    fn learn(&self, room: &RoomName) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(room.to_string());
    }
}

impl Talk {
    /// Does what a command about rooms asks for.
    pub(super) async fn in_room(&mut self, command: RoomCommand) -> Said {
        let current = self.rooms.current.clone();
        match command {
            RoomCommand::Join(None) | RoomCommand::Go(None) => self.where_am_i(),
            RoomCommand::Join(Some(room)) => {
                let room = self.rooms.known(room);
                self.go_by(room, RoomAction::Join { create: true }).await
            }
            RoomCommand::Create { room, private } => {
                self.go_by(room, RoomAction::Create { private }).await
            }
            RoomCommand::Go(Some(room)) => self.go(room).await,
            RoomCommand::Leave(room) => self.leave(room.unwrap_or(current)).await,
            RoomCommand::List => self.ask_rooms(Wanted::List).await,
            RoomCommand::Topic(None) => self.ask_rooms(Wanted::Topic(current)).await,
            RoomCommand::Topic(Some(text)) => self.act(&current, RoomAction::Topic(text)).await,
            RoomCommand::Retention(None) => self.ask_rooms(Wanted::Retention(current)).await,
            RoomCommand::Retention(Some(keep_ms)) => {
                self.act(&current, RoomAction::Retention(keep_ms)).await
            }
            RoomCommand::Invite(who) => self.act(&current, RoomAction::Admit(who)).await,
            RoomCommand::Kick(who) => {
                self.act(&current, RoomAction::Remove { who, ban: false }).await
            }
            RoomCommand::Ban(who) => {
                self.act(&current, RoomAction::Remove { who, ban: true }).await
            }
            RoomCommand::Unban(who) => self.act(&current, RoomAction::Unban(who)).await,
            RoomCommand::Op(who) => self.act(&current, RoomAction::Role { who, admin: true }).await,
            RoomCommand::Deop(who) => {
                self.act(&current, RoomAction::Role { who, admin: false }).await
            }
            RoomCommand::Accept(room) => {
                let room = self.rooms.known(room);
                let cid = ConversationId::room(&room);
                if !self.client.accept_room(&cid).await {
                    let known = "the server shows the membership that is known";
                    return Said::line(format!("· nothing to decide in #{room}: {known}"));
                }
                self.client.refresh(&cid).await;
                self.rooms.rosters.insert(cid);
                Said::default()
            }
            RoomCommand::Members => {
                let cid = ConversationId::room(&current);
                self.client.refresh(&cid).await;
                self.rooms.rosters.insert(cid);
                Said::default()
            }
        }
    }

    /// Names of rooms, for completion.
    pub(super) async fn ask_room_names(&mut self) {
        self.rooms.wanted.clear();
        self.ask_rooms(Wanted::Names).await;
    }

    async fn ask_rooms(&mut self, wanted: Wanted) -> Said {
        self.rooms.wanted.push_back(wanted);
        self.client.rooms().await;
        Said::default()
    }

    /// Asks for something; the answer is shown when it comes.
    async fn act(&mut self, room: &RoomName, action: RoomAction) -> Said {
        match self.ordered(room, action).await {
            Ok(_) => Said::default(),
            Err(said) => said,
        }
    }

    async fn ordered(&mut self, room: &RoomName, action: RoomAction) -> Result<MessageId, Said> {
        match self.client.act_in_room(room, action).await {
            Ok(id) => {
                self.open.insert(id);
                Ok(id)
            }
            // The reason is in the last event.
            Err(SendError::Stopped) => Err(Said::default()),
            Err(error) => Err(self.error(&error.to_string())),
        }
    }

    /// Goes to a room at once, so that what is typed next is said there or nowhere.
    async fn go_by(&mut self, room: RoomName, action: RoomAction) -> Said {
        if room.is_all() {
            return self.error("ALL is no room to go to; ALL*TEXT writes to everybody");
        }
        self.go_after(&room.clone(), action, room).await
    }

    /// Asks for something in a room and goes to another one, or the same; back if it is refused.
    async fn go_after(&mut self, room: &RoomName, action: RoomAction, to: RoomName) -> Said {
        match self.ordered(room, action).await {
            Ok(id) => {
                let from = self.rooms.current.clone();
                self.rooms.going = Some((id, from));
                self.rooms.go(&self.lines.me, to);
                Said::default()
            }
            Err(said) => said,
        }
    }

    async fn go(&mut self, room: RoomName) -> Said {
        let room = self.rooms.known(room);
        let roster = self.client.roster(&room).await;
        let me = &self.lines.me;
        // The view of the lobby is fetched when something is said there.
        let is_in = room == RoomName::lobby()
            || roster.is_some_and(|r| r.members.iter().any(|(name, _)| name == me));
        if !is_in || room.is_all() {
            return self.error(&format!("you are not in #{room}; /join it first"));
        }
        self.rooms.go(me, room);
        self.where_am_i()
    }

    /// What is typed next is not said in a room that is being left. Whoever may not leave is back in it.
    async fn leave(&mut self, room: RoomName) -> Said {
        let room = self.rooms.known(room);
        if room == self.rooms.current {
            return self.go_after(&room, RoomAction::Leave, RoomName::lobby()).await;
        }
        self.act(&room, RoomAction::Leave).await
    }

    fn where_am_i(&self) -> Said {
        let room = &self.rooms.current;
        Said::line(if self.is_json {
            json!({"event": "room", "room": room, "state": "current"}).to_string()
        } else {
            format!("· what you type goes to #{room}")
        })
    }

    /// Keeps the books about rooms.
    pub(super) fn learn_rooms(&mut self, event: &Event) {
        if let Some(id) = event.answers()
            && let Some((_, from)) = self.rooms.going.take_if(|(going, _)| *going == id)
            && matches!(event, Event::Refused { .. })
            && self.returns
        {
            self.rooms.go(&self.lines.me, from);
        }
        let known = match event {
            Event::Joined { cid, .. } | Event::MemberChanged { cid, .. } => cid.kind(),
            Event::Rooms { rooms, .. } => {
                for info in rooms {
                    self.rooms.learn(&info.room);
                }
                return;
            }
            _ => return,
        };
        if let ConversationKind::Room(room) = known
            && !room.is_all()
        {
            self.rooms.learn(&room);
        }
    }

    /// The connection is gone, and with it the questions.
    pub(super) fn forget_questions(&mut self) {
        self.rooms.wanted.clear();
        self.rooms.rosters.clear();
    }

    /// What a page of rooms is shown as.
    pub(super) fn room_lines(&mut self, rooms: &[RoomInfo], more: bool) -> Vec<String> {
        let lines = match self.rooms.wanted.front() {
            Some(Wanted::List) => rooms.iter().map(|info| self.room_line(info)).collect(),
            Some(Wanted::Topic(room)) => {
                let info = rooms.iter().find(|info| info.room == *room);
                info.map(|info| self.topic_line(info)).into_iter().collect()
            }
            Some(Wanted::Retention(room)) => {
                let info = rooms.iter().find(|info| info.room == *room);
                info.map(|info| self.retention_line(info)).into_iter().collect()
            }
            Some(Wanted::Names) | None => Vec::new(),
        };
        if !more {
            self.rooms.wanted.pop_front();
        }
        lines
    }

    fn room_line(&self, info: &RoomInfo) -> String {
        if self.is_json {
            return show::room_object(info).to_string();
        }
        format!("  {}", show::room(info))
    }

    fn topic_line(&self, info: &RoomInfo) -> String {
        let RoomInfo { room, topic, open, .. } = info;
        if self.is_json {
            let object = json!({
                "event": "room", "room": room, "state": "topic", "topic": topic,
            });
            return object.to_string();
        }
        match (topic.as_str(), open) {
            (_, false) => {
                format!("· #{room} is private and has no topic: the server would read it")
            }
            ("", true) => format!("· #{room} has no topic; /topic TEXT sets it"),
            (topic, true) => {
                format!("· the topic of #{room}: {}", chat_protocol::sanitise::line(topic))
            }
        }
    }

    fn retention_line(&self, info: &RoomInfo) -> String {
        let RoomInfo { room, keep_ms, .. } = info;
        if self.is_json {
            return retention::object(room.as_ref(), *keep_ms, None).to_string();
        }
        retention::kept(room.as_ref(), *keep_ms)
    }

    /// The members of a room, if that was asked for.
    pub(super) async fn roster_lines(&mut self, cid: &ConversationId) -> Vec<String> {
        let ConversationKind::Room(room) = cid.kind() else { return Vec::new() };
        if !self.rooms.rosters.remove(cid) {
            return Vec::new();
        }
        let roster = self.client.roster(&room).await;
        let nobody = || Roster {
            open: true,
            members: Vec::new(),
            unproved: Vec::new(),
            left_out: Vec::new(),
        };
        let Roster { open, members, unproved, left_out } = roster.unwrap_or_else(nobody);
        if self.is_json {
            let object = |(user, admin): &(UserName, bool)| {
                let proved = !unproved.contains(user);
                json!({"event": "member", "room": room, "user": user, "admin": admin, "proved": proved})
                    .to_string()
            };
            return members.iter().map(object).collect();
        }
        let kind = if open { "open" } else { "private" };
        let mut lines = vec![format!("· #{room} is {kind}; members: {}", members.len())];
        lines.extend(members.iter().map(|(user, admin)| {
            let admin = if *admin { " (admin)" } else { "" };
            let unproved = if unproved.contains(user) {
                " (by the server's word only: nothing is sealed for them)"
            } else if left_out.contains(user) {
                " (not by the key that you know, or put out: nothing is sealed for them)"
            } else {
                ""
            };
            format!("  {user}{admin}{unproved}")
        }));
        lines
    }
}
