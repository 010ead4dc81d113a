//! The JSON of a plaintext: every key that any tag knows, written padded and read strictly.

use serde::{Deserialize, Serialize};

use super::files::FileNote;
use super::healing::{Counters, Grant, GrantEntry, LinkRequest, LinkRun, present};
use super::settings::{self, Setting};
use super::{
    ChainNotes, Command, Content, ContentError, FeedCopy, LastMessage, Outcome, OutputStream, cap,
    check_argv,
};
use crate::b64::B64Vec;
use crate::id::{Digest, KeyId, MessageId, Nonce16};
use crate::limits::{INTEGER_MAX, MESSAGE_TEXT_BYTES_MAX, PAD_BYTES};
use crate::members::Place;
use crate::name::{ConversationId, RoomName};
use crate::strict;
use crate::tag::Tag;

/// Every key a plaintext may have; which of them must and may be there depends on the tag. Their order
/// is that of every tag that has them.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    veil: Option<bool>,
    #[serde(rename = "in", skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    said_in: Option<RoomName>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    file: Option<FileNote>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    auto: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    set: Option<Vec<Setting>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    argv: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    salt: Option<Nonce16>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    re: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    of: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    outs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    stream: Option<WireStream>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    no: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    prev: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    data: Option<B64Vec>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    st: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    cid: Option<ConversationId>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    e: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    sk: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    n: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    grant: Option<Vec<GrantEntry>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    burnt: Option<Vec<Counters>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    none: Option<Vec<Counters>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    links: Option<Vec<LinkRun>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    bundles: Option<Vec<B64Vec>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    mg: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pm: Option<Digest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    void: Vec<(u32, Digest)>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    last: Option<LastMessage>,
    /// Written by [`pad`]; read and ignored (rule R28).
    #[serde(skip_serializing, deserialize_with = "present")]
    pad: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireStream {
    Started,
    Stdout,
    Stderr,
}

/// The plaintext of a message, padded.
pub fn encode(content: &Content, notes: &ChainNotes) -> Vec<u8> {
    let mut wire = Wire { void: notes.void.clone(), last: notes.last.clone(), ..Wire::default() };
    match content.clone() {
        Content::Text(text) => wire.x = Some(text),
        Content::Veiled(text) => {
            wire.x = Some(text);
            wire.veil = Some(true);
        }
        Content::Copy(FeedCopy { room, text, veiled }) => {
            (wire.x, wire.said_in) = (Some(text), Some(room));
            wire.veil = veiled.then_some(true);
        }
        Content::File(note) => wire.file = Some(note),
        Content::Auto(text) => (wire.x, wire.auto) = (Some(text), Some(true)),
        Content::Settings(set) => wire.set = Some(set),
        Content::Command(command) => {
            wire.argv = Some(command.argv);
            wire.salt = Some(command.salt);
            (wire.no, wire.prev) = (Some(command.no), command.prev);
            wire.ms = command.time_max_ms;
            wire.bytes = command.output_max;
        }
        Content::Cancel { re } => wire.re = Some(re),
        Content::Started { re, no } => {
            (wire.re, wire.no) = (Some(re), Some(no));
            wire.stream = Some(WireStream::Started);
        }
        Content::Output { re, stream, no, data } => {
            (wire.re, wire.no) = (Some(re), Some(no));
            wire.stream = Some(match stream {
                OutputStream::Stdout => WireStream::Stdout,
                OutputStream::Stderr => WireStream::Stderr,
            });
            wire.data = Some(B64Vec(data));
        }
        Content::Outcome(outcome) => {
            wire.re = Some(outcome.re);
            (wire.of, wire.outs) = (Some(outcome.of), Some(outcome.outs));
            wire.st = outcome.status;
            wire.code = Some(outcome.code);
            wire.reason = Some(outcome.reason);
        }
        Content::KeyRequest(Counters { cid, e, sk, n }) => {
            (wire.cid, wire.e, wire.sk, wire.n) = (Some(cid), Some(e), Some(sk), Some(n));
        }
        Content::LinkRequest(LinkRequest { cid, place }) => {
            (wire.cid, wire.mg, wire.pm) = (Some(cid), Some(place.mg), Some(place.pm));
        }
        Content::Grant(Grant { entries, burnt, none, links, bundles }) => {
            wire.links = Some(links).filter(|list| !list.is_empty());
            wire.bundles = Some(bundles).filter(|list| !list.is_empty());
            wire.grant = Some(entries).filter(|list| !list.is_empty());
            wire.burnt = Some(burnt).filter(|list| !list.is_empty());
            wire.none = Some(none).filter(|list| !list.is_empty());
        }
    }
    pad(serde_json::to_vec(&wire).expect("plaintexts hold only strings, numbers and lists of them"))
}

