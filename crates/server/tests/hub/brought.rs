//! People without an account whom members bring back into rooms: so many by one of them, and the operator ends it.

use bytes::Bytes;
use chat_protocol::{
    header::{MemberHeader, MemberOperation},
    hub::{ClientToHub, HubToClient},
    id::Digest,
    keys::Held,
    name::{ConversationId, UserName},
};
use chat_server::{
    admin::{
        call::Call,
        request::{AdminAnswer, AdminRequest},
    },
    config::Config,
    store::Standing,
};

use crate::{
    client::{Client, Device, cid, config, name, new_id, register, sign_in, start},
    forgotten::{behind, chain, grown, remind},
};

/// The lobby as these tests build it, link by link.
struct Lobby {
    room: ConversationId,
    links: Vec<(MemberHeader, Bytes)>,
}

impl Lobby {
    /// The lobby with its first member.
    async fn of(first: &mut Client) -> Self {
        let room = cid("room:lobby");
        let link = first.device.link(&room, MemberOperation::Join, (0, Digest::ZERO));
        first.send_frame(link.1.clone()).await;
        first.ack().await;
        Self { room, links: vec![link] }
    }

    /// Brings a link of somebody else about themselves; whether it is taken.
    async fn brings(&mut self, by: &mut Client, who: &Device, op: MemberOperation) -> bool {
        let link = who.link(&self.room, op, behind(self.links.last().unwrap()));
        remind(by, &[who], &[&link.1]).await;
        let length = chain(by, &self.room).await;
        let is_taken = length > self.links.len();
        if is_taken {
            self.links.push(link);
        }
        assert_eq!(length, self.links.len());
        is_taken
    }

    /// The same, of which it is known that it is taken.
    async fn takes(&mut self, by: &mut Client, who: &Device, op: MemberOperation) {
        let link = who.link(&self.room, op, behind(self.links.last().unwrap()));
        remind(by, &[who], &[&link.1]).await;
        self.links.push(link);
        grown(by, &self.room, self.links.len()).await;
    }
}

/// A hub where one account may have brought two people, as many a day as it likes.
fn two_at_a_time(folder: &std::path::Path) -> Config {
    let mut config = config(folder);
    for limit in ["reminded_strangers=off", "strangers_by_one=2"] {
        config.limits.set(limit).unwrap();
    }
    config
}

fn zed(number: u8) -> Device {
    Device::new(&format!("zed{number}"), 2)
}

