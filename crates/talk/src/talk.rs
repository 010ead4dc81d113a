//! A line or an event, from its beginning to its items.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chat_device::client::{Client, ClientEvent, SendError, Status, Stopped};
use chat_device::clock::now_ms;
use chat_device::names::Names;
use chat_device::names::alike::Met;
use chat_device::recipient::Recipient;
use chat_endpoint::{CommandOptions, Event, EventKey, Notification};
use chat_files::transfer::{TransferOptions, Transfers};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use chat_text::hints;
use chat_text::input::{self, Input};
use chat_text::item::{Asked, Connection, Delivery, Item, Own, What};
use chat_text::settings::Settings;
use chat_text::show::claim;
use chat_text::slash::SlashCommand;
use tokio::time::Instant;

use crate::conversations::Conversations;
use crate::jobs::Jobs;
use crate::noise::Noise;
use crate::password::Desk;
use crate::reply::Writers;
use crate::seen::Heard;
use crate::sent::{Sent, SentLog, label};
use crate::session::Saver;
use crate::told::{Fault, Link, Told};
use crate::{awaited, feeds, files, grant, history, identity, rooms, unstarted};

/// Commands that are remembered as asked for here: more than anybody has under way.
const COMMANDS_MAX: usize = 4_096;

/// What a program decides about a talk.
#[derive(Debug)]
pub struct TalkOptions {
    /// A person reads and types: they can be asked, and whoever is refused is back where they were. What follows in
    /// a script was meant for the room that it was refused.
    pub is_person: bool,
    /// What a person presses for what was typed before; nothing where no key does it.
    pub older_key: String,
    /// What is set at the start.
    pub settings: Settings,
    /// What of it lasts: a flag is for one start.
    pub kept: Settings,
    /// Keeps the settings for the next start, where there is a place for them.
    pub save: Option<Saver>,
    /// Where files come from and go to.
    pub transfers: TransferOptions,
    /// What it takes to deal with the account beside the conversation, where a password can be asked for.
    pub desk: Option<Desk>,
}

/// What is known about a running talk.
#[derive(Debug)]
pub struct Talk {
    pub(crate) client: Client,
    pub(crate) me: UserName,
    pub(crate) is_person: bool,
    /// Sent and not answered: text until it is stored, a command until it has ended.
    pub(crate) open: HashSet<MessageId>,
    /// Commands that were asked for here, the newest: what a machine says of one may come long after a refusal.
    commands: BTreeSet<MessageId>,
    pub(crate) sent: SentLog,
    pub(crate) conversations: Conversations,
    pub(crate) unstarted: unstarted::Unstarted,
    /// What a person presses for what was typed before.
    pub(crate) older_key: String,
    /// Names seen, for completion.
    pub(crate) names: Arc<Mutex<Names>>,
    /// People who were met since the start.
    pub(crate) met: Met,
    /// What the next line of a script waits for.
    pub(crate) awaited: awaited::Awaited,
    /// Lists of people that nobody asked to see.
    pub(crate) silent_lists: u32,
    link: Link,
    pub(crate) rooms: rooms::Rooms,
    /// What is set.
    pub(crate) settings: Settings,
    /// What is set for the next start, too.
    pub(crate) kept: Settings,
    pub(crate) save: Option<Saver>,
    /// What one wants to hear.
    pub(crate) noise: Noise,
    /// Commands of this user under way.
    pub(crate) jobs: Jobs,
    /// Who wrote to this user alone last.
    pub(crate) writers: Writers,
    /// How long the answer to `/ping` took last, in microseconds.
    pub(crate) ping_us: Option<u64>,
    /// What the operator announced last.
    pub(crate) motd: Option<String>,
    /// Lists of who follows whom under way.
    pub(crate) lists: VecDeque<feeds::List>,
    pub(crate) desk: Option<Desk>,
    /// What `/history` has shown last.
    pub(crate) page: Option<history::Page>,
    /// Files of this device.
    pub(crate) files: files::Files,
    /// History that is granted when the view of its room is up to date.
    pub(crate) grants: Vec<grant::Asked>,
    /// What waits for the newest keys of a person.
    pub(crate) looking: Vec<identity::Looking>,
    /// What the next line is the answer to; for a person only.
    pub(crate) asked: Option<Asked>,
    /// Something was said here before the start.
    pub(crate) has_history: bool,
    /// When people were heard of.
    pub(crate) heard: Heard,
}

