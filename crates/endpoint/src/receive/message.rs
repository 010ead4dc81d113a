//! One message: whether it belongs where it was sent, who signed it, what stands in it, and whether it is
//! the next one of its sender.

use chat_protocol::b64::B64Vec;
use chat_protocol::content::{self, Content, FeedCopy};
use chat_protocol::envelope;
use chat_protocol::frame::Delivery;
use chat_protocol::header::{MessageHeader, Recipient};
use chat_protocol::id::Digest;
use chat_protocol::name::{RoomName, UserName};
use chat_protocol::ratchet::{ChainError, MessageKey};
use chat_protocol::tag::{Address, label};

use super::Received;
use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event, KeptFrame};
use crate::gaps::ChainName;
use crate::people::Signer;
use crate::position::Came;
use crate::receipts::Owed;
use crate::settings;
use crate::views::Said;

/// A message whose signature was verified and that was opened.
pub(crate) struct Opened<'a> {
    pub(crate) delivery: &'a Delivery,
    pub(crate) header: &'a MessageHeader,
    pub(crate) digest: Digest,
    pub(crate) signer: &'a Signer,
    /// By which way it came.
    pub(crate) hand: Hand,
}

/// By which way a message came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hand {
    /// From the hub's log.
    Log,
    /// Sent again by this sender.
    Healed(UserName),
    /// Handed on by this member.
    Granted(UserName),
}

