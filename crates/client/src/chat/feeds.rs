//! Following people: what the commands do, and the lists.

use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;

use super::{Said, Talk};
use chat_device::client::SendError;
use chat_text::show::feeds as show;
use chat_text::slash::FeedCommand;

/// Which list was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum List {
    /// Whom I follow.
    Follows,
    /// Who follows me.
    Subscribers,
}

impl Talk {
    /// Does what a command about following asks for.
    pub(super) async fn about_feeds(&mut self, command: FeedCommand) -> Said {
        let me = &self.lines.me;
        let asked = match command {
            FeedCommand::Subscribe(to) if to == *me => {
                return self.error("nobody follows themselves; /subscribe somebody else");
            }
            FeedCommand::Subscribe(to) => self.client.subscribe(&to).await,
            FeedCommand::Unsubscribe(from) => self.client.unsubscribe(&from).await,
            FeedCommand::Remove(who) => self.client.remove_subscriber(&who).await,
            FeedCommand::Follows => return self.ask_feeds(List::Follows).await,
            FeedCommand::Subscribers => return self.ask_feeds(List::Subscribers).await,
        };
        self.asked(asked)
    }

    fn asked(&mut self, asked: Result<MessageId, SendError>) -> Said {
        match asked {
            Ok(id) => {
                self.open.insert(id);
                self.awaited.expect(id);
                self.queued()
            }
            // The reason is in the last event.
            Err(SendError::Stopped) => Said::default(),
            Err(error) => self.error(&error.to_string()),
        }
    }

    async fn ask_feeds(&mut self, list: List) -> Said {
        self.lists.push_back(list);
        self.client.subscriptions().await;
        Said::default()
    }

    /// The list that was asked for first.
    pub(super) fn feed_lines(
        &mut self,
        follows: &[UserName],
        subscribers: &[UserName],
    ) -> Vec<String> {
        let Some(list) = self.lists.pop_front() else { return Vec::new() };
        let (kind, names) = match list {
            List::Follows => ("follows", follows),
            List::Subscribers => ("subscribers", subscribers),
        };
        if self.is_json {
            return show::objects(kind, names).iter().map(ToString::to_string).collect();
        }
        match list {
            List::Follows => show::follows(names),
            List::Subscribers => show::subscribers(names),
        }
    }
}