/// Puts `"pad"` as the last key, with as many spaces as make the length a multiple of 64.
fn pad(mut json: Vec<u8>) -> Vec<u8> {
    const KEY: &[u8] = b",\"pad\":\"";
    json.pop();
    json.extend_from_slice(KEY);
    let length = (json.len() + 2).next_multiple_of(PAD_BYTES) - 2;
    json.resize(length, b' ');
    json.extend_from_slice(b"\"}");
    json
}

/// Reads the plaintext of a message with this tag.
pub fn decode(tag: Tag, plaintext: &[u8]) -> Result<(Content, ChainNotes), ContentError> {
    let form = |reason: &str| ContentError::Form { tag, reason: reason.to_owned() };
    let mut wire: Wire = strict::from_slice(plaintext).map_err(|error| form(&error.to_string()))?;
    let notes = ChainNotes { void: std::mem::take(&mut wire.void), last: wire.last.take() };
    wire.pad = None;
    let content = match tag {
        Tag::Text | Tag::Dm | Tag::Broadcast if wire.file.is_some() => {
            let note = wire.file.take().filter(FileNote::is_valid);
            Content::File(note.ok_or_else(|| form("file"))?)
        }
        Tag::Dm if wire.set.is_some() => {
            let set = wire.set.take().filter(|set| settings::are_valid(set));
            Content::Settings(set.ok_or_else(|| form("set"))?)
        }
        Tag::Dm if wire.auto.is_some() => auto(tag, &mut wire)?,
        Tag::Text | Tag::Dm | Tag::Broadcast => {
            let text = text(wire.x.take().ok_or_else(|| form("x is missing"))?)?;
            // One way to write each content.
            if wire.veil == Some(false) {
                return Err(form("veil is true or absent"));
            }
            let veiled = wire.veil.take().is_some();
            match (wire.said_in.take_if(|room| tag == Tag::Text && !room.is_all()), veiled) {
                (Some(room), veiled) => Content::Copy(FeedCopy { room, text, veiled }),
                (None, false) => Content::Text(text),
                (None, true) => Content::Veiled(text),
            }
        }
        Tag::Cmd => command(tag, &mut wire)?,
        Tag::Cancel => Content::Cancel { re: wire.re.take().ok_or_else(|| form("re is missing"))? },
        Tag::Out => output(tag, &mut wire)?,
        Tag::Ack | Tag::Noack => Content::Outcome(Outcome {
            re: wire.re.take().ok_or_else(|| form("re is missing"))?,
            of: wire.of.take().ok_or_else(|| form("of is missing"))?,
            outs: number(wire.outs.take()).ok_or_else(|| form("outs"))?,
            status: wire.st.take(),
            code: wire.code.take().unwrap_or_default(),
            reason: wire.reason.take().unwrap_or_default(),
        }),
        Tag::Keyreq if wire.mg.is_some() => link_request(tag, &mut wire)?,
        Tag::Keyreq => {
            let counters = Counters {
                cid: wire.cid.take().ok_or_else(|| form("cid is missing"))?,
                e: wire.e.take().ok_or_else(|| form("e is missing"))?,
                sk: wire.sk.take().ok_or_else(|| form("sk is missing"))?,
                n: wire.n.take().ok_or_else(|| form("n is missing"))?,
            };
            let valid = counters.is_valid();
            Content::KeyRequest(Some(counters).filter(|_| valid).ok_or_else(|| form("n"))?)
        }
        Tag::Grant => {
            let grant = Grant {
                entries: wire.grant.take().unwrap_or_default(),
                burnt: wire.burnt.take().unwrap_or_default(),
                none: wire.none.take().unwrap_or_default(),
                links: wire.links.take().unwrap_or_default(),
                bundles: wire.bundles.take().unwrap_or_default(),
            };
            let valid = grant.is_valid();
            Content::Grant(Some(grant).filter(|_| valid).ok_or_else(|| form("a list's length"))?)
        }
        Tag::File | Tag::Offer | Tag::Key | Tag::Member => {
            return Err(form("this tag seals nothing"));
        }
    };
    // Whatever was not taken belongs to another tag: a reader that knows only this tag's keys
    // refuses it, so everybody does (rule R22).
    if wire == Wire::default() { Ok((content, notes)) } else { Err(form("a key of another tag")) }
}