/// Why a message is shown without its text.
#[derive(Clone, Copy)]
enum Fault<'a> {
    /// It cannot be read.
    Unreadable(&'a str),
    /// Its signature was not, or could not be, verified: the hub may have made it.
    Unverified(&'a str),
}

/// Where an opened message stands in its sender's chain.
pub(crate) struct Place {
    pub(crate) line: usize,
    /// The counter that was to come.
    pub(crate) expected: u32,
    /// The last frame received before.
    pub(crate) before: Option<(u32, Digest)>,
}

impl Endpoint {
    pub(crate) fn on_message(
        &mut self,
        now_ms: u64,
        (delivery, came): (&Delivery, Came),
        header: &MessageHeader,
        asked: bool,
    ) -> Received {
        if header.from == self.device.user && header.sk == self.device.keys.signing_id() {
            return Received::Done;
        }
        if let Some(reason) = self.is_misplaced(header) {
            return self.refuse_message(now_ms, delivery, header, Fault::Unverified(reason));
        }
        let Some(epoch) = self.epochs.get(&header.e) else {
            return self.on_strange(now_ms, delivery, header, asked);
        };
        let line =
            epoch.list.position(&header.from, &header.sk).filter(|_| epoch.cid == header.cid);
        let place = epoch.place;
        let Some(line) = line else {
            let reason = "its sender is not in its epoch";
            return self.refuse_message(now_ms, delivery, header, Fault::Unverified(reason));
        };
        let Some(signer) = self.people.signer(&header.from, &header.sk).cloned() else {
            if !asked {
                return Received::NeedsSender;
            }
            let reason = self.unknown_key(&header.from);
            return self.refuse_message(now_ms, delivery, header, Fault::Unverified(&reason));
        };
        if !asked && (self.needs_siblings(header) || self.needs_newest(header)) {
            return Received::NeedsSender;
        }
        let digest = delivery.frame.digest(label::MSG);
        if !self.is_by_sender(delivery, header, &signer) {
            let reason = "its signature is not valid";
            return self.refuse_message(now_ms, delivery, header, Fault::Unverified(reason));
        }
        let (cid, from) = (&header.cid, &header.from);
        if !self.may_be_heard(&Said { cid, from, place, came: &came }) {
            self.silenced(cid, from);
            let reason = "its sender was no member any more";
            return self.refuse_message(now_ms, delivery, header, Fault::Unreadable(reason));
        }
        self.key_stands(&header.e);
        self.check_audience(now_ms, (&header.e, from), cid, &came);
        self.check_lines(now_ms, (&header.e, from), cid, came.live_ms);
        self.check_deleted(cid, header.ts, came.live_ms.unwrap_or(now_ms));
        let opened = Opened { delivery, header, digest, signer: &signer, hand: Hand::Log };
        self.open_message(now_ms, &opened, line)
    }

    /// Why a message is none for this user, or none at all, by its header alone, if so (rules R18, R23).
    pub(crate) fn is_misplaced(&self, header: &MessageHeader) -> Option<&'static str> {
        if self.is_of_others(&header.cid) {
            return Some("it is from a conversation of other people");
        }
        if !fits_address(header) {
            return Some("tag, conversation and recipient differ");
        }
        (!may_speak(header)).then_some("only whose feed it is speaks there")
    }

    /// Whether a message was signed by this key; if not, that marks this frame, and nothing that
    /// stands in its header counts (rule R39).
    fn is_by_sender(
        &mut self,
        delivery: &Delivery,
        header: &MessageHeader,
        signer: &Signer,
    ) -> bool {
        let is_signed = signer.has_signed(&delivery.frame, label::MSG, &mut self.verified);
        if !is_signed {
            let detail = "a message was not signed by its sender";
            self.out.alarm(Alarm::BadSignature, &header.from, detail);
        }
        is_signed
    }

    /// A message in an epoch whose key this device has not: what is missing is asked for once it is
    /// certain whose message it is.
    fn on_strange(
        &mut self,
        now_ms: u64,
        delivery: &Delivery,
        header: &MessageHeader,
        asked: bool,
    ) -> Received {
        if self.is_received(delivery, header) {
            self.owe_again(now_ms, Owed::new(header, delivery.frame.digest(label::MSG), true));
            return Received::Done;
        }
        if self.epochs.is_gone(&header.e) {
            let reason = "its epoch is too long ago; this device does not open it any more";
            return self.refuse_message(now_ms, delivery, header, Fault::Unverified(reason));
        }
        // Whose it is shows in the view, which a key would have brought up to date.
        if !self.has_known(&header.cid, &header.from) && self.view_is_on_its_way(&header.cid) {
            return Received::NeedsView;
        }
        let mut reason = "its epoch was not given to this device".to_owned();
        if self.has_known(&header.cid, &header.from) {
            match self.people.signer(&header.from, &header.sk).cloned() {
                Some(signer) if self.is_by_sender(delivery, header, &signer) => {
                    // Who is no member does not answer either.
                    if self.is_own(&header.cid) {
                        self.miss_settings(now_ms);
                    } else if !self.has_gone(&header.cid, &header.from) {
                        self.gaps.want_strange(now_ms, &mut self.out, delivery, header);
                    }
                    return self.refuse_message(
                        now_ms,
                        delivery,
                        header,
                        Fault::Unreadable(&reason),
                    );
                }
                Some(_) => "its signature is not valid".clone_into(&mut reason),
                None if !asked => return Received::NeedsSender,
                None => reason = self.unknown_key(&header.from),
            }
        }
        self.refuse_message(now_ms, delivery, header, Fault::Unverified(&reason))
    }

    /// Why a signature of somebody cannot be checked.
    fn unknown_key(&self, name: &UserName) -> String {
        if self.people.is_in_question(name) || self.people.is_refused(name) {
            return format!("its key is not the one that you know as {name}'s");
        }
        "its sender's key is not to be had".to_owned()
    }

    /// From the chain on: whatever comes out, the chain has moved.
    pub(crate) fn open_message(
        &mut self,
        now_ms: u64,
        opened: &Opened<'_>,
        line: usize,
    ) -> Received {
        let Opened { delivery, header, digest, .. } = opened;
        let Some(receiving) = self.epochs.chain_mut(&header.e, line) else {
            let reason = "its chain is this device's own";
            return self.refuse_message(now_ms, delivery, header, Fault::Unreadable(reason));
        };
        let expected = receiving.chain.next();
        let before = receiving.last;
        let message_key = match receiving.chain.key_for(header.n) {
            Ok(key) => key,
            Err(ChainError::Used { .. }) => return self.replayed(now_ms, opened),
            Err(error @ ChainError::TooFar { .. }) => {
                return self.refuse_message(
                    now_ms,
                    delivery,
                    header,
                    Fault::Unreadable(&error.to_string()),
                );
            }
        };
        // A late frame is not the last one: what follows the last still has to link to it.
        if before.is_none_or(|(n, _)| n < header.n) {
            receiving.last = Some((header.n, *digest));
        }
        self.read_message(now_ms, opened, Some(&Place { line, expected, before }), &message_key)
    }

    /// Decrypts, checks what the message says of its sender's chain, and shows it.
    pub(crate) fn read_message(
        &mut self,
        now_ms: u64,
        opened: &Opened<'_>,
        place: Option<&Place>,
        message_key: &MessageKey,
    ) -> Received {
        let Opened { delivery, header, digest, .. } = opened;
        let content = envelope::open(&delivery.frame, message_key)
            .map_err(|error| error.to_string())
            .and_then(|plaintext| {
                content::decode(header.t, &plaintext).map_err(|error| error.to_string())
            })
            .and_then(|(content, notes)| match content {
                Content::Copy(_) if !header.cid.is_feed() => {
                    Err("it says of another room that it was said there".to_owned())
                }
                Content::Settings(set)
                    if !self.is_own(&header.cid) && !settings::is_for_others(&set) =>
                {
                    Err("somebody else's settings mean nothing here".to_owned())
                }
                Content::Settings(set) => Ok((Content::Settings(set), notes)),
                _ if header.cid.is_own() => {
                    Err("one's own devices tell each other what is set, and nothing else"
                        .to_owned())
                }
                content => Ok((content, notes)),
            });
        let notes = content.as_ref().map(|(_, notes)| notes.clone()).unwrap_or_default();
        match place {
            Some(place) => {
                if content.is_ok() {
                    self.check_first(header, &notes);
                }
                self.check_chain(now_ms, (header, delivery.position), place, &notes);
            }
            None => self.check_strange_chain(now_ms, (header, delivery.position), &notes),
        }
        self.note_disowned(now_ms, header, &notes);
        let (content, _) = match content {
            Ok(content) => content,
            Err(reason) => {
                // Its sender has sealed it so: the same bytes again would not help.
                self.gaps.unwant(&ChainName::of(header), header.n);
                return self.refuse_message(now_ms, delivery, header, Fault::Unreadable(&reason));
            }
        };
        self.out.trace.received(&delivery.frame, || {
            let (sk, from, n) = (&header.sk, &header.from, header.n);
            format!("verified with key {sk} of {from}; opened with message key {n} of its chain")
        });
        self.gaps.filled(&ChainName::of(header), header.n);
        let is_shown = self.is_other_copy_shown(header, &content);
        if self.epochs.remember(header, *digest) && !is_shown {
            self.deliver(now_ms, opened, content, message_key);
        }
        self.owe(now_ms, Owed::new(header, *digest, true));
        Received::Done
    }

    /// Whether this very frame was shown before.
    fn is_received(&self, delivery: &Delivery, header: &MessageHeader) -> bool {
        let known = self.epochs.received(&header.cid, &header.from, &header.id);
        known.is_some_and(|known| known == delivery.frame.digest(label::MSG))
    }

    /// A frame whose counter was used: the same frame again only needs its receipt again.
    fn replayed(&mut self, now_ms: u64, opened: &Opened<'_>) -> Received {
        let Opened { header, digest, .. } = opened;
        let known = self.epochs.received(&header.cid, &header.from, &header.id);
        if known.is_some_and(|known| known == *digest) {
            self.owe_again(now_ms, Owed::new(header, *digest, true));
        } else {
            let frame = &opened.delivery.frame;
            self.out.trace.received(frame, || "refused: its counter was used".into());
            self.out.alarm(Alarm::Replay, &header.from, "a message came a second time");
        }
        Received::Done
    }

    /// Hands an opened message to the host.
    pub(crate) fn deliver(
        &mut self,
        now_ms: u64,
        opened: &Opened<'_>,
        content: Content,
        key: &MessageKey,
    ) {
        let Opened { delivery, header, .. } = opened;
        let by = header.from.clone();
        match content {
            Content::Text(text) => self.show(opened, key, (text, false, None)),
            Content::Veiled(text) => self.show(opened, key, (text, true, None)),
            Content::Copy(FeedCopy { room, text, veiled }) => {
                self.show(opened, key, (text, veiled, Some(room)));
            }
            Content::File(note) => self.out.tell(Event::File {
                id: header.id,
                cid: header.cid.clone(),
                pinned: self.people.is_trusted(&by),
                from: by,
                note,
                hub_ms: delivery.hub_ms,
            }),
            Content::Auto(text) => self.out.tell(Event::Away {
                id: header.id,
                cid: header.cid.clone(),
                from: by,
                text,
                sent_ms: header.ts,
            }),
            Content::Settings(set) if self.is_own(&header.cid) => self.on_settings(now_ms, set),
            Content::Settings(set) => self.on_settings_of(now_ms, &by, set),
            Content::KeyRequest(asked) => self.on_key_request(now_ms, header, &asked),
            Content::LinkRequest(asked) => self.on_link_request(now_ms, &by, &asked),
            Content::Grant(grant) => self.on_grant(now_ms, &by, delivery.hub_ms, grant),
            Content::Command(command) => self.on_command(now_ms, opened, command),
            Content::Cancel { re } => self.on_cancel(opened, re),
            Content::Started { .. } | Content::Output { .. } | Content::Outcome(_) => {
                self.on_reply(opened, content);
            }
        }
    }

    fn show(
        &mut self,
        opened: &Opened<'_>,
        key: &MessageKey,
        (text, veiled, said_in): (String, bool, Option<RoomName>),
    ) {
        let Opened { delivery, header, hand, .. } = opened;
        let (healed_by, granted_by) = match hand.clone() {
            Hand::Log => (None, None),
            Hand::Healed(by) => (Some(by), None),
            Hand::Granted(by) => (None, Some(by)),
        };
        let is_gone = *hand == Hand::Log && self.has_gone(&header.cid, &header.from);
        if let Some(to) = self.other(&header.cid).filter(|_| header.from == self.device.user) {
            self.note_written(self.link.clock_ms, &to);
        }
        self.out.tell(Event::Message {
            frame: self.keep(opened, key),
            gone: is_gone,
            id: header.id,
            cid: header.cid.clone(),
            tag: header.t,
            from: header.from.clone(),
            peer: self.standing(&header.from),
            text,
            veiled,
            said_in,
            position: delivery.position,
            sent_ms: header.ts,
            hub_ms: delivery.hub_ms,
            healed_by,
            granted_by,
        });
    }

    /// The frame and its key for the host's history, if this device keeps anything.
    fn keep(&self, opened: &Opened<'_>, key: &MessageKey) -> Option<Box<KeptFrame>> {
        let Opened { delivery, header, digest, .. } = opened;
        self.out.is_durable().then(|| {
            Box::new(KeptFrame {
                e: header.e,
                sk: header.sk,
                n: header.n,
                digest: *digest,
                key: key.clone(),
                frame: B64Vec(delivery.frame.bytes().to_vec()),
            })
        })
    }

    /// A message without its text is shown as such, and its sender is told (rule R8).
    fn refuse_message(
        &mut self,
        now_ms: u64,
        delivery: &Delivery,
        header: &MessageHeader,
        fault: Fault<'_>,
    ) -> Received {
        let (reason, signed) = match fault {
            Fault::Unreadable(reason) => (reason, true),
            Fault::Unverified(reason) => (reason, false),
        };
        if !signed && !self.out.tells_of_unverified() {
            self.out.trace.received(&delivery.frame, || format!("refused and not shown: {reason}"));
            return Received::Done;
        }
        self.out.trace.received(&delivery.frame, || format!("refused: {reason}"));
        let digest = delivery.frame.digest(label::MSG);
        let (cid, from, reason) = (header.cid.clone(), header.from.clone(), reason.to_owned());
        self.out.tell(Event::Unreadable { cid, from, id: header.id, reason, signed });
        self.owe_again(now_ms, Owed::new(header, digest, false));
        Received::Done
    }
}

/// Whether its sender may speak where it was sent: in a feed only whose it is (rule R18).
fn may_speak(header: &MessageHeader) -> bool {
    !header.cid.is_feed() || header.cid.is_feed_of(&header.from)
}

/// Whether tag, conversation and recipient of a message go together (rule R23).
fn fits_address(header: &MessageHeader) -> bool {
    match header.t.fits(&header.cid.kind()) {
        Some(Address::Everyone) => header.to == Recipient::Everyone,
        Some(Address::Other) => {
            let other = header.cid.other(&header.from);
            header.to.user() == other.as_ref() && other.is_some()
        }
        None => false,
    }
}
