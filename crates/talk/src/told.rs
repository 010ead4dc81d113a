//! What a line or an event comes to.

use chat_endpoint::EventKey;
use chat_text::item::{Answer, Item, What};

/// How the connection is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The server's address; none without a connection.
    pub url: Option<String>,
    /// For so many seconds the server has owed an answer.
    pub silent_s: Option<u64>,
    /// Why there is no connection, once there was one.
    pub lost: Option<String>,
}

/// What has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Something here: it was not sent, not found or not understood.
    Failed,
    /// The server, a recipient or a machine has refused it.
    Refused,
}

impl Fault {
    /// The graver of two: what was refused before anything else, else what failed first.
    pub fn gravest(before: Option<Self>, then: Option<Self>) -> Option<Self> {
        match (before, then) {
            (_, Some(Self::Refused)) => then,
            (before, then) => before.or(then),
        }
    }
}

/// What a line or an event comes to.
#[derive(Debug, Default)]
pub struct Told {
    /// What is to be shown, in this order.
    pub items: Vec<Item>,
    /// A durable event that is dealt with once the items are shown.
    pub consumed: Option<EventKey>,
    /// What this user asked for has failed.
    pub fault: Option<Fault>,
    /// Nothing more is to be read.
    pub is_over: bool,
}

impl From<Vec<Item>> for Told {
    fn from(items: Vec<Item>) -> Self {
        Self { items, ..Self::default() }
    }
}

impl From<Item> for Told {
    fn from(item: Item) -> Self {
        vec![item].into()
    }
}

impl From<What> for Told {
    fn from(what: What) -> Self {
        Item::from(what).into()
    }
}

impl From<Answer> for Told {
    fn from(answer: Answer) -> Self {
        Item::from(answer).into()
    }
}

impl Told {
    /// Nothing more is to be read.
    pub fn over() -> Self {
        Self { is_over: true, ..Self::default() }
    }

    /// Something was not done, for this reason.
    pub(crate) fn error(reason: impl Into<String>) -> Self {
        Self { fault: Some(Fault::Failed), ..What::Error(reason.into()).into() }
    }

    /// This, and then that: what one of them failed at has failed.
    #[must_use]
    pub fn and(mut self, then: Self) -> Self {
        self.items.extend(then.items);
        self.is_over |= then.is_over;
        self.consumed = self.consumed.or(then.consumed);
        self.fault = Fault::gravest(self.fault, then.fault);
        self
    }
}