/// Goal: however many days one account has, it cannot fill the lobby with people who do not exist; what others bring is
/// theirs, and whoever leaves or signs up makes room. Before: 128 of them came in by one account within eight days.
/// Method: three come where two may; others bring one, some go, one signs up, and the hub is started again.
#[tokio::test]
async fn one_account_has_brought_a_few_people_without_an_account_at_a_time() {
    use MemberOperation::{Join, Leave};
    let folder = tempfile::tempdir().unwrap();
    let server = start(two_at_a_time(folder.path())).await;
    let mut mallory = register(&server, "mallory", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let (m, b) = (mallory.device.clone(), bob.device.clone());
    let mut lobby = Lobby::of(&mut mallory).await;
    for number in [1, 2] {
        lobby.takes(&mut mallory, &zed(number), Join).await;
    }
    assert!(!lobby.brings(&mut mallory, &zed(3), Join).await, "a third");
    server.stop().await.unwrap();

    let server = start(two_at_a_time(folder.path())).await;
    let mut mallory = sign_in(&server, &m).await;
    bob = sign_in(&server, &b).await;
    assert!(!lobby.brings(&mut mallory, &zed(3), Join).await, "also after a restart");
    lobby.takes(&mut bob, &zed(3), Join).await;
    lobby.takes(&mut mallory, &zed(1), Leave).await;
    lobby.takes(&mut mallory, &zed(4), Join).await;
    assert!(!lobby.brings(&mut mallory, &zed(5), Join).await, "in the place of who has left");
    // Somebody else under the name of one of them is not that one.
    drop(register(&server, "zed2", 3).await);
    assert!(!lobby.brings(&mut mallory, &zed(5), Join).await, "by another identity");
    drop(register(&server, "zed4", 2).await);
    lobby.takes(&mut mallory, &zed(5), Join).await;
    server.stop().await.unwrap();

    let server = start(two_at_a_time(folder.path())).await;
    let mut mallory = sign_in(&server, &m).await;
    assert!(!lobby.brings(&mut mallory, &zed(6), Join).await, "two are there");
    server.stop().await.unwrap();
}

/// What the operator of a server asks it.
async fn ask(folder: &std::path::Path, request: AdminRequest) -> AdminAnswer {
    let data = folder.join("data");
    let ask = move || Call::open(&data).unwrap().ask(&request).unwrap();
    tokio::task::spawn_blocking(ask).await.unwrap()
}

fn stand(who: &str, standing: Standing) -> AdminRequest {
    AdminRequest::Standing { who: who.parse().unwrap(), standing }
}

/// Of which of these names the hub says that they were deleted.
async fn deleted(client: &mut Client, names: &[&str]) -> Vec<UserName> {
    let known = names.iter().map(|text| (name(text), Held::default())).collect();
    let ask = ClientToHub::Bundles { id: new_id(), known, kids: [].into() };
    client.send_text(&ask).await;
    let answer = client.answer().await;
    let HubToClient::Bundles { gone, .. } = answer else { panic!("{answer:?}") };
    gone
}

/// Goal: an operator sees who has brought a name that nobody has an account of, and ends it: it is shown as deleted and
/// is brought back by nobody, until somebody signs up under it. Before: no command knew such a name.
/// Method: all of that, and a restart.
#[tokio::test]
async fn an_operator_deletes_a_name_that_has_no_account() {
    use MemberOperation::{Join, Leave};
    let folder = tempfile::tempdir().unwrap();
    let server = start(two_at_a_time(folder.path())).await;
    let mut mallory = register(&server, "mallory", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let (m, b) = (mallory.device.clone(), bob.device.clone());
    let mut lobby = Lobby::of(&mut mallory).await;
    for number in [1, 2] {
        lobby.takes(&mut mallory, &zed(number), Join).await;
    }
    let story = "zed1, who has no account here: brought into #lobby by mallory";
    let show = AdminRequest::User { name: name("zed1") };
    for request in [show, stand("zed1", Standing::Disabled)] {
        let answer = ask(folder.path(), request).await;
        let reason = format!("{story}; `user delete zed1` drops the name");
        assert_eq!(answer, AdminAnswer::Refused { reason });
    }
    let answer = ask(folder.path(), stand("zed1", Standing::Deleted)).await;
    assert_eq!(answer, AdminAnswer::done(story));
    let answer = ask(folder.path(), stand("zed1", Standing::Deleted)).await;
    assert_eq!(
        answer,
        AdminAnswer::Refused {
            reason: "nobody has an account of zed1, and the name was deleted".to_owned()
        }
    );
    let is_told = |notice: &HubToClient| matches!(notice, HubToClient::Keys { users } if *users == [name("zed1")]);
    bob.notice(is_told).await;
    assert_eq!(deleted(&mut bob, &["zed1", "zed2"]).await, [name("zed1")]);
    lobby.takes(&mut mallory, &zed(3), Join).await;
    assert!(!lobby.brings(&mut mallory, &zed(4), Join).await, "its place was given back once");
    lobby.takes(&mut mallory, &zed(1), Leave).await;
    lobby.takes(&mut mallory, &zed(3), Leave).await;
    server.stop().await.unwrap();

    let server = start(two_at_a_time(folder.path())).await;
    let mut mallory = sign_in(&server, &m).await;
    let mut bob = sign_in(&server, &b).await;
    assert_eq!(deleted(&mut bob, &["zed1", "zed2"]).await, [name("zed1")]);
    assert!(!lobby.brings(&mut mallory, &zed(1), Join).await, "it was deleted");
    drop(register(&server, "zed1", 2).await);
    bob.notice(is_told).await;
    assert_eq!(deleted(&mut bob, &["zed1", "zed2"]).await, []);
    server.stop().await.unwrap();

    let server = start(two_at_a_time(folder.path())).await;
    let mut bob = sign_in(&server, &b).await;
    assert_eq!(deleted(&mut bob, &["zed1", "zed2"]).await, []);
    let answer = ask(folder.path(), stand("zed*", Standing::Deleted)).await;
    let AdminAnswer::Done { what } = answer else { panic!("{answer:?}") };
    assert_eq!(what, ["zed1", "zed2, who has no account here: brought into #lobby by mallory"]);
    server.stop().await.unwrap();
}
