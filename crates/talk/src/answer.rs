//! What slash commands answer.

use chat_device::client::Status;
use chat_text::item::{Answer, What};
use chat_text::slash::SlashCommand;

use crate::talk::Talk;
use crate::told::Told;

impl Talk {
    /// Does what a slash command asks for.
    pub(crate) async fn answer(&mut self, command: SlashCommand) -> Told {
        match command {
            SlashCommand::Help { about } => Answer::Help(about).into(),
            SlashCommand::Users => {
                if let Some(told) = self.without_connection() {
                    return told;
                }
                self.awaited.people += 1;
                self.client.who().await;
                Told::default()
            }
            SlashCommand::File(command) => self.about_files(command).await,
            SlashCommand::Room(command) => self.in_room(command).await,
            SlashCommand::Feed(command) => self.about_feeds(command).await,
            SlashCommand::Identity(command) => self.about_identity(command).await,
            SlashCommand::WhoAmI => self.with_status(Answer::WhoAmI).await,
            SlashCommand::Veil { on } => {
                self.rooms.is_veiled = on.unwrap_or(self.rooms.is_veiled);
                Answer::Veil(self.rooms.is_veiled).into()
            }
            SlashCommand::Grant { to, last } => self.ask_grant(to, last).await,
            SlashCommand::Password => self.change_password().await,
            SlashCommand::Status => self.with_status(Answer::Status).await,
            SlashCommand::Pending => self.pending().await,
            SlashCommand::Fingerprint { user } => self.ask_fingerprint(user).await,
            SlashCommand::Settings => Answer::Settings(Box::new(self.settings.clone())).into(),
            SlashCommand::Set { key, value } => self.set(key, value.as_deref()),
            SlashCommand::Save => self.save(),
            SlashCommand::Query { user } => self.open_with(user),
            SlashCommand::Whois { user } => self.ask_whois(user).await,
            SlashCommand::Noise(command) => self.about_noise(command).await,
            SlashCommand::Unread => self.unread(),
            SlashCommand::Ping => self.ping().await,
            SlashCommand::Lag => self.lag().await,
            SlashCommand::Motd => Answer::Motd(self.motd.clone()).into(),
            SlashCommand::Link(command) => self.about_link(command).await,
            SlashCommand::Jobs { cancel } => self.about_jobs(cancel).await,
            SlashCommand::Clear => What::Clear.into(),
            SlashCommand::Version => Answer::Version.into(),
            SlashCommand::Quit => {
                self.leaves().await;
                Told::over()
            }
            SlashCommand::History { .. }
            | SlashCommand::HistoryMore
            | SlashCommand::HistoryBefore { .. }
            | SlashCommand::Search { .. }
            | SlashCommand::Receipts { .. } => self.ask_history(command).await,
            // Made into a message before it comes here.
            SlashCommand::Run { .. } | SlashCommand::Reply { .. } => Told::default(),
        }
    }

    async fn with_status(&self, answer: fn(Box<Status>) -> Answer) -> Told {
        // Without one the client has stopped; the reason is in the last event.
        self.client.status().await.map(|status| answer(Box::new(status)).into()).unwrap_or_default()
    }
}
