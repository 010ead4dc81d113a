//! Whom a typed name means, and who is easily taken for somebody else.

use std::sync::PoisonError;

use chat_endpoint::Event;
use chat_protocol::name::UserName;
use serde_json::json;

use super::{Said, Talk};
use crate::config::Recipient;
use crate::identity::IdentityCommand;
use crate::input::{Input, Slip};
use crate::slash::{FeedCommand, FileCommand, RoomCommand, SlashCommand};

impl Talk {
    /// The same with every user in the spelling of the account: names are unique whatever the case of
    /// their letters.
    pub(super) fn with_true_names(&self, mut input: Input) -> Input {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for user in users_of(&mut input) {
            *user = names.true_name(user);
        }
        input
    }

    /// Whether a text that begins as if it were for this person would go to one who exists.
    pub(super) async fn is_user(&self, name: &UserName) -> bool {
        let is_seen = {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.spelled(name.as_str()).is_some()
        };
        is_seen || self.client.identity_of(name).await.is_some()
    }

    /// What to type instead of a text that seems to be for one person.
    pub(super) fn refuse_slip(&self, Slip { name, form }: &Slip) -> Said {
        let name = self.names.lock().unwrap_or_else(PoisonError::into_inner).true_name(name);
        let place = match &self.rooms.current {
            Some(room) => format!("everybody in #{room}"),
            None => "a whole room".to_owned(),
        };
        self.error(&format!(
            "nothing was sent: {form} would be said to {place}. To write to {name} alone: {name}*TEXT; \
             to say it in the room, begin the line with a space"
        ))
    }

    /// Lines for names that are met for the first time since the start and look like another one.
    pub(super) fn warnings(&mut self, event: &Event) -> Vec<String> {
        let met: Vec<&UserName> = match event {
            Event::Message { from, .. } => vec![from],
            Event::Presence { joined, .. } => joined.iter().collect(),
            Event::MemberChanged { who, .. } => vec![who],
            _ => Vec::new(),
        };
        let mut lines = Vec::new();
        for name in met {
            if *name == self.lines.me || !self.met.insert(name.clone()) {
                continue;
            }
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let like = names.like(name.as_str());
            if like.is_empty() {
                continue;
            }
            lines.push(if self.is_json {
                json!({"event": "look_alike", "user": name, "like": like}).to_string()
            } else {
                format!("! {name} is not {}: the names are easily confused", like.join(" or "))
            });
        }
        lines
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
