//! The chain of a feed (rule R18): its owner belongs to it from the start and is in no link. Others
//! come and go by their own signature, and the owner may remove them; there is nothing else to sign.

use super::Membership;
use crate::header::{MemberArgument, MemberHeader, MemberOperation};
use crate::id::KeyId;

impl Membership {
    /// Whether this link of a feed, which follows the last one, is allowed; the reason if not.
    pub(super) fn check_feed(
        &self,
        link: &MemberHeader,
        signer: KeyId,
    ) -> Result<(), &'static str> {
        let own = link.who == link.from && link.ik == signer;
        let is_owner = |name| self.cid.is_feed_of(name);
        let subscriber = self.members.get(&link.who);
        match link.op {
            _ if link.arg != MemberArgument::None => Err("a link of a feed has no argument"),
            _ if is_owner(&link.who) => Err("nobody follows themselves"),
            MemberOperation::Join if !own => Err("one follows by one's own signature"),
            MemberOperation::Join if self.holds(&link.who, &link.ik) => Err("follows already"),
            MemberOperation::Leave if !own => Err("one leaves by one's own signature"),
            MemberOperation::Remove if !is_owner(&link.from) => {
                Err("only whose feed it is may remove somebody")
            }
            MemberOperation::Leave | MemberOperation::Remove => match subscriber {
                None => Err("does not follow"),
                Some(known) if known.ik != link.ik => Err("has another identity key"),
                Some(_) => Ok(()),
            },
            MemberOperation::Join => Ok(()),
            MemberOperation::Create | MemberOperation::Admit | MemberOperation::Role => {
                Err("a feed is followed and left, and its owner removes; nothing else")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Digest, MessageId};
    use crate::members::MemberError;
    use crate::name::{ConversationId, UserName};
    use crate::tag::Tag;

    fn ik(name: &str) -> KeyId {
        KeyId([name.as_bytes()[0]; 16])
    }

    fn link(feed: &Membership, from: &str, op: MemberOperation, who: &str) -> MemberHeader {
        MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: feed.conversation().clone(),
            from: UserName::new(from).unwrap(),
            sk: KeyId([0; 16]),
            op,
            who: UserName::new(who).unwrap(),
            ik: ik(who),
            arg: MemberArgument::None,
            mg: feed.next(),
            pm: feed.head(),
            id: MessageId([0; 16]),
            ts: 0,
        }
    }

    /// Goal: who follows is decided by the follower, who is removed by the owner, and by nobody
    /// else. Method: every operation by the owner, a subscriber and a stranger.
    #[test]
    fn subscribers_come_by_themselves_and_only_the_owner_removes() {
        use MemberOperation::{Admit, Create, Join, Leave, Remove, Role};
        let bob = UserName::new("bob").unwrap();
        let mut feed = Membership::new(ConversationId::feed(&bob));
        assert!(feed.exists() && !feed.is_implicit() && feed.contains(&bob));
        let join = link(&feed, "alice", Join, "alice");
        assert_eq!(feed.check(&join, ik("alice")), Ok(()));
        assert!(feed.check(&join, ik("carol")).is_err(), "another identity");
        feed.apply(&join, Digest([1; 32]));
        assert_eq!(feed.names(), ["alice", "bob"].map(|name| UserName::new(name).unwrap()));
        assert!(matches!(feed.check(&join, ik("alice")), Err(MemberError::Stale { .. })));
        for (from, op, who, may) in [
            ("alice", Join, "alice", false),
            ("bob", Join, "bob", false),
            ("bob", Join, "carol", false),
            ("carol", Join, "carol", true),
            ("bob", Admit, "carol", false),
            ("bob", Create, "bob", false),
            ("carol", Create, "carol", false),
            ("bob", Role, "alice", false),
            ("alice", Leave, "alice", true),
            ("bob", Leave, "alice", false),
            ("carol", Leave, "carol", false),
            ("bob", Leave, "bob", false),
            ("bob", Remove, "alice", true),
            ("bob", Remove, "bob", false),
            ("bob", Remove, "carol", false),
            ("alice", Remove, "alice", false),
            ("carol", Remove, "alice", false),
        ] {
            let link = link(&feed, from, op, who);
            assert_eq!(feed.check(&link, ik(from)).is_ok(), may, "{from} {op:?} {who}");
            let ban = MemberHeader { arg: MemberArgument::Ban, ..link.clone() };
            assert!(feed.check(&ban, ik(from)).is_err(), "a feed knows no ban");
            let other = MemberHeader { ik: ik("x"), ..link };
            assert!(feed.check(&other, ik(from)).is_err(), "another identity key");
        }
        let remove = link(&feed, "bob", Remove, "alice");
        feed.apply(&remove, Digest([2; 32]));
        assert_eq!(feed.names(), [bob]);
        assert!(feed.has_known(&UserName::new("alice").unwrap()));
    }
}
