//! The rooms of a talk: which one is the current one, and what the commands about rooms do.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chat_device::recipient::Recipient;
use chat_endpoint::{Event, RoomAction, Roster};
use chat_protocol::hub::RoomInfo;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName};
use chat_text::item::{Answer, Item};
use chat_text::slash::RoomCommand;
use tokio::time::Instant;

use crate::talk::Talk;
use crate::told::Told;

mod making;
mod place;

/// What is said of a text where there is no room that it could go to.
pub(crate) const NO_ROOM: &str =
    "you are in no room, so nothing was sent; /join ROOM or /room ROOM first";

/// The same of a command.
const NO_ROOM_FOR_COMMAND: &str = "you are in no room; /join ROOM or /room ROOM first";

/// Names of rooms that are remembered for completion; a server that invents rooms fills no more than some megabytes.
const NAMES_MAX: usize = 65_536;

/// What a list of rooms was asked for.
#[derive(Debug)]
enum Wanted {
    /// Names to complete.
    Names,
    /// To be shown.
    List,
    /// The topic of one.
    Topic(RoomName),
    /// How long one keeps messages.
    Retention(RoomName),
    /// An answer, asked for at this time.
    Ping(Instant),
}

/// What a talk knows about rooms.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is known by itself")]
pub(crate) struct Rooms {
    /// Where plain text goes; nowhere after a room was refused or left.
    pub(crate) current: Option<Recipient>,
    /// Whether this user is in the lobby, where whoever leaves another room goes.
    is_in_lobby: bool,
    /// By the server's list this user is not in the lobby, and is on the way into it: what they say there waits until the
    /// server has answered.
    enters_lobby: bool,
    /// The server has said at the start that this user is not in the lobby, and no link was under way that lets them
    /// in. One may come.
    is_unsettled: bool,
    /// A link has let this user into the lobby since, and none out: a list that was asked for before says no more.
    has_entered_lobby: bool,
    /// What is typed goes out under the veil.
    pub(crate) is_veiled: bool,
    /// Why texts go elsewhere than the prompt says that the next line is typed at.
    pub(crate) moved: Option<String>,
    /// A person is typing: what they have begun is meant for where the prompt said then.
    pub(crate) is_typing: bool,
    /// Names seen, for completion.
    pub(crate) names: Arc<Mutex<BTreeSet<String>>>,
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
    from: Option<Recipient>,
    /// Where to.
    to: Option<Recipient>,
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

impl Default for Rooms {
    fn default() -> Self {
        Self {
            current: None,
            is_in_lobby: true,
            enters_lobby: false,
            is_unsettled: false,
            has_entered_lobby: false,
            is_veiled: false,
            moved: None,
            is_typing: false,
            names: Arc::default(),
            going: None,
            holds_prompt: false,
            wanted: VecDeque::new(),
            rosters: BTreeSet::new(),
        }
    }
}

impl Rooms {
    /// The room that commands are about.
    pub(crate) fn room(&self) -> Option<&RoomName> {
        match &self.current {
            Some(Recipient::Room(room)) => Some(room),
            _ => None,
        }
    }

    /// Whether a list of rooms or of members is under way that somebody asked to see.
    pub(crate) fn waits_for_lists(&self) -> bool {
        let is_shown = |wanted: &Wanted| !matches!(wanted, Wanted::Names);
        self.wanted.iter().any(is_shown) || !self.rosters.is_empty()
    }

    /// Whether the names of rooms are under way.
    pub(crate) fn waits_for_names(&self) -> bool {
        self.wanted.iter().any(|wanted| matches!(wanted, Wanted::Names))
    }

    /// Nothing is under way any more.
    pub(crate) fn forget_questions(&mut self) {
        self.wanted.clear();
        self.rosters.clear();
    }

    /// The room in the spelling under which it is known.
    pub(crate) fn known(&self, room: RoomName) -> RoomName {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().find(|name| name.eq_ignore_ascii_case(room.as_str()));
        known.and_then(|name| RoomName::new(name).ok()).unwrap_or(room)
    }

    /// Whether a room of this name was seen; the lobby and ALL are always there.
    pub(crate) fn is_seen(&self, room: &RoomName) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |name: &String| name.eq_ignore_ascii_case(room.as_str());
        room.is_all() || *room == RoomName::lobby() || names.iter().any(is_it)
    }

    fn learn(&self, room: &RoomName) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < NAMES_MAX {
            names.insert(room.to_string());
        }
    }
}

impl Talk {
    /// Whether a person is typing now: what they have begun is meant for where they were told that they are.
    pub fn typing(&mut self, is_typing: bool) {
        self.rooms.is_typing = is_typing;
    }

    /// Whether the next prompt should wait for a moment: for the answer about a room, or for what is to be asked.
    pub fn holds_prompt(&self) -> bool {
        (self.rooms.holds_prompt && self.rooms.going.is_some())
            || (self.is_person && !self.looking.is_empty())
    }

