//! Whom a typed name means, and who is easily taken for somebody else.

use std::sync::PoisonError;

use chat_device::identity::IdentityCommand;
use chat_device::names;
use chat_device::names::alike::Alike;
use chat_device::recipient::Recipient;
use chat_endpoint::Event;
use chat_protocol::name::UserName;
use chat_text::input::{Input, Slip};
use chat_text::item::{Item, What};
use chat_text::slash::{FeedCommand, FileCommand, NoiseCommand, RoomCommand, SlashCommand};

use crate::talk::Talk;
use crate::told::Told;

impl Talk {
    /// The same with every user as they are spelled who are meant.
    pub(crate) async fn with_true_names(&self, mut input: Input) -> Input {
        for user in users_of(&mut input) {
            *user = self.meant(user).await;
        }
        input
    }

    /// Whom a typed name means.
    async fn meant(&self, typed: &UserName) -> UserName {
        let known = self.client.known_as(typed).await;
        let listed = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names::meant(typed, &known, &listed)
    }

    /// Notes everybody whose key is known: they are completed, and others are told from them.
    pub(crate) async fn know_names(&self) {
        let known = self.client.known_names().await;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &known {
            names.learn(name.as_str());
        }
    }

    /// Whether a text that begins as if it were for this person would go to one who exists.
    pub(crate) async fn is_user(&self, name: &UserName) -> bool {
        let is_seen = {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.has(name.as_str())
        };
        is_seen || !self.client.known_as(name).await.is_empty()
    }

    /// Whether all of these are.
    pub(crate) async fn are_users(&self, names: &[UserName]) -> bool {
        for name in names {
            if !self.is_user(name).await {
                return false;
            }
        }
        true
    }

    /// What to type instead of a text that seems to be for one person.
    pub(crate) async fn refuse_slip(&self, Slip { names, form, as_text }: &Slip) -> Told {
        let mut meant = Vec::new();
        for name in names {
            meant.push(self.meant(name).await);
        }
        let forms: Vec<String> = meant.iter().map(|name| format!("{name}*TEXT")).collect();
        let (forms, whom) = match &meant[..] {
            [name] => (forms.concat(), format!("{name} alone")),
            _ => (forms.join(", then "), "each of them".to_owned()),
        };
        let place = match &self.rooms.current {
            Some(Recipient::Room(room)) => format!("everybody in #{room}"),
            _ => "a whole room".to_owned(),
        };
        Told::error(format!(
            "nothing was sent: {form} would be said to {place}. To write to {whom}: {forms}; \
             to say it in the room, begin the line with {as_text}"
        ))
    }

    /// Names that are met and look like another one.
    pub(crate) fn warnings(&mut self, event: &Event) -> Vec<Item> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let alike = self.met.look(&self.me, event, &names);
        let cid = || match event {
            Event::Message { cid, .. } | Event::MemberChanged { cid, .. } => Some(cid.clone()),
            _ => None,
        };
        let item = |alike| Item { cid: cid(), id: None, what: What::Alike(alike) };
        let is_shown = |alike: &Alike| !self.is_ignored(alike.name());
        alike.into_iter().filter(is_shown).map(item).collect()
    }
}

/// The users that a line names.
fn users_of(input: &mut Input) -> Vec<&mut UserName> {
    match input {
        Input::Direct { to, .. } => vec![to],
        Input::Slash(command) => users_of_command(command),
        Input::Nothing | Input::Text { .. } | Input::Broadcast { .. } => Vec::new(),
    }
}

fn users_of_command(command: &mut SlashCommand) -> Vec<&mut UserName> {
    match command {
        SlashCommand::Run { target: user, .. }
        | SlashCommand::Fingerprint { user: Some(user) }
        | SlashCommand::Query { user }
        | SlashCommand::Whois { user }
        | SlashCommand::Noise(NoiseCommand::Ignore(Some(user), _))
        | SlashCommand::Grant { to: user, .. }
        | SlashCommand::History { place: Some(Recipient::User(user)), .. }
        | SlashCommand::Room(
            RoomCommand::Invite(user)
            | RoomCommand::Kick(user)
            | RoomCommand::Ban(user)
            | RoomCommand::Unban(user)
            | RoomCommand::Op(user)
            | RoomCommand::Deop(user),
        )
        | SlashCommand::Feed(
            FeedCommand::Subscribe(user)
            | FeedCommand::Unsubscribe(user)
            | FeedCommand::Remove(user),
        )
        | SlashCommand::File(
            FileCommand::Send { to: user, .. }
            | FileCommand::Share { audience: Some(Recipient::User(user)), .. },
        )
        | SlashCommand::Identity(
            IdentityCommand::Decide { user, .. } | IdentityCommand::Devices { user: Some(user) },
        ) => vec![user],
        _ => Vec::new(),
    }
}
