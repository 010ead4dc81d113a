//! Any header, content and message that may be written.

use chat_protocol::b64::B64Vec;
use chat_protocol::content::healing::{Counters, Grant, GrantEntry, LinkRun};
use chat_protocol::content::{ChainNotes, Command, Content, LastMessage, Outcome, OutputStream};
use chat_protocol::header::{
    Header, KeyHeader, MemberArgument, MemberHeader, MemberOperation, MessageHeader, ReceiptHeader,
    Recipient,
};
use chat_protocol::hub::{
    ClientToHub, Counter, EpochHead, Head, HubStage, HubToClient, Log, Person, PersonBundles,
};
use chat_protocol::id::{Digest, KeyId, MessageId, Nonce16};
use chat_protocol::keys::Held;
use chat_protocol::limits::{INTEGER_MAX, KEYREQ_COUNTERS_MAX};
use chat_protocol::members::MemberLine;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::ratchet::MessageKey;
use chat_protocol::tag::{Shape, Stage, Tag};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn user() -> impl Strategy<Value = UserName> {
    "[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
        .prop_filter_map("ALL is reserved", |name| UserName::new(&name).ok())
}

fn conversation() -> impl Strategy<Value = ConversationId> {
    let direct = (user(), user());
    prop_oneof![
        direct.prop_filter_map("two people", |(a, b)| ConversationId::direct(&a, &b).ok()),
        user().prop_map(|name| ConversationId::parse(&format!("room:{name}")).unwrap()),
        user().prop_map(|name| ConversationId::parse(&format!("feed:{name}")).unwrap()),
        Just(ConversationId::all()),
    ]
}

fn message_id() -> impl Strategy<Value = MessageId> {
    any::<[u8; 16]>().prop_map(MessageId)
}

fn key_id() -> impl Strategy<Value = KeyId> {
    any::<[u8; 16]>().prop_map(KeyId)
}

fn nonce() -> impl Strategy<Value = Nonce16> {
    any::<[u8; 16]>().prop_map(Nonce16)
}

pub(crate) fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn integer() -> impl Strategy<Value = u64> {
    prop_oneof![0..=INTEGER_MAX, Just(INTEGER_MAX), Just(0)]
}

pub(crate) fn line() -> impl Strategy<Value = MemberLine> {
    (user(), key_id(), key_id()).prop_map(|(name, sk, ek)| MemberLine { name, sk, ek })
}

pub(crate) fn message_header() -> impl Strategy<Value = MessageHeader> {
    let stages = [None, Some(Stage::Executed)];
    let tags = Tag::ALL.iter().flat_map(|tag| stages.map(|stage| (*tag, stage)));
    let is_sealed = |(tag, stage): &(Tag, Option<Stage>)| tag.shape(*stage) == Some(Shape::Message);
    let tag = select(tags.filter(is_sealed).collect::<Vec<_>>());
    let to = prop_oneof![Just(Recipient::Everyone), user().prop_map(Recipient::User)];
    let names = (tag, conversation(), user(), key_id(), to, message_id());
    let place = (digest(), any::<u32>(), digest(), integer());
    let command = (integer(), integer(), nonce(), key_id());
    (names, place, command).prop_map(
        |(((t, stage), cid, from, sk, to, id), (e, n, p, ts), (nbf, exp, rb, tk))| {
            let command = t == Tag::Cmd;
            MessageHeader {
                v: 1,
                t,
                stage,
                cid,
                from,
                sk,
                to,
                id,
                e,
                n,
                p,
                ts,
                nbf: command.then_some(nbf),
                exp: command.then_some(exp),
                rb: command.then_some(rb),
                tk: command.then_some(tk),
            }
        },
    )
}

fn receipt_header() -> impl Strategy<Value = ReceiptHeader> {
    let tag = prop_oneof![Just(Tag::Ack), Just(Tag::Noack)];
    (tag, conversation(), user(), key_id(), user(), message_id(), integer()).prop_map(
        |(t, cid, from, sk, to, id, ts)| ReceiptHeader {
            v: 1,
            t,
            stage: Stage::Delivered,
            cid,
            from,
            sk,
            to,
            id,
            ts,
        },
    )
}

fn key_header() -> impl Strategy<Value = KeyHeader> {
    let names = (conversation(), user(), key_id(), nonce());
    let digests = (digest(), digest(), digest(), digest());
    let left_out = btree_set(user(), 0..4);
    (names, any::<u32>(), any::<u32>(), digests, integer(), left_out).prop_map(
        |((cid, from, sk, eid), g, mg, (pe, kc, pm, mh), ts, left_out)| KeyHeader {
            v: 1,
            t: Tag::Key,
            wo: left_out.into_iter().filter(|who| !cid.is_direct() && *who != from).collect(),
            mg: if cid.is_direct() || pm == Digest::ZERO { 0 } else { mg },
            pm: if cid.is_direct() || mg == 0 { Digest::ZERO } else { pm },
            cid,
            from,
            sk,
            eid,
            g,
            pe,
            kc,
            mh,
            ts,
        },
    )
}

