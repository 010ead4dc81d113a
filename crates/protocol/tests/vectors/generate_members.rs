//! Membership chains: as they should be, and forged.

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::Unsigned;
use chat_protocol::header::{Canonical, MemberArgument, MemberHeader, MemberOperation};
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::keys::key_id;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Tag, label};

use super::format::{Case, MembershipCase, MembershipExpect};
use super::generate::{Device, NOW, World};

/// One room's chain as it grows.
struct RoomChain {
    cid: ConversationId,
    frames: Vec<B64Vec>,
    head: Digest,
}

impl RoomChain {
    fn header(&self, from: &Device, op: MemberOperation, who: &Device) -> MemberHeader {
        let mg = u32::try_from(self.frames.len()).unwrap();
        MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: self.cid.clone(),
            from: from.user.clone(),
            sk: from.keys.signing_id(),
            op,
            who: who.user.clone(),
            ik: key_id(who.keys.identity.spki()),
            arg: MemberArgument::None,
            mg,
            pm: self.head,
            id: MessageId::new(NOW + u64::from(mg), [7; 10]),
            ts: NOW,
        }
    }

    fn push(&mut self, signer: &Device, header: &MemberHeader) {
        let unsigned = Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new());
        self.head = unsigned.digest();
        self.frames.push(signer.sign(label::MEMBER, header.to_bytes(), Vec::new()));
    }

    fn case(&self, last: Option<B64Vec>) -> Case {
        let links = self.frames.iter().cloned().chain(last).collect();
        Case::Membership(MembershipCase { cid: self.cid.clone(), links, expect: None })
    }

    fn expecting(&self, members: &[(&Device, bool)]) -> Case {
        let members = members.iter().map(|(device, admin)| (device.user.clone(), *admin)).collect();
        let expect = Some(MembershipExpect { head: self.head, members });
        Case::Membership(MembershipCase {
            cid: self.cid.clone(),
            links: self.frames.clone(),
            expect,
        })
    }
}

#[expect(clippy::too_many_lines, reason = "a table, one row for each vector")]
pub(crate) fn memberships(world: &mut World) {
    use MemberOperation::{Admit, Create, Join, Remove, Role};
    let World { alice, bob, mallory, .. } = &*world;
    let new = |cid: &str| RoomChain {
        cid: ConversationId::parse(cid).unwrap(),
        frames: Vec::new(),
        head: Digest::ZERO,
    };
    let mut lobby = new("room:lobby");
    lobby.push(alice, &lobby.header(alice, Join, alice));
    lobby.push(bob, &lobby.header(bob, Join, bob));
    let mut room = new("room:ops");
    let create = MemberHeader { arg: MemberArgument::Invite, ..room.header(alice, Create, alice) };
    let wrong_create = MemberHeader { arg: MemberArgument::Admin, ..create.clone() };
    let wrong_create =
        room.case(Some(alice.sign(label::MEMBER, wrong_create.to_bytes(), Vec::new())));
    room.push(alice, &create);
    room.push(alice, &room.header(alice, Admit, bob));
    let mut later = new("room:ops");
    later.frames.clone_from(&room.frames);
    later.head = room.head;
    let role = MemberHeader { arg: MemberArgument::Admin, ..later.header(alice, Role, bob) };
    later.push(alice, &role);
    later.push(bob, &later.header(bob, Remove, alice));

    let signed = |signer: &Device, header: &MemberHeader| {
        room.case(Some(signer.sign(label::MEMBER, header.to_bytes(), Vec::new())))
    };
    let admit = room.header(alice, Admit, mallory);
    let with = |edit: &dyn Fn(&mut MemberHeader)| {
        let mut header = admit.clone();
        edit(&mut header);
        signed(alice, &header)
    };
    let label_case = room.case(Some(alice.sign(label::MSG, admit.to_bytes(), Vec::new())));
    let body_case = room.case(Some(alice.sign(label::MEMBER, admit.to_bytes(), b"x".to_vec())));
    let twice = signed(alice, &room.header(alice, Admit, bob));
    let by_member = signed(bob, &room.header(bob, Admit, mallory));
    let self_join = signed(mallory, &room.header(mallory, Join, mallory));
    let as_alice = signed(bob, &admit);
    let (positive, chain, dm) = (
        lobby.expecting(&[(alice, false), (bob, false)]),
        later.expecting(&[(bob, true)]),
        with(&|h| h.cid = ConversationId::parse("room:lobby").unwrap()),
    );
    let cases = [
        ("stale", "chain", "mg and pm of an earlier place", with(&|h| h.mg = 1)),
        ("previous", "chain", "pm names another link", with(&|h| h.pm = Digest([9; 32]))),
        ("twice", "chain", "admits who is a member", twice),
        ("by-member", "chain", "an ordinary member admits", by_member),
        ("self-join", "chain", "joins an invite room unasked", self_join),
        ("room", "chain", "a link of another room", dm),
        ("create-argument", "chain", "create with the argument of role", wrong_create),
        (
            "role-argument",
            "chain",
            "role with the argument of create",
            with(&|h| {
                (h.op, h.who, h.ik) = (Role, bob.user.clone(), key_id(bob.keys.identity.spki()));
                h.arg = MemberArgument::Open;
            }),
        ),
        (
            "admit-argument",
            "chain",
            "admit with an argument",
            with(&|h| h.arg = MemberArgument::Admin),
        ),
        ("identity", "identity", "ik is nobody's identity", with(&|h| h.ik = KeyId([9; 16]))),
        ("by-another", "signature", "signed by bob in alice's name", as_alice),
        ("label", "signature", "signed under the label of messages", label_case),
        ("body", "body", "a body of one byte, then signed", body_case),
        (
            "name",
            "members",
            "signed in the name of nobody",
            with(&|h| h.from = UserName::new("nobody").unwrap()),
        ),
    ];
    world.accept("membership/lobby", positive);
    world.accept("membership/invite", chain);
    for (name, at, altered, case) in cases {
        let why = "members come from the signed chain alone (rule R2)";
        world.refuse(&format!("membership/{name}"), [at, altered, why], case);
    }
}