impl Talk {
    /// A talk of a device that has signed in. It knows the names and, for a person, the conversations of before.
    pub async fn new(client: Client, me: UserName, options: TalkOptions) -> Self {
        let files = Transfers::new(me.clone(), client.clone(), options.transfers);
        files.0.serve_folder_if_there();
        let mut talk = Self {
            conversations: Conversations::new(me.clone()),
            client,
            me,
            is_person: options.is_person,
            open: HashSet::new(),
            commands: BTreeSet::new(),
            sent: SentLog::default(),
            unstarted: unstarted::Unstarted::default(),
            older_key: options.older_key,
            names: Arc::default(),
            met: Met::default(),
            awaited: awaited::Awaited::default(),
            silent_lists: 0,
            link: Link::default(),
            rooms: rooms::Rooms::default(),
            settings: options.settings,
            kept: options.kept,
            save: options.save,
            noise: Noise::default(),
            jobs: Jobs::default(),
            writers: Writers::default(),
            ping_us: None,
            motd: None,
            lists: VecDeque::new(),
            desk: options.desk,
            page: None,
            files: files::Files::new(files),
            grants: Vec::new(),
            looking: Vec::new(),
            asked: None,
            has_history: false,
            heard: Heard::default(),
        };
        talk.go(Some(Recipient::Room(RoomName::lobby())));
        talk.know_names().await;
        if talk.is_person {
            talk.know_conversations().await;
        }
        talk.know_noise().await;
        talk.know_writers().await;
        talk
    }

    /// The user whose talk it is.
    pub fn me(&self) -> &UserName {
        &self.me
    }

    /// The device.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Which conversations there are, and what is new in each.
    pub fn conversations(&self) -> &Conversations {
        &self.conversations
    }

    /// Whether something was said in this home before the start; for a person only.
    pub fn has_history(&self) -> bool {
        self.has_history
    }

    /// How far what was said has come.
    pub fn sent(&self) -> &SentLog {
        &self.sent
    }

    /// How the connection is.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// How things stand with the device: what has no answer, how long the last answer took. Nothing once it has
    /// stopped.
    pub async fn status(&self) -> Option<Status> {
        self.client.status().await
    }

    /// Where a text without an address goes.
    pub fn place(&self) -> Option<&Recipient> {
        self.rooms.current.as_ref()
    }

    /// Whether what is typed goes out under the veil.
    pub fn is_veiled(&self) -> bool {
        self.rooms.is_veiled
    }

    /// What is set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the next line is the answer to.
    pub fn asked(&self) -> Option<&Asked> {
        self.asked.as_ref()
    }

    /// What can be completed; shared with a thread that reads the keyboard.
    pub fn words(&self) -> crate::complete::Words {
        let (names, rooms) = (Arc::clone(&self.names), Arc::clone(&self.rooms.names));
        crate::complete::Words { names, rooms }
    }

    /// A durable event was shown and need not be told again.
    pub async fn consumed(&self, key: EventKey) {
        self.client.consumed(key).await;
    }

    /// Looks at a conversation; a text without an address goes there where this user may say something. Lines in
    /// rooms that one is not in are refused as ever.
    pub fn look_at(&mut self, cid: &ConversationId) -> Told {
        let place = match (cid.kind(), cid.other(&self.me)) {
            (ConversationKind::Room(room), _) if room.is_all() => Some(Recipient::All),
            (ConversationKind::Room(room), _) => Some(Recipient::Room(room)),
            (_, Some(user)) => Some(Recipient::User(user)),
            _ => None,
        };
        self.rooms.current = place;
        // Whoever goes there knows where they are.
        self.rooms.moved = None;
        self.look(Some(cid.clone()));
        self.where_am_i()
    }

    /// Texts go there from now on: the person goes there.
    pub(crate) fn go(&mut self, place: Option<Recipient>) {
        let cid = place.as_ref().and_then(|place| place.conversation(&self.me));
        self.rooms.current = place;
        self.look(cid);
    }

    /// Texts go there from now on by what others have done: nobody has read anything because of it.
    pub(crate) fn is_put(&mut self, place: Option<Recipient>) {
        let cid = place.as_ref().and_then(|place| place.conversation(&self.me));
        self.rooms.current = place;
        self.look_without_mark(cid);
    }

    pub(crate) fn is_online(&self) -> bool {
        self.link.url.is_some()
    }

