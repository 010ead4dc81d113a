//! Following people: what the commands do, and the lists.

use chat_protocol::name::UserName;
use chat_text::item::{Answer, Item};
use chat_text::slash::FeedCommand;

use crate::talk::Talk;
use crate::told::Told;

/// Which list was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum List {
    /// Whom I follow.
    Follows,
    /// Who follows me.
    Subscribers,
}

impl Talk {
    /// Does what a command about following asks for.
    pub(crate) async fn about_feeds(&mut self, command: FeedCommand) -> Told {
        let asked = match command {
            FeedCommand::Subscribe(to) if to == self.me => {
                return Told::error("nobody follows themselves; /subscribe somebody else");
            }
            FeedCommand::Subscribe(to) => self.client.subscribe(&to).await,
            FeedCommand::Unsubscribe(from) => self.client.unsubscribe(&from).await,
            FeedCommand::Remove(who) => self.client.remove_subscriber(&who).await,
            FeedCommand::Follows => return self.ask_feeds(List::Follows).await,
            FeedCommand::Subscribers => return self.ask_feeds(List::Subscribers).await,
        };
        self.ordered(asked).map_or_else(|told| told, |_| self.queued())
    }

    async fn ask_feeds(&mut self, list: List) -> Told {
        self.lists.push_back(list);
        self.client.subscriptions().await;
        Told::default()
    }

    /// The list that was asked for first.
    pub(crate) fn followed(
        &mut self,
        follows: Vec<UserName>,
        subscribers: Vec<UserName>,
    ) -> Vec<Item> {
        let answer = self.lists.pop_front().map(|list| match list {
            List::Follows => Answer::Follows(follows),
            List::Subscribers => Answer::Subscribers(subscribers),
        });
        answer.map(Item::from).into_iter().collect()
    }
}
