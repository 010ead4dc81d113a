//! The rooms of a chat: which one is the current one, and what the commands about rooms do.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chat_endpoint::{RoomAction, Roster};
use chat_protocol::hub::RoomInfo;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use serde_json::json;

use super::{Said, Talk};
use chat_device::client::SendError;
use chat_device::identity::Question;
use chat_text::show::{retention, rooms as show};
use chat_text::slash::RoomCommand;

mod making;
mod place;

/// What is said of a text where there is no room that it could go to.
pub(super) const NO_ROOM: &str =
    "you are in no room, so nothing was sent; /join ROOM or /room ROOM first";

/// The same of a command.
const NO_ROOM_FOR_COMMAND: &str = "you are in no room; /join ROOM or /room ROOM first";

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
#[expect(clippy::struct_excessive_bools, reason = "each is known by itself")]
pub(super) struct Rooms {
    /// Where plain text goes; nowhere after a room was refused or left.
    pub(super) current: Option<RoomName>,
    /// Whether this user is in the lobby, where whoever leaves another room goes.
    is_in_lobby: bool,
    /// The server has said at the start that this user is not in the lobby. A new account joins it
    /// meanwhile.
    is_unsettled: bool,
    /// A link has let this user into the lobby since, and none out: a list that was asked for before says no more.
    has_entered_lobby: bool,
    /// What is typed goes out under the veil.
    pub(super) is_veiled: bool,
    /// What the prompt says.
    pub(super) prompt: Arc<Mutex<String>>,
    /// Why texts go elsewhere than the prompt says that the next line is typed at.
    pub(super) moved: Option<String>,
    /// A person is typing: what they have begun is meant for where the prompt said then.
    pub(super) is_typing: bool,
    /// Names seen, for completion.
    pub(super) names: Arc<Mutex<BTreeSet<String>>>,
    /// What was done about the current room before the answer came.
    going: Option<Going>,
    /// The prompt waits for that answer, for a moment.
    holds_prompt: bool,
    /// Lists under way, in the order of the asking.
    wanted: VecDeque<Wanted>,
    /// Lists of members under way.
    rosters: BTreeSet<ConversationId>,
}

/// A room that was gone to, or left, before the answer came.
#[derive(Debug)]
struct Going {
    id: MessageId,
    /// Where from.
    from: Option<RoomName>,
    /// Where to.
    to: Option<RoomName>,
    /// What is answered.
    step: Step,
}

/// What was asked of the server about the room that was gone to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// To be let in; where there is no such room it is made.
    Join(RoomName),
    /// To make it.
    Make(RoomName),
    /// To be in it no more.
    Leave,
}

impl Rooms {
    pub(super) fn new(me: &UserName) -> Self {
        let rooms = Self {
            current: Some(RoomName::lobby()),
            is_in_lobby: true,
            is_unsettled: false,
            has_entered_lobby: false,
            moved: None,
            is_typing: false,
            is_veiled: false,
            prompt: Arc::default(),
            names: Arc::default(),
            going: None,
            holds_prompt: false,
            wanted: VecDeque::new(),
            rosters: BTreeSet::new(),
        };
        rooms.show_prompt(me);
        rooms
    }

    /// Whether the prompt waits for the answer about the room that was gone to.
    pub(super) fn is_going(&self) -> bool {
        self.holds_prompt && self.going.is_some()
    }

    /// The prompt waits for the answer no longer.
    pub(super) fn stop_waiting(&mut self) {
        self.holds_prompt = false;
    }

    /// Whether a list of rooms or of members is under way that somebody asked to see.
    pub(super) fn waits_for_lists(&self) -> bool {
        let is_shown = |wanted: &Wanted| !matches!(wanted, Wanted::Names);
        self.wanted.iter().any(is_shown) || !self.rosters.is_empty()
    }

    /// Whether the names of rooms are under way.
    pub(super) fn waits_for_names(&self) -> bool {
        self.wanted.iter().any(|wanted| matches!(wanted, Wanted::Names))
    }

    fn go(&mut self, me: &UserName, room: Option<RoomName>) {
        self.current = room;
        self.show_prompt(me);
    }

    /// Writes the prompt anew: name, veil, room.
    pub(super) fn show_prompt(&self, me: &UserName) {
        let mut prompt = self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = if self.is_veiled { "~" } else { "" };
        *prompt = match &self.current {
            Some(room) => format!("{me} {mark}#{room}> "),
            None => format!("{me} {mark}(no room)> "),
        };
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

    /// Whether a room of this name was seen; the lobby and ALL are always there.
    pub(super) fn is_seen(&self, room: &RoomName) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |name: &String| name.eq_ignore_ascii_case(room.as_str());
        room.is_all() || *room == RoomName::lobby() || names.iter().any(is_it)
    }

    fn learn(&self, room: &RoomName) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(room.to_string());
    }
}