    /// Does what a line asks for, for [`Talk::read`].
    pub(crate) async fn obey(&mut self, line: &str) -> Told {
        self.note_there();
        // It has ended: what it comes to is nothing that it could be the answer to.
        self.typing(false);
        // Another command says that there is no answer; words do not begin with a slash.
        match self.asked.take().filter(|_| !line.starts_with('/')) {
            Some(Asked::Key(question)) => return self.answer_question(&question, line).await,
            Some(Asked::Room { room, .. }) => return self.answer_room(room, line).await,
            None => {}
        }
        let (input, place) = match self.meaning(line).await {
            Ok(meaning) => meaning,
            Err(told) => return told,
        };
        let veil = self.rooms.is_veiled;
        let (to, text, is_veiled) = match input {
            Input::Nothing => return Told::default(),
            Input::Text { text } => (place, text, veil),
            Input::Broadcast { text } => (Recipient::All, text, veil),
            Input::Direct { to, text } => (Recipient::User(to), text, veil),
            Input::Slash(SlashCommand::Run { target, argv, again }) => {
                return self.run(line, target, argv, again).await;
            }
            Input::Slash(SlashCommand::Reply { quoted, text }) => {
                match self.reply(place, quoted, text).await {
                    Ok(reply) => reply,
                    Err(told) => return told,
                }
            }
            Input::Slash(command) => return self.answer(command).await,
        };
        let sent = self.client.send(&to, &text, is_veiled).await;
        if let (Ok(_), Recipient::User(user)) = (&sent, &to) {
            self.allow_seen(user).await;
        }
        let own = Own { text, is_command: false, is_veiled, sent_ms: now_ms() };
        self.is_on_its_way(line, sent, &to, own)
    }

    async fn run(&mut self, line: &str, target: UserName, argv: Vec<String>, again: bool) -> Told {
        let options = CommandOptions { again, ..CommandOptions::default() };
        let sent = self.client.run(&target, argv.clone(), options).await;
        let own =
            Own { text: argv.join(" "), is_command: true, is_veiled: false, sent_ms: now_ms() };
        if let Ok(id) = &sent {
            self.asked_for(*id);
            self.awaited.expect(*id);
            self.conversations.is_machine(&target);
            self.jobs.begin(*id, target.clone(), argv.clone());
            self.unstarted.expect(*id, (target.clone(), argv), Instant::now());
        }
        self.is_on_its_way(line, sent, &Recipient::User(target), own)
    }

    /// What a machine says of this command is shown here.
    fn asked_for(&mut self, id: MessageId) {
        self.commands.insert(id);
        if self.commands.len() > COMMANDS_MAX {
            self.commands.pop_first();
        }
    }

    /// What a line means, and where a text of it goes; or what is said instead.
    async fn meaning(&mut self, line: &str) -> Result<(Input, Recipient), Told> {
        if let Some(slip) = input::slip(line)
            && self.are_users(&slip.names).await
        {
            return Err(self.refuse_slip(&slip).await);
        }
        let input = match input::parse(line) {
            // Behind a space it is a text, as everything else.
            Ok(Input::Text { text }) if text.trim_end() == "?" && self.is_person => {
                Input::Slash(SlashCommand::Help { about: None })
            }
            Ok(input) => self.with_true_names(input).await,
            Err(error) => return Err(Told::error(error.to_string())),
        };
        // Whatever this line is about, the next one is begun where one is now.
        let moved = self.rooms.moved.take().filter(|_| input.is_about_place());
        match (&input, moved, &self.rooms.current) {
            (Input::Text { text }, Some(why), _) => Err(self.refuse_late(&why, "sent", text)),
            (_, Some(why), _) => Err(self.refuse_late(&why, "done", line)),
            (Input::Text { .. }, None, None) => Err(Told::error(rooms::NO_ROOM)),
            (_, None, current) => {
                let place = current.clone().unwrap_or(Recipient::Room(RoomName::lobby()));
                Ok((input, place))
            }
        }
    }

