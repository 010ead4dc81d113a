//! What commands about people, the connection and settings answer.

use std::fmt;
use std::time::Duration;

use chat_endpoint::DeviceState;
use chat_protocol::name::{ConversationKind, RoomName, UserName};
use chat_text::item::{Answer, Unread, Whois};
use chat_text::settings::{Key, Settings};
use chat_text::slash::LinkCommand;
use tokio::time::Instant;

use crate::conversations::Kind;
use crate::talk::Talk;
use crate::told::Told;

/// So long the next line of a script waits for a connection that was asked for.
const RETURN_TIMEOUT: Duration = Duration::from_secs(15);

/// Keeps the settings for the next start, and says where.
pub struct Saver(Box<Save>);

/// Keeps them and says where, or why not.
type Save = dyn Fn(&Settings) -> Result<String, String> + Send + Sync;

impl Saver {
    /// One that does it so.
    pub fn new(save: impl Fn(&Settings) -> Result<String, String> + Send + Sync + 'static) -> Self {
        Self(Box::new(save))
    }
}

impl fmt::Debug for Saver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Saver")
    }
}

impl Talk {
    /// Keeps what is set, and leaves what holds for this start alone as it was.
    pub(crate) fn save(&self) -> Told {
        let nowhere = "no place for a file of configuration is known; start with --config FILE";
        match self.save.as_ref().map(|save| (save.0)(&self.kept)) {
            None => Told::error(nowhere),
            Some(Ok(place)) => Answer::Saved(place).into(),
            Some(Err(reason)) => Told::error(reason),
        }
    }

    /// Shows a setting, or changes it.
    pub(crate) fn set(&mut self, key: &'static Key, value: Option<&str>) -> Told {
        if let Some(value) = value
            && let Err(reason) = key.set(&mut self.settings, value)
        {
            return Told::error(format!("{}: {reason}", key.name));
        }
        if let Some(value) = value {
            // It is a value of the key, as it has just been shown.
            key.set(&mut self.kept, value).ok();
        }
        Answer::Set(key, Box::new(self.settings.clone())).into()
    }

    /// Shows how long the last answer took: to a message, else to `/ping`.
    pub(crate) async fn lag(&self) -> Told {
        let status = self.client.status().await;
        let answer_us = status.and_then(|status| status.answer_us);
        Answer::Lag(answer_us.or(self.ping_us)).into()
    }

    /// Shows where something is new.
    pub(crate) fn unread(&self) -> Told {
        let new = self.conversations.iter().filter(|one| one.unread > 0);
        let unread = new.map(|one| Unread {
            cid: one.cid.clone(),
            messages: one.unread,
            mentions: one.mentions,
        });
        Answer::Unread(unread.collect()).into()
    }

    /// Does what is asked about the connection.
    pub(crate) async fn about_link(&mut self, command: LinkCommand) -> Told {
        match command {
            LinkCommand::Disconnect if !self.is_online() => {
                self.client.go_away(true).await;
                return Answer::IsOnline(false).into();
            }
            LinkCommand::Disconnect => {
                self.client.go_away(true).await;
                return Told::default();
            }
            LinkCommand::Connect => {}
            LinkCommand::Reconnect => self.client.go_away(true).await,
        }
        // What was told here last may be of the connection that was left a moment ago: the device knows.
        if self.client.come_back().await {
            return Answer::IsOnline(true).into();
        }
        self.awaited.returns_until = Some(Instant::now() + RETURN_TIMEOUT);
        Told::default()
    }

    /// What is known of somebody; their newest keys are here.
    pub(crate) async fn whois(&self, user: UserName) -> Told {
        let introduction = self.client.introduction(&user).await;
        let is_deleted = self.client.is_deleted(&user).await;
        let key = introduction.map(|known| (known.pinned.words, known.standing));
        let devices = self.client.known_devices(&user).await;
        let live: Vec<u64> = devices
            .iter()
            .filter(|device| device.state == DeviceState::Live)
            .map(|device| device.since_ms)
            .collect();
        let is_seen = self.is_user(&user).await;
        if key.is_none() && devices.is_empty() && !is_seen && user != self.me {
            return Told::error(format!("there is nobody called {user}; /users lists everybody"));
        }
        Answer::Whois(Box::new(Whois {
            is_online: self.conversations.is_online(&user),
            is_agent: self.conversations.is_known_machine(&user),
            is_deleted,
            key,
            devices: live.iter().min().map(|since_ms| (live.len(), *since_ms)),
            rooms: self.rooms_with(&user).await,
            seen_ms: self.seen(&user).await,
            user,
        }))
        .into()
    }

    /// The rooms of this user in which somebody is, too; those that everybody is in are not told of.
    async fn rooms_with(&self, user: &UserName) -> Vec<RoomName> {
        let mut common = Vec::new();
        let rooms: Vec<RoomName> = self
            .conversations
            .iter()
            .filter(|one| one.kind == Kind::Room && one.is_in)
            .filter_map(|one| match one.cid.kind() {
                ConversationKind::Room(room) => Some(room),
                _ => None,
            })
            .collect();
        for room in rooms {
            let roster = self.client.roster(&room).await;
            let is_in = |(name, _): &(UserName, bool)| name == user;
            if roster.is_some_and(|roster| roster.members.iter().any(is_in)) {
                common.push(room);
            }
        }
        common
    }
}