impl Talk {
    /// Does what a command about rooms asks for.
    pub(super) async fn in_room(&mut self, command: RoomCommand) -> Said {
        match command {
            RoomCommand::Join(None) | RoomCommand::Go(None) => return self.where_am_i(),
            RoomCommand::Join(Some(room)) => {
                let room = self.rooms.known(room);
                return self.go_by(Step::Join(room)).await;
            }
            RoomCommand::Create { room, private: false } => {
                return self.go_by(Step::Make(room)).await;
            }
            RoomCommand::Create { room, private: true } => {
                return self
                    .go_after(
                        &room.clone(),
                        RoomAction::Create { private: true },
                        (Step::Make(room.clone()), Some(room)),
                    )
                    .await;
            }
            RoomCommand::Go(Some(room)) => return self.go(room).await,
            RoomCommand::Leave(Some(room)) => return self.leave(room).await,
            RoomCommand::List => return self.ask_rooms(Wanted::List).await,
            RoomCommand::Accept(room) => return self.accept_members(room).await,
            _ => {}
        }
        match self.rooms.current.clone() {
            Some(current) => self.in_current(current, command).await,
            None => self.error(NO_ROOM_FOR_COMMAND),
        }
    }

    /// Does what a command asks for that is about the current room.
    async fn in_current(&mut self, current: RoomName, command: RoomCommand) -> Said {
        match command {
            RoomCommand::Leave(None) => self.leave(current).await,
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
            RoomCommand::Members => {
                if let Some(said) = self.without_connection() {
                    return said;
                }
                let cid = ConversationId::room(&current);
                self.client.refresh(&cid).await;
                self.rooms.rosters.insert(cid);
                Said::default()
            }
            // Those are not about the current room.
            RoomCommand::Join(_)
            | RoomCommand::Go(_)
            | RoomCommand::Create { .. }
            | RoomCommand::Leave(Some(_))
            | RoomCommand::List
            | RoomCommand::Accept(_) => Said::default(),
        }
    }

    async fn accept_members(&mut self, room: RoomName) -> Said {
        if let Some(said) = self.without_connection() {
            return said;
        }
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

    /// Names of rooms, for completion.
    pub(super) async fn ask_room_names(&mut self) {
        self.rooms.wanted.clear();
        self.ask_rooms(Wanted::Names).await;
    }

    async fn ask_rooms(&mut self, wanted: Wanted) -> Said {
        if !matches!(wanted, Wanted::Names)
            && let Some(said) = self.without_connection()
        {
            return said;
        }
        self.rooms.wanted.push_back(wanted);
        self.client.rooms().await;
        Said::default()
    }

    /// Asks for something; the answer is shown when it comes.
    async fn act(&mut self, room: &RoomName, action: RoomAction) -> Said {
        match self.ordered(room, action).await {
            Ok(_) => self.queued(),
            Err(said) => said,
        }
    }

    async fn ordered(&mut self, room: &RoomName, action: RoomAction) -> Result<MessageId, Said> {
        match self.client.act_in_room(room, action).await {
            Ok(id) => {
                self.open.insert(id);
                self.awaited.expect(id);
                Ok(id)
            }
            // The reason is in the last event.
            Err(SendError::Stopped) => Err(Said::default()),
            Err(error) => Err(self.error(&error.to_string())),
        }
    }

    /// The connection is gone, and with it the questions.
    pub(super) fn forget_questions(&mut self) -> Said {
        let is_lost = self.waits_for_connection();
        self.awaited.offline();
        self.rooms.wanted.clear();
        self.rooms.rosters.clear();
        self.lists.clear();
        self.grants.clear();
        self.looking.clear();
        if !is_lost {
            return Said::default();
        }
        self.error("the connection went away before all that was asked was answered; ask again")
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
        let nobody = || Roster { open: true, ..Roster::default() };
        let Roster { open, members, unproved, left_out, put_out, deleted } =
            roster.unwrap_or_else(nobody);
        if self.is_json {
            let object = |(user, admin): &(UserName, bool)| {
                let proved = !unproved.contains(user);
                json!({
                    "event": "member", "room": room, "user": user, "admin": admin, "proved": proved,
                    "put_out": put_out.contains(user), "deleted": deleted.contains(user),
                })
                .to_string()
            };
            return members.iter().map(object).collect();
        }
        let kind = if open { "open" } else { "private" };
        let here = members.iter().filter(|(user, _)| !deleted.contains(user)).count();
        let mut lines = vec![format!("· #{room} is {kind}; members: {here}")];
        lines.extend(members.iter().map(|(user, admin)| {
            let admin = if *admin { " (admin)" } else { "" };
            let mark = if deleted.contains(user) {
                " (the account was deleted)"
            } else if unproved.contains(user) {
                " (by the server's word only: nothing is sealed for them)"
            } else if put_out.contains(user) {
                " (put out by a moderator: the server gives them nothing of this room)"
            } else if left_out.contains(user) {
                " (not by the key that you know, by none, or put out: nothing is sealed for them)"
            } else {
                ""
            };
            format!("  {user}{admin}{mark}")
        }));
        lines
    }
}