    /// The prompt waits for the answer about a room no longer.
    pub fn stop_waiting(&mut self) {
        self.rooms.holds_prompt = false;
    }

    /// Does what a command about rooms asks for.
    pub(crate) async fn in_room(&mut self, command: RoomCommand) -> Told {
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
                        (Step::Make(room.clone()), Some(Recipient::Room(room))),
                    )
                    .await;
            }
            RoomCommand::Go(Some(room)) => return self.go_to(room).await,
            RoomCommand::Leave(Some(room)) => return self.leave(room).await,
            RoomCommand::List => return self.ask_rooms(Wanted::List).await,
            RoomCommand::Accept(room) => return self.accept_members(room).await,
            _ => {}
        }
        match self.rooms.room().cloned() {
            Some(current) => self.in_current(current, command).await,
            None => Told::error(NO_ROOM_FOR_COMMAND),
        }
    }

    /// Does what a command asks for that is about the current room.
    async fn in_current(&mut self, current: RoomName, command: RoomCommand) -> Told {
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
                if let Some(told) = self.without_connection() {
                    return told;
                }
                let cid = ConversationId::room(&current);
                self.client.refresh(&cid).await;
                self.rooms.rosters.insert(cid);
                Told::default()
            }
            // Those are not about the current room.
            RoomCommand::Join(_)
            | RoomCommand::Go(_)
            | RoomCommand::Create { .. }
            | RoomCommand::Leave(Some(_))
            | RoomCommand::List
            | RoomCommand::Accept(_) => Told::default(),
        }
    }

    async fn accept_members(&mut self, room: RoomName) -> Told {
        if let Some(told) = self.without_connection() {
            return told;
        }
        let room = self.rooms.known(room);
        let cid = ConversationId::room(&room);
        if !self.client.accept_room(&cid).await {
            return Answer::NothingToAccept(room).into();
        }
        self.client.refresh(&cid).await;
        self.rooms.rosters.insert(cid);
        Told::default()
    }

    /// Names of rooms, for completion.
    pub(crate) async fn ask_room_names(&mut self) {
        self.rooms.wanted.clear();
        self.ask_rooms(Wanted::Names).await;
    }

    /// The server refuses something: perhaps the way into the lobby. The list tells whether this user is there.
    pub(crate) async fn ask_about_lobby(&mut self, event: &Event) {
        let is_refusal = matches!(event, Event::Complaint { by_hub: true, .. });
        if is_refusal && std::mem::take(&mut self.rooms.enters_lobby) {
            self.ask_rooms(Wanted::Names).await;
        }
    }

    async fn ask_rooms(&mut self, wanted: Wanted) -> Told {
        if !matches!(wanted, Wanted::Names)
            && let Some(told) = self.without_connection()
        {
            return told;
        }
        self.rooms.wanted.push_back(wanted);
        self.client.rooms().await;
        Told::default()
    }

    /// Asks for an answer, whatever it is: how long it takes is shown.
    pub(crate) async fn ping(&mut self) -> Told {
        self.ask_rooms(Wanted::Ping(Instant::now())).await
    }

    /// Asks for something; the answer is shown when it comes.
    async fn act(&mut self, room: &RoomName, action: RoomAction) -> Told {
        let asked = self.client.act_in_room(room, action).await;
        self.ordered(asked).map_or_else(|told| told, |_| self.queued())
    }

    /// What a page of rooms is shown as.
    pub(crate) fn listed_rooms(&mut self, rooms: Vec<RoomInfo>, more: bool) -> Vec<Item> {
        let of = |room: &RoomName| rooms.iter().find(|info| info.room == *room).cloned();
        let answer = match self.rooms.wanted.front() {
            Some(Wanted::Topic(room)) => of(room).map(Answer::Topic),
            Some(Wanted::Retention(room)) => of(room).map(Answer::Retention),
            Some(Wanted::List) => Some(Answer::Rooms(rooms)),
            Some(Wanted::Ping(asked)) => {
                let took = asked.elapsed();
                self.ping_us = u64::try_from(took.as_micros()).ok();
                Some(Answer::Ping(took))
            }
            Some(Wanted::Names) | None => None,
        };
        if !more {
            self.rooms.wanted.pop_front();
        } else if let Some(wanted) = self.rooms.wanted.front_mut()
            && matches!(wanted, Wanted::Ping(_))
        {
            // It was answered with the first page.
            *wanted = Wanted::Names;
        }
        answer.map(Item::from).into_iter().collect()
    }

    /// The members of a room, if that was asked for.
    pub(crate) async fn members(&mut self, cid: &ConversationId) -> Told {
        let ConversationKind::Room(room) = cid.kind() else { return Told::default() };
        if !self.rooms.rosters.remove(cid) {
            return Told::default();
        }
        let nobody = || Roster { open: true, ..Roster::default() };
        let roster = self.client.roster(&room).await.unwrap_or_else(nobody);
        Answer::Members(room, roster).into()
    }
}