fn member_header() -> impl Strategy<Value = MemberHeader> {
    use MemberOperation::{Admit, Create, Join, Leave, Remove, Role};
    let op = select(vec![Create, Join, Admit, Leave, Remove, Role]);
    let argument = [
        MemberArgument::Open,
        MemberArgument::Invite,
        MemberArgument::Admin,
        MemberArgument::Member,
        MemberArgument::None,
    ];
    let what = (op, user(), key_id(), select(argument.to_vec()));
    let names = (conversation(), user(), key_id());
    (names, what, any::<u32>(), digest(), message_id(), integer()).prop_map(
        |((cid, from, sk), (op, who, ik, arg), mg, pm, id, ts)| MemberHeader {
            v: 1,
            t: Tag::Member,
            cid,
            from,
            sk,
            op,
            who,
            ik,
            arg,
            mg,
            pm,
            id,
            ts,
        },
    )
}

pub(crate) fn header() -> impl Strategy<Value = Header> {
    prop_oneof![
        message_header().prop_map(Header::Message),
        receipt_header().prop_map(Header::Receipt),
        key_header().prop_map(Header::Key),
        member_header().prop_map(Header::Member),
    ]
}

/// A content with a tag that may carry it.
pub(crate) fn content() -> impl Strategy<Value = (Tag, Content)> {
    let text = (select(vec![Tag::Text, Tag::Dm, Tag::Broadcast]), any::<String>());
    let words = vec(any::<String>(), 1..5);
    // A number, and how far below it the one before it is, if that is possible.
    let place = (integer(), option::of(1..100_u64));
    let command = (words, nonce(), place, option::of(integer()), option::of(integer()));
    let stream = prop_oneof![Just(OutputStream::Stdout), Just(OutputStream::Stderr)];
    let output = (message_id(), stream, integer(), any::<Vec<u8>>());
    let words = (any::<String>(), any::<String>());
    let tag = prop_oneof![Just(Tag::Ack), Just(Tag::Noack)];
    let outcome = (tag, message_id(), digest(), integer(), any::<Option<i32>>(), words);
    prop_oneof![
        text.prop_map(|(tag, text)| (tag, Content::Text(text))),
        command.prop_map(|(argv, salt, (no, back), time_max_ms, output_max)| {
            let prev = back.and_then(|back| no.checked_sub(back));
            let command = Command { argv, salt, no, prev, time_max_ms, output_max };
            (Tag::Cmd, Content::Command(command))
        }),
        (message_id(), integer()).prop_map(|(re, no)| (Tag::Out, Content::Started { re, no })),
        output.prop_map(|(re, stream, no, data)| {
            (Tag::Out, Content::Output { re, stream, no, data })
        }),
        outcome.prop_map(|(tag, re, of, outs, status, (code, reason))| {
            (tag, Content::Outcome(Outcome { re, of, outs, status, code, reason }))
        }),
        counters().prop_map(|counters| (Tag::Keyreq, Content::KeyRequest(counters))),
        grant().prop_map(|grant| (Tag::Grant, Content::Grant(grant))),
    ]
}

fn counters() -> impl Strategy<Value = Counters> {
    let n = btree_set(any::<u32>(), 1..=KEYREQ_COUNTERS_MAX);
    (conversation(), digest(), key_id(), n).prop_map(|(cid, e, sk, n)| Counters {
        cid,
        e,
        sk,
        n: n.into_iter().collect(),
    })
}

fn grant() -> impl Strategy<Value = Grant> {
    let frame = option::of(any::<Vec<u8>>().prop_map(B64Vec));
    let place = (conversation(), digest(), key_id(), any::<u32>());
    let entry = (place, message_id(), digest(), any::<[u8; 32]>(), frame).prop_map(
        |((cid, e, sk, n), id, tbs, mk, frame)| GrantEntry {
            cid,
            e,
            sk,
            n,
            id,
            tbs,
            mk: MessageKey::new(mk),
            frame,
        },
    );
    let frames = || vec(vec(any::<u8>(), 0..40).prop_map(B64Vec), 1..3);
    let run = (conversation(), any::<u32>(), frames()).prop_map(|(cid, mg, frames)| LinkRun {
        cid,
        mg,
        frames,
    });
    let lists = (vec(counters(), 0..3), vec(counters(), 0..3));
    (vec(entry, 1..4), lists, vec(run, 0..3), frames()).prop_map(
        |(entries, (burnt, none), links, bundles)| Grant { entries, burnt, none, links, bundles },
    )
}

pub(crate) fn notes() -> impl Strategy<Value = ChainNotes> {
    let new = vec(0usize..100, 0..4).prop_map(|lines| lines.into_iter().collect());
    let last = (digest(), any::<u32>(), new).prop_map(|(e, n, new)| LastMessage { e, n, new });
    (vec((any::<u32>(), digest()), 0..4), option::of(last))
        .prop_map(|(void, last)| ChainNotes { void, last })
}

