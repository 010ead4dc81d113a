//! What the screen is given, made of what the talk knows.

use chat_device::client::{Client, Status};
use chat_device::clock::now_ms;
use chat_device::recipient::Recipient;
use chat_endpoint::Standing;
use chat_protocol::name::UserName;
use chat_protocol::retention;
use chat_talk::Talk;
use chat_tui::data::{Facts, Link, Member, Progress, Status as Line, Transfer};
use chat_tui::told::rows;
use tokio::task::JoinHandle;

/// What has to be asked of the device.
#[derive(Debug, Default)]
pub(super) struct Watched {
    status: Option<Status>,
    /// The conversation that the rest is about.
    place: Option<Recipient>,
    /// Names, and whether they are admins.
    members: Vec<(UserName, bool)>,
    /// The key of the person whose conversation is open was compared.
    is_verified: bool,
}

/// Looks at the device beside the screen: it answers when its step is durable, and a key must not wait for that.
#[derive(Debug, Default)]
pub(super) struct Looking(Option<JoinHandle<Watched>>);

impl Looking {
    /// Looks, where nobody does.
    pub(super) fn begin(&mut self, talk: &Talk) {
        if self.0.is_none() {
            let (client, place) = (talk.client().clone(), talk.place().cloned());
            self.0 = Some(tokio::spawn(Watched::look(client, place)));
        }
    }

    /// What was seen, once. May be dropped at any time without loss.
    pub(super) async fn next(&mut self) -> Watched {
        let Some(going) = &mut self.0 else { return std::future::pending().await };
        let watched = going.await.unwrap_or_default();
        self.0 = None;
        watched
    }
}

impl Watched {
    /// Asks it.
    async fn look(client: Client, place: Option<Recipient>) -> Self {
        let (mut members, mut is_verified) = (Vec::new(), false);
        match &place {
            Some(Recipient::Room(room)) => {
                let roster = client.roster(room).await;
                members = roster.map(|roster| roster.members).unwrap_or_default();
            }
            Some(Recipient::User(user)) => {
                let known = client.introduction(user).await;
                is_verified = known.is_some_and(|known| known.standing == Standing::Verified);
            }
            Some(Recipient::All) | None => {}
        }
        Self { status: client.status().await, place, members, is_verified }
    }

    /// Whether it is about where one is now.
    pub(super) fn is_of(&self, talk: &Talk) -> bool {
        self.place.as_ref() == talk.place()
    }

    /// All that the screen shows beside the log.
    pub(super) fn facts(&self, talk: &Talk) -> Facts {
        let all = talk.conversations();
        let here = all.here().and_then(|cid| all.get(cid));
        let member = |(name, is_admin): &(UserName, bool)| Member {
            name: name.to_string(),
            is_online: all.is_online(name),
            is_admin: *is_admin,
        };
        let members = if self.is_of(talk) { &self.members[..] } else { &[] };
        let transfers = talk.fetching().map(|(n, file)| Transfer {
            name: file.name.clone(),
            progress: Progress { n, size: file.size, done: file.done, rate: file.rate },
        });
        Facts {
            conversations: rows(all, talk.me()),
            topic: here.map(|here| here.topic.clone()).unwrap_or_default(),
            members: members.iter().map(member).collect(),
            transfers: transfers.collect(),
            status: self.line(talk, here.and_then(|here| here.keep_ms)),
            is_veiled: talk.is_veiled(),
            has_draft: talk.unsent().next().is_some(),
        }
    }
}

impl Watched {
    fn line(&self, talk: &Talk, keep_ms: Option<u64>) -> Line {
        let (link, status) = (talk.link(), self.status.as_ref());
        Line {
            now_ms: now_ms(),
            user: talk.me().to_string(),
            server: link.url.as_deref().map(host).unwrap_or_default(),
            is_tls: link.url.as_deref().map(|url| url.starts_with("wss:")),
            is_verified: self.is_verified && self.is_of(talk),
            retention: keep_ms.filter(|ms| *ms > 0).map(retention::format),
            lag_ms: status.and_then(|status| status.answer_us).map(|us| us.div_ceil(1_000)),
            unanswered: talk.sent().unanswered().count(),
            link: match (&link.url, link.silent_s) {
                (None, _) if status.is_some_and(|status| status.is_away) => Link::Away,
                (None, _) => Link::Offline(
                    status.and_then(|status| status.retry_in).map(|time| time.as_secs()),
                ),
                (Some(_), Some(seconds)) => Link::Silent(seconds),
                (Some(_), None) => Link::Online,
            },
        }
    }
}

/// The host of an address, without its scheme and path.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().to_owned()
}
