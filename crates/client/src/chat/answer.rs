//! What slash commands answer that need no message.

use std::time::Duration;

use serde_json::json;

use super::{Said, Talk};
use chat_device::client::Status;
use chat_text::slash::{self, SlashCommand};

impl Talk {
    /// Does what a slash command asks for.
    pub(super) async fn answer(&mut self, command: SlashCommand) -> Said {
        match command {
            SlashCommand::Help { about } => {
                let row = about.and_then(slash::find);
                let help = row.map_or_else(slash::help, slash::help_about);
                self.say(help.trim_end(), &json!({"event": "help", "text": help}))
            }
            SlashCommand::Users => {
                if let Some(said) = self.without_connection() {
                    return said;
                }
                self.awaited.people += 1;
                self.client.who().await;
                Said::default()
            }
            SlashCommand::File(command) => self.about_files(command).await,
            SlashCommand::Room(command) => self.in_room(command).await,
            SlashCommand::Feed(command) => self.about_feeds(command).await,
            SlashCommand::Identity(command) => self.about_identity(command).await,
            SlashCommand::WhoAmI => self.with_status(Self::who_am_i).await,
            SlashCommand::Veil { on } => self.veil(on),
            SlashCommand::Grant { to, last } => self.ask_grant(to, last).await,
            SlashCommand::Password => self.change_password().await,
            SlashCommand::Status => self.with_status(Self::status).await,
            SlashCommand::Pending => self.pending().await,
            SlashCommand::Fingerprint { user } => self.ask_fingerprint(user).await,
            SlashCommand::Set { presence } => {
                self.presence = presence.unwrap_or(self.presence);
                let set = self.presence;
                self.say(
                    &format!("· who comes and goes: {set}"),
                    &json!({"event": "set", "presence": format!("{set:?}").to_ascii_lowercase()}),
                )
            }
            SlashCommand::Clear => Said { clear: true, ..Said::default() },
            SlashCommand::Version => {
                let version = env!("CARGO_PKG_VERSION");
                let protocol = chat_protocol::limits::VERSION;
                self.say(
                    &format!("chat-client {version}, protocol {protocol}"),
                    &json!({"event": "version", "client": version, "protocol": protocol}),
                )
            }
            SlashCommand::Quit => Said::over(),
            SlashCommand::History { .. }
            | SlashCommand::HistoryMore
            | SlashCommand::HistoryBefore { .. }
            | SlashCommand::Search { .. }
            | SlashCommand::Receipts { .. } => self.ask_history(command).await,
            // Made into a message before it comes here.
            SlashCommand::Run { .. } => Said::default(),
        }
    }

    pub(super) fn say(&self, text: &str, object: &serde_json::Value) -> Said {
        Said::line(if self.is_json { object.to_string() } else { text.to_owned() })
    }

    async fn with_status(&self, show: fn(&Self, &Status) -> Said) -> Said {
        match self.client.status().await {
            Some(status) => show(self, &status),
            // The reason is in the last event.
            None => Said::default(),
        }
    }

    fn who_am_i(&self, status: &Status) -> Said {
        let Status { user, dev, identity, server, .. } = status;
        let key = identity.in_groups();
        self.say(
            &format!("you are {user}, device {dev}, key {key}\nserver {server}"),
            &json!({
                "event": "whoami", "user": user, "device": dev, "fingerprint": key,
                "server": server,
            }),
        )
    }

    fn status(&self, status: &Status) -> Said {
        let url = status.url.as_ref().map(ToString::to_string);
        let connection = match (&url, status.silent_s) {
            (Some(url), Some(seconds)) => {
                format!("connected to {url}, which has not answered for {seconds} s")
            }
            (Some(url), None) => format!("connected to {url}"),
            (None, _) => "offline; trying again".to_owned(),
        };
        let answer = match status.answer_us {
            Some(us) => {
                let took = Duration::from_micros(us).as_secs_f64() * 1e3;
                format!("the last answer took {took:.1} ms")
            }
            None => "nothing was answered yet".to_owned(),
        };
        let open = status.unanswered;
        self.say(
            &format!("{connection}; {answer}; {open} without an answer"),
            &json!({
                "event": "status", "online": url.is_some(), "url": url,
                "answer_us": status.answer_us, "silent_s": status.silent_s, "unanswered": open,
            }),
        )
    }
}