pub(crate) fn client_to_hub() -> impl Strategy<Value = ClientToHub> {
    let bytes = any::<Vec<u8>>;
    let log = prop_oneof![Just(Log::Inbox), conversation().prop_map(Log::Conversation)];
    prop_oneof![
        (bytes(), bytes(), bytes()).prop_map(|(hdr, body, sig)| ClientToHub::Auth {
            hdr,
            body,
            sig
        }),
        (
            message_id(),
            btree_map(user(), option::of(digest()).prop_map(Held), 0..5),
            btree_map(user(), vec(key_id(), 1..3), 0..3)
        )
            .prop_map(|(id, known, kids)| ClientToHub::Bundles { id, known, kids }),
        (message_id(), conversation()).prop_map(|(id, after)| ClientToHub::Heads { id, after }),
        (message_id(), vec(conversation(), 0..3))
            .prop_map(|(id, cids)| ClientToHub::Counters { id, cids }),
        (message_id(), conversation(), any::<u32>())
            .prop_map(|(id, cid, from)| ClientToHub::Members { id, cid, from }),
        (message_id(), option::of(user())).prop_map(|(id, after)| ClientToHub::Who { id, after }),
        btree_map(log, integer(), 0..5).prop_map(|positions| ClientToHub::Seen { positions }),
    ]
}

fn head() -> impl Strategy<Value = Head> {
    let epoch = (any::<u32>(), digest()).prop_map(|(g, e)| EpochHead { g, e });
    (conversation(), any::<u32>(), digest(), option::of(epoch))
        .prop_map(|(cid, mg, pm, epoch)| Head { cid, mg, pm, epoch })
}

pub(crate) fn hub_to_client() -> impl Strategy<Value = HubToClient> {
    let stage =
        prop_oneof![Just(HubStage::SignIn), Just(HubStage::Stored), Just(HubStage::Request)];
    let refusal = (stage, option::of(message_id()), any::<String>(), any::<String>());
    let bytes = any::<Vec<u8>>;
    let blobs = || vec(any::<Vec<u8>>().prop_map(B64Vec), 0..4);
    let person = (user(), any::<bool>(), any::<bool>()).prop_map(|(name, online, agent)| Person {
        name,
        online,
        agent,
    });
    let epoch = (any::<u32>(), digest()).prop_map(|(g, e)| EpochHead { g, e });
    let counter =
        (conversation(), epoch, any::<u32>()).prop_map(|(cid, epoch, n)| Counter { cid, epoch, n });
    let bundles =
        (blobs(), blobs()).prop_map(|(bundles, former)| PersonBundles { bundles, former });
    prop_oneof![
        (any::<u8>(), digest(), key_id(), bytes())
            .prop_map(|(v, sid, srv, bundle)| HubToClient::Hello { v, sid, srv, bundle }),
        bytes().prop_map(|body| HubToClient::Ok { body }),
        (message_id(), integer(), any::<bool>()).prop_map(|(id, position, kept)| {
            HubToClient::Ack { stage: HubStage::Stored, id, position, kept }
        }),
        (refusal, option::of(head()), option::of(integer())).prop_map(
            |((stage, id, code, reason), head, time)| {
                HubToClient::Noack { stage, id, code, reason, head, time }
            }
        ),
        (message_id(), integer(), any::<String>())
            .prop_map(|(id, after_ms, why)| HubToClient::Retry { id, after_ms, why }),
        (message_id(), head()).prop_map(|(id, head)| HubToClient::Rekey { id, head }),
        (vec(user(), 0..3), vec(user(), 0..3))
            .prop_map(|(joined, left)| HubToClient::Presence { joined, left }),
        (option::of(message_id()), vec(head(), 0..3), any::<bool>())
            .prop_map(|(id, heads, more)| HubToClient::Heads { id, heads, more }),
        (message_id(), vec(counter, 0..3))
            .prop_map(|(id, counters)| HubToClient::Counters { id, counters }),
        (message_id(), btree_map(user(), bundles, 0..3), vec(user(), 0..3), vec(user(), 0..3))
            .prop_map(|(id, people, unknown, gone)| HubToClient::Bundles {
                id,
                people,
                unknown,
                more: gone.len() == 1,
                gone,
            }),
        any::<String>().prop_map(|text| HubToClient::Announce { text }),
        (message_id(), conversation(), blobs(), any::<bool>()).prop_map(
            |(id, cid, links, more)| HubToClient::Members {
                id,
                cid,
                closed: links.is_empty(),
                links,
                more,
            }
        ),
        (message_id(), vec(person, 0..3), any::<bool>())
            .prop_map(|(id, people, more)| HubToClient::Who { id, people, more }),
    ]
}
