//! A home with a long history, written as the client writes it.

use std::path::Path;

use anyhow::{Context as _, bail};
use chat_device::history::{Record, Said, State};
use chat_device::home::HomeFolder;
use chat_device::store::{Changes, Home as _};
use chat_device::vault::KeyFile;
use chat_endpoint::Standing;
use chat_protocol::handshake::PasswordKeys;
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::Tag;
use chat_testkit::now_ms;
use chat_tests::PASSWORD;

/// Messages of one commit.
const AT_A_TIME: u64 = 1_000;

/// Fills alice's home below `root`: so many lines in the lobby, and so many conversations with a few each. Returns
/// whose home it is.
pub(crate) fn fill(
    root: &Path,
    (lines, conversations): (u64, u64),
) -> anyhow::Result<(KeyId, UserName)> {
    let me = UserName::new("alice")?;
    let server = server_of(root)?;
    let folder = HomeFolder::new(root, &server, &me);
    let KeyFile::Sealed(sealed) = folder.key_file()?.context("no home")? else {
        bail!("the key file has no password")
    };
    let vault = sealed.open(&PasswordKeys::derive(PASSWORD, &server, &me), &server, &me)?;
    let mut store = folder.open(&vault)?;
    let start_ms = now_ms().saturating_sub((lines + conversations) * 1_000);
    let lobby = ConversationId::room(&RoomName::lobby());
    let mut said = Vec::new();
    for number in 0..conversations + lines {
        let (cid, from) = if number < conversations {
            let other = UserName::new(&format!("friend{number}"))?;
            (ConversationId::direct(&me, &other)?, other)
        } else {
            (lobby.clone(), UserName::new(&format!("friend{}", number % 40))?)
        };
        let text = match number.checked_sub(conversations) {
            Some(line) => format!("line {line}"),
            None => "hello".to_owned(),
        };
        let text =
            if number % 3 == 0 { format!("{text} {}", "and words ".repeat(12)) } else { text };
        let id = MessageId::new(start_ms + number, [3; 10]);
        let record = Record {
            id,
            cid,
            tag: Some(Tag::Text),
            from,
            text: Some(text),
            sent_ms: start_ms + number * 1_000,
            said_in: None,
            veiled: false,
        };
        let state = State::Received { position: number, peer: Standing::Known };
        said.push(Said::New { record, state, frame: None });
        if (number + 1) % AT_A_TIME == 0 || number + 1 == conversations + lines {
            store.begin()?;
            store.commit(&Changes { rows: Vec::new(), history: std::mem::take(&mut said) })?;
        }
    }
    Ok((server, me))
}

/// The server whose folder is in this home.
fn server_of(root: &Path) -> anyhow::Result<KeyId> {
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name();
        if let Some(id) = name.to_str().and_then(|name| KeyId::parse(name).ok()) {
            return Ok(id);
        }
    }
    bail!("no server's folder in {}", root.display())
}
