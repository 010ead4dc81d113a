//! What is set on all devices of this user.

use std::collections::BTreeMap;

use chat_protocol::name::UserName;

use super::Client;

impl Client {
    /// What is set, by key.
    pub async fn settings(&self) -> BTreeMap<String, String> {
        self.call(|turn| turn.endpoint().settings()).await.unwrap_or_default()
    }

    /// Sets something here and on this user's other devices, see [`chat_endpoint::Endpoint::set`]. Returns whether all of
    /// it is set.
    pub async fn set(&self, changes: Vec<(String, String)>) -> bool {
        let set = self.call(move |turn| {
            let now_ms = turn.now_ms;
            turn.endpoint().set(now_ms, &changes)
        });
        set.await.unwrap_or(false)
    }

    /// Tells somebody, where that is new to them, whether they may see when this user was heard of last.
    pub async fn allow_seen(&self, to: &UserName, on: bool) {
        let to = to.clone();
        self.begin(move |turn| {
            let now_ms = turn.now_ms;
            turn.endpoint().allow_seen(now_ms, &to, on);
        })
        .await;
    }

    /// Tells somebody why this user does not answer.
    pub async fn answer_for_away(&self, to: &UserName, why: &str) {
        let (to, why) = (to.clone(), why.to_owned());
        self.begin(move |turn| {
            turn.answer_for_away(&to, &why);
        })
        .await;
    }
}