    /// What is said of a message that was taken, or not.
    fn is_on_its_way(
        &mut self,
        line: &str,
        sent: Result<MessageId, SendError>,
        to: &Recipient,
        own: Own,
    ) -> Told {
        let id = match sent {
            Ok(id) => id,
            Err(SendError::Stopped) => return self.has_stopped(line, own.is_veiled),
            Err(error) => return Told::error(hints::not_sent(&error)),
        };
        self.open.insert(id);
        let cid = to.conversation(&self.me);
        if let Some(cid) = cid.clone() {
            self.conversations.said(&cid, own.sent_ms);
            let (label, is_command) = (Some(label(&own.text)), own.is_command);
            let (was_queued, state) = (!self.is_online(), Delivery::Queued);
            self.sent.typed(id, Sent { cid, label, is_command, was_queued, state });
        }
        Told::from(Item { cid, id: Some(id), what: What::Own(own) }).and(self.queued())
    }

    /// Deals with what happened.
    ///
    /// # Errors
    /// The device has stopped, and nothing follows.
    pub async fn happened(&mut self, event: Option<ClientEvent>) -> Result<Told, Stopped> {
        if event.as_ref().is_some_and(|event| self.heard_about_files(event)) {
            return Ok(Told::default());
        }
        Ok(match event {
            Some(ClientEvent::Notification(notification)) => self.notified(notification).await,
            Some(ClientEvent::CaughtUp) => Told::default(),
            Some(ClientEvent::Online { url, server, clocks }) => {
                let is_first = !self.awaited.has_begun;
                self.online(&url.to_string()).await;
                let online = Connection::Online { url: url.to_string(), server };
                let mut told = Told::from(What::Connection(online));
                told.items.extend(self.undecided().await);
                told.items.extend(self.still_away().filter(|_| is_first));
                told.and(What::Connection(Connection::Clocks(clocks.0, clocks.1)).into())
            }
            Some(ClientEvent::Silent { seconds }) => {
                self.link.silent_s = Some(seconds);
                What::Connection(Connection::Silent(seconds)).into()
            }
            Some(ClientEvent::Answering) => {
                self.link.silent_s = None;
                What::Connection(Connection::Answering).into()
            }
            Some(ClientEvent::Offline { reason }) => {
                self.link = Link { lost: Some(reason.clone()), ..Link::default() };
                self.silent_lists = 0;
                let lost = self.forget_questions();
                Told::from(What::Connection(Connection::Offline(reason))).and(lost)
            }
            Some(ClientEvent::Stopped(stopped)) => return Err(stopped),
            None => return Err(Stopped::Internal("the client has ended".to_owned())),
        })
    }

    /// The connection is signed in.
    async fn online(&mut self, url: &str) {
        if !self.is_online() {
            // For completion.
            self.silent_lists += 1;
            self.client.who().await;
            self.ask_room_names().await;
        }
        self.link = Link { url: Some(url.to_owned()), ..Link::default() };
        self.awaited.has_begun = true;
        self.awaited.returns_until = None;
    }

    async fn notified(&mut self, notification: Notification) -> Told {
        let Notification { key, event } = notification;
        if !claim(&event, |id| self.commands.contains(id), now_ms()) {
            return Told::default();
        }
        if self.unstarted.take(&event) {
            return Told { consumed: key, ..Told::default() };
        }
        if self.noise.ignored.hide(&event) {
            return Told { consumed: key, ..Told::default() };
        }
        if let Event::Settings { changed } = &event {
            return self.hear_settings(changed).into();
        }
        let answered = self.answer_for_away(&event).await;
        if let Event::Refreshed { cid } = event {
            let members = self.members(&cid).await;
            return members.and(self.grant_asked(&cid).await).and(self.looked_up(&cid).await);
        }
        self.ask_about_lobby(&event).await;
        let fault = self.fault(&event);
        self.learn(&event);
        let warnings = self.warnings(&event);
        let is_silent = self.noise.ignored.silence(&event);
        if let Some(told) = self.make_room(&event).await {
            return Told { consumed: key, ..told };
        }
        let moved = self.learn_rooms(&event);
        // That a room was made is said before that one is in it; where text goes comes last.
        let is_first = matches!(event, Event::Joined { .. });
        let shown = if is_silent { Vec::new() } else { self.shown(event) };
        let (then, last) = if is_first { (moved, shown) } else { (shown, moved) };
        let items = warnings.into_iter().chain(then).chain(last).chain(answered).collect();
        Told { items, consumed: key, fault, is_over: false }
    }