fn auto(tag: Tag, wire: &mut Wire) -> Result<Content, ContentError> {
    let form = |reason: &str| ContentError::Form { tag, reason: reason.to_owned() };
    let text = text(wire.x.take().ok_or_else(|| form("x is missing"))?)?;
    // One way to write each content.
    if wire.auto.take() == Some(false) {
        return Err(form("auto is true or absent"));
    }
    Ok(Content::Auto(text))
}

fn link_request(tag: Tag, wire: &mut Wire) -> Result<Content, ContentError> {
    let form = |reason: &str| ContentError::Form { tag, reason: reason.to_owned() };
    let cid = wire.cid.take().ok_or_else(|| form("cid is missing"))?;
    let mg = wire.mg.take().ok_or_else(|| form("mg is missing"))?;
    let pm = wire.pm.take().ok_or_else(|| form("pm is missing"))?;
    Ok(Content::LinkRequest(LinkRequest { cid, place: Place { mg, pm } }))
}

fn text(text: String) -> Result<String, ContentError> {
    cap("text in bytes", text.len(), MESSAGE_TEXT_BYTES_MAX)?;
    Ok(text)
}

fn output(tag: Tag, wire: &mut Wire) -> Result<Content, ContentError> {
    let form = |reason: &str| ContentError::Form { tag, reason: reason.to_owned() };
    let re = wire.re.take().ok_or_else(|| form("re is missing"))?;
    let stream = wire.stream.take().ok_or_else(|| form("stream is missing"))?;
    let no = number(wire.no.take()).ok_or_else(|| form("no"))?;
    let data = wire.data.take().map(|data| data.0);
    let (stream, data) = match (stream, data) {
        (WireStream::Started, None) => return Ok(Content::Started { re, no }),
        (WireStream::Stdout, Some(data)) => (OutputStream::Stdout, data),
        (WireStream::Stderr, Some(data)) => (OutputStream::Stderr, data),
        _ => return Err(form("stream and data do not go together")),
    };
    Ok(Content::Output { re, stream, no, data })
}

/// A number that must be there, and that every reader knows exactly.
fn number(value: Option<u64>) -> Option<u64> {
    value.filter(|number| *number <= INTEGER_MAX)
}

fn command(tag: Tag, wire: &mut Wire) -> Result<Content, ContentError> {
    let form = |reason: String| ContentError::Form { tag, reason };
    let missing = |what: &str| form(format!("{what} is missing"));
    let argv = wire.argv.take().filter(|argv| !argv.is_empty()).ok_or_else(|| missing("argv"))?;
    let command = Command {
        argv,
        salt: wire.salt.take().ok_or_else(|| missing("salt"))?,
        no: number(wire.no.take()).ok_or_else(|| missing("no"))?,
        prev: wire.prev.take(),
        time_max_ms: wire.ms.take(),
        output_max: wire.bytes.take(),
    };
    if command.time_max_ms.max(command.output_max) > Some(INTEGER_MAX) {
        return Err(form("ms or bytes is above 2^53 - 1".to_owned()));
    }
    if command.prev >= Some(command.no) {
        return Err(form("prev is not below no".to_owned()));
    }
    check_argv(&command.argv)?;
    Ok(Content::Command(command))
}