    /// What is shown of an event.
    fn shown(&mut self, event: Event) -> Vec<Item> {
        let event = match event {
            Event::Subscriptions { follows, subscribers } => {
                return self.followed(follows, subscribers);
            }
            Event::Rooms { rooms, more, .. } => return self.listed_rooms(rooms, more),
            Event::Presence { .. } => {
                let others = self.noise.ignored.without_presence(event);
                match self.settings.presence.wanted(&others) {
                    Some(wanted) => wanted.into_owned(),
                    None => return Vec::new(),
                }
            }
            event if self.is_silent_list(&event) => return Vec::new(),
            event => event,
        };
        let (cid, id) = self.about(&event);
        // Until when a command can start whose machine is away.
        let may_start = match &event {
            Event::Stored { id, kept: true, .. } if self.commands.contains(id) => Some(*id),
            _ => None,
        };
        let shown = Item { cid: cid.clone(), id, what: What::Event(Box::new(event)) };
        let may_start = may_start.map(|id| Item { cid, id: Some(id), what: What::MayStart(id) });
        std::iter::once(shown).chain(may_start).collect()
    }

    /// The conversation of an event, and the message that it is about.
    fn about(&self, event: &Event) -> (Option<ConversationId>, Option<MessageId>) {
        let of_sent = |id: &MessageId| (self.sent.get(id).map(|sent| sent.cid.clone()), Some(*id));
        match event {
            Event::Message { cid, id, .. }
            | Event::Stored { cid, id, .. }
            | Event::Delivered { cid, id, .. }
            | Event::Disowned { cid, id, .. }
            | Event::Away { cid, id, .. }
            | Event::Unreadable { cid, id, .. } => (Some(cid.clone()), Some(*id)),
            Event::Refused { id, .. }
            | Event::Late { re: id, .. }
            | Event::Started { re: id, .. }
            | Event::Output { re: id, .. }
            | Event::OutputLost { re: id, .. }
            | Event::Ended { re: id, .. } => of_sent(id),
            Event::Gap { cid, .. }
            | Event::Healed { cid, .. }
            | Event::Unhealed { cid, .. }
            | Event::Dropped { cid, .. }
            | Event::Joined { cid, .. }
            | Event::Left { cid, .. }
            | Event::MemberChanged { cid, .. }
            | Event::Topic { cid, .. }
            | Event::Retention { cid, .. } => (Some(cid.clone()), event.answers()),
            Event::Moderated { .. } => {
                (Some(ConversationId::room(&RoomName::lobby())), event.answers())
            }
            _ => (None, None),
        }
    }

    /// What has failed by this, if it was asked for here.
    fn fault(&self, event: &Event) -> Option<Fault> {
        match event {
            Event::Refused { id, .. } | Event::Ended { re: id, ok: false, .. } => {
                let is_own = self.open.contains(id) || self.commands.contains(id);
                is_own.then_some(Fault::Refused)
            }
            Event::Complaint { .. } => Some(Fault::Refused),
            _ => None,
        }
    }

    /// Keeps the books: what is open, what has come of what was said, and whose names are known.
    fn learn(&mut self, event: &Event) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).learn_from(event);
        self.conversations.note(event);
        self.heard.note(event);
        self.note_seen(event);
        self.sent.note(event);
        self.awaited.take(event);
        self.jobs.note(event);
        self.writers.note(&self.me, event, Instant::now());
        match event {
            Event::Announcement { text } => self.motd = Some(text.clone()),
            Event::Stored { id, .. } if !self.commands.contains(id) => {
                self.open.remove(id);
            }
            Event::Refused { id, .. } | Event::Ended { re: id, .. } => {
                self.open.remove(id);
            }
            // Nobody else waits for what follows.
            Event::Late { re, .. } => self.asked_for(*re),
            Event::Joined { .. }
            | Event::Left { .. }
            | Event::MemberChanged { .. }
            | Event::Topic { .. }
            | Event::Moderated { .. }
            | Event::Retention { .. } => {
                if let Some(id) = event.answers() {
                    self.open.remove(&id);
                }
            }
            _ => {}
        }
    }

    /// Whether this is a page of a list that was only asked for its names.
    fn is_silent_list(&mut self, event: &Event) -> bool {
        let Event::People { more, .. } = event else { return false };
        let is_silent = self.silent_lists > 0;
        match (is_silent, more) {
            (_, true) => {}
            (true, false) => self.silent_lists -= 1,
            (false, false) => self.awaited.people = self.awaited.people.saturating_sub(1),
        }
        is_silent
    }
}
